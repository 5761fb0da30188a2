"""The finite-key bounds against simulated blocks of which the truth is known, and against what cannot be."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy.stats import hypergeom

from keystrand.qkd import decoy, finite, finite_one_decoy, finite_two_decoys
from keystrand.qkd.decoy import Values
from keystrand.qkd.finite import Counts, Security, Source
from keystrand.qkd.parameter_sets import PLANNING_1GHZ

TWO = Source(np.array([0.5, 0.1, 0.001]), np.array([0.5, 0.3, 0.2]))
ONE = Source(np.array([0.5, 0.15]), np.array([0.6, 0.4]))
CASES = [(finite_two_decoys, TWO), (finite_one_decoy, ONE)]
BLOCKS = 2_000


def simulated(source: Source, pulses: float, blocks: int = BLOCKS) -> tuple[Counts, Values, Values]:
    """Return the counts of `blocks` blocks (seeded), and the true single photons and phase errors of each."""
    rng = np.random.default_rng(7)
    number = np.arange(12)
    factorial = np.cumprod(np.maximum(number, 1)).astype(float)
    joint = source.probabilities * np.exp(-source.intensities) * source.intensities ** number[:, None]
    joint /= factorial[:, None]
    sent = joint.sum(axis=1)
    click = 1 - (1 - 1e-5) * (1 - 0.05) ** number
    wrong = (0.01 * (click - 1e-5 * (1 - 0.05) ** number) + 0.5e-5 * (1 - 0.05) ** number) / click
    drawn = []
    for share in (0.81, 0.1):
        detected = rng.poisson(pulses * share * sent * click, (blocks, 12))
        errors = rng.binomial(detected, wrong)
        split = [rng.multinomial(x, joint / sent[:, None]).sum(axis=1) for x in (detected - errors, errors)]
        drawn.append((split[0] + split[1], split[1], detected[:, 1]))
    (key, key_errors, single), (test, test_errors, _) = drawn
    phase = rng.binomial(single, wrong[1]) / np.maximum(single, 1)
    as_floats = [np.asarray(x, dtype=np.float64) for x in (key, key_errors, test, test_errors)]
    return Counts(*as_floats), np.asarray(single, dtype=np.float64), phase


@pytest.mark.parametrize(("model", "source"), CASES)
def test_truth_lies_outside_the_bounds_no_more_often_than_said(model: ModuleType, source: Source) -> None:
    """At 1e-2, single photons or phase errors break their bound in at most 1 % of the blocks."""
    counts, single, phase = simulated(source, 1e8)
    found = model.bounds(counts, source, np.full(BLOCKS, 1e-2 / model.SHARES))
    assert np.mean(found.single_photons) > 0.3 * np.mean(single)
    assert np.mean((found.single_photons > single) | (found.phase_error < phase)) <= 1e-2


@pytest.mark.parametrize(("model", "source"), CASES)
def test_every_bound_on_a_count_has_its_share(
    model: ModuleType, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The secrecy is divided by 8 of smoothing, 1 of sampling and one for each bound on a count that moves a result.

    With one decoy, the wrong half of the vacuum's detections is bounded in each basis besides.
    """
    real, steps = finite.corrected, np.arange(source.intensities.size)
    clicks = 1e9 * source.probabilities * -np.expm1(-0.05 * source.intensities - 1e-3)
    errors = [clicks * ratios for ratios in (0.001 + 0.1 * steps, 0.05 / (1 + 50 * steps))]
    samples = [Counts(clicks, few, clicks + 1, few + 1) for few in errors]

    def found(counts: Counts, moved: tuple[str, int, int]) -> list[float]:
        name, side, at = moved

        def corrected(some: Any, *others: Any) -> tuple[Any, Any]:
            sides = real(some, *others)
            if some is getattr(counts, name, None):
                sides[side][..., at] *= (0.9999, 1.0001)[side]
            return sides

        monkeypatch.setattr(finite, "corrected", corrected)
        return [float(one) for one in model.bounds(counts, source, np.asarray(1e-10))]

    places = [(name, side, int(at)) for name in Counts._fields for side in (0, 1) for at in steps]
    still = [found(counts, ("", 0, 0)) for counts in samples]
    moving = [place for place in places if [found(counts, place) for counts in samples] != still]
    vacuum = 2 if model is finite_one_decoy else 0
    assert 8 + 1 + len(moving) + vacuum == model.SHARES


def test_bounds_without_allowance_for_chance_are_found_out() -> None:
    """The same blocks break bounds that take counts for expectations often: the test above can fail."""
    counts, single, phase = simulated(TWO, 1e8)
    blind = finite_two_decoys.bounds(counts, TWO, np.full(BLOCKS, 1 - 1e-12))
    assert np.mean((blind.single_photons > single) | (blind.phase_error < phase)) > 0.02


@pytest.mark.parametrize("loss_db", [5.0, 15.0, 25.0])
def test_endless_blocks_show_what_the_asymptotic_model_says(loss_db: float) -> None:
    """With a vacuum decoy and 10^15 bits, Lim's bounds are those of Ma et al., another paper."""
    link = PLANNING_1GHZ.at(loss_db)
    source = Source(np.array([link.signal_intensity, link.decoy_intensity, 0.0]), np.array([0.4, 0.3, 0.3]))
    shown = decoy.seen(link, source.intensities, loss_db)
    sent = 1e15 / float((source.probabilities * shown.gain).sum())
    clicks = sent * source.probabilities * shown.gain
    counts = Counts(clicks, clicks * shown.qber, clicks, clicks * shown.qber)
    found = finite_two_decoys.bounds(counts, source, np.asarray(1e-9 / finite_two_decoys.SHARES))
    known = decoy.bounded_single_photons(link, loss_db)
    yielded = found.single_photons / (sent * finite.photon_probability(source, 1))
    assert yielded == pytest.approx(known.yield_, rel=1e-3)
    assert found.phase_error == pytest.approx(known.qber, rel=1e-2)
    assert yielded <= known.yield_
    assert found.phase_error >= known.qber


@pytest.mark.parametrize(("model", "source"), CASES)
def test_key_grows_with_the_block(model: ModuleType, source: Source) -> None:
    """Ten times the counts give at least ten times the key, and never more key than bits; few counts give none."""
    counts, _, _ = simulated(source, 1e8, 1)
    grown = Counts(*[np.asarray(np.round(x * 10.0 ** np.arange(-6, 8)[:, None]), dtype=np.float64) for x in counts])
    leak = 0.1 * grown.key.sum(axis=-1)
    found = model.key_length(grown, source, leak, Security())
    assert found.length_bits[0] == 0
    assert found.length_bits[-1] > 0
    assert np.all(found.length_bits[1:] >= found.length_bits[:-1] * 10 * (1 - 1e-3))
    assert np.all(found.length_bits <= grown.key.sum(axis=-1))
    assert all(np.all(np.isfinite(x)) for x in found)


@pytest.mark.parametrize("errors", [1, 3, 30])
def test_few_errors_do_not_promise_none(errors: int) -> None:
    """The phase error bound is met by exact sampling without replacement, also where almost nothing is wrong."""
    share, size = 1e-3, 2_000
    most = float(finite.phase_error(*(np.asarray(x, dtype=float) for x in (share, errors, size, size))))
    hidden = int(np.floor(most * size)) + 1
    assert hypergeom.cdf(errors, 2 * size, errors + hidden, size) <= share


@pytest.mark.parametrize(("model", "source"), CASES)
def test_impossible_counts_are_refused(model: ModuleType, source: Source) -> None:
    """More errors than detections, or counts that are no numbers, are faults and not a block without key."""
    ones = np.ones(source.intensities.shape)
    with pytest.raises(ValueError, match="more errors"):
        model.key_length(Counts(ones, 2 * ones, ones, ones), source, 0, Security())
    with pytest.raises(ValueError, match="finite"):
        model.key_length(Counts(ones * np.nan, ones, ones, ones), source, 0, Security())
