"""`keystrand assess policies` and `assess waivers`: the rules over the estate, with the waivers and without."""

from pathlib import Path
from typing import Annotated

import typer

from keystrand.cli.output import OutOption, Output, OutputOption, emit, say


def policies(
    out: OutOption = Path("out"),
    output: OutputOption = Output.TABLE,
    *,
    binding: Annotated[bool, typer.Option("--binding", help="Only what binds the organisation.")] = False,
) -> None:
    """Count the findings of the assessment in OUT by what each rule says: with the waivers and without."""
    from keystrand.app.assess_policies import policy_rows

    emit(output, policy_rows(out, binding=binding))


def waivers(out: OutOption = Path("out"), output: OutputOption = Output.TABLE) -> None:
    """List the estate's waivers: which count on the day of the assessment in OUT, and what they cover."""
    from keystrand.app.assess_policies import waiver_rows

    rows = waiver_rows(out)
    emit(output, rows)
    if ended := [row["waiver"] for row in rows if not row["in_force"]]:
        say(f"not in force, and counting for nothing: {', '.join(ended)}")
