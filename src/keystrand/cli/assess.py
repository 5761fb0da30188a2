"""`keystrand assess`: judge the inventory."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from keystrand.cli.output import AsOfOption, EstateArgument, OutOption, Output, OutputOption, day, emit, say

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


class Gate(StrEnum):
    """What can trip the gate."""

    VIOLATION = "violation"
    VULNERABLE = "vulnerable"
    UNKNOWN = "unknown"


@app.command()
def run(
    folder: EstateArgument = Path(),
    out: OutOption = Path("out"),
    as_of: AsOfOption = "",
    output: OutputOption = Output.TABLE,
    fail_on: Annotated[Gate | None, typer.Option("--fail-on", help="Exit 10 where this is found.")] = None,
) -> None:
    """Judge the inventory in OUT: verdicts, policies, exposure, order of work."""
    from keystrand.app.assess import assess_estate, gate_count, priority_rows
    from keystrand.app.estate import open_estate
    from keystrand.formats.wording import counted
    from keystrand.model.errors import GateTripped

    assessment = assess_estate(open_estate(folder), out, as_of=day(as_of))
    emit(output, priority_rows(assessment), value=assessment)
    say(f"wrote {out}/assessment.json; ask why with: keystrand assess explain SYSTEM --out {out}")
    if fail_on and (count := gate_count(assessment, fail_on.value)):
        found = f"{counted(count, 'finding')} tripped the gate: {fail_on.value}"
        raise GateTripped(found, hint="keystrand assess explain SYSTEM says why")


@app.command()
def explain(
    name: Annotated[str, typer.Argument(help="A system or a finding.")],
    out: OutOption = Path("out"),
    output: OutputOption = Output.TABLE,
) -> None:
    """Say why the assessment in OUT says what it says."""
    from keystrand.app.assess import explain_finding

    sentences = explain_finding(out, name)
    if output is Output.TABLE:
        typer.echo("\n".join(sentences))
    else:
        emit(output, [{"sentence": sentence} for sentence in sentences], value=list(sentences))
