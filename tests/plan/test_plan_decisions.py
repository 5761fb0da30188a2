"""The approach of a segment with its evidence: what is chosen, what is excluded, and what is asked."""

from collections.abc import Callable
from typing import Any

import pytest

from keystrand.formats.documents import decode, encode
from keystrand.model.estate import Estate
from keystrand.model.policy import Position, Stance
from keystrand.model.stages import (
    Approach,
    Fit,
    Plan,
    SegmentDecision,
)
from keystrand.model.units import Answer
from keystrand.plan.physics import modelled_rate, worst_span
from keystrand.plan.positions import applies

Row = dict[str, Any]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Approach.HYBRID),
        ({"continuity": "may-wait"}, Approach.QKD_FIBRE),
        ({"via": ["hub"], "length_km": 100.0, "loss_db": 21.0}, Approach.QKD_TRUSTED_NODE),
        ({"purpose": "research", "programme": "Testbed"}, Approach.QUANTUM_INTERNET_TESTBED),
        ({"dark_fibre": "no"}, Approach.PQC_ONLY),
        ({"loss_db": 21.0}, Approach.PQC_ONLY),
        ({"key_demand_bits_per_s": 1e9}, Approach.PQC_ONLY),
        ({"retention_years": 9.9}, Approach.PQC_ONLY),
        ({"via": ["hub"], "controlled": "unknown"}, Approach.PQC_ONLY),
        ({"purpose": "research"}, Approach.PQC_ONLY),
    ],
)
def test_each_approach_is_right_somewhere_in_an_estate(
    changes: dict[str, Any], expected: Approach, estate: Callable[..., Estate], decision: Callable[..., SegmentDecision]
) -> None:
    """The approach follows from the segment; exactly one option is chosen, and each is there with its objections."""
    made = decision(estate(**changes))
    assert made.chosen is expected
    assert [option.approach for option in made.options if option.fit is Fit.CHOSEN] == [expected]
    assert [option.approach for option in made.options] == list(Approach)
    assert all(option.reasons and option.objections for option in made.options)
    assert made.would_change


@pytest.mark.parametrize("fact", ["dedicated_optics", "specialised_operation"])
@pytest.mark.parametrize("answer", ["no", "unknown"])
def test_quantum_case_must_be_answered_with_yes(
    fact: str, answer: str, estate: Callable[..., Estate], decision: Callable[..., SegmentDecision], segment_row: Row
) -> None:
    """No excludes, unknown asks; either way the segment stays on post-quantum cryptography."""
    made = decision(estate(quantum=segment_row["quantum"] | {fact: answer}))
    assert made.chosen is Approach.PQC_ONLY
    fits = {option.approach: option.fit for option in made.options}
    assert fits[Approach.HYBRID] is (Fit.EXCLUDED if answer == "no" else Fit.UNDETERMINED)
    assert bool(made.questions) is (answer == "unknown")


def test_trusted_nodes_need_somebody_who_accepts_them(
    estate: Callable[..., Estate], decision: Callable[..., SegmentDecision], segment_row: Row
) -> None:
    """Yes without a name is no acceptance: it is asked who accepted."""
    case = {key: value for key, value in segment_row["quantum"].items() if key != "accepted_by"}
    made = decision(estate(via=["hub"], quantum=case))
    assert made.chosen is Approach.PQC_ONLY
    assert any("Who accepts" in question for question in made.questions)


def test_missing_demand_is_a_question_not_a_pass(
    estate: Callable[..., Estate], decision: Callable[..., SegmentDecision]
) -> None:
    """A demand that was left out is not a demand of nothing."""
    made = decision(estate(key_demand_bits_per_s=0.0))
    assert made.chosen is Approach.PQC_ONLY
    assert any("key bits" in question for question in made.questions)


def test_worst_span_decides(estate: Callable[..., Estate], plan: Callable[..., Plan]) -> None:
    """Loss is shared out by the distance between the sites: 60 percent of the way carries 60 percent of the loss."""
    of = estate(via=["hub"], loss_db=20.0)
    span = worst_span(of.segment[0], {site.id: site for site in of.site})
    assert span.loss_db == pytest.approx(12.0, abs=0.01)
    assert "distance" in span.how
    (made,) = plan(of).decisions
    assert made.rate == modelled_rate(span)


@pytest.mark.parametrize("loss", [{"loss_db": None}, {"loss_db": None, "loss_db_per_km": 3.0, "length_km": 500.0}])
def test_loss_that_no_link_has_gives_no_rate(
    loss: dict[str, Any], estate: Callable[..., Estate], plan: Callable[..., Plan]
) -> None:
    """A loss that is missing, or beyond any link, gives no rate and no quantum link, but still a document."""
    made = plan(estate(**loss))
    assert made.decisions[0].rate is None
    assert made.decisions[0].chosen is Approach.PQC_ONLY
    assert decode(encode(made), Plan) == made


def test_prohibition_that_applies_excludes(
    estate: Callable[..., Estate], position: Callable[..., Position], decision: Callable[..., SegmentDecision]
) -> None:
    """The decision shows the position that caused it, and says that without it the choice would be another."""
    made = decision(estate(), position())
    assert (made.chosen, made.positions) == (Approach.PQC_ONLY, ("authority",))
    assert any("prohibited" in words for words in made.would_change)


def test_prohibition_of_others_does_not_exclude_but_is_shown(
    estate: Callable[..., Estate], plan: Callable[..., Plan], position: Callable[..., Position]
) -> None:
    """Every quantum recommendation shows all positions, those that do not apply included."""
    others = (position(applies_to="military use"), position(id="abroad", jurisdictions=["US"]))
    made = plan(estate(), positions=others)
    assert made.decisions[0].chosen is Approach.HYBRID
    assert made.decisions[0].positions == ("abroad", "authority")
    assert [ref.applies for ref in made.positions] == [False, False]


@pytest.mark.parametrize(
    ("changes", "sector", "jurisdiction", "expected"),
    [
        ({}, "banking", "DE", Answer.YES),
        ({"jurisdictions": ["EU"]}, "banking", "DE", Answer.YES),
        ({"jurisdictions": []}, "banking", "DE", Answer.YES),
        ({"jurisdictions": ["FR"]}, "banking", "DE", Answer.NO),
        ({"jurisdictions": ["FR"]}, "banking", "EU", Answer.UNKNOWN),
        ({"applies_to": "government networks"}, "banking", "DE", Answer.NO),
        ({"applies_to": "financial institutions"}, "retail bank", "DE", Answer.YES),
        ({"applies_to": "owners of widgets"}, "banking", "DE", Answer.UNKNOWN),
        ({"applies_to": "military use"}, "something else", "DE", Answer.UNKNOWN),
    ],
)
def test_position_applies_by_place_and_sector(
    changes: dict[str, Any],
    sector: str,
    jurisdiction: str,
    expected: Answer,
    estate: Callable[..., Estate],
    position: Callable[..., Position],
    decision: Callable[..., SegmentDecision],
) -> None:
    """Where the addressee or the sector cannot be told from its words, the answer is unknown, and QKD is not chosen."""
    of = estate(sector=sector, jurisdiction=jurisdiction)
    assert applies(position(**changes), of) is expected
    chosen = decision(of, position(**changes)).chosen
    assert (chosen is Approach.HYBRID) is (expected is Answer.NO)


def test_only_a_prohibition_excludes(
    estate: Callable[..., Estate], position: Callable[..., Position], decision: Callable[..., SegmentDecision]
) -> None:
    """An authority that discourages is shown beside the recommendation and does not forbid it."""
    for stance in (Stance.DISCOURAGES, Stance.LIMITS, Stance.ENCOURAGES):
        made = decision(estate(), position(stance=stance.value))
        assert (made.chosen, made.positions) == (Approach.HYBRID, ("authority",))
