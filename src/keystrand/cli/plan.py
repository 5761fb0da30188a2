"""`keystrand plan`: decide."""

from pathlib import Path

import typer

from keystrand.cli import plan_approach, plan_cost, plan_target, plan_topology, plan_vendors
from keystrand.cli.output import AsOfOption, EstateArgument, OutOption, Output, OutputOption, day, emit, say

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(plan_vendors.app, name="vendors", help="Ask vendors, and compare what they answer.")
app.command()(plan_approach.compare)
app.command()(plan_approach.explain)
app.command()(plan_target.target)
app.command()(plan_target.check)


@app.command()
def make(
    folder: EstateArgument = Path(),
    out: OutOption = Path("out"),
    as_of: AsOfOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Choose an approach per segment and date the measures, from the documents in OUT."""
    from keystrand.app.estate import open_estate
    from keystrand.app.plan import decision_rows, plan_estate

    plan = plan_estate(open_estate(folder), out, as_of=day(as_of))
    emit(output, decision_rows(plan), value=plan)
    late = sum(measure.late for measure in plan.measures)
    say(f"{len(plan.measures)} measures, {late} later than a deadline; wrote {out}/plan.json")
    say(f"see them with: keystrand plan show --out {out}")


@app.command()
def show(out: OutOption = Path("out"), output: OutputOption = Output.TABLE) -> None:
    """Show the measures of the plan in OUT, in their order."""
    from keystrand.app.plan import measure_rows

    emit(output, measure_rows(out))


app.command()(plan_cost.cost)
app.command()(plan_cost.frontier)
app.command()(plan_topology.topology)
