"""Sifting against an obvious reference, with what must not be told, and with messages that cannot be."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystrand.qkd import finite_two_decoys, pulse_engine, sifting
from keystrand.qkd.bb84_link import KEY, TEST, Bb84Link, Receiver, Transmitter
from keystrand.qkd.cascade import plan_for
from keystrand.qkd.cascade_party import reconcile
from keystrand.qkd.detections import Received, Sent
from keystrand.qkd.finite import Security
from keystrand.qkd.response import DOUBLE, honest
from keystrand.qkd.sifted import sifted
from keystrand.qkd.sifting import Reply

INTENSITIES = 3


def records(clicks: int, seed: int) -> tuple[Sent, Received]:
    """Return both ends' records of the same slots, every value equally likely."""
    rng = np.random.default_rng(seed)
    slot = np.cumsum(rng.integers(1, 9, clicks))

    def drawn(values: int) -> Any:
        return rng.integers(0, values, clicks, dtype=np.uint8)

    return Sent(slot, drawn(INTENSITIES), drawn(2), drawn(2)), Received(slot, drawn(2), drawn(3))


def coins(received: Received, seed: int = 1) -> Any:
    """Return the random bits Bob needs."""
    return np.random.default_rng(seed).integers(0, 2, sifting.doubles(received), dtype=np.uint8)


def same(one: Any, other: Any) -> bool:
    """Return whether all columns are the same."""
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 200), st.integers(0, 10_000))
def test_strings_and_counts_are_those_of_the_definition(clicks: int, seed: int) -> None:
    """Slot by slot in plain Python: the same keys, the same counts."""
    sent, received = records(clicks, seed)
    tossed = coins(received)
    alice, answer = sifting.reply(sent, sifting.announce(received))
    bob, tested = sifting.sift(received, answer, tossed, INTENSITIES)
    left = iter(tossed.tolist())
    theirs, mine, marks = [], [], []
    detections, errors = [0] * INTENSITIES, [0] * INTENSITIES
    for k, a, x, b, y in zip(*sent[1:], *received[1:], strict=True):
        bit = next(left) if y == DOUBLE else y
        if a != b:
            continue
        if a == KEY:
            theirs.append(x)
            mine.append(bit)
            marks.append(k)
        else:
            detections[k] += 1
            errors[k] += x != bit
    assert alice.bits.tolist() == theirs
    assert bob.bits.tolist() == mine
    assert alice.intensity.tolist() == bob.intensity.tolist() == marks
    assert tested.detections.tolist() == detections
    assert tested.errors.tolist() == errors


def test_nothing_of_the_key_is_told() -> None:
    """Messages stay the same whatever the bits of the key basis and the outcomes are."""
    sent, received = records(500, 3)
    flipped = sent._replace(bit=np.where(sent.basis == KEY, 1 - sent.bit, sent.bit).astype(np.uint8))
    other = received._replace(outcome=(received.outcome + 1).astype(np.uint8) % 3)
    said, again = sifting.announce(received), sifting.announce(other)
    assert same(said, again)
    (key, answer), (other_key, other_answer) = sifting.reply(sent, said), sifting.reply(flipped, said)
    assert same(answer, other_answer)
    assert np.array_equal(key.bits, 1 - other_key.bits)


def test_alice_may_know_more_slots_than_bob_announced() -> None:
    """Her record may cover every pulse."""
    sent, received = records(300, 5)
    part = Received(received.slot[::3], received.basis[::3], received.outcome[::3])
    only = Sent(sent.slot[::3], sent.intensity[::3], sent.basis[::3], sent.bit[::3])
    found, wanted = sifting.reply(sent, sifting.announce(part)), sifting.reply(only, sifting.announce(part))
    assert same(found[0] + found[1], wanted[0] + wanted[1])


def test_counts_of_a_block_add_up() -> None:
    """Key errors come from what correction flipped."""
    sent, received = records(2_000, 8)
    alice, answer = sifting.reply(sent, sifting.announce(received))
    bob, tested = sifting.sift(received, answer, coins(received), INTENSITIES)
    wrong = alice.bits ^ bob.bits
    whole = sifting.by_intensity(bob.intensity, INTENSITIES)
    made = sifting.counts(whole, sifting.by_intensity(bob.intensity, INTENSITIES, wrong), tested)
    assert made.key.sum() == bob.bits.size
    assert made.key_errors.sum() == wrong.sum()
    assert made.key.sum() + made.test.sum() == answer.kept.sum()
    assert np.all(made.key_errors <= made.key)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda said: said._replace(slot=said.slot[::-1]), "strictly rising"),
        (lambda said: said._replace(slot=said.slot[:-1]), "strictly rising"),
        (lambda said: said._replace(basis=said.basis + 2), "0 or 1"),
        (lambda said: said._replace(slot=said.slot + 10_000), "not in Alice's record"),
        (lambda said: said._replace(slot=said.slot - said.slot[0] - 1), "not in Alice's record"),
    ],
)
def test_announcements_that_cannot_be_are_refused(change: Any, words: str) -> None:
    """Slots out of order, bases that are none, slots never sent."""
    sent, received = records(50, 2)
    with pytest.raises(ValueError, match=words):
        sifting.reply(sent, change(sifting.announce(received)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r._replace(kept=r.kept[1:]), "each of 50 slots"),
        (lambda r: r._replace(kept=r.kept + 1), "each of 50 slots"),
        (lambda r: r._replace(intensity=r.intensity[1:]), "one of 3 intensities"),
        (lambda r: r._replace(intensity=r.intensity + 3), "one of 3 intensities"),
        (lambda r: r._replace(test_bit=r.test_bit[1:]), "test basis"),
        (lambda r: r._replace(test_bit=r.test_bit + 2), "test basis"),
        (lambda r: r._replace(kept=np.ones_like(r.kept)), "intensities"),
    ],
)
def test_replies_that_do_not_fit_are_refused(change: Any, words: str) -> None:
    """Nothing that arrives makes a step read beyond its arrays."""
    sent, received = records(50, 2)
    answer: Reply = sifting.reply(sent, sifting.announce(received))[1]
    with pytest.raises(ValueError, match=words):
        sifting.sift(received, change(answer), coins(received), INTENSITIES)


def test_each_double_click_needs_its_coin() -> None:
    """Too few, too many, or no bits at all are refused."""
    sent, received = records(50, 2)
    answer = sifting.reply(sent, sifting.announce(received))[1]
    right = coins(received)
    for wrong in (right[1:], np.append(right, 1), right + 2):
        with pytest.raises(ValueError, match="random bits"):
            sifting.sift(received, answer, wrong, INTENSITIES)


def test_double_clicks_are_wrong_half_of_the_time() -> None:
    """With fair coins, whatever Alice sent."""
    size = 40_000
    sent, _ = records(size, 4)
    received = Received(sent.slot, np.full(size, TEST, dtype=np.uint8), np.full(size, DOUBLE, dtype=np.uint8))
    _, answer = sifting.reply(sent, sifting.announce(received))
    _, tested = sifting.sift(received, answer, coins(received), INTENSITIES)
    assert tested.errors.sum() == pytest.approx(tested.detections.sum() / 2, abs=400)


LINK = Bb84Link(
    transmitter=Transmitter(
        pulse_rate_hz=1e9, intensities=(0.5, 0.1, 0.001), probabilities=(0.5, 0.3, 0.2), key_basis_ratio=0.5
    ),
    receiver=Receiver(efficiency=0.3, dark_count_ratio=1e-6, misalignment=0.01, key_basis_ratio=0.5, dead_time_s=2e-8),
    channel_loss_db=3.0,
)


def test_from_photons_to_a_secret_key() -> None:
    """Drawn, sifted, corrected and counted: what was counted is what the model sifts, and key is left."""
    pulses = 40_000_000
    run = pulse_engine.run(LINK, honest(LINK), pulses, 12)
    alice, answer = sifting.reply(run.alice, sifting.announce(run.bob))
    bob, tested = sifting.sift(run.bob, answer, coins(run.bob), INTENSITIES)
    size = 65_536
    frames = bob.bits.size // size
    whole = slice(0, frames * size)
    mine, theirs = (one.bits[whole].reshape(frames, size) for one in (bob, alice))
    results, _ = reconcile(plan_for(0.0105, size, 3), theirs, mine, list(range(1, frames + 1)))
    corrected = np.concatenate([one.bits for one in results if one.bits is not None])
    assert np.array_equal(corrected, alice.bits[whole])
    marks = bob.intensity[whole]
    errors = sifting.by_intensity(marks, INTENSITIES, corrected ^ bob.bits[whole])
    made = sifting.counts(sifting.by_intensity(marks, INTENSITIES), errors, tested)
    model, share = sifted(LINK), frames * size / bob.bits.size
    for counted, expected in (
        (made.key, model.key * pulses * share), (made.key_errors, model.key_errors * pulses * share),
        (made.test, model.test * pulses), (made.test_errors, model.test_errors * pulses),
    ):  # fmt: skip
        assert np.all(np.abs(counted - expected) < 5 * np.sqrt(expected + 1))
    leak = sum(one.leak_bits for one in results)
    assert finite_two_decoys.key_length(made, LINK.transmitter.source, leak, Security()).length_bits > 0
