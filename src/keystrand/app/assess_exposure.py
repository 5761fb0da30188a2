"""Ask an assessment for its exposure: by what, how sure the order is, and which input decides it."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from keystrand.app.documents import load, require_estate
from keystrand.app.estate import OpenEstate
from keystrand.assess.exposure_sums import By, ExposureSum, exposure_sums, harvested
from keystrand.assess.sensitivity import Swing, sensitivity
from keystrand.assess.words import span_text
from keystrand.edge.catalogue import beside, curves, harvests
from keystrand.formats.decode import near_name
from keystrand.formats.wording import interval_text
from keystrand.model.errors import InvalidInput
from keystrand.model.estate import Exposure as Network
from keystrand.model.estate import System
from keystrand.model.likelihood import HarvestSet
from keystrand.model.policy import ThreatCurve
from keystrand.model.stages import Assessment, RankRange
from keystrand.model.units import Interval

Row = dict[str, Any]


def assessment_of(opened: OpenEstate, out: Path) -> Assessment:
    """Return the assessment in `out`. Raises `DocumentMismatch` where it was made for another estate."""
    assessment, _ = load(out, Assessment)
    require_estate(assessment, opened.ref)
    return assessment


def exposure_rows(opened: OpenEstate, out: Path, by: str, *, harvest: str = "", figures: bool = False) -> list[Row]:
    """Return one row for each system, segment, owner, flow or data class, as `by` says; in words or in `figures`.

    Raises `InvalidInput` where no set of likelihoods is called `harvest`.
    """
    assessment = assessment_of(opened, out)
    likelihoods = _harvest_set(opened, harvest) if harvest else None
    ranks = {one.system: one for one in assessment.exposure_ranks}
    facts = _facts(opened, By(by))
    rows = []
    sums = exposure_sums(opened.estate, assessment.exposures, By(by))
    networks = {system.id: system.exposure for system in opened.estate.system}
    volumes = any(one.amounts.volume for one in sums)
    for one in sums:
        row: Row = {by.replace("-", "_"): one.name, **facts(one.name), **_amounts(one, likelihoods, networks)}
        shown = row if figures else {key: _words(value) for key, value in row.items()}
        if not volumes:
            del shown["avoidable_volume_years"]
        if by == By.SYSTEM:
            shown["ranks"] = rank_text(ranks[one.name])
        rows.append(shown)
    return rows


def _amounts(one: ExposureSum, likelihoods: HarvestSet | None, networks: Mapping[str, Network]) -> Row:
    row: Row = {
        "avoidable_data_years": one.amounts.avoidable,
        "sunk_data_years": one.amounts.sunk,
        "delay_data_years_per_year": one.amounts.delay,
        "avoidable_volume_years": one.amounts.volume,
    }
    if likelihoods:
        row["avoidable_if_recorded_as_assumed"] = harvested(networks, one, likelihoods)
    return row


def _words(value: Any) -> Any:
    return interval_text(value) if isinstance(value, Interval) else value


def rank_text(found: RankRange) -> str:
    """Return a range of ranks such as `3 to 7`, or `1` where it is always the same."""
    return str(found.low) if found.low == found.high else f"{found.low} to {found.high}"


def _facts(opened: OpenEstate, by: By) -> Any:
    """Return what classifies a row: retention, sensitivity, rules on the data and networks, of a system or a class."""
    estate = opened.estate
    classes = {one.id: one for one in estate.data_class}
    systems = {one.id: one for one in estate.system}

    def of_class(names: tuple[str, ...]) -> Row:
        held = [classes[name] for name in names]
        spans = [one.retention_range_years or (one.retention_years, one.retention_years) for one in held]
        worst = max(held, key=lambda one: one.sensitivity.weight)
        return {
            "secret_for": span_text(Interval(low=min(low for low, _ in spans), high=max(high for _, high in spans))),
            "sensitivity": worst.sensitivity.value,
            "regulations": ", ".join(dict.fromkeys(text for one in held for text in one.regulations)),
        }

    def of_system(system: System) -> Row:
        return {**of_class(system.data_classes), "network": system.exposure.value}

    if by is By.SYSTEM:
        return lambda name: of_system(systems[name])
    return (lambda name: of_class((name,))) if by is By.DATA_CLASS else lambda _: {}


def _harvest_set(opened: OpenEstate, name: str) -> HarvestSet:
    known = {one.id: one for one in harvests(beside(opened.folder, "harvest"))}
    if name not in known:
        near = near_name(name, known)
        hint = f"did you mean {near!r}?" if near else f"known: {', '.join(known)}; or add your own in harvest/"
        raise InvalidInput(f"no set of likelihoods is called {name!r}", hint=hint)
    return known[name]


def forgeable_rows(opened: OpenEstate, out: Path, *, figures: bool = False) -> list[Row]:
    """Return one row a system that signs, the longest forgeable first: until when it is trusted, and what holds it."""
    found = assessment_of(opened, out).forgeable
    ordered = sorted(found, key=lambda f: (-f.service_years.high, -f.trusted_until_years.high, f.system))
    return [
        {
            "system": one.system,
            "trusted_for": one.trusted_for.value,
            "verdict": one.verdict.value,
            "own_change_years": one.own_change_years if figures else span_text(one.own_change_years),
            "trusted_until_years": one.trusted_until_years if figures else span_text(one.trusted_until_years),
            "held_by": ", ".join(one.held_by),
            "forgeable_service_years": one.service_years if figures else interval_text(one.service_years),
        }
        for one in ordered
    ]


def swings(opened: OpenEstate, out: Path) -> tuple[Swing, ...]:
    """Return which input changes the order of the assessment in `out`, the one that moves a system farthest first.

    Raises `InvalidInput` where the assessment is of a release that did not keep its curve.
    """
    assessment = assessment_of(opened, out)
    curve, day = _curve(assessment)
    return sensitivity(assessment.exposures, curve, curves(beside(opened.folder, "curves")), day)


def _curve(assessment: Assessment) -> tuple[ThreatCurve, date]:
    if assessment.curve is None:
        raise InvalidInput("the assessment does not hold its threat curve", hint="make it again: keystrand assess run")
    return assessment.curve, assessment.as_of


def swing_rows(found: tuple[Swing, ...]) -> list[Row]:
    """Return one row an input, with what it does to the order."""
    return [
        {
            "input": one.input,
            "from": one.one_end,
            "to": one.other_end,
            "systems_moved": one.moved,
            "moved_most": one.system if one.moved else "",
            "its_rank": f"{one.rank_from} to {one.rank_to}" if one.moved else "",
        }
        for one in found
    ]
