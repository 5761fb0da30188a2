"""Cost the plan, and show where effort brings most."""

from pathlib import Path
from typing import Any

import msgspec

from keystrand import __version__
from keystrand.app.documents import load, now, pilot_of, require_estate, require_made_from, save
from keystrand.app.estate import OpenEstate
from keystrand.assess.run import DEFAULT_CURVE
from keystrand.edge.catalogue import curves
from keystrand.edge.estate_folder import estate_file
from keystrand.edge.files import read_bytes
from keystrand.edge.price_lists import price_lists, rate_lists
from keystrand.edge.scenarios import scenario_set
from keystrand.formats.toml_lines import line_index, line_of
from keystrand.formats.wording import counted, interval_text, joined, ratio_text, two_figures
from keystrand.model.errors import InvalidInput, Problem
from keystrand.model.horizon import horizons
from keystrand.model.stages import Assessment, PilotReport, Plan
from keystrand.model.stages.costed import CostReport, Standing
from keystrand.model.units import Estimate, Interval
from keystrand.plan.cost import Options, make_cost
from keystrand.plan.cost_inputs import Inputs, inputs_of
from keystrand.plan.cost_measured import measured_rates
from keystrand.plan.cost_ways import name_of

Row = dict[str, Any]
_WORSE = (Standing.DOMINATED, Standing.EXTENDEDLY_DOMINATED)


def cost_plan(opened: OpenEstate, out: Path, options: Options) -> CostReport:
    """Cost the plan in `out`, and write the cost beside it, with what a pilot of the estate as it is now showed.

    Raises `InvalidInput` with file, line and field of every price that cannot be used.
    """
    assessment, assessment_ref = load(out, Assessment)
    plan, plan_ref = load(out, Plan)
    require_estate(plan, opened.ref)
    require_made_from(plan, assessment_ref)
    curve = assessment.curve or next(one for one in curves() if one.id == DEFAULT_CURVE)
    pilot, pilots = pilot_of(opened.ref, out)
    inputs = _inputs(opened, pilot)
    report = make_cost(
        opened.estate,
        assessment,
        plan,
        inputs,
        horizons(curve, plan.as_of),
        options=options,
        made_from=(opened.ref, assessment_ref, plan_ref, *pilots),
        created_at=now(),
        tool_version=__version__,
        pilot=pilot,
    )
    save(out, report)
    return report


def _inputs(opened: OpenEstate, pilot: PilotReport | None) -> Inputs:
    rates = rate_lists(opened.folder)
    measured = measured_rates(pilot, rates) if pilot is not None else {}
    prices, odds = price_lists(opened.folder), scenario_set(opened.folder)
    try:
        return inputs_of(opened.estate, prices, rates, odds, measured)
    except InvalidInput as error:
        raise InvalidInput(error.message, hint=error.hint, problems=_placed(error.problems, opened.folder)) from error


def _placed(problems: tuple[Problem, ...], folder: Path) -> tuple[Problem, ...]:
    """Return the problems with the file and line of their field in the estate."""
    file = estate_file(folder)
    index = line_index(read_bytes(file).decode("utf-8-sig"))
    return tuple(msgspec.structs.replace(p, file=str(file), line=line_of(index, _path(p.field))) for p in problems)


def _path(field: str) -> tuple[str | int, ...]:
    parts = field.replace("[", ".").replace("]", "").split(".")
    return tuple(int(part) if part.isdigit() else part for part in parts)


def cost_of(out: Path) -> CostReport:
    """Return the cost in `out`."""
    report, _ = load(out, CostReport)
    return report


def money(value: Estimate) -> str:
    """Return an amount as a range of two figures with its currency."""
    return interval_text(Interval(low=value.low, high=value.high), value.unit)


def _range(value: Estimate) -> str:
    return interval_text(Interval(low=value.low, high=value.high))


def _range_of(value: Interval) -> str:
    return interval_text(value, "data-years")


def option_rows(report: CostReport) -> list[Row]:
    """Return one row an option."""
    return [
        {
            "option": one.option.value,
            "present_value": money(one.cost),
            "data_years_saved": _range(one.saved),
            "operating_hours_a_year": _range(one.operation),
            "on_unverified_defaults": ratio_text(Interval(low=one.unverified_share, high=one.unverified_share)),
            "for_a_decision": "yes" if one.usable else "NOT TO BE USED",
        }
        for one in report.options
    ]


def category_rows(report: CostReport) -> list[Row]:
    """Return one row an option and category."""
    return [
        {"option": one.option.value, "category": part.category.value, "present_value": money(part.cost)}
        for one in report.options
        for part in one.by_category
    ]


def phase_rows(report: CostReport) -> list[Row]:
    """Return one row a phase of the plan."""
    return [{"phase": one.phase, "title": one.title, "present_value": money(one.cost)} for one in report.phases]


def scenario_rows(report: CostReport) -> list[Row]:
    """Return one row a named scenario and option."""
    return [
        {"scenario": one.scenario, "option": one.option.value, "present_value": money(one.cost), "what": one.what}
        for one in report.named_scenarios
        if one.cost.high
    ]


def swing_rows(report: CostReport) -> list[Row]:
    """Return one row an input, the one that moves the cost of the plan most first."""
    return [
        {
            "input": one.name,
            "from": f"{two_figures(one.low_at)} {one.unit}",
            "to": f"{two_figures(one.high_at)} {one.unit}",
            "alone": f"{two_figures(one.alone[0])} to {two_figures(one.alone[1])} {report.currency}",
            "with_what_moves_with_it": f"{two_figures(one.together[0])} to {two_figures(one.together[1])}",
        }
        for one in report.swings
    ]


def information_rows(report: CostReport) -> list[Row]:
    """Return one row an input that is worth finding out."""
    return [
        {
            "subject": told.subject,
            "question": told.question,
            "find_out": one.name,
            "worth_at_most": f"{two_figures(one.worth)} {report.currency}",
            "at_a_price_of_a_data_year": f"{two_figures(told.price_per_data_year)} {report.currency}",
        }
        for told in report.information
        for one in told.inputs
    ]


def way_rows(report: CostReport) -> list[Row]:
    """Return one row a segment and way."""
    return [
        {
            "segment": one.segment,
            "way": name_of(one.approach),
            "planned": one.planned,
            "data_years_saved": _range(one.saved),
            "hours_a_year": _range(one.operation),
            "cost": money(one.cost),
            "standing": one.standing.value,
            "saved_for_each_hour": _range(one.saved_per_hour) if one.saved_per_hour else "",
            "stays_on_the_frontier": ratio_text(Interval(low=one.stays, high=one.stays)),
        }
        for one in report.ways
    ]


def step_rows(report: CostReport) -> list[Row]:
    """Return one row a step."""
    return [
        {
            "step": one.step,
            "subject": one.subject,
            "what": one.what,
            "saved_for_each_hour": _range(one.saved_per_hour),
            "data_years_saved_so_far": _range(one.saved),
            "hours_a_year_so_far": _range(one.operation),
            "cost_so_far": money(one.cost),
        }
        for one in report.steps
    ]


def shown_rows(report: CostReport) -> list[Row]:
    """Return one row a thing that the pilot showed."""
    return [
        {"bears_on": one.bears_on, "segment": one.segment, "subject": one.subject or "all", "shown": one.shown}
        for one in report.shown
    ]


def shown_words(report: CostReport) -> tuple[str, ...]:
    """Return what the pilot showed as a whole, in a sentence; nothing without one."""
    return tuple(
        f"pilot {one.pilot} on {one.segment}, {one.as_of}: {one.shown}; more with --show pilot"
        for one in report.shown[:1]
    )


def saved_words(report: CostReport) -> str:
    """Return against what is saved, and why the assessment's avoidable part is another figure."""
    return (
        f"data-years saved: against doing nothing over the plan's {counted(len(report.options[0].by_year), 'year')}, "
        "less what end points and flaws leave open. The assessment's avoidable ones count until each change is done. "
        f"{_range_of(report.sunk_data_years)} recorded before today are saved by no option."
    )


def doubtful_words(report: CostReport) -> tuple[str, ...]:
    """Return the planned ways beside which another saves as much for less, in a sentence."""
    worse = [one.segment for one in report.ways if one.planned and one.standing in _WORSE]
    if not worse:
        return ()
    return (f"planned by the rules, though by these odds another way saves as much for less: {joined(worse, most=8)}; "
            "the choice was made by rules, not by these figures: ask keystrand plan explain SEGMENT",)  # fmt: skip


def portfolio_words(report: CostReport) -> tuple[str, ...]:
    """Return the best set within the estate's limits in sentences."""
    best = report.portfolio
    if best is None:
        return ("no limits are given: set budget or operating_hours_per_year under [planning] for the best choice",)
    if not best.within:
        return ("signatures, owners and enquiries alone need more than the limits under [planning] allow",)
    chosen = [*best.systems, *(f"{segment} ({name_of(approach)})" for segment, approach in best.links)]
    said = [
        f"within the limits: {joined(chosen, most=12) or 'nothing'}; saves {_range(best.saved)} data-years",
        f"for {_range(best.operation)} hours a year and {money(best.cost)}, beside "
        f"{two_figures(best.committed_operation)} hours and {two_figures(best.committed_cost)} {report.currency} for "
        "signatures, owners and enquiries",
    ]
    if best.gap:
        said.append(f"the search was cut off: something else may save {two_figures(100 * best.gap)} percent more")
    if best.per_hour is not None:
        said.append(f"one more hour a year would save {two_figures(best.per_hour)} data-years")
    if best.per_money is not None:
        said.append(f"a million {report.currency} more would save {two_figures(best.per_money * 1e6)} data-years")
    return tuple(said)
