"""LDPC reconciliation by two parties: what is corrected, and what it costs to the bit."""

from typing import Any

import numpy as np
import pytest

from keystrand.qkd.cascade import TAG_BITS, Bits
from keystrand.qkd.cascade_party import Corrected
from keystrand.qkd.decoy import binary_entropy
from keystrand.qkd.ldpc import LdpcPlan, layout, plan_for
from keystrand.qkd.ldpc_codes import COLUMNS
from keystrand.qkd.ldpc_party import Alice, Bob, reconcile

SMALL = 50_000


def noisy(qber: float, n: int, frames: int, seed: int = 3) -> tuple[Bits, Bits]:
    """Return frames of Alice's, and Bob's with independent errors."""
    rng = np.random.default_rng(seed)
    alice = rng.integers(0, 2, (frames, n), dtype=np.uint8)
    return alice, alice ^ (rng.random((frames, n)) < qber).astype(np.uint8)


def filled(plan: LdpcPlan, frames: int, seed: int = 5) -> Bits:
    """Return bits for the punctured places."""
    return np.random.default_rng(seed).integers(0, 2, (frames, plan.punctured_bits), dtype=np.uint8)


def talk(plan: LdpcPlan, alice: Bits, bob: Bits) -> tuple[list[Corrected], Alice, Bob, list[tuple[bytes, bytes]]]:
    """Let the two parties talk; each message goes as bytes. Returns also what was asked and revealed."""
    a, b, sent = Alice(plan, alice, filled(plan, len(alice))), Bob(plan, bob), []
    b.start(np.frombuffer(a.syndromes().tobytes(), dtype=np.uint8).reshape(len(alice), -1))
    while len(requests := b.ask()):
        answer = a.answer(np.frombuffer(requests.tobytes(), dtype=np.int32).reshape(-1, 2))
        sent.append((requests.tobytes(), answer.tobytes()))
        b.take(np.frombuffer(sent[-1][1], dtype=np.uint8))
    points = list(range(100, 100 + len(alice)))
    return b.results(points, a.tags(points)), a, b, sent


@pytest.mark.parametrize("qber", [0.0, 0.004, 0.05])
def test_layout_takes_each_place_once(qber: float) -> None:
    """Frame, punctured and shortened places make up the code; the rounds reveal each punctured place once."""
    plan = plan_for(qber, SMALL)
    places = layout(plan)
    everything = np.concatenate([places.frame, places.punctured, places.shortened])
    assert np.sort(everything).tolist() == list(range(COLUMNS * plan.lift))
    assert (places.frame.size, places.shortened.size) == (SMALL, plan.shortened_bits)
    assert len(places.rounds) == plan.max_rounds
    assert np.sort(np.concatenate(places.rounds)).tolist() == np.sort(places.punctured).tolist()


@pytest.mark.parametrize(("qber", "limit"), [(0.02, 1.15), (0.05, 1.12), (0.08, 1.12), (0.1, 1.12)])
def test_leak_is_near_the_entropy(qber: float, limit: float) -> None:
    """Frames of 1e5 bits are corrected for `limit` x h(qber) a bit at most; the bench has the long ones."""
    n = 100_000
    plan = plan_for(qber, n)
    alice, bob = noisy(qber, n, 4)
    results, _ = reconcile(plan, alice, bob, filled(plan, 4), [1, 2, 3, 4])
    for mine, theirs, result in zip(alice, bob, results, strict=True):
        assert result.bits is not None
        assert (result.bits == mine).all()
        assert result.corrected_bits == (mine != theirs).sum()
        assert result.leak_bits - TAG_BITS < limit * n * binary_entropy(qber)


def test_leak_follows_the_error_ratio_without_steps() -> None:
    """Between two codes puncturing fills the gap: the first leak is what was asked for, to the bit."""
    for qber in np.linspace(0.015, 0.11, 8):
        plan = plan_for(float(qber), SMALL, efficiency=1.1)
        assert plan.disclosed_bits(0, 0) == np.ceil(1.1 * SMALL * binary_entropy(qber))


def test_account_holds_all_that_was_sent() -> None:
    """A plan that starts below what is needed: both counts are the syndrome less the fill, each reveal, each word."""
    plan = plan_for(0.05, SMALL, efficiency=1.08)
    alice, bob = noisy(0.05, SMALL, 3)
    results, a, b, sent = talk(plan, alice, bob)
    asked = [
        tuple(row) for request, _ in sent for row in np.frombuffer(request, dtype=np.int32).reshape(-1, 2).tolist()
    ]
    sizes = [part.size for part in layout(plan).rounds]
    assert b.rounds == len(sent) > 0
    assert sum(len(answer) for _, answer in sent) == sum(sizes[turn] for _, turn in asked)
    for i, result in enumerate(results):
        turns = [turn for frame, turn in asked if frame == i]
        assert turns == list(range(len(turns)))
        paid = plan.rows * plan.lift - plan.punctured_bits + sum(sizes[: len(turns)]) + len(turns) + 1
        assert result.leak_bits - TAG_BITS == a.disclosed_bits[i] == b.disclosed_bits[i] == paid
        assert result.bits is not None
        assert (result.bits == alice[i]).all()


def test_frame_that_stays_wrong_has_no_bits() -> None:
    """Errors far above the estimate: all is revealed, in the end the whole syndrome is leaked, and no key is left."""
    plan = plan_for(0.03, SMALL)
    alice, bob = noisy(0.08, SMALL, 1)
    (result,), _, b, _ = talk(plan, alice, bob)
    assert b.rounds == plan.max_rounds
    assert result == Corrected(
        bits=None, corrected_bits=0, leak_bits=plan.syndrome_bits + plan.max_rounds + 1 + TAG_BITS
    )


def test_other_tag_gives_no_key() -> None:
    """A frame whose tags differ has no bits, however well it was decoded; what was disclosed still counts."""
    plan = plan_for(0.03, SMALL)
    alice, bob = noisy(0.02, SMALL, 1)
    a, b = Alice(plan, alice, filled(plan, 1)), Bob(plan, bob)
    b.start(a.syndromes())
    assert len(b.ask()) == 0
    (good,), (bad,) = b.results([9], a.tags([9])), b.results([9], [a.tags([9])[0] ^ 1])
    assert good.bits is not None
    assert bad == Corrected(bits=None, corrected_bits=good.corrected_bits, leak_bits=good.leak_bits)


@pytest.mark.parametrize(("at", "reveal"), [(0, False), (12_345, False), (7, True)])
def test_no_wrong_frame_counts_as_right(*, at: int, reveal: bool) -> None:
    """One bit of the syndrome, or of each reveal, changed on the way: never a frame other than Alice's with key."""
    plan = plan_for(0.03, 2**15, efficiency=1.1 if reveal else 1.3)
    alice, bob = noisy(0.03, 2**15, 1, seed=at)
    a, b = Alice(plan, alice, filled(plan, 1)), Bob(plan, bob)
    syndromes = a.syndromes()
    syndromes[0, at % plan.syndrome_bits] ^= not reveal
    b.start(syndromes)
    while len(requests := b.ask()):
        answer = a.answer(requests)
        answer[at % answer.size] ^= reveal
        b.take(answer)
    (result,) = b.results([at], a.tags([at]))
    assert result.bits is None or (result.bits == alice[0]).all()


@pytest.mark.parametrize("qber", [-0.01, 0.51, 1.0, float("nan")])
def test_error_ratio_outside_is_refused(qber: float) -> None:
    """Above one half, or no number at all, is no error ratio of a link."""
    with pytest.raises(ValueError, match="not within"):
        plan_for(qber, SMALL)


def test_plan_that_cannot_be_is_refused() -> None:
    """Errors no code of ours can correct, frames too short or long, an efficiency below Shannon's limit or none."""
    for qber in (0.15, 0.5):
        with pytest.raises(ValueError, match="strong enough"):
            plan_for(qber, SMALL)
    for size in (0, 1000, 2**24):
        with pytest.raises(ValueError, match="a frame has"):
            plan_for(0.05, size)
    for ratio in (0.99, 2.1, float("nan")):
        with pytest.raises(ValueError, match="efficiency"):
            plan_for(0.05, SMALL, efficiency=ratio)
    wide: dict[str, Any] = {
        "frame_bits": 2**15,
        "rows": 240,
        "lift": 64,
        "punctured_bits": 100,
        "step_bits": 10,
        "qber": 0.05,
    }
    for change in ({"frame_bits": 51_101}, {"punctured_bits": -1}, {"punctured_bits": 51_200}, {"step_bits": 0}):
        with pytest.raises(ValueError, match="do not fit"):
            LdpcPlan(**wide | change)
    for qber in (0.0, 0.5, float("nan")):
        with pytest.raises(ValueError, match="not within"):
            LdpcPlan(**wide | {"qber": qber})
    with pytest.raises(ValueError, match="can be punctured"):
        layout(LdpcPlan(**wide | {"punctured_bits": 9000}))


def test_frames_that_do_not_fit_are_refused() -> None:
    """Another length than the plan's, values that are no bits, and a fill of another size or with other values."""
    plan = plan_for(0.05, SMALL)
    frame, fill = np.zeros(SMALL), np.zeros((1, plan.punctured_bits))
    for wrong in (np.zeros(SMALL - 1), np.full(SMALL, 2), np.full(SMALL, 0.5), np.zeros((0, SMALL))):
        with pytest.raises(ValueError, match=r"shape|bits"):
            Bob(plan, wrong)
        with pytest.raises(ValueError, match=r"shape|bits"):
            Alice(plan, wrong, fill)
    for wrong in (fill[:, 1:], fill + 2, np.zeros((2, plan.punctured_bits))):
        with pytest.raises(ValueError, match="fill"):
            Alice(plan, frame, wrong)


def test_syndromes_that_do_not_fit_are_refused() -> None:
    """Of another number of frames, of another plan, with other values than bits, and a second time."""
    plan, other = plan_for(0.05, SMALL), plan_for(0.03, SMALL)
    bob = Bob(plan, np.zeros(SMALL))
    good = Alice(plan, np.zeros(SMALL), filled(plan, 1)).syndromes()
    two = Alice(plan, np.zeros((2, SMALL)), filled(plan, 2)).syndromes()
    for wrong in (two, Alice(other, np.zeros(SMALL), filled(other, 1)).syndromes(), good[:, 1:], good + 1, good[0]):
        with pytest.raises(ValueError, match="syndromes are bits"):
            bob.start(wrong)
    bob.start(good)
    with pytest.raises(ValueError, match="before"):
        bob.start(good)


def test_messages_out_of_place_are_refused() -> None:
    """A replayed round, one too early, another frame, another shape; answers of another length, no bits or replayed."""
    plan = plan_for(0.05, SMALL, efficiency=1.0)
    alice, bob = noisy(0.052, SMALL, 1)
    a, b = Alice(plan, alice, filled(plan, 1)), Bob(plan, bob)
    for early in (b.ask, lambda: b.results([1], [1])):
        with pytest.raises(ValueError, match="not"):
            early()
    b.start(a.syndromes())
    with pytest.raises(ValueError, match="not ended"):
        b.results([1], [1])
    requests = b.ask()
    assert requests.tolist() == [[0, 0]]
    with pytest.raises(ValueError, match="not taken"):
        b.ask()
    for rows in ([[0, 1]], [[0, -1]]):
        with pytest.raises(ValueError, match="next"):
            a.answer(np.array(rows))
    for rows in ([[1, 0]], [[-1, 0]], [[0, 0], [0, 0]], [[0, plan.max_rounds]]):
        with pytest.raises(ValueError, match="outside the plan"):
            a.answer(np.array(rows))
    for shapeless in ([0, 0], [[0, 0, 0]], [[0.0, 0.0]]):
        with pytest.raises(ValueError, match="shape"):
            a.answer(np.array(shapeless))
    assert a.disclosed_bits[0] == plan.disclosed_bits(1, 0)  # what was refused told nothing
    answer = a.answer(requests)
    with pytest.raises(ValueError, match="next"):
        a.answer(requests)
    for wrong in (answer[1:], answer + 2):
        with pytest.raises(ValueError, match="asked for"):
            b.take(wrong)
    b.take(answer)
    with pytest.raises(ValueError, match="asked for"):
        b.take(answer)
