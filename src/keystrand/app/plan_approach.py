"""The five approaches side by side, and one segment explained."""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keystrand.app.documents import load
from keystrand.formats.wording import capital, interval_text, joined, plain_number, ratio_text
from keystrand.model.errors import InvalidInput
from keystrand.model.stages import (
    Approach,
    ApproachOption,
    Fit,
    Plan,
    PositionRef,
    Residual,
    ScenarioResult,
    SegmentDecision,
)
from keystrand.model.units import Answer, Interval
from keystrand.plan.approach import NAMES
from keystrand.plan.comparison import CALIBRATION, PROFILES, burden, migration_readiness, operational_complexity
from keystrand.plan.stability import stability

Row = dict[str, Any]


def comparison_rows() -> list[Row]:
    """Return one row an approach: benefit, fit, both ratings, and in which share of the draws each rating stays."""
    stable = stability()
    return [
        {
            "approach": capital(NAMES[approach]),
            "benefit": profile.benefit,
            "best_fit": profile.best_fit,
            "operational_complexity": operational_complexity(approach),
            "burdens": burden(profile, profile.always),
            "stays_the_same": f"{stable.complexity[approach] * 100:.0f} %",
            "migration_readiness": migration_readiness(approach),
            "criteria": len(profile.pilot),
            "readiness_stays_the_same": f"{stable.readiness[approach] * 100:.0f} %",
        }
        for approach, profile in PROFILES.items()
    ]


def comparison_note() -> str:
    """Return how the ratings come about, and how firm they are."""
    return f"{CALIBRATION}; {stability().text}"


def explain_rows(out: Path, segment: str) -> list[Row]:
    """Return why the plan in `out` says what it says of `segment`: what is asked, and the answer, in order.

    Raises `InvalidInput` where the plan has no such segment.
    """
    plan, _ = load(out, Plan)
    decision = next((one for one in plan.decisions if one.segment == segment), None)
    if decision is None:
        known = [one.segment for one in plan.decisions]
        near = difflib.get_close_matches(segment, known, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"segments: {joined(known, most=8) or 'none'}"
        raise InvalidInput(f"the plan has no segment {segment!r}", hint=hint)
    shown = [position for position in plan.positions if position.id in decision.positions]
    return [{"about": about, "what": what, "said": said} for about, what, said in _lines(decision, shown)]


_Line = tuple[str, str, str]


def _lines(decision: SegmentDecision, positions: list[PositionRef]) -> Iterator[_Line]:
    chosen = next(option for option in decision.options if option.fit is Fit.CHOSEN)
    yield "choice", NAMES[decision.chosen], "; ".join(chosen.reasons)
    yield from (("against it", "", words) for words in chosen.objections)
    yield "goes on as", decision.bucket.value.replace("-", " "), ""
    yield from (("function", choice.function.value, choice.reason) for choice in decision.functions)
    yield from _rules(decision)
    yield from (_alternative(option) for option in decision.options if option.fit is not Fit.CHOSEN)
    yield from (("question", "", words) for words in decision.questions)
    yield from (("would change it", "", words) for words in decision.would_change)
    for change in decision.changes:
        yield "least for", NAMES[change.approach], joined(change.needs, most=len(change.needs))
    yield from _left_over(decision)
    for one in decision.classical:
        until = f"until {one.until}" if one.until else "no end is named"
        yield "stays classical", one.system, f"{until}; {one.compensating or 'no compensating control is named'}"
    for position in positions:
        yield from _position(position)


_FIRED = {Answer.YES: "fired", Answer.NO: "did not fire", Answer.UNKNOWN: "not known whether it fires"}


def _rules(decision: SegmentDecision) -> Iterator[_Line]:
    for rule in decision.rules:
        words = f"{_FIRED[rule.fired]}: {rule.reason}. Source: {rule.source}. Otherwise, if: {rule.would_change}"
        yield f"rule {rule.id}", rule.title, words


def _alternative(option: ApproachOption) -> _Line:
    return f"{option.fit}", NAMES[option.approach], "; ".join(option.objections)


def _left_over(decision: SegmentDecision) -> Iterator[_Line]:
    for residual in decision.residuals:
        what = NAMES[residual.approach]
        yield "left over (assumed)", what, f"readable {ratio_text(residual.readable)}; {_scenarios(residual)}"
        if residual.approach is not Approach.PQC_ONLY:
            yield "adds (assumed)", what, _added(residual)


def _scenarios(residual: Residual) -> str:
    return ", ".join(f"{one.scenario} {one.consequence.value}{_odds(one)}" for one in residual.scenarios)


def _odds(one: ScenarioResult) -> str:
    return f" ({ratio_text(one.probability)})" if one.probability else ""


def _added(residual: Residual) -> str:
    less = _signed(Interval(low=residual.less_readable.low * 100, high=residual.less_readable.high * 100))
    said = f"{less} percentage points less readable than post-quantum only"
    if residual.avoided_data_years is None:
        return f"{said}; what lies exposed is not known, as no data is named on the segment"
    return f"{said}; {_signed(residual.avoided_data_years)} data-years of what would lie exposed without migration"


def _signed(interval: Interval) -> str:
    """Return a range that may go below zero; `interval_text` is for sizes."""
    if interval.low >= 0:
        return interval_text(interval)
    return f"{plain_number(interval.low, 2)} to {plain_number(interval.high, 2)}"


def _position(position: PositionRef) -> Iterator[_Line]:
    here = "applies here" if position.applies else "not known to apply here"
    yield "position", f"{position.authority} ({position.stance})", f"{here}: {position.text} {position.source}"
    for one in position.limitations:
        whole = "as a whole" if one.says == position.text else one.says
        yield f"answer to {position.id}", whole, f"keystrand: {one.mitigation} Left: {one.left}"
