"""`keystrand plan cost` and `plan frontier`: what the plan costs, and where effort brings most."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from keystrand.cli.output import EstateArgument, OutOption, Output, OutputOption, PlotOption, draw, emit, say


class CostPart(StrEnum):
    """What of the cost is shown."""

    OPTIONS = "options"
    CATEGORIES = "categories"
    PHASES = "phases"
    SCENARIOS = "scenarios"
    INPUTS = "inputs"
    FIND_OUT = "find-out"
    PILOT = "pilot"


class FrontierPart(StrEnum):
    """What of the frontier is shown."""

    WAYS = "ways"
    STEPS = "steps"


class CostGate(StrEnum):
    """What can trip the gate."""

    UNVERIFIED = "unverified"


def cost(  # noqa: PLR0913 - every option of the command is one
    folder: EstateArgument = Path(),
    out: OutOption = Path("out"),
    output: OutputOption = Output.TABLE,
    plot: PlotOption = None,
    *,
    show: Annotated[CostPart, typer.Option("--show", help="Part shown in the table.")] = CostPart.OPTIONS,
    scenarios: Annotated[int, typer.Option("--scenarios", min=100, max=1_000_000, help="Number of draws.")] = 10_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the draws.")] = 20261126,
    most_unverified: Annotated[
        float, typer.Option("--most-unverified", min=0, max=1, help="Share of cost on unverified prices allowed.")
    ] = 0.2,
    fail_on: Annotated[CostGate | None, typer.Option("--fail-on", help="Exit 10 where totals rest on it.")] = None,
) -> None:
    """Cost the plan in OUT over its whole life, beside doing nothing and post-quantum cryptography only."""
    from keystrand.app import plan_cost
    from keystrand.app.estate import open_estate
    from keystrand.formats.charts_cost import tornado_chart
    from keystrand.model.errors import GateTripped
    from keystrand.plan.cost import Options

    report = plan_cost.cost_plan(open_estate(folder), out, Options(scenarios, seed, most_unverified))
    rows = {
        CostPart.OPTIONS: plan_cost.option_rows,
        CostPart.CATEGORIES: plan_cost.category_rows,
        CostPart.PHASES: plan_cost.phase_rows,
        CostPart.SCENARIOS: plan_cost.scenario_rows,
        CostPart.INPUTS: plan_cost.swing_rows,
        CostPart.FIND_OUT: plan_cost.information_rows,
        CostPart.PILOT: plan_cost.shown_rows,
    }[show](report)
    emit(output, rows, value=report)
    if plot:
        draw(plot, tornado_chart(report))
    if show is CostPart.OPTIONS:
        say(plan_cost.saved_words(report))
        for line in plan_cost.shown_words(report):
            say(line)
    weak = [one for one in report.options if not one.usable]
    for one in weak:
        say(f"{one.option}: not for a decision; get prices for: {', '.join(one.fill_in)}")
    say(f"wrote {out}/cost.json; give your own as [[price]] in estate.toml")
    if fail_on and weak:
        raise GateTripped("totals rest on unverified prices", hint="give your own as [[price]] in estate.toml")


def frontier(
    out: OutOption = Path("out"),
    output: OutputOption = Output.TABLE,
    plot: PlotOption = None,
    *,
    show: Annotated[FrontierPart, typer.Option("--show", help="Part shown in the table.")] = FrontierPart.WAYS,
) -> None:
    """Show which ways are worth their effort, from the cost in OUT: risk reduction for operational complexity."""
    from keystrand.app import plan_cost
    from keystrand.formats.charts_cost import frontier_chart

    report = plan_cost.cost_of(out)
    made = plan_cost.way_rows if show is FrontierPart.WAYS else plan_cost.step_rows
    emit(output, made(report), value={"ways": report.ways, "steps": report.steps, "portfolio": report.portfolio})
    if plot:
        draw(plot, frontier_chart(report))
    if report.steps_not_listed and show is FrontierPart.STEPS:
        say(f"{report.steps_not_listed:,} further steps are not listed")
    for line in (*plan_cost.doubtful_words(report), *plan_cost.portfolio_words(report)):
        say(line)
