"""`keystrand plan`: decide."""

from pathlib import Path

import typer

from keystrand.cli import plan_approach, plan_cost, plan_roadmap, plan_target, plan_topology, plan_vendors
from keystrand.cli.output import OutOption, Output, OutputOption, emit

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(plan_vendors.app, name="vendors", help="Ask vendors, and compare what they answer.")
app.command()(plan_approach.compare)
app.command()(plan_approach.explain)
app.command()(plan_target.target)
app.command()(plan_target.check)


for verb in (plan_roadmap.make, plan_roadmap.roadmap, plan_roadmap.diff, plan_roadmap.what_if):
    app.command()(verb)


@app.command()
def show(out: OutOption = Path("out"), output: OutputOption = Output.TABLE) -> None:
    """Show the measures of the plan in OUT, in their order."""
    from keystrand.app.plan import measure_rows

    emit(output, measure_rows(out))


app.command()(plan_cost.cost)
app.command()(plan_cost.frontier)
app.command()(plan_topology.topology)
