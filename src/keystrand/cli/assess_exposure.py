"""`keystrand assess exposure`, `authenticity` and `sensitivity`: what is exposed, and what the order rests on."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from keystrand.cli.output import EstateArgument, OutOption, Output, OutputOption, emit, say


class By(StrEnum):
    """What exposure can be summed by."""

    SYSTEM = "system"
    SEGMENT = "segment"
    OWNER = "owner"
    FLOW = "flow"
    DATA_CLASS = "data-class"


def exposure(
    folder: EstateArgument = Path(),
    out: OutOption = Path("out"),
    output: OutputOption = Output.TABLE,
    *,
    by: Annotated[By, typer.Option("--by", help="What to sum by.")] = By.SYSTEM,
    harvest: Annotated[
        str, typer.Option("--harvest", metavar="ID", help="Also with these likelihoods of being recorded.")
    ] = "",
) -> None:
    """Say how much data becomes readable if it is recorded: sunk, and still avoidable; every figure a range."""
    from keystrand.app.assess_exposure import exposure_rows
    from keystrand.app.estate import open_estate

    rows = exposure_rows(open_estate(folder), out, by.value, harvest=harvest, figures=output is Output.JSON)
    emit(output, rows)
    say("data-years at one unit a year for each data class, if all is recorded; no migration removes what is sunk")
    if by in (By.SEGMENT, By.FLOW):
        say("a system on several segments counts on each from none to all: these rows do not add up to systems")
    if by is By.SYSTEM:
        say("ranks: 5th to 95th percentile when the threat curve and all times vary within their ranges")
    if harvest:
        say(f"likelihoods of {harvest} are assumed, not measured")


def authenticity(
    folder: EstateArgument = Path(), out: OutOption = Path("out"), output: OutputOption = Output.TABLE
) -> None:
    """Say until when each old signature is trusted, what holds it, and how long it could be forged."""
    from keystrand.app.assess_exposure import forgeable_rows
    from keystrand.app.estate import open_estate

    emit(output, forgeable_rows(open_estate(folder), out, figures=output is Output.JSON))
    say("trust ends with the last of: the system, the issuers it depends on, and verifiers in the field")


def sensitivity(
    folder: EstateArgument = Path(),
    out: OutOption = Path("out"),
    output: OutputOption = Output.TABLE,
    *,
    every: Annotated[bool, typer.Option("--all", help="Also inputs that change nothing.")] = False,
) -> None:
    """Say which input changes the order of the systems: what to find out first."""
    from keystrand.app.assess_exposure import swing_rows, swings
    from keystrand.app.estate import open_estate

    found = swings(open_estate(folder), out)
    shown = tuple(one for one in found if every or one.moved)
    emit(output, swing_rows(shown), value=list(shown))
    if found and found[0].moved:
        say(f"most of all: {found[0].words}")
    say(f"{len(found)} inputs have a range; {sum(one.moved > 0 for one in found)} of them change the order")


def controls(
    name: Annotated[str, typer.Argument(metavar="[CONTROL]", help="One control.  [default: all]")] = "",
    folder: Annotated[Path, typer.Option("--estate", metavar="DIR", help="With your own, in DIR/controls.")] = Path(),
    output: OutputOption = Output.TABLE,
) -> None:
    """Say what each control covers, what it does to the four properties, and what it leaves open."""
    from keystrand.app.assess_controls import control_rows

    emit(output, control_rows(folder, name))
