"""Vendors compared: dominated ones change nothing, must-haves gate, evidence discounts, pilots and segments decide."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from keystrand.edge.vendor_files import requirements
from keystrand.formats.documents import encode
from keystrand.formats.wording import two_figures
from keystrand.model.document import Coverage
from keystrand.model.errors import InvalidInput
from keystrand.model.estate import Estate
from keystrand.model.pilot import Criteria
from keystrand.model.stages import Approach, CriterionResult, CriterionState, CutEvidence, PilotReport, Plan
from keystrand.model.stages.compared import GateState, Standing, VendorComparison, VendorResult
from keystrand.model.units import Answer, Estimate
from keystrand.model.vendor import EvidenceLevel, Gate, Judgement, Offer, VendorAnswer, VendorSheet
from keystrand.pilot.scorecard import Samples, score
from keystrand.plan.physics import Span, modelled_rate
from keystrand.plan.vendor_worth import DISCOUNT
from keystrand.plan.vendors import Asked, Grounds, compare_vendors

DAY = date(2026, 11, 24)
EMPTY: Estate = msgspec.convert(
    {"format_version": "1.0", "organisation": {"name": "Bank", "sector": "banking"},
     "region": [{"id": "eu", "name": "Germany", "jurisdiction": "DE"}], "trust_zone": [{"id": "core", "name": "Core"}],
     "owner": [{"id": "crypto", "name": "Crypto"}],
     "site": [{"id": "north", "name": "North", "kind": "hub", "latitude": 48.0, "longitude": 10.0, "region": "eu",
               "trust_zone": "core"}],
     "data_class": [{"id": "ledger", "name": "Ledger", "sensitivity": "high", "retention_years": 10}],
     "system": [{"id": "web", "name": "Web", "place": "web", "site": "north", "exposure": "internet",
                 "functions": ["key-establishment"]}]},
    Estate,
)  # fmt: skip
"""One site with one system, and nothing else."""
CATALOGUE = requirements()
YES_NO = [name for name, one in CATALOGUE.items() if one.kind == "yes-no"]


def _answer(requirement: str, value: float | str, level: str = "claimed", **more: Any) -> VendorAnswer:
    proof = EvidenceLevel(level)
    return VendorAnswer(requirement=requirement, value=value, level=proof, day=DAY, source="mail", **more)


def _sheet(vendor: str, *answers: VendorAnswer, **more: Any) -> VendorSheet:
    return VendorSheet(id=vendor, name=vendor.title(), offer="X1", as_of=DAY, answer=answers, **more)


def _compare(
    sheets: Sequence[VendorSheet], *gates: Gate, estate: Estate = EMPTY, plan: Plan | None = None,
    pilot: PilotReport | None = None, weights: dict[str, float] | None = None,
) -> VendorComparison:  # fmt: skip
    counts = dict.fromkeys(CATALOGUE, 1.0) | (weights or {})
    return compare_vendors(
        Grounds(estate, plan, pilot), sheets, Asked(CATALOGUE, counts, gates), as_of=DAY, made_from=(),
        created_at=datetime(2026, 11, 24, tzinfo=UTC), tool_version="0",
    )  # fmt: skip


def _result(comparison: VendorComparison, vendor: str = "acme") -> VendorResult:
    return next(one for one in comparison.vendors if one.vendor == vendor)


def _worth(result: VendorResult, requirement: str) -> Any:
    return next(one for one in result.answers if one.requirement == requirement)


SAID = st.dictionaries(
    st.sampled_from(YES_NO), st.tuples(st.sampled_from(["no", "partly", "yes"]), st.sampled_from(list(EvidenceLevel))),
    min_size=1, max_size=6,
)  # fmt: skip


def _of(vendor: str, said: dict[str, tuple[str, EvidenceLevel]]) -> VendorSheet:
    return _sheet(vendor, *(_answer(name, word, level) for name, (word, level) in said.items()))


@settings(max_examples=40)
@given(st.lists(SAID, min_size=2, max_size=4), st.data())
def test_a_vendor_that_is_dominated_never_changes_the_order(
    offers: list[dict[str, tuple[str, EvidenceLevel]]], data: st.DataObject
) -> None:
    """One that is nowhere better than another leaves order, scores, and shares of first places as they were."""
    sheets = [_of(f"s{n}", said) for n, said in enumerate(offers)]
    before = _compare(sheets)
    above = data.draw(st.sampled_from(offers))
    worse = {name: data.draw(st.sampled_from([("no", level), (word, EvidenceLevel.CLAIMED)]))
             for name, (word, level) in above.items()}  # fmt: skip
    closed = {name: worse.get(name, ("no", EvidenceLevel.CLAIMED)) for name in YES_NO}
    after = _compare([*sheets, _of("zz-worse", closed)])
    kept = [one for one in after.vendors if one.vendor != "zz-worse"]
    assert [one.vendor for one in kept] == [one.vendor for one in before.vendors]
    assert [(one.raw, one.supported) for one in kept] == [(one.raw, one.supported) for one in before.vendors]


def test_one_surely_behind_takes_no_share_of_the_first_places() -> None:
    """Its draws depend on its name alone: those of the others, and who is ahead among them, stay the same."""
    weights = {name: 0.0 for name in CATALOGUE if name not in YES_NO}
    strong = _of("a", dict.fromkeys(YES_NO, ("yes", EvidenceLevel.SHOWN)))
    sheets = [strong, _sheet("b", _answer("v02", "yes", "certified"))]
    behind = _of("c", dict.fromkeys(YES_NO, ("no", EvidenceLevel.CLAIMED)))
    before, after = _compare(sheets, weights=weights), _compare([*sheets, behind], weights=weights)
    shares = {one.vendor: one.first_ratio for one in before.vendors}
    assert {one.vendor: one.first_ratio for one in after.vendors} == shares | {"c": 0.0}


@settings(max_examples=25)
@given(SAID, st.sampled_from(YES_NO), st.sampled_from(list(EvidenceLevel)))
def test_better_evidence_never_lowers_a_score(
    said: dict[str, tuple[str, EvidenceLevel]], name: str, level: EvidenceLevel
) -> None:
    """The same answer proven further counts at least as much; a better answer too."""
    low = _result(_compare([_of("acme", said | {name: ("partly", EvidenceLevel.CLAIMED)})])).supported
    for better in (("partly", level), ("yes", EvidenceLevel.CLAIMED), ("yes", level)):
        high = _result(_compare([_of("acme", said | {name: better})])).supported
        assert (high.low, high.high) >= (low.low, low.high)


def test_scores_are_ranges_and_evidence_discounts_them() -> None:
    """One question of thirty-four answered with yes, by a document: the rest is open, and spans what it could be."""
    result = _result(_compare([_sheet("acme", _answer("v02", "yes", "documented"))]))
    assert (result.raw.low, result.raw.high) == pytest.approx((1 / 34, 1.0), abs=1e-6)
    assert result.supported.low == pytest.approx(0.5 / 34, abs=1e-6)
    assert result.supported.high == pytest.approx((0.5 + 33 * DISCOUNT[EvidenceLevel.CLAIMED]) / 34, abs=1e-6)
    assert len(result.questions) == 33


def test_equal_inputs_give_equal_bytes() -> None:
    """Whatever order the sheets come in."""
    sheets = [_of(name, {"v02": ("yes", EvidenceLevel.CLAIMED)}) for name in ("a", "b")]
    assert encode(_compare(sheets)) == encode(_compare(sheets))
    assert [one.vendor for one in _compare(sheets[::-1]).vendors] == ["a", "b"]


def test_no_sheet_is_an_error_with_the_next_step() -> None:
    """An empty folder compares nothing."""
    with pytest.raises(InvalidInput, match="no vendor to compare") as error:
        _compare([])
    assert "plan vendors sheet" in error.value.hint


def test_an_estate_with_one_site_leaves_segments_open() -> None:
    """There is nothing to judge reach and rate against: that is said, and nobody gains or loses by it."""
    result = _result(_compare([_sheet("acme", _answer("v01", 20, unit="dB"))]))
    assert result.segments == ()
    assert (_worth(result, "v01").raw.low, _worth(result, "v01").raw.high) == (0.0, 1.0)
    assert "no segment of the estate" in _worth(result, "v01").question


YES_TO_API = Gate(requirement="v11", word="yes", why="our tools need them")
SHOWN_API = replace(YES_TO_API, level=EvidenceLevel.SHOWN)


def _gate(requirement: str, **bound: Any) -> Gate:
    return Gate(requirement=requirement, why="it must", **bound)


WORDS = _gate("v08", word="partly")


@pytest.mark.parametrize(
    ("answers", "gate", "state"),
    [
        ((), YES_TO_API, "ask"),
        ((_answer("v11", "no"),), YES_TO_API, "failed"),
        ((_answer("v11", "partly"),), YES_TO_API, "failed"),
        ((_answer("v11", "yes"),), YES_TO_API, "passed"),
        ((_answer("v11", "yes"),), SHOWN_API, "ask"),
        ((_answer("v11", "no"),), SHOWN_API, "failed"),
        ((_answer("v01", 90, unit="km"),), _gate("v01", at_least=80, unit="km"), "passed"),
        ((_answer("v01", 90, unit="km"),), _gate("v01", at_least=20, unit="dB"), "failed"),
        ((_answer("v01", 60, unit="km", up_to=90),), _gate("v01", at_least=80, unit="km"), "ask"),
        ((_answer("v09", 2, unit="min"),), _gate("v09", at_most=90, unit="s"), "failed"),
        ((_answer("v09", 60, unit="s"),), _gate("v09", at_most=1, unit="min"), "passed"),
        ((_answer("v08", "it falls"),), WORDS, "ask"),
        ((_answer("v08", "it falls", judged=Judgement.MISSES),), WORDS, "failed"),
        ((_answer("v08", "it falls", judged=Judgement.MEETS),), WORDS, "passed"),
        ((), _gate("v01", every_segment=True), "ask"),
    ],
)
def test_a_must_have_fails_surely_or_asks(answers: tuple[VendorAnswer, ...], gate: Gate, state: str) -> None:
    """Out is who surely fails; what is unknown, in between, or not proven far enough, is asked."""
    result = _result(_compare([_sheet("acme", *answers)], gate))
    standing = {"passed": Standing.IN, "ask": Standing.ASK, "failed": Standing.OUT}[state]
    assert (result.gates[0].state, result.standing) == (GateState(state), standing)
    assert (result.best_rank is None) is (standing is Standing.OUT)


@pytest.mark.parametrize(("reach", "state"), [(13, "passed"), (11, "ask"), (9, "failed")])
def test_a_must_have_on_every_segment(estate: Callable[..., Estate], reach: float, state: str) -> None:
    """One segment of 10 dB, and a margin of 3 dB."""
    of = estate(loss_db=10.0, length_km=40.0)
    gate = _gate("v01", every_segment=True)
    assert (
        _result(_compare([_sheet("acme", _answer("v01", reach, unit="dB"))], gate, estate=of)).gates[0].state == state
    )


def test_who_is_out_stands_last_and_takes_no_rank() -> None:
    """However high its score; and where all are out, nobody is first."""
    sheets = [_sheet("out", _answer("v11", "no"), _answer("v02", "yes", "certified")), _sheet("left")]
    comparison = _compare(sheets, YES_TO_API)
    assert [one.vendor for one in comparison.vendors] == ["left", "out"]
    assert (comparison.first, _result(comparison, "left").worst_rank) == ("left", 1)
    assert _compare(sheets[:1], YES_TO_API).first is None


def test_the_strongest_evidence_counts_and_what_disagrees_is_told() -> None:
    """A claim of yes against what was shown."""
    result = _result(_compare([_sheet("acme", _answer("v10", "yes"), _answer("v10", "no", "shown"))]))
    assert _worth(result, "v10").said == "no"
    assert result.notes == ("v10: claimed 'yes' against shown 'no', which counts",)


def _offer(low: float, high: float, currency: str = "EUR", per: str = "a link pair") -> Offer:
    return Offer(low=low, high=high, currency=currency, per=per, source="offer", as_of=DAY)


def test_an_offer_is_beaten_only_where_that_is_sure() -> None:
    """Dearer and less proven, both beyond the ranges; where ranges overlap, or no price is known, nobody is."""
    full = dict.fromkeys(YES_NO, ("yes", EvidenceLevel.CERTIFIED))
    weights = {name: 0.0 for name in CATALOGUE if name not in YES_NO}
    good = replace(_of("good", full), price=_offer(10, 20))
    dear = replace(_of("dear", dict.fromkeys(full, ("no", EvidenceLevel.CLAIMED))), price=_offer(20, 30))
    over = replace(dear, id="over", price=_offer(15, 30))
    unpriced = replace(dear, id="unpriced", price=None)
    comparison = _compare([good, dear, over, unpriced], weights=weights)
    assert {one.vendor: one.beaten_by for one in comparison.vendors} == {
        "good": (), "dear": ("good",), "over": (), "unpriced": ()
    }  # fmt: skip


@pytest.mark.parametrize("other", [_offer(1, 2, currency="USD"), _offer(1, 2, per="a year")])
def test_prices_in_mixed_currencies_or_for_other_things_are_refused(other: Offer) -> None:
    """They cannot be compared, and no rate of exchange is guessed."""
    with pytest.raises(InvalidInput, match="the prices of the vendors are for different"):
        _compare([_sheet("a", price=_offer(1, 2)), _sheet("b", price=other)])


def _fits(estate: Estate, *answers: VendorAnswer, plan: Plan | None = None) -> dict[str, tuple[Answer, str]]:
    result = _result(_compare([_sheet("acme", *answers)], estate=estate, plan=plan))
    return {one.requirement: (one.enough, one.reason) for one in result.segments}


@pytest.mark.parametrize(
    ("more", "enough"),
    [
        ({"value": 13, "unit": "dB"}, Answer.YES),
        ({"value": 65, "unit": "km"}, Answer.YES),
        ({"value": 12.9, "unit": "dB"}, Answer.UNKNOWN),
        ({"value": 50, "unit": "km"}, Answer.UNKNOWN),
        ({"value": 9.9, "unit": "dB"}, Answer.NO),
        ({"value": 5, "unit": "dB", "up_to": 12}, Answer.UNKNOWN),
        ({"value": 5, "unit": "dB", "up_to": 9}, Answer.NO),
    ],
)
def test_reach_needs_its_margin(estate: Callable[..., Estate], more: dict[str, Any], enough: Answer) -> None:
    """A span of 10 dB: 13 dB are surely enough, less than 10 surely not, between them it is asked."""
    found = _fits(estate(loss_db=10.0, length_km=40.0), _answer("v01", **more))
    assert found["v01"][0] is enough


@pytest.mark.parametrize(
    ("points", "enough"),
    [
        ([(256, 10)], Answer.YES),
        ([(256, 20)], Answer.YES),
        ([(255, 20)], Answer.UNKNOWN),
        ([(255, 10)], Answer.NO),
        ([(255, 5)], Answer.NO),
        ([(1e6, 5)], Answer.YES),
        ([(1e6, 5), (255, 8)], Answer.NO),
        ([(300, 9)], Answer.UNKNOWN),
        ([(1e6, 9), (300, 12)], Answer.YES),
    ],
)
def test_a_rate_is_judged_at_the_loss_of_the_segment(
    estate: Callable[..., Estate], points: list[tuple[float, float]], enough: Answer
) -> None:
    """256 bit/s are needed at 10 dB. More loss bounds from below, less from above; the model alone never fails one."""
    said = [_answer("v03", rate, unit="bit/s", at=at) for rate, at in points]
    assert _fits(estate(loss_db=10.0, length_km=40.0), *said)["v03"][0] is enough


def test_a_rate_carried_over_is_that_of_the_model(estate: Callable[..., Estate]) -> None:
    """A claim at 5 dB times the ratio of the model's rates; enough from ten times the need, as it is other hardware."""
    five, ten = (modelled_rate(Span(0.0, loss, "one span")) for loss in (5.0, 10.0))
    assert five
    assert ten
    carried = 300 * ten.secret_key_rate_bits_per_s / five.secret_key_rate_bits_per_s
    _, reason = _fits(estate(loss_db=10.0, length_km=40.0), _answer("v03", 300, unit="bit/s", at=5.0))["v03"]
    assert f"give {two_figures(carried)} bit/s" in reason
    for times, enough in ((1.1, Answer.UNKNOWN), (9.9, Answer.UNKNOWN), (10.1, Answer.YES)):
        said = 300 * times * 256 / carried
        found = _fits(estate(loss_db=10.0, length_km=40.0), _answer("v03", said, unit="bit/s", at=5.0))
        assert found["v03"][0] is enough


def test_a_claim_far_above_the_model_is_asked_about() -> None:
    """A hundred times what the planning hardware gives at that loss."""
    here = modelled_rate(Span(0.0, 10.0, "one span"))
    assert here
    model = here.secret_key_rate_bits_per_s
    for factor, doubted in ((100, True), (2, False)):
        result = _result(_compare([_sheet("acme", _answer("v03", factor * model, unit="bit/s", at=10.0))]))
        assert any("under which conditions" in question for question in result.questions) is doubted


def test_rates_that_grow_with_loss_are_asked_about() -> None:
    """No one device does that."""
    points = [_answer("v03", rate, unit="bit/s", at=at) for rate, at in ((300, 5), (400, 10), (100, 20))]
    found = _result(_compare([_sheet("acme", *points)])).questions
    assert sum("both belong to the same device" in question for question in found) == 1


def test_only_segments_with_a_quantum_link_in_the_plan_count(
    estate: Callable[..., Estate], plan: Callable[..., Plan]
) -> None:
    """Where the plan chose post-quantum alone, no vendor of quantum links is judged there; without plan, all count."""
    of = estate(loss_db=10.0, length_km=40.0)
    made = plan(of)
    reach = _answer("v01", 30, unit="dB")
    for chosen, judged in ((Approach.PQC_ONLY, 0), (Approach.HYBRID, 2)):
        decided = replace(made, decisions=tuple(replace(d, chosen=chosen) for d in made.decisions))
        assert len(_fits(of, reach, plan=decided)) == judged
        assert _compare([_sheet("acme")], estate=of, plan=decided).segments_judged == judged // 2
    assert len(_fits(of, reach)) == 2


def _estimate(value: float, unit: str, *, simulated: bool = False) -> Estimate:
    return Estimate(value=value, low=value * 0.9, high=value * 1.1, sample_size=50, unit=unit, simulated=simulated)


def _pilot(*, simulated: bool) -> PilotReport:
    rate = modelled_rate(Span(0.0, 10.0, "one span"))
    assert rate
    met, missed = CriterionState.MET, CriterionState.MISSED
    rows = (
        ("secret key rate", met, _estimate(5000, "bit/s", simulated=simulated)),
        ("handshake time", met, _estimate(12, "ms")),
        ("key delivery time", missed, _estimate(80, "ms")),
        ("recovery after a cut", met, _estimate(30, "s")),
        ("failed handshakes", CriterionState.NOT_MEASURED, None),
    )
    return PilotReport(
        format_version="1.0", tool_version="0", as_of=DAY, created_at=datetime(2026, 11, 24, tzinfo=UTC), made_from=(),
        seed=1, coverage=Coverage(unit="criterion", looked_at=5, answered=4), pilot="trial", segment="corridor",
        rate=rate, consumer="TLS", key_management_entities=2, key_exchange=(),
        secret_key_rate=_estimate(5000, "bit/s", simulated=simulated), enc_keys=_estimate(1, "ms"),
        dec_keys=_estimate(1, "ms"), handshake=_estimate(12, "ms"), handshakes=50, failed_handshakes=0,
        fresh_key_each=True,
        cut=CutEvidence(requests=1, refused_with_503=1, keys_from_stock=0, handshakes_without_key=0, old_keys=0,
                        zero_keys=0, consumer_error="", recovered=True, recovery_s=30.0),
        events=(),
        scorecard=tuple(CriterionResult(name=n, goal="g", state=s, measured=m) for n, s, m in rows), limits=(),
    )  # fmt: skip


def test_what_our_pilot_measured_counts_in_full_and_over_a_claim() -> None:
    """Criteria become answers: a range for a quantity, partly where it is too slow, nothing for what was not run."""
    sheet = _sheet("acme", _answer("v11", "yes"), pilots=("trial",))
    result = _result(_compare([sheet], pilot=_pilot(simulated=False)))
    assert _worth(result, "v03").said == "4500 to 5500 bit/s at 10 dB"
    assert _worth(result, "v09").said == "27 to 33 s"
    assert _worth(result, "v09").supported == _worth(result, "v09").raw
    assert [_worth(result, name).said for name in ("v04", "v11", "v12")] == ["yes", "partly", ""]
    assert _worth(result, "v11").level is EvidenceLevel.DEMONSTRATED
    assert "v11: claimed 'yes' against demonstrated 'partly', which counts" in result.notes


def test_a_pilot_on_a_modelled_link_or_on_other_devices_proves_nothing() -> None:
    """A twin is no vendor's hardware, and that is said; a pilot that the sheet does not name is another's."""
    sheet = _sheet("acme", pilots=("trial",))
    modelled = _result(_compare([sheet], pilot=_pilot(simulated=True)))
    assert all(one.level is None for one in modelled.answers)
    assert modelled.notes == ("the pilot trial ran on a modelled link: it shows nothing of this vendor's devices",)
    other = _result(_compare([_sheet("acme")], pilot=_pilot(simulated=False)))
    assert (other.notes, all(one.level is None for one in other.answers)) == ((), True)


def test_the_criteria_that_answer_questions_are_those_of_a_pilot() -> None:
    """Each criterion that the catalogue names is one that a pilot is scored by."""
    criteria = msgspec.convert({"secret_key_rate_min_bits_per_s": 1, "handshake_median_max_ms": 1,
                                "key_delivery_median_max_ms": 1, "recovery_max_s": 1}, Criteria)  # fmt: skip
    known = {result.name for result in score(criteria, Samples())}
    assert {one.pilot_criterion for one in CATALOGUE.values() if one.pilot_criterion} <= known


def test_several_consumers_answer_as_one() -> None:
    """The whole range of what was measured, and the worst state; one that did not run says nothing of the vendor."""
    one, other = _estimate(30, "s"), _estimate(60, "s")
    name = "recovery after a cut"
    rows = (
        CriterionResult(name=name, consumer="tunnel", goal="g", state=CriterionState.MET, measured=one),
        CriterionResult(name=name, consumer="shop", goal="g", state=CriterionState.MISSED, measured=other),
        CriterionResult(name=name, consumer="vault", goal="g", state=CriterionState.NOT_MEASURED, measured=None),
    )
    pilot = msgspec.structs.replace(_pilot(simulated=False), scorecard=rows)
    result = _result(_compare([_sheet("acme", pilots=("trial",))], pilot=pilot))
    assert _worth(result, "v09").said == "27 to 66 s"
    silent = msgspec.structs.replace(pilot, scorecard=rows[2:])
    assert _worth(_result(_compare([_sheet("acme", pilots=("trial",))], pilot=silent)), "v09").said == ""
