"""`keystrand plan make`, `roadmap`, `diff` and `what-if`: the dates of a plan."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keystrand.cli.output import (
    AsOfOption,
    EstateArgument,
    OutOption,
    Output,
    OutputOption,
    csv_text,
    day,
    draw,
    emit,
    say,
)

if TYPE_CHECKING:
    from keystrand.plan.roadmap_search import Progress

CHANGES = 11
"""Exit code where something changed, with --detailed-exitcode."""
EffortOption = Annotated[
    float | None, typer.Option("--effort", min=0, max=100_000, help="Effort for better dates; a unit is some seconds.")
]
KeepOption = Annotated[
    Path | None, typer.Option("--keep", metavar="OLD", help="Plan whose announced dates should move little.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="NOUN.ID.FIELD=VALUE", help="What would be different; repeatable.")
]
ExitOption = Annotated[bool, typer.Option("--detailed-exitcode", help="Exit 11 where something changed.")]


def make(
    folder: EstateArgument = Path(),
    out: OutOption = Path("out"),
    as_of: AsOfOption = "",
    output: OutputOption = Output.TABLE,
    *,
    keep: KeepOption = None,
    effort: EffortOption = None,
    hold_deadlines: Annotated[
        bool,
        typer.Option("--hold-deadlines", help="Refuse dates that miss a deadline, and say what stands against it."),
    ] = False,
) -> None:
    """Choose an approach per segment and date the measures, from the documents in OUT. ^C takes the best so far."""
    from keystrand.app.estate import open_estate
    from keystrand.app.plan import decision_rows, plan_estate
    from keystrand.app.plan_roadmap import announced, figures_text
    from keystrand.cli.progress import interruptible, progress_bar
    from keystrand.plan.roadmap import DEFAULT_RUN

    known = announced(keep)
    with progress_bar("dates") as bar, interruptible() as stopped:
        run = DEFAULT_RUN._replace(announced=known, hold_deadlines=hold_deadlines, stop=stopped, progress=_shown(bar))
        run = run if effort is None else run._replace(effort=effort)
        plan = plan_estate(open_estate(folder), out, as_of=day(as_of), run=run)
    emit(output, decision_rows(plan), value=plan)
    if stopped():
        say("stopped: these are the best dates found so far")
    late = sum(measure.late for measure in plan.measures)
    say(f"dates {figures_text(plan.roadmap)}")
    say(f"{len(plan.measures)} measures, {late} later than a deadline; wrote {out}/plan.json")
    say(f"see them with: keystrand plan roadmap --out {out}")


def _shown(bar: Callable[[int, int], None] | None) -> "Progress | None":
    return (lambda spent, effort, _: bar(round(spent * 100), round(effort * 100))) if bar else None


def roadmap(
    out: OutOption = Path("out"),
    output: OutputOption = Output.TABLE,
    *,
    phases: Annotated[bool, typer.Option("--phases", help="Show the phases in place of the measures.")] = False,
    gantt: Annotated[
        Path | None, typer.Option("--gantt", metavar="FILE", help="Draw the measures: .svg or .png.")
    ] = None,
    ics: Annotated[Path | None, typer.Option("--ics", metavar="FILE", help="Write a calendar (iCalendar).")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write the measures as CSV.")] = None,
) -> None:
    """Show when each measure of the plan in OUT is done, what binds the date, and what a slip costs."""
    from keystrand.app import plan_roadmap as app
    from keystrand.edge.files import write_atomic

    plan = app.read_plan(out)
    rows = app.roadmap_rows(plan)
    value = {"roadmap": plan.roadmap, "phases": plan.phases, "measures": plan.measures}
    emit(output, app.phase_rows(plan) if phases else rows, value=value)
    say(f"dates {app.figures_text(plan.roadmap)}")
    if gantt:
        draw(gantt, app.write_gantt(plan))
    if ics:
        app.write_calendar(ics, plan)
        say(f"wrote {ics}")
    if csv:
        write_atomic(csv, csv_text(rows).encode())
        say(f"wrote {csv}")


def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="Folder of the earlier run, or its plan.json.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Folder of the later run, or its plan.json.")],
    output: OutputOption = Output.TABLE,
    *,
    detailed_exitcode: ExitOption = False,
) -> None:
    """Show what differs between two plans: one line a measure or segment, the gravest first."""
    from keystrand.app.plan_roadmap import change_rows, changes_between

    changes = changes_between(old, new)
    emit(output, change_rows(changes), value=changes)
    say(f"{len(changes)} changed")
    if detailed_exitcode and changes:
        raise typer.Exit(CHANGES)


def what_if(
    folder: EstateArgument = Path(),
    out: OutOption = Path("out"),
    output: OutputOption = Output.TABLE,
    *,
    changes: SetOption = None,
    estate: Annotated[
        Path | None, typer.Option("--estate", metavar="OTHER", help="Folder of another estate of the same systems.")
    ] = None,
    effort: EffortOption = None,
    detailed_exitcode: ExitOption = False,
) -> None:
    """Show what the plan in OUT would become if something were different. Nothing is written."""
    from keystrand.app.plan_roadmap import change_rows, figures_text
    from keystrand.app.plan_roadmap import what_if as tried
    from keystrand.cli.progress import interruptible, progress_bar
    from keystrand.plan.roadmap import DEFAULT_RUN
    from keystrand.plan.roadmap_diff import plan_changes

    with progress_bar("dates") as bar, interruptible() as stopped:
        run = DEFAULT_RUN._replace(stop=stopped, progress=_shown(bar))
        run = run if effort is None else run._replace(effort=effort)
        now, then = tried(folder, out, tuple(changes or ()), other=estate, run=run)
    found = plan_changes(now, then)
    emit(output, change_rows(found), value=found)
    before, after = (sum(measure.late for measure in plan.measures) for plan in (now, then))
    say(f"{len(found)} changed; later than a deadline: {before} now, {after} then; nothing was written")
    say(f"then, dates {figures_text(then.roadmap)}")
    if detailed_exitcode and found:
        raise typer.Exit(CHANGES)
