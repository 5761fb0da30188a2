"""`keystrand pilot`: prove it."""

from pathlib import Path
from typing import Annotated

import typer

from keystrand.cli.output import AsOfOption, EstateArgument, OutOption, Output, OutputOption, day, emit, say

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command()
def run(
    folder: EstateArgument = Path(),
    out: OutOption = Path("out"),
    pilot: Annotated[str, typer.Option("--pilot", metavar="ID", help="Which pilot.  [default: the first]")] = "",
    as_of: AsOfOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Run the pilot of the estate in DIR: a modelled link, two real KMEs, one real consumer, one cut."""
    from keystrand.app.estate import open_estate
    from keystrand.app.pilot import run_pilot, scorecard_rows

    report = run_pilot(open_estate(folder), out, pilot, as_of=day(as_of), stage=say)
    emit(output, scorecard_rows(report), value=report)
    say(f"wrote {out}/pilot.json")
