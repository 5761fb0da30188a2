"""`keystrand qkd validate`: the models against what was published."""

from pathlib import Path
from typing import Annotated

import typer

from keystrand.cli.output import Output, OutputOption, emit, say, shortened


def validate(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="An experiment of your own (TOML).  [default: all bundled]")
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Hold the models against published experiments: value, ratio, fitted parameters, and what is missed."""
    from keystrand.app import qkd_validate

    results = qkd_validate.validations(qkd_validate.open_experiments(file))
    made = qkd_validate.rows(results)
    emit(
        output,
        shortened([{key: row[key] for key in _BRIEF} for row in made]) if output is Output.TABLE else made,
        value=qkd_validate.value(results),
    )
    say(qkd_validate.summary(results))


_BRIEF = ("experiment", "row", "published", "model", "unit", "ratio", "free_parameters", "verdict")
