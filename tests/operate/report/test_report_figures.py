"""The leadership report's figures: each one traceable, ranges kept, nothing unknown counted as safe."""

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystrand.edge.catalogue import controls
from keystrand.formats.documents import content_hash, encode
from keystrand.model.algorithm import Function, Verdict
from keystrand.model.document import Coverage, Document, Gap
from keystrand.model.estate import Estate, ProbeKind, Target
from keystrand.model.observation import Outcome
from keystrand.model.policy import Verification
from keystrand.model.stages import (
    Approach,
    Assessment,
    ControlScope,
    Exposure,
    Figure,
    Inventory,
    OperationsReport,
    PilotReport,
    Plan,
)
from keystrand.model.units import Answer, Interval
from keystrand.operate.counting import systems_by_state
from keystrand.operate.report import make_report

replace = msgspec.structs.replace


def resolve(document: Any, pointer: str) -> Any:
    """Return what a JSON pointer (RFC 6901) names in `document`; raises where it names nothing."""
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        document = document[int(key)] if isinstance(document, list) else document[key]
    return document


def sources(report: OperationsReport) -> list[tuple[str, str]]:
    """Return the document and pointer of everything in the report that has a source."""
    groups: tuple[tuple[Any, ...], ...] = (
        report.headline, report.exposure, report.approaches, report.pilot, report.pilot_limits, report.unknown,
        report.decisions_needed, report.first_measures, report.obligations, report.verdicts,
    )  # fmt: skip
    return [(item.document, item.pointer) for group in groups for item in group]


def report_on(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan, pilot: PilotReport | None
) -> OperationsReport:
    """Return the report on these documents."""
    return make_report(
        estate, inventory, assessment, plan, pilot, made_from=(), as_of=assessment.as_of,
        created_at=assessment.created_at, tool_version="0.1.0", controls=controls(),
    )  # fmt: skip


def some(data: st.DataObject, items: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a drawn selection of `items`, in any order."""
    return tuple(data.draw(st.lists(st.sampled_from(items), unique_by=id, max_size=len(items))))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_pointer_resolves_in_the_document_it_names(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan, pilot: PilotReport, data: st.DataObject
) -> None:
    """Whatever the documents hold, every source in the report can be followed to a place in the encoded document."""
    inventory = replace(inventory, ownership_gaps=some(data, inventory.ownership_gaps))
    assessment = replace(
        assessment,
        findings=some(data, assessment.findings),
        exposures=some(data, assessment.exposures),
        policies=some(data, assessment.policies),
    )
    plan = replace(plan, decisions=some(data, plan.decisions), measures=some(data, plan.measures))
    run = data.draw(st.sampled_from([pilot, None]))
    if run is not None:
        run = replace(run, scorecard=some(data, run.scorecard), limits=some(data, run.limits))
    report = report_on(estate, inventory, assessment, plan, run)
    documents: list[Document] = [inventory, assessment, plan, *([run] if run else [])]
    encoded = {document.kind(): json.loads(encode(document)) for document in documents}
    for document, pointer in sources(report):
        assert pointer.startswith("/")
        resolve(encoded[document], pointer)


def test_single_figures_point_at_their_own_entry(report: OperationsReport, assessment: Assessment, plan: Plan) -> None:
    """A measure, a segment and an exposure point at the very entry whose name they carry."""
    encoded_plan, encoded_assessment = json.loads(encode(plan)), json.loads(encode(assessment))
    for measure in report.first_measures:
        assert resolve(encoded_plan, measure.pointer)["id"] == measure.id
    for approach in report.approaches:
        assert f"approach-{resolve(encoded_plan, approach.pointer)['segment']}" == approach.id
    singles = [f for f in report.exposure if f.pointer != "/exposures"]
    assert len(singles) == 10
    highs = [resolve(encoded_assessment, f.pointer)["avoidable_data_years"]["high"] for f in singles]
    assert highs == sorted((e.avoidable_data_years.high for e in assessment.exposures), reverse=True)[:10]


def figure(report: OperationsReport, key: str) -> Figure:
    """Return the figure with the id `key`."""
    groups = (report.headline, report.exposure, report.unknown, report.decisions_needed, report.pilot)
    return next(f for group in groups for f in group if f.id == key)


def test_the_headline_counts_what_the_findings_say(report: OperationsReport, assessment: Assessment) -> None:
    """The first sentence agrees with a count made by hand, and says what could not be judged."""
    exchange = [f.verdict for f in assessment.findings if f.function is Function.KEY_ESTABLISHMENT]
    vulnerable, unknown = exchange.count(Verdict.QUANTUM_VULNERABLE), exchange.count(Verdict.UNKNOWN)
    assert (vulnerable, unknown, len(exchange)) == (19, 4, 28)
    assert figure(report, "headline-key-exchange").value == (
        "19 of 28 systems use key exchange that a quantum computer breaks; 4 could not be judged."
    )


def test_a_system_without_any_finding_is_unknown(estate: Estate, assessment: Assessment) -> None:
    """What was never looked at is counted as unknown, not left out and not safe."""
    states = systems_by_state(estate.system, replace(assessment, findings=()), Function.KEY_ESTABLISHMENT)
    assert {state: len(ids) for state, ids in states.items()} == {"vulnerable": 0, "unknown": 28, "mixed": 0, "safe": 0}


@given(data=st.data())
def test_losing_knowledge_never_makes_anything_safer(
    estate: Estate, assessment: Assessment, data: st.DataObject
) -> None:
    """Turning any verdicts into unknown never raises the number of safe systems."""
    chosen = data.draw(st.sets(st.integers(0, len(assessment.findings) - 1)))
    blurred = tuple(
        replace(f, verdict=Verdict.UNKNOWN) if n in chosen else f for n, f in enumerate(assessment.findings)
    )
    for function in (Function.KEY_ESTABLISHMENT, Function.SIGNATURE):
        before = systems_by_state(estate.system, assessment, function)
        after = systems_by_state(estate.system, replace(assessment, findings=blurred), function)
        assert set(after["safe"]) <= set(before["safe"])
        assert sum(map(len, after.values())) == sum(map(len, before.values()))


@pytest.mark.parametrize("answer", [Answer.YES, Answer.UNKNOWN])
def test_a_safe_exchange_beside_an_old_one_is_not_counted_as_migrated(
    estate: Estate, assessment: Assessment, answer: Answer
) -> None:
    """Where the old exchange is accepted, or nobody could rule it out, the system is mixed and not safe."""
    findings = tuple(
        replace(f, verdict=Verdict.QUANTUM_SAFE, classical_still_accepted=answer) for f in assessment.findings
    )
    states = systems_by_state(estate.system, replace(assessment, findings=findings), Function.KEY_ESTABLISHMENT)
    assert len(states["mixed"]) == 28
    assert not states["safe"]


def test_sunk_and_avoidable_stay_apart_and_stay_ranges(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan
) -> None:
    """Both are sums over all data classes, each a range rounded to two significant figures."""
    one = assessment.exposures[0]
    exposure = replace(
        one, sunk_data_years=Interval(low=6.04, high=10.2), avoidable_data_years=Interval(low=2.5, high=9.876)
    )
    report = report_on(estate, inventory, replace(assessment, exposures=(exposure, exposure)), plan, None)
    assert figure(report, "headline-sunk").value == (
        "5.0 to 20 data-years of exposure can still be avoided; "
        "12 to 20 more may already be recorded, and no migration calls them back."
    )
    assert figure(report, "exposure-avoidable").value == "5.0 to 20 data-years"


def test_safe_systems_do_not_count_as_carrying_exposed_data(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan
) -> None:
    """Long-lived data in a quantum-safe system is not in the headline; in an unknown one it is."""

    def exposed(verdict: Verdict) -> str:
        changed: tuple[Exposure, ...] = tuple(replace(e, verdict=verdict) for e in assessment.exposures)
        report = report_on(estate, inventory, replace(assessment, exposures=changed), plan, None)
        return figure(report, "headline-long-lived").value

    assert exposed(Verdict.QUANTUM_SAFE).startswith("0 of 30 systems carry")
    assert exposed(Verdict.UNKNOWN).startswith("7 of 30 systems carry")


def test_what_cannot_be_ruled_out_is_said_beside_what_is_probable(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan
) -> None:
    """A system whose exposure is probable at the high end only is counted apart, never left out."""
    wide = tuple(
        replace(e, shelf_life_exceeds_horizon=Interval(low=0.0, high=0.9), verdict=Verdict.UNKNOWN)
        for e in assessment.exposures
    )
    report = report_on(estate, inventory, replace(assessment, exposures=wide), plan, None)
    assert figure(report, "headline-long-lived").value.startswith("0 of 30 systems carry")
    assert figure(report, "headline-long-lived").value.endswith("for 20 others it cannot be ruled out.")


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_of_a_scan_has_words(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan, outcome: Outcome
) -> None:
    """A gap is counted and explained whatever the reason."""
    gap = Gap(what="one", outcome=outcome, reason="any")
    partial = replace(inventory, coverage=Coverage(unit="target", looked_at=2, answered=1, gaps=(gap,)))
    said = figure(report_on(estate, partial, assessment, plan, None), "unknown-targets").value
    silent = "showed nothing (1 with nothing there)" if outcome is Outcome.NONE else "gave no answer"
    assert said.startswith(f"1 of 2 targets {silent}")
    assert ("1 target or system left out" in said) is (outcome is Outcome.SKIPPED)
    assert ("(1 " in said) is (outcome is not Outcome.SKIPPED)


def test_the_first_measures_follow_the_rank_and_name_owner_and_date(report: OperationsReport, plan: Plan) -> None:
    """The eight measures of lowest rank are shown; one without an owner says that nobody is named."""
    assert [m.id for m in report.first_measures] == [f"m-{n}" for n in range(8)]
    assert report.first_measures[0].owner == "Nobody is named yet"
    assert report.first_measures[1].owner == "Cryptography team"
    assert all(m.why.endswith(".") and m.finish for m in report.first_measures)
    late = sum(m.late for m in plan.measures)
    assert figure(report, "decide-late").value.startswith(f"Bring forward, or accept in writing, {late} measures")


def test_what_is_not_known_is_counted(report: OperationsReport) -> None:
    """Gaps of the scan, owners, questions, weak evidence and unread policies each appear with their number."""
    said = {f.id: f.value for f in report.unknown}
    assert said["unknown-targets"] == "4 of 41 targets gave no answer (2 unreachable, 1 timed out and 1 unreadable)."
    assert said["unknown-owners"] == "3 layers of 2 systems and segments have no owner."
    assert said["unknown-segments"] == "4 questions open on 2 segments."
    assert said["unknown-policies"] == "1 of 3 policies was not read at the source."
    assert said["unknown-evidence"].startswith("4 of 58 verdicts rest on files")


def test_a_complete_scan_is_said_to_be_complete(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan
) -> None:
    """With every target answered and every policy read, the list says so instead of going silent."""
    whole = replace(inventory, coverage=Coverage(unit="targets", looked_at=3, answered=3), ownership_gaps=())
    policies = tuple(replace(p, verification=Verification.PRIMARY) for p in assessment.policies)
    report = report_on(estate, whole, replace(assessment, policies=policies), plan, None)
    assert figure(report, "unknown-targets").value == "0 gaps: all 3 targets that were looked at answered."
    assert not any(f.id in ("unknown-policies", "unknown-owners") for f in report.unknown)


def test_only_the_controls_of_the_plan_are_described(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan
) -> None:
    """Post-quantum cryptography is always described, a quantum link only where the plan has one."""
    decisions = tuple(d for d in plan.decisions if d.chosen is Approach.PQC_ONLY)
    report = report_on(estate, inventory, assessment, replace(plan, decisions=decisions), None)
    assert [c.control for c in report.controls] == ["Post-quantum only"]
    assert all(getattr(report.controls[0], name) for name in ControlScope.__struct_fields__)
    for word in ("Endpoints", "Insiders", "Malware", "Misconfiguration"):
        assert any(text.startswith(word) for text in report.not_covered)


def test_measured_values_stay_out_of_the_content_hash(
    estate: Estate,
    inventory: Inventory,
    assessment: Assessment,
    plan: Plan,
    pilot: PilotReport,
    report: OperationsReport,
) -> None:
    """Two runs that differ only in what was measured give reports with one content hash; a new verdict does not."""
    slower = replace(pilot.handshake, value=99.0, high=120.0)
    scores = tuple(replace(c, measured=slower if c.measured else None) for c in pilot.scorecard)
    cut = replace(pilot.cut, requests=17, refused_with_503=3, keys_from_stock=14, recovery_s=9.9)
    again = report_on(estate, inventory, assessment, plan, replace(pilot, handshake=slower, scorecard=scores, cut=cut))
    assert again.pilot != report.pilot
    assert content_hash(replace(again, made_from=())) == content_hash(replace(report, made_from=()))
    other = report_on(estate, inventory, replace(assessment, findings=()), plan, pilot)
    assert content_hash(other) != content_hash(replace(report, made_from=()))


def test_an_empty_world_gives_a_report_that_says_nothing_is_known(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan
) -> None:
    """No systems, findings, segments or measures: every headline is still a sentence, and none claims safety."""
    bare = replace(estate, system=(), segment=(), site=(), data_class=(), owner=())
    nothing = replace(assessment, findings=(), exposures=(), policies=(), priorities=(), assumptions=())
    report = report_on(
        bare, replace(inventory, ownership_gaps=()), nothing, replace(plan, decisions=(), measures=()), None
    )
    assert len(report.headline) == 6
    assert all(re.match(r"\d.*\.\Z", f.value) for f in report.headline)
    assert not any("safe" in f.value for f in report.headline)
    assert not [*report.exposure, *report.approaches, *report.first_measures, *report.obligations]


def test_the_report_says_first_that_stand_ins_answered(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan, report: OperationsReport
) -> None:
    """A demonstration is called one, with its count; a scan of the organisation's own servers carries no notice."""
    targets = tuple(
        Target(id=f"t{n}", probe=ProbeKind.TLS, system=s.id, host="h.example", port=443)
        for n, s in enumerate(estate.system[:3])
    )
    shown = replace(inventory, stand_ins=("t0", "t1"))
    made = report_on(replace(estate, target=targets), shown, assessment, plan, None)
    assert made.notice == (
        "Demonstration: for 2 of 3 targets, servers started for the purpose were asked, not the organisation's own."
    )
    assert report.notice == ""
