"""The photon engines beside `qkd` and SeQUeNCe, the chain from source to secret key, and the network twin.

The link: decoy-state BB84 at 1 GHz over 50 km of 0.2 dB/km. The peers draw no more than ours: `qkd` counts clicks and
keeps no record of them, SeQUeNCe sends no decoys and one intensity of 0.1 photons.
"""

from functools import partial
from pathlib import Path

import numpy as np

from bench.measure import Failed, Row, row
from bench.peers import packages
from bench.qkd_rows import RATE, Figures, Job, Rival, Stopwatch, contest, figures, rate_rows, say, speed_rows, total
from keystrand.pilot.link_blocks import Condition, LinkHistory, blocks
from keystrand.qkd import event_engine, finite_two_decoys, pulse_engine, sifting
from keystrand.qkd.bb84_link import Bb84Link, Receiver, Transmitter
from keystrand.qkd.cascade import Bits, plan_for
from keystrand.qkd.cascade_party import Corrected, reconcile
from keystrand.qkd.decoy import repeaterless_bound
from keystrand.qkd.distillation import Distillation
from keystrand.qkd.finite import Security
from keystrand.qkd.response import honest
from keystrand.qkd.sifting import SiftedKey
from keystrand.qkd.toeplitz import amplify

LINK = Bb84Link(
    transmitter=Transmitter(pulse_rate_hz=1e9, intensities=(0.5, 0.1, 0.001), probabilities=(0.7, 0.2, 0.1)),
    receiver=Receiver(efficiency=0.1, dark_count_ratio=1e-6, misalignment=0.01),
    channel_loss_db=10.0,
)
QKD, SEQUENCE = "qkd 0.2.0, Rust core", "SeQUeNCe 0.8.5"
LEAST_RATIO = {QKD: 12.0, SEQUENCE: 1000.0}
PULSES, EVENT_PULSES = 200_000_000, 2_000_000_000
PEER_PULSES = {"qkd": 10_000_000, "sequence": 200_000}
CHAIN_S, FRAME_BITS = 3.0, 65_536
EXPECTED_QBER = 0.0105
"""What the link shows to a little; a plan only costs more where it is wrong."""
TWIN_LINKS, TWIN_HOURS = 20, 24 * 365


def engine_rows(repeats: int) -> list[Row]:
    """Return the rows of both engines."""
    say("pulse engine")
    made = contest(repeats, pulses, [Rival(QKD, _qkd), Rival(SEQUENCE, _sequence)])
    rows = speed_rows("pulse engine, 50 km, every pulse drawn", "Mpulse/s", made, at_least=300, ratios=LEAST_RATIO)
    say("event engine")
    made = contest(repeats, clicks)
    title = "event engine, 50 km, from click to click"
    return [
        *rows,
        *rate_rows(f"{title}: clicks", "Mclick/s", made.ours, at_least=30),
        row(f"{title}: pulses", figures(made.ours, "gpulses"), "Gpulse/s"),
    ]


def pulses(seed: int) -> Figures:
    """Draw every pulse."""
    watch = Stopwatch()
    pulse_engine.run(LINK, honest(LINK), PULSES, seed)
    return watch.rates(PULSES / 1e6)


def clicks(seed: int) -> Figures:
    """Go from click to click."""
    watch = Stopwatch()
    made = event_engine.run(LINK, honest(LINK), EVENT_PULSES, seed)
    rates = watch.rates(made.bob.slot.size / 1e6)
    return rates | {"gpulses": rates[RATE] * EVENT_PULSES / made.bob.slot.size / 1e3}


def _qkd() -> Job:
    return _peer("qkd", "pulses")


def _sequence() -> Job:
    return _peer("sequence")


def _peer(name: str, *words: str) -> Job:
    python, script = packages.interpreter(name), Path(__file__).parent / "peers" / f"{name}_package.py"
    return partial(_asked, PEER_PULSES[name], (python, script, *words))


def _asked(count: int, command: tuple[str | Path, ...], seed: int) -> Figures:
    found = packages.asked([*command, str(count), str(seed)])
    return {RATE: count / found["seconds"] / 1e6}


def chain_rows(repeats: int) -> list[Row]:
    """Return the rows of the whole chain."""
    say("whole chain, source to key")
    made = contest(repeats, chain).ours
    rates = [bits / CHAIN_S for bits in figures(made, "key_bits")]
    limit = float(repeaterless_bound(LINK.channel_loss_db)) * LINK.transmitter.pulse_rate_hz
    title = "whole chain, source to secret key, 1 GHz, 50 km"
    return [
        *rate_rows(f"{title}: simulated", "s/s", made, at_least=2.5),
        row(f"{title}: secret key of {CHAIN_S:g} s", figures(made, "key_bits"), "bits", at_least=1),
        row(f"{title}: secret key rate", rates, "bit/s"),
        row(f"{title}: secret key rate, of the PLOB bound", [100 * rate / limit for rate in rates], "%"),
        row(f"{title}: bits in which the keys of both ends differ", [total(made, "wrong")], "bits", goal=0),
    ]


def chain(seed: int) -> Figures:
    """Simulate some seconds: photons, sifting, Cascade and tags, finite key by the counts, amplification, both ends."""
    rng = np.random.default_rng(seed)
    watch = Stopwatch()
    run = event_engine.run(LINK, honest(LINK), int(CHAIN_S * LINK.transmitter.pulse_rate_hz), seed)
    alice, answer = sifting.reply(run.alice, sifting.announce(run.bob))
    coins = rng.integers(0, 2, sifting.doubles(run.bob), dtype=np.uint8)
    bob, tested = sifting.sift(run.bob, answer, coins, len(LINK.transmitter.intensities))
    frames = alice.bits.size // FRAME_BITS
    theirs, own = (_framed(key.bits, frames) for key in (alice, bob))
    points = [int(point) for point in rng.integers(1, 2**63, frames)]
    corrected, _ = reconcile(plan_for(EXPECTED_QBER, FRAME_BITS, seed), theirs, own, points)
    length = _length(bob, corrected, own, tested)
    good = [i for i, one in enumerate(corrected) if one.bits is not None]
    public = rng.integers(0, 2, len(good) * FRAME_BITS - 1, dtype=np.uint8)
    keys = np.stack([theirs[good].ravel(), np.concatenate([one.bits for one in corrected if one.bits is not None])])
    ours, others = amplify(keys, public, length)
    rates = watch.rates(CHAIN_S)
    return rates | {"key_bits": float(length), "wrong": float(np.count_nonzero(ours != others))}


def _framed(bits: Bits, frames: int) -> Bits:
    return bits[: frames * FRAME_BITS].reshape(frames, FRAME_BITS)


def _length(key: SiftedKey, corrected: list[Corrected], before: Bits, tested: sifting.Tested) -> int:
    """Return how long the key may be, by the counts of the frames that were corrected and all that was disclosed."""
    kinds, intensity = len(LINK.transmitter.intensities), _framed(key.intensity, len(corrected))
    found = np.zeros(kinds, dtype=np.int64)
    errors = np.zeros(kinds, dtype=np.int64)
    for marks, bits, one in zip(intensity, before, corrected, strict=True):
        if one.bits is not None:
            found += sifting.by_intensity(marks, kinds)
            errors += sifting.by_intensity(marks, kinds, bits ^ one.bits)
    counts = sifting.counts(found, errors, tested)
    leak = float(sum(one.leak_bits for one in corrected))
    made = finite_two_decoys.key_length(counts, LINK.transmitter.source, leak, Security())
    if (length := int(made.length_bits)) == 0:
        raise Failed("the simulated link made no key")
    return length


def twin_rows(repeats: int) -> list[Row]:
    """Return the row of the network twin in its analytic mode."""
    say("network twin")
    made = contest(repeats, twin).ours
    title = f"network twin, {TWIN_LINKS} links of different loss, a year in minutes, expected counts"
    return [
        *rate_rows(title, "link-hours/s", made, at_least=1e5),
        row(f"{title}: blocks of key", figures(made, "blocks"), "blocks", at_least=1),
    ]


def twin(seed: int) -> Figures:
    """Run a year of each link, in which it is bent for some hours each day by a loss of its own."""
    rng = np.random.default_rng(seed)
    minutes = TWIN_HOURS * 60
    losses = rng.uniform(2.0, 14.0, TWIN_LINKS)
    bends = rng.uniform(0.1, 3.0, (TWIN_LINKS, 3))
    days = np.arange(minutes) // (24 * 60)
    hours = (np.arange(minutes) // 60) % 24
    index = np.where((hours >= 6) & (hours < 10), 1 + days % 3, 0).astype(np.int32)
    watch = Stopwatch()
    made = 0
    for loss, bent in zip(losses, bends, strict=True):
        states = [Condition(_at(loss + more)) for more in (0.0, *bent)]
        history = LinkHistory(states=states, steps=index, live=np.ones(minutes), step_s=60.0)
        made += int(np.count_nonzero(blocks(history, Distillation()).key_bits))
    rates = watch.rates(TWIN_LINKS * TWIN_HOURS)
    return rates | {"blocks": float(made)}


def _at(loss_db: float) -> Bb84Link:
    return Bb84Link(transmitter=LINK.transmitter, receiver=LINK.receiver, channel_loss_db=float(loss_db))
