"""`keystrand estate`: declare and judge what the organisation has."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from keystrand.cli.output import EstateArgument, Output, OutputOption, emit, say

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command()
def init(folder: EstateArgument) -> None:
    """Write a commented starter estate into DIR."""
    from keystrand.app.estate import init_estate

    init_estate(folder)
    say(f"wrote {folder / 'estate.toml'}\nnext: edit it, then run: keystrand estate check {folder}")


@app.command()
def check(folder: EstateArgument = Path(), output: OutputOption = Output.TABLE) -> None:
    """Judge the estate in DIR: every problem at once, with file, line, field and hint."""
    from keystrand.app.estate import estate_doubts, open_estate

    estate = open_estate(folder).estate
    for doubt in estate_doubts(folder):
        say(f"question: {doubt}" + (f"\n  hint: {doubt.hint}" if doubt.hint else ""))
    nouns = ("site", "system", "segment", "data_class", "owner", "region", "trust_zone", "target", "pilot", "freeze",
             "waiver", "demand", "price")  # fmt: skip
    emit(output, [{"noun": noun, "count": len(getattr(estate, noun))} for noun in nouns])
    say(f"ok: the estate of {estate.organisation.name} is sound")


@app.command()
def rules(
    folder: EstateArgument,
    register: Annotated[Path, typer.Argument(metavar="FILE", help="CSV of a CMDB or of NetBox, or NetBox's JSON.")],
) -> None:
    """Print rules that give the hosts of a register to the systems of the estate in DIR, to be put into estate.toml."""
    from keystrand.app.estate import open_estate
    from keystrand.app.estate_rules import proposed_rules
    from keystrand.formats.wording import counted

    proposed = proposed_rules(open_estate(folder).estate, register)
    sys.stdout.write(proposed.toml)
    for problem in proposed.left_out:
        say(f"left out: {problem}")
    say(f"{counted(proposed.number, 'rule')}; {counted(len(proposed.left_out), 'host')} left out")


@app.command()
def schema() -> None:
    """Print the JSON Schema of estate.toml."""
    from keystrand.app.estate import estate_schema

    emit(Output.JSON, (), value=estate_schema())
