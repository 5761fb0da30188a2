"""`keystrand estate`: declare and judge what the organisation has."""

from pathlib import Path

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
    nouns = ("site", "system", "segment", "data_class", "owner", "region", "trust_zone", "target", "pilot")
    emit(output, [{"noun": noun, "count": len(getattr(estate, noun))} for noun in nouns])
    say(f"ok: the estate of {estate.organisation.name} is sound")


@app.command()
def schema() -> None:
    """Print the JSON Schema of estate.toml."""
    from keystrand.app.estate import estate_schema

    emit(Output.JSON, (), value=estate_schema())
