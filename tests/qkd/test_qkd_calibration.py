"""Fitting telemetry: truth recovered, the future foretold, and series that no parameters explain called so."""

from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from keystrand.model.telemetry import IntensityCounts, LinkTelemetry
from keystrand.qkd.bb84_link import Bb84Link, Receiver, Transmitter
from keystrand.qkd.calibration import Fit, fit, predict
from keystrand.qkd.calibration_series import series
from keystrand.qkd.calibration_verdict import foretold, verdict
from keystrand.qkd.distillation import Distillation, expected_counts, secret_rate_bits_per_s

SENDER = Transmitter(pulse_rate_hz=1e9, intensities=(0.5, 0.1, 0.0), probabilities=(0.8, 0.15, 0.05))
RECEIVER = Receiver(efficiency=0.1, dark_count_ratio=5e-6, misalignment=0.02, dead_time_s=5e-8, afterpulse_ratio=0.01)
KNOWN = Bb84Link(transmitter=SENDER, receiver=RECEIVER, channel_loss_db=8.0)
DISTILLATION = Distillation()
TRUTH = {"loss_db": 12.3, "misalignment": 0.013, "dark_count_ratio": 4e-6, "distillation_share": 0.9}
REPORT_S = 60.0
Change = Callable[[Bb84Link, int], Bb84Link]


def true_link(**more: float) -> Bb84Link:
    """Return the link as it really is."""
    values = {**TRUTH, **more}
    receiver = msgspec.structs.replace(
        RECEIVER, misalignment=values["misalignment"], dark_count_ratio=values["dark_count_ratio"]
    )
    return msgspec.structs.replace(KNOWN, receiver=receiver, channel_loss_db=values["loss_db"])


def reports(
    seed: int, count: int = 40, *, counts: bool = True, change: Change = lambda link, _: link, secret: bool = True
) -> list[LinkTelemetry]:
    """Return drawn reports of the true link, or of what `change` makes of it at each report."""
    rng = np.random.default_rng(seed)
    return [_report(rng, change(true_link(), at), at, counts=counts, secret=secret) for at in range(count)]


def _report(rng: np.random.Generator, link: Bb84Link, at: int, *, counts: bool, secret: bool) -> LinkTelemetry:
    mean = expected_counts(link, REPORT_S)
    key, test = rng.poisson(mean.key), rng.poisson(mean.test)
    wrong = rng.binomial(key, mean.key_errors / mean.key), rng.binomial(test, mean.test_errors / mean.test)
    rate = 0.9 * secret_rate_bits_per_s(link, DISTILLATION) * (1 + 0.01 * rng.standard_normal())
    by_intensity = tuple(
        IntensityCounts(
            intensity=mu, sent=int(6e10 * p), key=int(k), key_errors=int(ke), test=int(t), test_errors=int(te)
        )
        for mu, p, k, ke, t, te in zip(
            SENDER.intensities, SENDER.probabilities, key, wrong[0], test, wrong[1], strict=True
        )
    )
    return LinkTelemetry(
        link="a-b",
        at_s=REPORT_S * (at + 1),
        interval_s=REPORT_S,
        sifted_rate_bits_per_s=float(key.sum()) / REPORT_S,
        qber=float(wrong[0].sum() / key.sum()),
        secret_key_rate_bits_per_s=max(rate, 0.0) if secret else None,
        counts=by_intensity if counts else (),
    )


def fitted(seed: int, **more: object) -> Fit:
    """Return the fit of drawn reports."""
    return fit(series(reports(seed, **more)), KNOWN, DISTILLATION)  # type: ignore[arg-type]  # keywords of reports


def pulls(made: Fit) -> list[float]:
    """Return how many sigmas each fitted parameter is from the truth."""
    return [(v - TRUTH[n]) / s for n, v, s in zip(made.names, made.values, made.sigmas, strict=True)]


def test_the_truth_is_recovered() -> None:
    """All four parameters from counts by intensity; over eight seeds the pulls are those of a normal distribution."""
    found = np.array([pulls(fitted(seed)) for seed in range(8)])
    assert found.shape[1] == 4
    assert np.mean(np.abs(found) < 2) > 0.85
    assert 0.6 < float(np.sqrt(np.mean(found**2))) < 1.4


@pytest.mark.slow
def test_within_two_sigmas_in_93_of_100_seeds() -> None:
    """Each parameter by itself, on seeds that nothing was tuned with."""
    found = np.array([pulls(fitted(seed)) for seed in range(1000, 1100)])
    assert np.all(np.sum(np.abs(found) < 2, axis=0) >= 93)


def test_what_cannot_be_told_is_left_as_given() -> None:
    """Rate and error ratio alone fix the loss and the misalignment, nothing else."""
    bare = fitted(3, counts=False, secret=False)
    assert bare.names == ("loss_db", "misalignment")
    assert bare.parameters.dark_count_ratio == RECEIVER.dark_count_ratio
    assert fitted(3, counts=False).names == ("loss_db", "misalignment", "distillation_share")


def test_a_reported_loss_is_a_covariate() -> None:
    """Where each report has its loss, what is fitted is the offset to it, as sharply as if the loss stood still."""

    def moved(link: Bb84Link, at: int) -> Bb84Link:
        return msgspec.structs.replace(link, channel_loss_db=12.3 + 0.5 * np.sin(at))

    told = [
        msgspec.structs.replace(one, channel_loss_db=10.0 + 0.5 * float(np.sin(at)))
        for at, one in enumerate(reports(4, change=moved))
    ]
    made = fit(series(told), KNOWN, DISTILLATION)
    assert made.parameters.loss_db == pytest.approx(2.3, abs=5 * made.sigmas[0])
    assert made.sigmas[0] < 2e-3
    assert verdict(made).explained


def test_the_first_part_foretells_the_rest() -> None:
    """90 % intervals of later reports cover 85 to 95 % of them, over all channels and seeds; misses are small."""
    told = []
    for seed in range(4):
        whole = series(reports(seed + 50, 120))
        told.append(foretold(fit(whole.part(0, 72), KNOWN, DISTILLATION), whole.part(72, 120)))
    coverage = np.array([list(one.coverage.values()) for one in told])
    assert 0.85 <= coverage.mean() <= 0.95
    assert all(one.median_miss["secret"] < 0.1 for one in told)


def test_another_distance_is_predicted_with_an_interval() -> None:
    """The interval holds the true rate there, and is wider for a single report."""
    made = fitted(8)
    there = predict(made, 17.0, rng=np.random.default_rng(1), coverage=0.99)
    truth = 0.9 * secret_rate_bits_per_s(true_link(loss_db=17.0), DISTILLATION)
    assert there.low <= truth <= there.high
    single = predict(made, 17.0, rng=np.random.default_rng(1), coverage=0.99, one_report=True)
    assert single.high - single.low > there.high - there.low


def drifting(link: Bb84Link, at: int) -> Bb84Link:
    """The misalignment grows by a third."""
    receiver = msgspec.structs.replace(link.receiver, misalignment=0.013 * (1 + at / 120))
    return msgspec.structs.replace(link, receiver=receiver)


def jumping(link: Bb84Link, at: int) -> Bb84Link:
    """Somebody bends the fibre half way."""
    return msgspec.structs.replace(link, channel_loss_db=12.3 + (0.05 if at >= 20 else 0.0))


@pytest.mark.parametrize("change", [drifting, jumping])
def test_a_series_that_changes_is_not_explained(change: Change) -> None:
    """No constant parameters give it, however well the mean fits."""
    judged = verdict(fitted(11, change=change))
    assert not judged.explained
    assert any("drift or jump" in words for words in judged.reasons)


def test_photon_number_splitting_is_not_explained() -> None:
    """Weak pulses that arrive less often than their intensity says: no loss, darks and misalignment give that."""
    changed = []
    for one in reports(12):
        signal, weak, none = one.counts
        thinned = msgspec.structs.replace(weak, key=weak.key * 8 // 10, key_errors=weak.key_errors * 8 // 10)
        changed.append(msgspec.structs.replace(one, counts=(signal, thinned, none)))
    judged = verdict(fit(series(changed), KNOWN, DISTILLATION))
    assert not judged.explained
    assert any("contradict" in words for words in judged.reasons)


def test_more_key_than_the_proof_allows_is_said() -> None:
    """A device that reports it is wrong, or not what it says."""
    rich = [
        msgspec.structs.replace(one, secret_key_rate_bits_per_s=1.5 * (one.secret_key_rate_bits_per_s or 0.0))
        for one in reports(13)
    ]
    judged = verdict(fit(series(rich), KNOWN, DISTILLATION))
    assert any("than the security proof allows" in words for words in judged.reasons)


def test_good_series_are_explained() -> None:
    """Six of them."""
    assert all(verdict(fitted(seed + 70)).explained for seed in range(6))


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda all_: all_[:5], "too few"),
        (lambda all_: all_[:0], "too few"),
        (lambda all_: all_[::-1], "order of time"),
        (lambda all_: [*all_[:20], msgspec.structs.replace(all_[20], link="other")], "several links"),
        (lambda all_: [msgspec.structs.replace(one, up=False) for one in all_], "too few"),
    ],
)
def test_series_that_cannot_be_fitted(broken: Callable[[list[LinkTelemetry]], list[LinkTelemetry]], said: str) -> None:
    """Too few, backwards, of two links, or down all the time."""
    with pytest.raises(ValueError, match=said):
        series(broken(reports(1)))


def test_a_device_that_repeats_its_figures_does_not_drift() -> None:
    """Equal reports are no sign of drift, however many."""
    (one, *_) = reports(1, counts=False, secret=False)
    same = [msgspec.structs.replace(one, at_s=REPORT_S * (at + 1)) for at in range(60)]
    assert verdict(fit(series(same), KNOWN, DISTILLATION)).explained


def test_later_reports_over_shorter_times_scatter_more() -> None:
    """Their intervals hold the counting of their own length, not that of the reports that were fitted."""
    rng, mean = np.random.default_rng(3), expected_counts(true_link(), 1.0)
    rate, ratio = float(mean.key.sum()), float(mean.key_errors.sum() / mean.key.sum())

    def report(at: int, interval_s: float) -> LinkTelemetry:
        bits = int(rng.poisson(rate * interval_s))
        qber = float(rng.binomial(bits, ratio)) / bits
        return LinkTelemetry(
            link="a-b",
            at_s=60.0 * (at + 1),
            interval_s=interval_s,
            sifted_rate_bits_per_s=bits / interval_s,
            qber=qber,
        )

    both = series([report(at, 50.0 if at < 100 else 0.05) for at in range(200)])
    told = foretold(fit(both.part(0, 100), KNOWN, DISTILLATION), both.part(100, 200))
    assert all(0.78 < share < 0.99 for share in told.coverage.values())
