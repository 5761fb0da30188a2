"""`keystrand plan compare` and `plan explain`: the five approaches, and why one was chosen."""

from pathlib import Path
from typing import Annotated

import typer

from keystrand.cli.output import OutOption, Output, OutputOption, emit, say


def compare(output: OutputOption = Output.TABLE) -> None:
    """Compare the five approaches: benefit, fit, operational complexity and migration readiness."""
    from keystrand.app.plan_approach import comparison_note, comparison_rows

    emit(output, comparison_rows())
    say(comparison_note())


def explain(
    segment: Annotated[str, typer.Argument(metavar="SEGMENT", help="Id of the segment.")],
    out: OutOption = Path("out"),
    output: OutputOption = Output.TABLE,
) -> None:
    """Say why the plan in OUT chose an approach for SEGMENT: rules, alternatives, what is left, who objects."""
    from keystrand.app.plan_approach import explain_rows

    emit(output, explain_rows(out, segment))
