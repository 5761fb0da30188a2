"""Charts: how often they alarm without a cause, how soon with one, and series they refuse."""

import msgspec
import numpy as np
import pytest

from keystrand.model.telemetry import IntensityCounts, LinkTelemetry
from keystrand.operate.link_charts import (
    ONE_A_YEAR,
    SLACK,
    Budget,
    Columns,
    Values,
    charts,
    columns,
    mean_run,
    threshold,
)
from keystrand.qkd.attacks import PhotonNumberSplitting
from keystrand.qkd.bb84_link import Bb84Link, Receiver, Transmitter
from keystrand.qkd.faults import LinkState
from keystrand.qkd.observables import Device, telemetry
from keystrand.qkd.response import honest

MINUTE_S = 60.0
YEAR = 525_960
"""Minutes of a year."""


def counted(rng: np.random.Generator, reports: int, kept: float, qber: Values | float) -> Columns:
    """Return steady reports as columns, drawn at once: about `kept` bits each, a tenth of them in the test basis."""
    qber = np.broadcast_to(qber, reports)
    key, test = rng.poisson(0.9 * kept, reports), rng.poisson(0.1 * kept, reports)
    decoy, vacuum = rng.poisson(0.05 * kept, reports), rng.poisson(0.005 * kept, reports)
    both = key + test
    detected = np.stack([both - decoy - vacuum, decoy, vacuum], axis=1).astype(float)
    return Columns(
        at_s=np.arange(1.0, reports + 1) * MINUTE_S,
        interval_s=np.full(reports, MINUTE_S),
        up=np.ones(reports, np.bool_),
        sent=np.broadcast_to([700.0 * kept, 200.0 * kept, 100.0 * kept], (reports, 3)),
        detected=detected,
        key=key.astype(float),
        key_errors=rng.binomial(key, qber).astype(float),
        test=test.astype(float),
        test_errors=rng.binomial(test, qber).astype(float),
        doubles=rng.binomial(both, 2e-3).astype(float),
        ones=rng.binomial(both, 0.5).astype(float),
        current_a=rng.normal(1e-7, 1e-9, reports),
        temperature_c=rng.normal(25, 0.1, reports),
        loss_db=rng.normal(10, 0.02, reports),
        secret_rate=np.full(reports, np.nan),
        clear_vacuum=True,
    )


def alarms(made: Columns, first: int, height: float) -> int:
    """Return how often a chart goes above its limit; until it is back at zero that is one alarm."""
    sides = [side for chart in charts(made, first).values() for side in (chart.up, chart.down)]
    return sum(np.unique(np.cumsum(side == 0)[side > height]).size for side in sides)


@pytest.mark.parametrize("height", [1.5, 3.0, 4.0])
def test_the_mean_run_is_that_of_normal_scores(height: float) -> None:
    """Siegmund's approximation against simulation, within 15 %."""
    rng, runs = np.random.default_rng(3), []
    for _ in range(300):
        level, length = 0.0, 0
        while level <= height and length < 20_000:
            for score in rng.normal(size=256):
                level, length = max(level + score - SLACK, 0.0), length + 1
                if level > height:
                    break
        runs.append(length)
    assert np.mean(runs) == pytest.approx(mean_run(height), rel=0.15)


@pytest.mark.parametrize(
    ("years", "most"),
    [(1, 5), pytest.param(10, 21, marks=pytest.mark.slow)],  # Poisson: more have a chance below 1 in 1000
)
def test_a_budget_of_alarms_is_kept(years: int, most: int) -> None:
    """Link-years of minutes, every chart: at most one alarm a year on average."""
    rng, found = np.random.default_rng(11), 0
    for _ in range(years):
        found += alarms(counted(rng, YEAR, 10_000, 0.01), 60, threshold(ONE_A_YEAR, MINUTE_S, 10))
    assert found <= most


def test_a_larger_budget_is_used() -> None:
    """With 500 alarms a year the limit is lower and false alarms come: the test above can fail."""
    made = counted(np.random.default_rng(12), YEAR // 4, 10_000, 0.01)
    found = alarms(made, 60, threshold(Budget(false_alarms_per_year=500.0), MINUTE_S, 10))
    assert 12 < found < 500


def test_a_hundredth_of_intercept_resend_is_seen_within_a_hundred_thousand_bits() -> None:
    """At QBER 1 %, reports of 5 000 compared bits, limits of one false alarm a link-year: in 85 of 100 runs, and half
    of the time within 60 000. No test at this rate of false alarms can do it in more than about 95: the information in
    10^5 bits, delta^2 N / 2 = 30, must pass ln(2e7) = 17 with a spread of sqrt(60)."""
    rng, height, seen = np.random.default_rng(21), threshold(ONE_A_YEAR, MINUTE_S, 10), []
    for _ in range(100):
        qber = np.where(np.arange(420) < 400, 0.01, 0.01 + 0.01 * 0.98 / 4)
        drawn = charts(counted(rng, 420, 5_000, qber), 380)
        assert max(chart.up[:20].max() for name, chart in drawn.items() if "qber" in name) < height
        seen.append(drawn["qber"].first_above(height) - 19)
    assert np.count_nonzero(np.array(seen) <= 20) >= 85
    assert np.median(seen) <= 12


@pytest.mark.parametrize("loss_db", [8.0, 12.0])
def test_splitting_is_seen_within_ten_million_pulses(loss_db: float) -> None:
    """Reports of a million pulses; the decoy's share alone, limits of one false alarm a link-year."""
    link = Bb84Link(
        transmitter=Transmitter(pulse_rate_hz=1e6, intensities=(0.5, 0.1, 0.001), probabilities=(0.7, 0.2, 0.1)),
        receiver=Receiver(efficiency=0.1, dark_count_ratio=1e-6, misalignment=0.01),
        channel_loss_db=loss_db,
    )
    split = PhotonNumberSplitting().apply(link, honest(link))
    seen = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        reports = [
            telemetry(Device(link="a"), LinkState(link), n + 1.0, 1.0, rng, response=split if n >= 100 else None)
            for n in range(110)
        ]
        chart = charts(columns(reports), 50)["decoy 1"]
        height = threshold(ONE_A_YEAR, 1.0, 10)
        assert chart.highest > 0
        seen += 50 <= chart.first_above(height) < 60
    assert seen == 6


def test_charts_score_like_a_standard_normal() -> None:
    """Each report against all before it: mean 0, spread 1, and no memory."""
    for name, chart in charts(counted(np.random.default_rng(5), 20_000, 3_000, 0.02), 0).items():
        scores = chart.scores[np.isfinite(chart.scores)][60:]
        assert abs(scores.mean()) < 0.03, name
        assert scores.std() == pytest.approx(1.0, abs=0.05), name
        assert abs(np.corrcoef(scores[1:], scores[:-1])[0, 1]) < 0.03, name


def report(at_s: float, **more: object) -> LinkTelemetry:
    """Return a bare report as a vendor gives it."""
    given = {"link": "a", "at_s": at_s, "interval_s": 60.0, "qber": 0.01, "sifted_rate_bits_per_s": 1e4}
    return msgspec.convert(given | more, LinkTelemetry)


def test_reports_without_counts_are_charted_by_what_they_say() -> None:
    """Rate and QBER are enough for two charts."""
    rng = np.random.default_rng(8)
    made = columns(
        [
            report(60.0 * n, qber=rng.binomial(600_000, 0.01) / 600_000, sifted_rate_bits_per_s=rng.poisson(6e5) / 60)
            for n in range(1, 100)
        ]
    )
    assert set(charts(made, 20)) == {"qber", "rate"}
    assert alarms(made, 20, threshold(ONE_A_YEAR, 60.0, 2)) == 0


def one(intensity: float) -> IntensityCounts:
    """Return counts of an intensity."""
    return IntensityCounts(intensity=intensity, sent=100, key=5, key_errors=0, test=5, test_errors=0)


@pytest.mark.parametrize(
    ("reports", "said"),
    [
        ([], "no reports"),
        ([report(120.0), report(60.0)], "order"),
        ([report(60.0), report(60.0)], "order"),
        ([report(60.0), report(120.0, link="b")], "several links"),
        ([report(60.0), msgspec.structs.replace(report(120.0), qber=float("nan"))], "no number"),
        ([report(60.0), msgspec.structs.replace(report(120.0), receiver_current_a=float("inf"))], "no number"),
        ([msgspec.structs.replace(report(60.0), at_s=float("nan"))], "order"),
        (
            [
                msgspec.structs.replace(report(60.0), counts=(one(0.5), one(0.1))),
                msgspec.structs.replace(report(120.0), counts=(one(0.4), one(0.1))),
            ],
            "intensities change",
        ),
    ],
)
def test_series_that_cannot_be_judged(reports: list[LinkTelemetry], said: str) -> None:
    """Nothing, disorder, mixtures and figures that are no numbers."""
    with pytest.raises(ValueError, match=said):
        columns(reports)
