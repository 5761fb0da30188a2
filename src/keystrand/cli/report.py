"""`keystrand report`: explain it to leadership."""

from pathlib import Path

import typer

from keystrand.cli.output import AsOfOption, EstateArgument, OutOption, Output, OutputOption, day, emit, say

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command()
def make(
    folder: EstateArgument = Path(),
    out: OutOption = Path("out"),
    as_of: AsOfOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Write report.html and report.json from the documents in OUT."""
    from keystrand.app.estate import open_estate
    from keystrand.app.report import report_estate

    report, page = report_estate(open_estate(folder), out, as_of=day(as_of))
    rows = [{"headline": f.label, "value": f.value, "from": f.document + f.pointer} for f in report.headline]
    emit(output, rows, value=report)
    say(f"wrote {page}")
