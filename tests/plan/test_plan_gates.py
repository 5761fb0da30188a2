"""What an authority forbids stops everything else; what would change a choice is the least that does."""

from collections.abc import Callable
from itertools import combinations, product
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.conftest import AS_OF, _estate, _position

from keystrand.model.algorithm import Function
from keystrand.model.estate import Estate
from keystrand.model.policy import Position, Technique
from keystrand.model.stages import Approach, Bucket, Fit, SegmentDecision
from keystrand.model.units import Answer
from keystrand.plan.approach import decide
from keystrand.plan.numbered import results
from keystrand.plan.physics import PLANNING_HOP_KM, Span, modelled_rate, most_loss_db, worst_span
from keystrand.plan.rules import SETTLED, Fact, SegmentFacts, choose, smallest_change

Row = dict[str, Any]
CASE = ("dedicated_optics", "trusted_nodes", "specialised_operation", "controlled_wavelength")
SEGMENT = _estate().segment[0]
PSK = [{"of": "psk", "until": "2030-12-31"}]


@st.composite
def segments(draw: st.DrawFn) -> SegmentFacts:
    """Any answers to any facts, most of them yes: so that few changes are enough."""
    answers = {
        name: draw(st.sampled_from([Answer.YES, Answer.YES, Answer.YES, Answer.NO, Answer.UNKNOWN]))
        for name in SegmentFacts.__struct_fields__
    }
    return SegmentFacts(**{name: Fact(answer, name) for name, answer in answers.items()})


def _changed(facts: SegmentFacts, needs: tuple[tuple[str, Answer], ...]) -> Approach:
    return choose(msgspec.structs.replace(facts, **{name: Fact(answer, "") for name, answer in needs}))


@settings(max_examples=60)
@given(segments())
def test_smallest_change_leads_there_and_nothing_smaller_does(facts: SegmentFacts) -> None:
    """Against every set of up to two answers: where one of them leads to an approach, the search names no more."""
    names = [name for name in SegmentFacts.__struct_fields__ if name not in SETTLED]
    few = [
        tuple(zip(chosen, answers, strict=True))
        for size in (1, 2)
        for chosen in combinations(names, size)
        for answers in product((Answer.YES, Answer.NO), repeat=size)
    ]
    for to in set(Approach) - {choose(facts), Approach.PQC_ONLY}:
        found = smallest_change(facts, to)
        assert not found or _changed(facts, found) is to
        least = next((len(needs) for needs in few if _changed(facts, needs) is to), None)
        if least is not None:
            assert len(found) == least
        else:
            assert not found or len(found) > 2


def test_prohibition_stops_before_anything_is_weighed(
    estate: Callable[..., Estate], position: Callable[..., Position], decision: Callable[..., SegmentDecision]
) -> None:
    """No rate, no reasons, no questions on a quantum link: only the prohibition, and the two rules that still count."""
    made = decision(estate(dark_fibre="unknown"), position())
    quantum = [option for option in made.options if option.approach is not Approach.PQC_ONLY]
    assert {option.fit for option in quantum} == {Fit.EXCLUDED}
    assert all("prohibits quantum key distribution" in option.objections[0] for option in quantum)
    assert (made.rate, made.questions, made.changes) == (None, (), ())
    assert [rule.id for rule in made.rules] == ["G1", "G2", "G9"]
    assert made.rules[0].fired is Answer.YES


def test_prohibition_of_keys_shared_beforehand_stops_with_its_date(
    estate: Callable[..., Estate], position: Callable[..., Position], decision: Callable[..., SegmentDecision]
) -> None:
    """Quantum keys reach IPsec and WireGuard as such keys: a date still to come is no target to build for."""
    made = decision(estate(), position(stance="discourages", prohibits=PSK))
    assert made.chosen is Approach.PQC_ONLY
    (gate,) = made.gates
    assert (gate.technique, gate.applies) == (Technique.PSK, Answer.YES)
    objections = " ".join(made.options[0].objections)
    assert "after 31 December 2030" in objections
    assert "RFC 8784" in objections
    assert "WireGuard" in objections


@pytest.mark.parametrize(
    "doubt",
    [
        {"verification": "memory"},
        {"verification": "one-page"},
        {"expires": "2026-06-30"},
    ],
)
def test_prohibition_nobody_checked_is_a_question(
    doubt: Row,
    estate: Callable[..., Estate],
    position: Callable[..., Position],
    decision: Callable[..., SegmentDecision],
) -> None:
    """A record from memory, from one page, or read too long ago forbids nothing by itself, and lets nothing pass."""
    source = msgspec.to_builtins(position().source) | doubt
    made = decision(estate(), position(source=source))
    assert made.chosen is Approach.PQC_ONLY
    assert any("prohibition named here apply" in question for question in made.questions)
    assert made.rules[0].fired is Answer.UNKNOWN
    assert {option.fit for option in made.options} == {Fit.CHOSEN, Fit.UNDETERMINED, Fit.EXCLUDED}


@pytest.mark.parametrize(
    ("speaks_of", "is_one", "expected"),
    [(True, "yes", Fit.EXCLUDED), (True, "no", Fit.CHOSEN), (True, "unknown", Fit.UNDETERMINED),
     (False, "yes", Fit.CHOSEN)],
)  # fmt: skip
def test_national_security_decides_whom_it_binds(
    speaks_of: bool,  # noqa: FBT001 - a case of the table
    is_one: str,
    expected: Fit,
    estate: Callable[..., Estate],
    position: Callable[..., Position],
    decision: Callable[..., SegmentDecision],
) -> None:
    """A text for national security systems binds those, one that leaves them out binds the others."""
    of = estate()
    organisation = msgspec.structs.replace(of.organisation, national_security=Answer(is_one))
    made = decision(msgspec.structs.replace(of, organisation=organisation), position(national_security=speaks_of))
    assert next(o.fit for o in made.options if o.approach is Approach.HYBRID) is expected


def test_advice_against_it_needs_somebody_who_accepts(
    estate: Callable[..., Estate],
    position: Callable[..., Position],
    decision: Callable[..., SegmentDecision],
    segment_row: Row,
) -> None:
    """An authority that speaks to the organisation and discourages is overruled by a name, never by silence."""
    against = position(stance="discourages")
    unsigned = {name: answer for name, answer in segment_row["quantum"].items() if name != "accepted_by"}
    assert decision(estate(), against).chosen is Approach.HYBRID
    made = decision(estate(quantum=unsigned), against)
    assert (made.chosen, made.rules[0].fired) == (Approach.PQC_ONLY, Answer.UNKNOWN)
    assert any("advise against it" in question for question in made.questions)
    assert decision(estate(quantum=unsigned), position(stance="discourages", jurisdictions=["US"])).chosen is (
        Approach.HYBRID
    )


def test_each_rule_says_whether_it_fired_and_why(
    estate: Callable[..., Estate], decision: Callable[..., SegmentDecision], segment_row: Row
) -> None:
    """All nine, in order, with a reason, a source and what would change it; none but the expected ones fired."""
    made = decision(estate())
    assert [rule.id for rule in made.rules] == [f"G{n}" for n in range(1, 10)]
    assert all(rule.reason and rule.source and rule.would_change for rule in made.rules)
    assert [rule.id for rule in made.rules if rule.fired is Answer.YES] == ["G2", "G7"]
    made = decision(estate(quantum=segment_row["quantum"] | {"specialised_operation": "no"}))
    g3 = made.rules[2]
    assert (g3.fired, g3.would_change) == (Answer.YES, "a team could operate quantum hardware")
    made = decision(estate(quantum={}, key_demand_bits_per_s=0))
    assert {rule.id for rule in made.rules if rule.fired is Answer.UNKNOWN} == {"G3", "G4"}


@pytest.mark.parametrize("missing", ["dedicated_optics", "trusted_nodes", "specialised_operation"])
def test_the_guides_tip_is_a_rule(
    missing: str, estate: Callable[..., Estate], decision: Callable[..., SegmentDecision], segment_row: Row
) -> None:
    """Without optics, managed nodes or specialised operation a segment is no candidate yet: post-quantum carries it."""
    made = decision(estate(via=["hub"], length_km=100.0, quantum=segment_row["quantum"] | {missing: "no"}))
    assert made.chosen is Approach.PQC_ONLY
    assert made.rules[2].fired is Answer.YES
    assert made.bucket is Bucket.CAN_BECOME_QUANTUM_SAFE


def test_trusted_nodes_are_accepted_up_to_a_sensitivity(
    estate: Callable[..., Estate], decision: Callable[..., SegmentDecision], segment_row: Row
) -> None:
    """Critical data does not cross nodes that were accepted for high; where no limit is said, that is an objection."""
    case = segment_row["quantum"]
    route = {"via": ["hub"], "length_km": 100.0, "loss_db": 21.0}
    assert decision(estate(quantum=case | {"accepted_sensitivity": "critical"}, **route)).chosen is (
        Approach.QKD_TRUSTED_NODE
    )
    made = decision(estate(quantum=case | {"accepted_sensitivity": "high"}, **route))
    assert made.chosen is Approach.PQC_ONLY
    assert "accepted up to high" in made.rules[4].reason
    unsaid = decision(estate(**route)).options[1]
    assert any("does not say up to which sensitivity" in words for words in unsaid.objections)


def test_controlled_wavelength_is_the_weaker_form(
    estate: Callable[..., Estate], decision: Callable[..., SegmentDecision], segment_row: Row
) -> None:
    """Lit fibre will do with a wavelength of one's own and measured loss, with more margin and an objection."""
    case = segment_row["quantum"] | {"controlled_wavelength": "yes"}
    made = decision(estate(dark_fibre="no", quantum=case))
    assert made.chosen is Approach.HYBRID
    assert any("scatters light" in words for words in made.options[2].objections)
    made = decision(estate(dark_fibre="no", quantum=case, loss_basis="assumed"))
    assert made.chosen is Approach.PQC_ONLY
    assert any("wavelength" in question for question in made.questions)
    needed = modelled_rate(worst_span(estate().segment[0], {}))
    assert needed
    demand = needed.secret_key_rate_bits_per_s / 5
    assert decision(estate(key_demand_bits_per_s=demand)).chosen is Approach.HYBRID
    assert decision(estate(key_demand_bits_per_s=demand, dark_fibre="no", quantum=case)).chosen is Approach.PQC_ONLY


def test_segment_without_any_fibre_stays_and_says_so(
    estate: Callable[..., Estate], decision: Callable[..., SegmentDecision], segment_row: Row
) -> None:
    """No dark fibre and no wavelength: excluded, with what would change it; no question is asked about it."""
    case = segment_row["quantum"] | {"controlled_wavelength": "no"}
    made = decision(estate(dark_fibre="no", quantum=case))
    assert made.chosen is Approach.PQC_ONLY
    assert made.rules[2].reason == "there is no dark fibre on the route"
    assert made.questions == ()
    assert any(change.needs == ("a dark fibre or a controlled wavelength were there",) for change in made.changes)


@given(st.floats(min_value=1.0, max_value=1e6))
def test_loss_limit_is_where_the_model_turns(needed: float) -> None:
    """Just below the limit the model gives enough, just above it does not."""
    limit = most_loss_db(needed)
    one, other = (modelled_rate(_span(limit + step)) for step in (-0.01, 0.02))
    assert one
    assert one.secret_key_rate_bits_per_s >= needed
    assert other is None or other.secret_key_rate_bits_per_s < needed


def _span(loss_db: float) -> Span:
    return Span(50.0, loss_db, "one span")


def test_loss_that_would_turn_the_choice_is_told(
    estate: Callable[..., Estate], decision: Callable[..., SegmentDecision]
) -> None:
    """The evidence to measure: at the loss that is named the choice is another one."""
    made = decision(estate())
    (said,) = [words for words in made.would_change if "rose above" in words]
    limit = float(said.partition("rose above ")[2].split()[0])
    assert decision(estate(loss_db=limit - 0.2)).chosen is Approach.HYBRID
    assert decision(estate(loss_db=limit + 0.2)).chosen is Approach.PQC_ONLY
    assert any("fell below" in words for words in decision(estate(loss_db=limit + 0.2)).would_change)
    assert any("no loss is low enough" in w for w in decision(estate(key_demand_bits_per_s=1e9)).would_change)


def test_long_hop_is_an_objection(estate: Callable[..., Estate], decision: Callable[..., SegmentDecision]) -> None:
    """The loss decides, not the length; beyond what networks plan with the length is told."""
    long = decision(estate(length_km=PLANNING_HOP_KM + 1)).options[2]
    short = decision(estate(length_km=PLANNING_HOP_KM)).options[2]
    assert any("longer than the 70 km" in words for words in long.objections)
    assert not any("longer than the 70 km" in words for words in short.objections)


def test_functions_are_planned_apart(estate: Callable[..., Estate], decision: Callable[..., SegmentDecision]) -> None:
    """Whatever key establishment gets, signatures are post-quantum: a quantum link signs nothing."""
    chosen = {choice.function: choice.approach for choice in decision(estate()).functions}
    assert chosen == {Function.KEY_ESTABLISHMENT: Approach.HYBRID, Function.SIGNATURE: Approach.PQC_ONLY}


def test_what_has_no_path_stays_classical(
    estate: Callable[..., Estate], decision: Callable[..., SegmentDecision], system_row: Row
) -> None:
    """Its compensating control and its end are told; where every system of a segment stays, the segment does."""
    stays = system_row | {"post_quantum_path": "no", "compensating": "a tunnel around it", "retires": "2031-01-31"}
    made = decision(estate(systems=[stays], dark_fibre="no"))
    assert made.bucket is Bucket.MUST_REMAIN_CLASSICAL
    (one,) = made.classical
    assert (one.system, one.compensating, str(one.until)) == ("replication", "a tunnel around it", "2031-01-31")
    assert made.rules[-1].fired is Answer.YES
    both = decision(estate(systems=[stays, system_row | {"id": "other"}], dark_fibre="no"))
    assert both.bucket is Bucket.CAN_BECOME_QUANTUM_SAFE
    assert decision(estate(systems=[stays])).bucket is Bucket.PILOT_QUANTUM_FIRST


@given(segments())
def test_numbered_rules_and_the_choice_say_the_same(facts: SegmentFacts) -> None:
    """No quantum link where a rule that excludes fired or may fire; and none fired without a reason to stay away."""
    fired = {rule.id: rule.fired for rule in results(facts, SEGMENT, ())}
    excluding = {fired[name] for name in ("G1", "G3", "G4", "G5", "G6")}
    chosen = choose(facts)
    if chosen in (Approach.QKD_FIBRE, Approach.QKD_TRUSTED_NODE, Approach.HYBRID):
        assert excluding == {Answer.NO}
        assert fired["G8"] is Answer.NO
    elif chosen is Approach.PQC_ONLY and fired["G8"] is Answer.NO and facts.single_span.answer is not Answer.UNKNOWN:
        assert excluding != {Answer.NO}
    if chosen is Approach.QKD_FIBRE:
        assert fired["G7"] is Answer.NO
    assert fired["G2"] is Answer.YES


@given(st.data())
def test_nothing_gets_past_a_prohibition(data: st.DataObject) -> None:
    """Whatever the segment has in its favour, an authority that forbids it to this organisation decides."""
    case = {name: data.draw(st.sampled_from(["yes", "no", "unknown"])) for name in CASE}
    changes: Row = {
        "loss_db": data.draw(st.floats(min_value=0.1, max_value=30)),
        "continuity": data.draw(st.sampled_from(["may-wait", "must-continue"])),
        "dark_fibre": data.draw(st.sampled_from(["yes", "no", "unknown"])),
        "purpose": data.draw(st.sampled_from(["production", "research"])),
        "quantum": case,
    }
    technique = data.draw(st.sampled_from(["qkd", "psk"]))
    of, forbids = _estate(**changes), _position(prohibits=[{"of": technique, "until": "2030-12-31"}])
    (made,) = decide(of, (forbids,), AS_OF)
    assert (made.chosen, made.rate, made.residuals) == (Approach.PQC_ONLY, None, ())
    assert all(o.fit is Fit.EXCLUDED for o in made.options if o.approach is not Approach.PQC_ONLY)
