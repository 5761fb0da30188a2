"""`keystrand plan target` and `plan check`: what everything becomes, and whether the plan goes in stages."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from keystrand.cli.output import AsOfOption, EstateArgument, OutOption, Output, OutputOption, day, emit, say


class Part(StrEnum):
    """Which table of the target state is printed."""

    TARGETS = "targets"
    CRITERIA = "criteria"
    PROTECTION = "protection"


def target(
    folder: EstateArgument = Path(),
    out: OutOption = Path("out"),
    as_of: AsOfOption = "",
    output: OutputOption = Output.TABLE,
    *,
    part: Annotated[Part, typer.Option("--part", help="Table to print.")] = Part.TARGETS,
    markdown: Annotated[Path | None, typer.Option("--markdown", metavar="FILE", help="Write it as Markdown.")] = None,
) -> None:
    """State what each system and segment becomes, by when, and how success is measured, from the plan in OUT."""
    from keystrand.app.estate import open_estate
    from keystrand.app.plan_target import criterion_rows, protection_rows, target_estate, target_rows, write_markdown

    opened = open_estate(folder)
    made = target_estate(opened, out, as_of=day(as_of))
    rows = {Part.TARGETS: target_rows, Part.CRITERIA: criterion_rows, Part.PROTECTION: protection_rows}[part](made)
    emit(output, rows, value=made)
    if markdown:
        write_markdown(markdown, made, opened.estate.organisation.name)
        say(f"wrote {markdown}")
    counts = f"{len(made.targets)} targets, {len(made.criteria)} criteria, {len(made.coverage.gaps)} open points"
    say(f"{counts}; wrote {out}/target.json")


def check(
    out: OutOption = Path("out"),
    spend: Annotated[Path | None, typer.Option("--spend", metavar="FILE", help="CSV file with measure,amount.")] = None,
) -> None:
    """Refuse the plan in OUT unless it goes in stages: a pilot before each quantum link and most of the money."""
    from keystrand.app.plan_target import check_stages

    plan = check_stages(out, spend)
    judged = "" if spend else "; what it spends when was not judged: give --spend"
    say(f"{len(plan.measures)} measures go in stages{judged}")
