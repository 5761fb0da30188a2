"""Both photon engines against a slow reference, against closed forms and against each other."""

from bisect import bisect_right
from math import exp, log1p
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, kstest

from keystrand.qkd import counter_random, event_engine, expected, pulse_engine
from keystrand.qkd.bb84_link import Bb84Link, Receiver, Transmitter
from keystrand.qkd.click_law import probabilities
from keystrand.qkd.decoy import Values
from keystrand.qkd.detections import Run
from keystrand.qkd.response import Response, honest, photon_response

ENGINES = (pulse_engine, event_engine)
WHOLE, GOLDEN = 2**64, 0x9E3779B97F4A7C15


def link(
    loss_db: float = 3.0, dead: int = 0, ratio: float = 0.0, decay: float = 0.0, dark: float = 1e-3, **more: Any
) -> Bb84Link:
    """Return a link of 1 GHz whose times are given in pulses."""
    times = {"dead_time_s": dead * 1e-9, "afterpulse_ratio": ratio, "afterpulse_decay_s": decay * 1e-9}
    receiver = Receiver(**({"efficiency": 0.5, "dark_count_ratio": dark, "misalignment": 0.03} | times | more))
    sender = Transmitter(
        pulse_rate_hz=1e9, intensities=(0.6, 0.2, 0.02), probabilities=(0.5, 0.3, 0.2), key_basis_ratio=0.7
    )
    return Bb84Link(transmitter=sender, receiver=receiver, channel_loss_db=loss_db)


HARD = link(dead=7, ratio=0.2, decay=3.0, key_basis_ratio=0.4)


def same(one: Any, other: Any) -> bool:
    """Return whether all columns are the same."""
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


# The reference


def split_mix(key: int, number: int) -> int:
    """Return a word of the generator, in Python's whole numbers."""
    z = (key + (number + 1) * GOLDEN) % WHOLE
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % WHOLE
    z = (z ^ z >> 27) * 0x94D049BB133111EB % WHOLE
    return z ^ z >> 31


def reference(made: Bb84Link, response: Response, pulses: int, seed: int) -> tuple[list[tuple[int, ...]], Values]:
    """Return clicks as (slot, k, a, b, x, y) and pulses sent by intensity and basis, pulse by pulse."""
    click, quiet = probabilities(made, response)
    tops = [int(top * 2.0**64) for top in np.cumsum(np.concatenate([click.ravel(), quiet.ravel()]))]
    light, delays, bits = (int(key) for key in counter_random.keys(seed, 3))
    receiver, tau = made.receiver, made.receiver.afterpulse_decay_s * made.transmitter.pulse_rate_hz
    clicks: list[tuple[int, ...]] = []
    sent: Values = np.zeros(quiet.shape[:2])
    blind_until, pending = -1, -1
    for slot in range(pulses):
        cell = min(bisect_right(tops, split_mix(light, slot)), len(tops) - 1)
        seen = cell < click.size
        shape, at = (click.shape, cell) if seen else ((*quiet.shape, 1), cell - click.size)
        *what, y = (int(part) for part in np.unravel_index(at, tuple(shape)))
        sent[what[0], what[1]] += 1
        if seen and slot > blind_until:
            blind_until, pending = slot + made.dead_slots, -1
            drawn = (split_mix(delays, slot) >> 11) / 2**53
            if drawn < receiver.afterpulse_ratio:
                pending = blind_until + 1 + int(-tau * log1p(-drawn / receiver.afterpulse_ratio))
        elif slot == pending:
            blind_until, pending, y = slot + made.dead_slots, -1, split_mix(bits, slot) >> 63
        else:
            continue
        clicks.append((slot, *what, y))
    return clicks, sent


def test_the_generator_is_the_published_one() -> None:
    """The first words of SplitMix64 from seed 1234567, as its author's program prints them."""
    words = [int(counter_random.word(np.uint64(1234567), n)) for n in range(3)]
    assert words == [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert words == [split_mix(1234567, n) for n in range(3)]


@pytest.mark.parametrize(
    "made",
    [
        link(),
        HARD,
        link(20.0, dead=100),
        link(0.0, dead=2, ratio=0.5, decay=40.0),
        link(ratio=0.9),
        link(60.0, dark=0.0),
    ],
)
def test_the_pulse_engine_is_the_reference_bit_for_bit(made: Bb84Link) -> None:
    """Every click of both ends and every count of pulses sent."""
    clicks, sent = reference(made, honest(made), 5_000, 11)
    run = pulse_engine.run(made, honest(made), 5_000, 11)
    columns = (run.alice.slot, run.alice.intensity, run.alice.basis, run.bob.basis, run.alice.bit, run.bob.outcome)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == clicks
    assert np.array_equal(run.alice.slot, run.bob.slot)
    assert np.array_equal(run.sent_pulses, sent)


# Runs


@settings(deadline=None, max_examples=30)  # the first call compiles
@given(st.lists(st.integers(0, 4_000), min_size=1, max_size=6), st.integers(0, 2**63 - 1))
def test_a_run_is_the_same_however_it_is_divided(parts: list[int], seed: int) -> None:
    """Clicks of both engines; of the pulse engine also what the quiet pulses were."""
    for engine, kind in ((pulse_engine, pulse_engine.PulseEngine), (event_engine, event_engine.EventEngine)):
        whole = engine.run(HARD, honest(HARD), sum(parts), seed)
        drawing = kind(HARD, honest(HARD), seed)
        runs = [drawing.advance(part) for part in parts]
        assert same(whole.alice, map(np.concatenate, zip(*(run.alice for run in runs), strict=True)))
        assert same(whole.bob, map(np.concatenate, zip(*(run.bob for run in runs), strict=True)))
        assert all(run.sent_pulses.sum() == run.pulses for run in runs)
        if engine is pulse_engine:
            assert np.array_equal(whole.sent_pulses, sum(run.sent_pulses for run in runs))


@pytest.mark.parametrize("engine", ENGINES)
def test_more_clicks_than_one_call_has_room_for(engine: ModuleType) -> None:
    """Slots still rise strictly and keep the dead time."""
    made = link(0.0, dead=1, efficiency=1.0, dark=0.2)
    run: Run = engine.run(made, honest(made), 2_000_000, 5)
    assert run.bob.slot.size > 2 * pulse_engine._HELD
    assert np.diff(run.bob.slot).min() == 2
    assert run.sent_pulses.sum() == 2_000_000


@pytest.mark.parametrize("engine", ENGINES)
def test_links_that_never_or_always_click(engine: ModuleType) -> None:
    """No light and no darks: nothing. Darks for certain: both detectors, as often as dead time lets them."""
    silent = link(200.0, dark=0.0, efficiency=0.0)
    assert engine.run(silent, honest(silent), 10_000, 1).bob.slot.size == 0
    loud = link(dark=1.0, dead=4)
    run: Run = engine.run(loud, honest(loud), 10_000, 1)
    assert run.bob.slot.tolist() == list(range(0, 10_000, 5))
    assert set(run.bob.outcome.tolist()) == {2}


@pytest.mark.parametrize("engine", ENGINES)
def test_runs_that_cannot_be_are_refused(engine: ModuleType) -> None:
    """Negative pulses, seeds out of range, and a response that holds no probabilities."""
    made = link()
    with pytest.raises(ValueError, match="negative"):
        engine.run(made, honest(made), -1, 1)
    for seed in (-1, 2**63):
        with pytest.raises(ValueError, match="seed"):
            engine.run(made, honest(made), 1, seed)
    with pytest.raises(ValueError, match="probabilities"):
        engine.run(made, Response(honest(made).table * 2 + 0.5), 1, 1)


# The closed forms


def any_link(rng: np.random.Generator) -> Bb84Link:
    """Return a link with everything in it: loss, darks, misalignment, biased bases, dead time, afterpulses."""
    kinds = int(rng.integers(2, 4))
    strong = rng.uniform(0.4, 0.9)
    return Bb84Link(
        transmitter=Transmitter(
            pulse_rate_hz=1e9,
            intensities=(strong, strong * rng.uniform(0.2, 0.4), 0.02)[:kinds],
            probabilities=((0.5, 0.3, 0.2), (0.6, 0.4))[kinds == 2],
            key_basis_ratio=rng.uniform(0.3, 0.9),
        ),
        receiver=Receiver(
            efficiency=rng.uniform(0.1, 0.9),
            dark_count_ratio=10 ** rng.uniform(-4, -2),
            misalignment=rng.uniform(0.01, 0.1),
            key_basis_ratio=rng.uniform(0.3, 0.9),
            dead_time_s=float(rng.choice([0, int(rng.integers(1, 200))])) * 1e-9,
            afterpulse_ratio=float(rng.choice([0, rng.uniform(0.01, 0.3)])),
            afterpulse_decay_s=float(rng.choice([0, rng.uniform(0.5, 50)])) * 1e-9,
        ),
        channel_loss_db=rng.uniform(0, 15),
    )


def clicked(run: Run) -> Values:
    """Return the clicks of a run by (k, a, b, x, y)."""
    shape = (len(run.sent_pulses), 2, 2, 2, 3)
    cell = (run.alice.intensity, run.alice.basis, run.bob.basis, run.alice.bit, run.bob.outcome)
    return np.bincount(np.ravel_multi_index(cell, shape), minlength=int(np.prod(shape))).reshape(shape).astype(float)


def chance(made: Bb84Link, run: Run, weights: Values, changed: Response | None = None) -> float:
    """Return the p-value of the chi-square of weighted clicks against the closed form of mean and covariance."""
    response = honest(made) if changed is None else changed
    off = np.tensordot(weights, clicked(run) - run.pulses * expected.clicks(made, response), axes=5)
    spread = run.pulses * expected.covariance(made, response, weights)
    return float(chi2.sf(off @ np.linalg.solve(spread, off), len(weights)))


def by_intensity(kinds: int) -> Values:
    """Return weights that count the clicks of each intensity."""
    return np.eye(kinds).reshape(kinds, kinds, 1, 1, 1, 1) * np.ones((2, 2, 2, 3))


def errors_beyond(made: Bb84Link) -> Values:
    """Return weights that count, in each basis, errors beyond the expected share of clicks."""
    table = expected.clicks(made, honest(made))
    wrong = expected.wrong_weights(len(table))
    made_weights = []
    for basis in (0, 1):
        part = np.zeros_like(wrong)
        share = (table * wrong)[:, basis, basis].sum() / table[:, basis, basis].sum()
        part[:, basis, basis] = (wrong - share)[:, basis, basis]
        made_weights.append(part)
    return np.stack(made_weights)


def chance_of_sent(made: Bb84Link, run: Run) -> float:
    """Return the p-value of the pulses sent by intensity and basis."""
    key = made.transmitter.key_basis_ratio
    mean = run.pulses * np.outer(made.transmitter.probabilities, [key, 1 - key])
    return float(chi2.sf(((run.sent_pulses - mean) ** 2 / mean).sum(), mean.size - 1))


def chance_of_gaps(made: Bb84Link, run: Run) -> float:
    """Return the p-value of every fourth gap between clicks, as good as independent, in ten bins.

    After a primary click no click comes within g live slots with (1 - p)^g (1 - r (1 - q^g)); after an afterpulse with
    (1 - p)^g.
    """
    p = float(probabilities(made, honest(made)).click.sum())
    tau, r = made.receiver.afterpulse_decay_s * 1e9, made.receiver.afterpulse_ratio
    q = exp(-1 / tau) if tau else 0.0
    a = r * (1 - q) * (1 - p) / (1 - q * (1 - p))
    gaps = np.diff(run.bob.slot)[::4] - made.dead_slots - 1
    g = np.arange(gaps.max() + 2)
    kept = (1 - p) ** g * (1 - r * (1 - q ** g.astype(float)) / (1 + a))
    edges = np.unique(np.searchsorted(-kept, -np.linspace(1, 0, 11)[:-1]))
    mean = gaps.size * -np.diff(np.append(kept[edges], 0.0))
    seen = np.histogram(gaps, np.append(edges, g[-1] + 1))[0]
    return float(chi2.sf(((seen - mean) ** 2 / mean).sum(), mean.size - 1))


class Chances(NamedTuple):
    """P-values of one run."""

    gain: float
    qber: float
    sent: float
    gaps: float


def chances(engine: ModuleType, seed: int, clicks: float = 20_000) -> Chances:
    """Return the p-values of a run of a configuration drawn by its seed."""
    made = any_link(np.random.default_rng(seed))
    pulses = int(clicks / expected.clicks(made, honest(made)).sum())
    run = engine.run(made, honest(made), pulses, seed)
    gain = chance(made, run, by_intensity(len(run.sent_pulses)))
    return Chances(gain, chance(made, run, errors_beyond(made)), chance_of_sent(made, run), chance_of_gaps(made, run))


@pytest.mark.parametrize("engine", ENGINES)
def test_five_hundred_configurations_agree_with_the_closed_forms(engine: ModuleType) -> None:
    """Chi-square p-values of gain, QBER, pulses sent and gaps (dead time, afterpulses) are uniform."""
    found = np.array([chances(engine, seed) for seed in range(500)])
    for name, column in zip(Chances._fields, found.T, strict=True):
        assert kstest(column, "uniform").pvalue > 1e-3, name


def test_closed_forms_that_leave_something_out_are_found_out() -> None:
    """The same test refuses a law without afterpulses, or with dead time one slot off: it can fail."""
    run = pulse_engine.run(HARD, honest(HARD), 1_000_000, 3)
    for wrong in (link(dead=7, key_basis_ratio=0.4), link(dead=8, ratio=0.2, decay=3.0, key_basis_ratio=0.4)):
        assert chance(wrong, run, by_intensity(3)) < 1e-6
        assert chance_of_gaps(wrong, run) < 1e-6


@pytest.mark.parametrize("engine", ENGINES)
def test_every_cell_has_its_share(engine: ModuleType) -> None:
    """Bright light, doubles, unlike bases at the ends, many afterpulses: all cells that come often, one by one."""
    made = link(0.0, dead=3, ratio=0.5, decay=2.0, dark=0.05, efficiency=0.9, key_basis_ratio=0.35)
    run = engine.run(made, honest(made), 3_000_000, 21)
    mean = expected.clicks(made, honest(made)).ravel()
    often = np.flatnonzero(mean * run.pulses > 50)
    assert often.size > 60
    assert chance(made, run, np.eye(mean.size)[often].reshape(-1, 3, 2, 2, 2, 3)) > 1e-3


@pytest.mark.parametrize("engine", ENGINES)
def test_a_changed_response_is_what_is_drawn(engine: ModuleType) -> None:
    """Unequal detectors and blocked single photons, as attacks make them: the cells are those, not the link's."""
    changed = photon_response([0.4, 0.1], 0.05, (1e-3, 1e-4))
    changed.table[..., 1] /= 4
    run = engine.run(HARD, changed, 2_000_000, 9)
    assert chance(HARD, run, by_intensity(3), changed) > 1e-3
    by_outcome = np.zeros((3, 3, 2, 2, 2, 3))
    for y in range(3):
        by_outcome[y, ..., y] = 1
    assert chance(HARD, run, by_outcome, changed) > 1e-3
    assert chance(HARD, run, by_intensity(3)) < 1e-6


def test_both_engines_draw_from_one_law() -> None:
    """Two samples: the difference of their clicks scatters as that of two runs of one law, cell by cell."""
    runs = [engine.run(HARD, honest(HARD), 2_000_000, 77) for engine in ENGINES]
    mean = expected.clicks(HARD, honest(HARD)).ravel()
    weights = np.eye(mean.size)[mean * 2e6 > 50].reshape(-1, 3, 2, 2, 2, 3)
    off = np.tensordot(weights, clicked(runs[0]) - clicked(runs[1]), axes=5)
    spread = 2 * 2e6 * expected.covariance(HARD, honest(HARD), weights)
    assert chi2.sf(off @ np.linalg.solve(spread, off), len(weights)) > 1e-3
    sent = np.stack([run.sent_pulses for run in runs])
    assert chi2.sf(((sent[0] - sent[1]) ** 2 / sent.sum(axis=0)).sum(), sent[0].size - 1) > 1e-3
