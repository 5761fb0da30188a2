"""Scorecard, campaign and report: nothing that was not measured counts as met."""

import re
from datetime import UTC, date, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.app.pilot import scorecard_rows
from keystrand.formats.documents import content_hash, decode, encode
from keystrand.formats.report_charts import scorecard_chart
from keystrand.formats.wording import two_figures
from keystrand.model.pilot import Criteria, Pilot
from keystrand.model.stages import CriterionState, CutEvidence, PilotReport
from keystrand.pilot.campaign import CAMPAIGN, PhaseName, Progress, is_over
from keystrand.pilot.report import LIMITS, Campaign, fresh_key_each, pilot_report
from keystrand.pilot.scorecard import Samples, estimate, score
from keystrand.pilot.twin import LinkEvent
from keystrand.qkd.decoy import rate
from keystrand.qkd.parameter_sets import PLANNING_1GHZ

CRITERIA = Criteria(
    secret_key_rate_min_bits_per_s=1000,
    handshake_median_max_ms=50,
    key_delivery_median_max_ms=20,
    recovery_max_s=10,
)
GOOD = Samples(
    secret_key_rates_bits_per_s=(1500.0, 1600.0, 1700.0),
    handshakes_ms=(10.0, 20.0, 30.0),
    enc_keys_ms=(4.0, 5.0),
    dec_keys_ms=(6.0, 7.0),
    recovery_s=3.0,
    handshakes=3,
)
CUT = CutEvidence(
    requests=9, refused_with_503=5, keys_from_stock=4, handshakes_without_key=0, old_keys=0, zero_keys=0,
    consumer_error="no key", recovered=True, recovery_s=3.0,
)  # fmt: skip
CAMPAIGN_RUN = Campaign(
    consumer="TLS 1.3 echo",
    key_management_entities=2,
    key_exchange=("X25519MLKEM768",),
    samples=GOOD,
    key_ids=("a", "b", "c"),
    cut=CUT,
)
numbers = st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=200)


def states(samples: Samples) -> dict[str, CriterionState]:
    """Return the state of each criterion by name."""
    return {result.name: result.state for result in score(CRITERIA, samples)}


def report(campaign: Campaign = CAMPAIGN_RUN, minute: int = 0) -> PilotReport:
    """Return the report of `campaign`."""
    return pilot_report(
        Pilot(id="corridor", name="Corridor", segment="metro", criteria=CRITERIA),
        rate(PLANNING_1GHZ.at(12.0)),
        campaign,
        as_of=date(2026, 1, 1),
        made_from=(),
        created_at=datetime(2026, 1, 1, 0, minute, tzinfo=UTC),
        tool_version="0",
        seed=7,
    )


def test_good_campaign_meets_every_criterion() -> None:
    """All five criteria are met, each with its measured value; only the key rate calls itself simulated."""
    results = score(CRITERIA, GOOD)
    assert {result.state for result in results} == {CriterionState.MET}
    simulated = [result.name for result in results if result.measured and result.measured.simulated]
    assert simulated == ["secret key rate"]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("secret key rate", {"secret_key_rates_bits_per_s": (999.0,)}),
        ("handshake time", {"handshakes_ms": (51.0,)}),
        ("key delivery time", {"dec_keys_ms": (90.0, 90.0, 90.0)}),
        ("recovery after a cut", {"recovery_s": 10.5}),
        ("recovery after a cut", {"recovery_s": None, "waited_for_recovery_s": 11.0}),
        ("failed handshakes", {"failed_handshakes": 1}),
    ],
)
def test_each_criterion_can_be_missed(name: str, change: dict[str, object]) -> None:
    """One bad value misses exactly its own criterion; a key that never came back misses the recovery."""
    found = states(msgspec.structs.replace(GOOD, **change))
    assert [n for n, state in found.items() if state is CriterionState.MISSED] == [name]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("secret key rate", {"secret_key_rates_bits_per_s": ()}),
        ("handshake time", {"handshakes_ms": ()}),
        ("key delivery time", {"enc_keys_ms": ()}),
        ("key delivery time", {"dec_keys_ms": ()}),
        ("recovery after a cut", {"recovery_s": None}),
        ("failed handshakes", {"handshakes": 0}),
    ],
)
def test_what_was_not_measured_is_not_met(name: str, change: dict[str, object]) -> None:
    """A missing value leaves exactly its own criterion not measured, with a reason and no number."""
    results = score(CRITERIA, msgspec.structs.replace(GOOD, **change))
    (missing,) = [result for result in results if result.state is CriterionState.NOT_MEASURED]
    assert (missing.name, missing.measured) == (name, None)
    assert missing.reason


def test_the_slower_side_of_key_delivery_decides() -> None:
    """A median over both sides together would pass where one side is too slow: it misses, and both are shown."""
    for enc, dec in ((30.0, 1.0), (1.0, 30.0)):
        samples = msgspec.structs.replace(GOOD, enc_keys_ms=(enc, enc), dec_keys_ms=(dec,) * 2 + (dec / 2,))
        result = next(r for r in score(CRITERIA, samples) if r.name == "key delivery time")
        assert result.state is CriterionState.MISSED
        assert result.measured is not None
        assert result.measured.value == 30.0
        assert result.reason == f"enc_keys {two_figures(enc)} ms, dec_keys {two_figures(dec)} ms"


def test_goals_and_rows_are_written_plainly() -> None:
    """No exponent anywhere: thousands are separated, and small limits are decimals."""
    criteria = Criteria(
        secret_key_rate_min_bits_per_s=1e6, handshake_median_max_ms=1e-5, key_delivery_median_max_ms=1234567.5,
        recovery_max_s=1e6, failed_handshakes_max_ratio=1e-5,
    )  # fmt: skip
    goals = [result.goal for result in score(criteria, GOOD)]
    assert goals == [
        "at least 1,000,000 bit/s", "median at most 0.00001 ms", "each median at most 1,234,567.5 ms",
        "at most 1,000,000 s", "a ratio of at most 0.00001",
    ]  # fmt: skip
    fast = msgspec.structs.replace(GOOD, secret_key_rates_bits_per_s=(187_712.3,))
    row = scorecard_rows(report(msgspec.structs.replace(CAMPAIGN_RUN, samples=fast)))[0]
    assert (row["goal"], row["measured"], row["from"]) == ("at least 1,000 bit/s", "187,700 bit/s", "187,700")


def test_every_goal_is_drawn_where_its_number_lies() -> None:
    """The chart finds the goal's number in its words, separators or not: one upright line a criterion above zero."""
    criteria = msgspec.structs.replace(CRITERIA, secret_key_rate_min_bits_per_s=1e6, failed_handshakes_max_ratio=0.5)
    samples = msgspec.structs.replace(GOOD, failed_handshakes=1)
    made = msgspec.structs.replace(report(), scorecard=score(criteria, samples))
    svg = scorecard_chart(made)
    assert svg.count('class="goal"') == 5
    # 1,600 bit/s measured against 1,000,000: the line stands at the end of the scale, as it must
    goal, dot = (float(x) for x in re.findall(r'x1="([\d.]+)"[^>]*class="goal"|cx="([\d.]+)"', svg)[:2] for x in x if x)
    assert goal - 300 > 600 * (dot - 300)


def test_empty_campaign_meets_nothing() -> None:
    """Without any sample, every criterion is not measured, however easy it would be to meet."""
    assert set(states(Samples()).values()) == {CriterionState.NOT_MEASURED}


@given(numbers)
def test_estimate_is_ordered_and_inside_its_samples(samples: list[float]) -> None:
    """low <= median <= high, all within the samples, and the sample size is theirs."""
    made = estimate(samples, "ms", simulated=False)
    assert min(samples) <= made.low <= made.value <= made.high <= max(samples)
    assert made.sample_size == len(samples)


def test_estimate_of_nothing_says_so() -> None:
    """No samples give sample size 0 and the words; a number that is none is refused."""
    made = estimate((), "ms", simulated=False)
    assert (made.sample_size, made.spread) == (0, "not measured")
    with pytest.raises(ValueError, match="finite"):
        estimate((1.0, float("nan")), "ms", simulated=False)


def test_fresh_keys_are_shown_not_claimed() -> None:
    """A repeated key_ID, a missing one, or no handshake at all: then keys were not fresh each time."""
    assert fresh_key_each(CAMPAIGN_RUN)
    for key_ids in (("a", "b", "b"), ("a", "b"), ()):
        assert not fresh_key_each(msgspec.structs.replace(CAMPAIGN_RUN, key_ids=key_ids))
    nothing = msgspec.structs.replace(CAMPAIGN_RUN, samples=Samples(), key_ids=())
    assert not fresh_key_each(nothing)


def test_report_is_a_document_that_names_its_limits() -> None:
    """It survives its file, says that the model is asymptotic and the link simulated, and lists what is missing."""
    made = report(msgspec.structs.replace(CAMPAIGN_RUN, samples=msgspec.structs.replace(GOOD, recovery_s=None)))
    assert decode(encode(made), PilotReport) == made
    said = " ".join(made.limits)
    assert set(LIMITS) <= set(made.limits)
    assert all(word in said for word in ("asymptotic", "simulated", "loopback"))
    assert [gap.what for gap in made.coverage.gaps] == ["recovery after a cut"]
    assert not made.coverage.complete


def test_measured_values_do_not_change_what_the_report_says() -> None:
    """Two runs with other times but the same outcome have the same content hash."""
    slower = msgspec.structs.replace(GOOD, handshakes_ms=(11.0, 21.0, 31.0), recovery_s=4.0)
    cut = msgspec.structs.replace(CUT, recovery_s=4.0)
    again = msgspec.structs.replace(CAMPAIGN_RUN, samples=slower, cut=cut)
    assert content_hash(report()) == content_hash(report(again, minute=5))


def test_campaign_runs_from_normal_work_over_the_cut_and_back() -> None:
    """Four phases in order; the fibre is cut once and restored once; each says what consumers must see."""
    assert [phase.name for phase in CAMPAIGN] == list(PhaseName)
    assert [p.begins_with for p in CAMPAIGN if p.begins_with] == [LinkEvent.CUT, LinkEvent.RESTORED]
    assert all(phase.expects for phase in CAMPAIGN)


def test_phases_end_when_they_have_shown_what_they_must() -> None:
    """Normal work ends with the last handshake, the cut with the last key of the stock, the way back with a new key."""
    normal, cut, drained, restore = CAMPAIGN
    assert not is_over(normal, Progress(handshakes=19, stock=5), handshakes=20)
    assert is_over(normal, Progress(handshakes=20, stock=5), handshakes=20)
    assert not is_over(cut, Progress(stock=1), handshakes=20)
    assert is_over(cut, Progress(stock=0), handshakes=20)
    assert not is_over(drained, Progress(refused=4), handshakes=20)
    assert is_over(drained, Progress(refused=5), handshakes=20)
    assert not is_over(restore, Progress(refused=50), handshakes=20)
    assert is_over(restore, Progress(delivered=1), handshakes=20)
