"""A comparison of vendors in rows and sentences."""

from pathlib import Path
from typing import Any

from keystrand.app.documents import load
from keystrand.edge.vendor_files import requirements
from keystrand.formats.questionnaire import kind_text
from keystrand.formats.wording import interval_text, joined, ratio_text
from keystrand.model.errors import MissingInput
from keystrand.model.stages.compared import VendorComparison, VendorResult
from keystrand.model.units import Interval

Row = dict[str, Any]


def requirement_rows(home: Path) -> list[Row]:
    """Return one row a requirement, in the catalogue's order."""
    return [
        {"id": one.id, "group": one.group, "question": one.question, "answer": kind_text(one), "weight": one.weight}
        for one in requirements(home).values()
    ]


def saved_comparison(out: Path) -> VendorComparison:
    """Return the comparison in `out`."""
    return load(out, VendorComparison)[0]


def comparison_rows(comparison: VendorComparison) -> list[Row]:
    """Return one row a vendor, in order. Shares are of the whole weight, in percent, as ranges."""
    return [
        {
            "vendor": one.vendor,
            "standing": one.standing.value,
            "rank": _rank(one),
            "proven": ratio_text(one.supported),
            "as_said": ratio_text(one.raw),
            "first_in_draws": "" if one.first_ratio is None else ratio_text(_point(one.first_ratio)),
            "price": _price(one),
            "open_questions": len(one.questions),
            "must_haves": "; ".join(f"{g.requirement} {g.state}: {g.reason}" for g in one.gates if g.state != "passed"),
        }
        for one in comparison.vendors
    ]


def _point(value: float) -> Interval:
    return Interval(low=value, high=value)


def _rank(one: VendorResult) -> str:
    if one.best_rank is None or one.worst_rank is None:
        return ""
    return str(one.best_rank) if one.best_rank == one.worst_rank else f"{one.best_rank} to {one.worst_rank}"


def _price(one: VendorResult) -> str:
    if one.price is None:
        return "not known"
    asked = (
        f"{interval_text(Interval(low=one.price.low, high=one.price.high))} {one.price.currency} for {one.price.per}"
    )
    return f"{asked}; beaten by {joined(one.beaten_by)}" if one.beaten_by else asked


def _result(comparison: VendorComparison, vendor: str) -> VendorResult:
    found = next((one for one in comparison.vendors if one.vendor == vendor), None)
    if found is None:
        known = joined([one.vendor for one in comparison.vendors], most=20)
        raise MissingInput(f"no vendor {vendor!r} was compared", hint=f"compared were {known}")
    return found


def answer_rows(comparison: VendorComparison, vendor: str) -> list[Row]:
    """Return one row a requirement: what the vendor said, how far it is proven, what it is worth, and what is open."""
    return [
        {
            "requirement": one.requirement,
            "said": one.said or "nothing",
            "evidence": one.level.value if one.level else "",
            "as_said": ratio_text(one.raw),
            "proven": ratio_text(one.supported),
            "reason": one.reason,
            "question": one.question,
        }
        for one in _result(comparison, vendor).answers
    ]


def segment_rows(comparison: VendorComparison, vendor: str) -> list[Row]:
    """Return one row for each segment and requirement that is judged there."""
    return [
        {
            "segment": one.segment,
            "requirement": one.requirement,
            "loss_db": one.loss_db,
            "length_km": one.length_km,
            "enough": one.enough.value,
            "reason": one.reason,
        }
        for one in _result(comparison, vendor).segments
    ]


def weight_rows(comparison: VendorComparison) -> list[Row]:
    """Return one row a requirement: its weight, and between which weights the first stays first."""
    return [
        {
            "requirement": one.requirement,
            "weight": one.weight,
            "share": ratio_text(_point(one.share)),
            "first_stays_from": one.low,
            "first_stays_to": "any" if one.high is None else one.high,
        }
        for one in comparison.weights
    ]


def warning(comparison: VendorComparison) -> str:
    """Return what stands before any comparison: whether quantum links are permitted and wanted."""
    if comparison.segments_judged is None:
        return "no plan was there: whether quantum links are permitted and wanted was not looked at. Make one first"
    return "" if comparison.segments_judged else "the plan has no quantum link on any segment: there is nothing to buy"


def summary(comparison: VendorComparison) -> str:
    """Return what the comparison says, in sentences."""
    count = sum(one.best_rank is not None for one in comparison.vendors)
    if not count:
        return "every vendor fails a must-have"
    if comparison.first is None:
        lead = "no vendor is first alone"
    else:
        lead = f"on what is proven today {comparison.first} is first of {count}"
        worst = next(one.worst_rank or 1 for one in comparison.vendors if one.vendor == comparison.first)
        lead += f", but what is open can make it number {worst}" if worst > 1 else ""
    change = f"{comparison.weight_change:.0%}"
    pairs = [f"{swap.ahead} and {swap.behind}" for swap in comparison.swaps]
    held = f"the order holds whatever the weights change by up to {change}" if not pairs else (
        f"weights changed by up to {change} can turn round {joined(pairs)}")  # fmt: skip
    return f"{lead}; {held}" if count > 1 else lead
