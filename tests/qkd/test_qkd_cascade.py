"""Cascade: what is corrected, what it costs to the bit, and the compiled loops against a slow, obvious reference."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystrand.qkd import cascade_kernel as kernel
from keystrand.qkd import cascade_party
from keystrand.qkd.cascade import TAG_BITS, Bits, CascadePlan, orders, plan_for, tag
from keystrand.qkd.cascade_party import Alice, Bob, Corrected, reconcile
from keystrand.qkd.decoy import binary_entropy
from keystrand.qkd.universal_hash import PRIME, collision_probability

Query = tuple[int, int]
ANY = settings(deadline=None)  # the first example compiles


class SlowBob:
    """Bob without trees: parities are summed from the bits, and what is known is a dictionary of (pass, node)."""

    def __init__(self, plan: CascadePlan, bits: Bits, patience: int | None = None) -> None:
        self.n, self.bits, self.order = plan.frame_bits, bits.copy(), orders(plan)
        self.tops = [self.n // k for k in plan.block_bits]
        self.known: dict[Query, int] = {}
        self.agenda: list[Query] = []
        self.opened = self.rounds = 0
        self.patience = patience

    def bits_of(self, p: int, node: int) -> list[int]:
        """Return the places in the frame of the bits under a node."""
        level = node.bit_length() - 1
        size, first = self.n >> level, (node - (1 << level)) * (self.n >> level)
        return [int(i) for i in self.order[p][first : first + size]]

    def is_odd(self, p: int, node: int) -> bool:
        """Return whether an odd number of errors is known to lie under a node."""
        if (p, node) not in self.known:
            return False
        return int(self.bits[self.bits_of(p, node)].sum()) % 2 != self.known[p, node]

    def put(self, p: int, node: int) -> None:
        """Put a node with an odd number of errors on the agenda, unless it is there."""
        if self.is_odd(p, node) and (p, node) not in self.agenda:
            self.agenda.append((p, node))

    def correct(self, at: int) -> None:
        """Flip a bit, and put the smallest known odd block with it on the agenda, for the last pass first."""
        self.bits[at] ^= 1
        for p in reversed(range(self.opened)):
            node = self.n + list(self.order[p]).index(at)
            while node >= self.tops[p] and not self.is_odd(p, node):
                node //= 2
            if node >= self.tops[p]:
                self.put(p, node)

    def ask(self, *, batched: bool) -> list[Query]:
        """Return the next queries."""
        asked: list[Query] = []
        while self.agenda and (batched or not asked):
            p, node = self.agenda.pop()
            if not self.is_odd(p, node):
                continue
            while node < self.n and (p, 2 * node) in self.known:
                node = 2 * node if self.is_odd(p, 2 * node) else 2 * node + 1
            if node >= self.n:
                self.correct(int(self.order[p][node - self.n]))
            elif (p, 2 * node) not in asked:
                asked.append((p, 2 * node))
        if self.opened < len(self.tops) and (not asked or self.is_late(len(asked))):
            p, top = self.opened, self.tops[self.opened]
            asked += [(p, node) for node in range(top, 2 * top - (p > 0))]
            self.opened += 1
        self.rounds += 1
        return asked

    def is_late(self, searches: int) -> bool:
        """Return whether the next pass no longer waits for so many searches."""
        late = self.patience is not None and self.rounds >= self.patience
        return late and searches < kernel.FEW and self.tops[self.opened] > 2

    def take(self, asked: list[Query], parities: list[int]) -> None:
        """Take the answers, and what follows from each: the sibling, and the last block of a pass from the frame."""
        for (p, node), parity in zip(asked, parities, strict=True):
            top = self.tops[p]
            self.known[p, node] = parity
            self.put(p, node)
            if node >= 2 * top:
                self.known[p, node + 1] = parity ^ self.known[p, node // 2]
                self.put(p, node + 1)
            elif p > 0 and node == 2 * top - 2:
                whole = sum(self.known[0, b] for b in range(self.tops[0], 2 * self.tops[0]))
                self.known[p, node + 1] = (whole + sum(self.known[p, b] for b in range(top, node + 1))) % 2
                self.put(p, node + 1)


@st.composite
def cases(draw: st.DrawFn) -> tuple[CascadePlan, Bits, Bits]:
    """A small plan of either kind, a frame of Alice's, and Bob's with any pattern of at most 11 % errors."""
    n = draw(st.sampled_from([16, 64, 256]))
    errors = draw(st.sets(st.integers(0, n - 1), max_size=max(1, int(0.11 * n))))
    qber, seed = draw(st.sampled_from([0.0, 0.01, 0.05, 0.11])), draw(st.integers(0, 2**64 - 1))
    plan = plan_for(qber, n, seed, batched=draw(st.booleans()))
    if n == 256 and draw(st.booleans()):  # more passes of many blocks than small frames otherwise have
        plan = CascadePlan(frame_bits=n, block_bits=(8, 32, 16, 128, 64, 128), seed=seed)
    alice: Bits = np.frombuffer(draw(st.binary(min_size=n, max_size=n)), dtype=np.uint8) & np.uint8(1)
    bob = alice.copy()
    bob[sorted(errors)] ^= np.uint8(1)
    return plan, alice, bob


def noisy(qber: float, n: int, frames: int, seed: int = 3) -> tuple[Bits, Bits]:
    """Return frames of Alice's, and Bob's with independent errors."""
    rng = np.random.default_rng(seed)
    alice = rng.integers(0, 2, (frames, n), dtype=np.uint8)
    return alice, alice ^ (rng.random((frames, n)) < qber).astype(np.uint8)


def talk(
    plan: CascadePlan, alice: Bits, bob: Bits, *, batched: bool
) -> tuple[list[Corrected], Alice, Bob, list[bytes]]:
    """Let the two parties talk; each message goes as bytes. Returns also all that was asked."""
    a, b = Alice(plan, alice), Bob(plan, bob, batched=batched)
    sent = []
    while len(queries := b.ask()):
        sent.append(queries.tobytes())
        answer = a.answer(np.frombuffer(sent[-1], dtype=np.int32).reshape(-1, 3)).tobytes()
        b.take(np.frombuffer(answer, dtype=np.uint8))
    points = [12345 + i for i in range(len(np.atleast_2d(alice)))]
    return b.results(points, a.tags(points)), a, b, sent


@ANY
@given(case=cases(), batched=st.booleans())
def test_no_wrong_frame_counts_as_right(*, case: tuple[CascadePlan, Bits, Bits], batched: bool) -> None:
    """Whatever the errors: a frame comes out equal to Alice's, or it is reported as failed and has no bits."""
    plan, alice, bob = case
    (result,), _, b, _ = talk(plan, alice, bob, batched=batched)
    if result.bits is not None:
        assert (result.bits == alice).all()
        assert result.corrected_bits == (alice != bob).sum()
    else:
        assert result.corrected_bits < (alice != bob).sum()
    assert result.leak_bits == b.parity_bits[0] + TAG_BITS


@ANY
@given(case=cases(), batched=st.booleans())
def test_leak_is_what_was_sent(*, case: tuple[CascadePlan, Bits, Bits], batched: bool) -> None:
    """Both accounts equal the number of different parities on the wire, none of which is asked for twice."""
    plan, alice, bob = case
    _, a, b, sent = talk(plan, alice, bob, batched=batched)
    asked = [tuple(row) for part in sent for row in np.frombuffer(part, dtype=np.int32).reshape(-1, 3).tolist()]
    assert len(asked) == len(set(asked)) == a.parity_bits.sum() == b.parity_bits.sum()
    assert b.rounds == len(sent)


@settings(deadline=None, max_examples=250)
@given(case=cases(), batched=st.booleans(), patience=st.sampled_from([0, 1, 2, 3, 5]))
def test_compiled_loops_equal_the_reference(
    *, case: tuple[CascadePlan, Bits, Bits], batched: bool, patience: int
) -> None:
    """The same parities in the same order, and the same corrected frame, as the slow reference."""
    plan, alice, bob = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cascade_party, "PATIENCE", patience)
        fast = Bob(plan, bob, batched=batched)
    slow, truth = SlowBob(plan, bob, patience if batched else None), SlowBob(plan, alice)
    while asked := slow.ask(batched=batched):
        assert fast.ask().tolist() == [[0, p, node] for p, node in asked]
        parities = [int(alice[truth.bits_of(p, node)].sum()) % 2 for p, node in asked]
        slow.take(asked, parities)
        fast.take(parities)
    assert len(fast.ask()) == 0
    (result,) = fast.results([7], [tag(slow.bits, 7)])
    assert result.bits is not None
    assert (result.bits == slow.bits).all()


@pytest.mark.parametrize("batched", [False, True])
def test_one_process_does_what_two_parties_do(*, batched: bool) -> None:
    """The simulation's short way discloses as much, in as many round trips, and corrects the same bits."""
    plan = plan_for(0.05, 4096, 5, batched=batched)
    alice, bob = noisy(0.05, 4096, 4)
    apart, _, b, _ = talk(plan, alice, bob, batched=batched)
    together, rounds = reconcile(plan, alice, bob, [12345 + i for i in range(4)], batched=batched)
    assert rounds == b.rounds
    for one, other in zip(together, apart, strict=True):
        assert (one.leak_bits, one.corrected_bits) == (other.leak_bits, other.corrected_bits)
        assert np.array_equal(one.bits, other.bits)  # type: ignore[arg-type]  # None fails here, too


@pytest.mark.parametrize(
    ("qber", "published"), [(0.01, 1.0422), (0.03, 1.0390), (0.05, 1.0431), (0.08, 1.0547), (0.11, 1.0613)]
)
def test_leak_is_near_the_published_efficiency(qber: float, published: float) -> None:
    """arXiv:1407.3257, Table 3 (frames of 2^14 bits): parities / (n h(errors / n)), here over 40 frames."""
    n = 2**14
    alice, bob = noisy(qber, n, 40)
    results, _ = reconcile(plan_for(qber, n, 11), alice, bob, list(range(40)))
    assert all(r.bits is not None for r in results)
    leak = sum(r.leak_bits - TAG_BITS for r in results)
    assert leak / float((n * binary_entropy((alice != bob).mean(axis=1))).sum()) == pytest.approx(published, abs=0.015)


@pytest.mark.parametrize(
    ("qber", "limit"), [(0.01, 1.06), (0.02, 1.06), (0.03, 1.06), (0.05, 1.065), (0.08, 1.08), (0.11, 1.085)]
)
def test_batched_frames_end_within_200_round_trips(qber: float, limit: float) -> None:
    """Frames of 65,536 bits: the slowest of 16 in flight, 6 to 8 % above Shannon's leak (few frames: +0.005)."""
    n = 2**16
    alice, bob = noisy(qber, n, 16)
    results, rounds = reconcile(plan_for(qber, n, 11, batched=True), alice, bob, list(range(16)), batched=True)
    assert all(r.bits is not None for r in results)
    assert rounds <= 200
    leak = sum(r.leak_bits - TAG_BITS for r in results)
    assert leak / float((n * binary_entropy((alice != bob).mean(axis=1))).sum()) < limit


def test_no_errors_cost_only_the_blocks() -> None:
    """With a QBER of 0 nothing is searched: two halves at first, then one parity a pass."""
    plan = plan_for(0.0, 4096, 1)
    alice, _ = noisy(0.0, 4096, 1)
    (result,), rounds = reconcile(plan, alice, alice, [3])
    assert (result.corrected_bits, result.leak_bits, rounds) == (0, 2 + 13 + TAG_BITS, 14)


def test_wrong_estimate_is_corrected_or_noticed() -> None:
    """A plan for 1 % on frames that differ as strangers do: dear, but never a frame counted as right that is not."""
    alice, bob = noisy(0.5, 1024, 3)
    for mine, result in zip(alice, reconcile(plan_for(0.01, 1024, 2), alice, bob, [1, 2, 3])[0], strict=True):
        assert result.bits is None or (result.bits == mine).all()


def test_frame_that_stays_wrong_has_no_bits() -> None:
    """Two errors in one block of a single pass cannot be seen: the tag finds them, and the leak still counts."""
    plan = CascadePlan(frame_bits=16, block_bits=(8,), seed=0)
    alice = np.zeros(16, dtype=np.uint8)
    bob = alice.copy()
    bob[[1, 2]] = 1
    (result,), _, _, _ = talk(plan, alice, bob, batched=False)
    assert result == Corrected(bits=None, corrected_bits=0, leak_bits=2 + TAG_BITS)


@pytest.mark.parametrize("batched", [False, True])
def test_answers_that_contradict_themselves_end(*, batched: bool) -> None:
    """Random answers end too, and the tag then tells that nothing was corrected."""
    alice, bob = noisy(0.05, 256, 1)
    rng, party = np.random.default_rng(1), Bob(plan_for(0.05, 256, 1), bob, batched=batched)
    for _ in range(20_000):
        if not len(queries := party.ask()):
            break
        party.take(rng.integers(0, 2, len(queries)))
    (result,) = party.results([99], [tag(alice[0], 99)])
    assert result.bits is None


@pytest.mark.parametrize("qber", [-0.01, 0.51, 1.0, float("nan")])
def test_error_ratio_outside_is_refused(qber: float) -> None:
    """Above one half, or no number at all, is no error ratio of a link."""
    with pytest.raises(ValueError, match="not within"):
        plan_for(qber, 1024, 1)


@pytest.mark.parametrize("change", [{"frame_bits": 1000}, {"block_bits": (3,)}, {"block_bits": (1024,)}])
def test_plan_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    """Sizes are powers of two, and each pass has two blocks at least."""
    with pytest.raises(ValueError, match=r"powers of two|two blocks"):
        CascadePlan(**{"frame_bits": 1024, "block_bits": (8,), "seed": 1} | change)  # type: ignore[arg-type]  # faults under test


def test_frames_that_do_not_fit_are_refused() -> None:
    """Another length than the plan's, unequal lengths, unequal numbers, and values that are no bits."""
    plan = plan_for(0.05, 64, 1)
    for wrong in (np.zeros(32), np.zeros((2, 128)), np.full(64, 2), np.zeros((0, 64)), [[0] * 64, [0] * 32]):
        with pytest.raises(ValueError, match=r"shape|bits|inhomogeneous"):
            Bob(plan, wrong)
    with pytest.raises(ValueError, match="frames of Alice"):
        reconcile(plan, np.zeros((2, 64)), np.zeros((3, 64)), [1, 2])


def test_messages_out_of_place_are_refused() -> None:
    """A query outside the plan, an answer of another length or no bits, a second question, a verdict too early."""
    plan = plan_for(0.05, 64, 1)
    alice, bob = Alice(plan, np.zeros(64)), Bob(plan, np.ones(64))
    tops = 64 // np.array(plan.block_bits)
    for row in ([1, 0, 40], [0, 14, 40], [0, 0, 128], [0, 0, tops[0] - 1], [0, 0, -1], [0, 0, 2**40], [0, 2**32, 40]):
        with pytest.raises(ValueError, match="outside the plan"):
            alice.answer(np.array([[0, 0, 40], row]))
    with pytest.raises(ValueError, match="shape"):
        alice.answer(np.array([0, 0, 40], dtype=np.int32))
    assert alice.parity_bits.sum() == 0
    asked = bob.ask()
    for wrong in (np.zeros(len(asked) + 1), np.full(len(asked), 2)):
        with pytest.raises(ValueError, match="parities"):
            bob.take(wrong)
    with pytest.raises(ValueError, match="not taken"):
        bob.ask()
    with pytest.raises(ValueError, match="not ended"):
        bob.results([1], [1])


@given(st.integers(0, 2**32), st.integers(0, 255))
def test_frames_that_differ_have_other_tags(seed: int, at: int) -> None:
    """One wrong bit is seen at a uniform point; the claimed probability is that of the hash."""
    chance = np.random.default_rng(seed)
    bits, point = chance.integers(0, 2, 256, dtype=np.uint8), int.from_bytes(chance.bytes(16)) % PRIME
    wrong = bits.copy()
    wrong[at] ^= 1
    assert tag(bits, point) != tag(wrong, point)
    assert collision_probability(1 << 16, TAG_BITS) < 2**-53


def test_orders_are_permutations_and_never_change() -> None:
    """Each pass holds every place once; the values are fixed, as two releases must find the same."""
    made = orders(plan_for(0.05, 64, 1))
    assert (np.sort(made, axis=1) == np.arange(64)).all()
    assert (made[0] == np.arange(64)).all()
    assert len({tuple(row) for row in made.tolist()}) == len(made)
    assert made[1][:8].tolist() == [34, 3, 43, 2, 62, 31, 28, 51]  # by splitmix64 in plain integers


def test_late_orders_split_the_frame_anew() -> None:
    """Each late pass has a half of its own; two errors lie in different halves in half of the passes."""
    plan = plan_for(0.05, 4096, 9, passes=32)
    first = np.zeros((32, 4096), dtype=np.bool_)
    np.put_along_axis(first, orders(plan)[:, :2048], values=True, axis=1)
    late = first[3:]
    assert (late.sum(axis=1) == 2048).all()
    apart = (late[:, :, None] != late[:, None, :300]).mean(axis=0)[~np.eye(4096, 300, dtype=np.bool_)]
    assert apart.mean() == pytest.approx(0.5, abs=0.01)
    assert apart.min() > 0.0


def test_parity_told_twice_counts_once() -> None:
    """Alice's account is of different parities, of blocks, of nodes below and of halves alike."""
    plan = plan_for(0.05, 4096, 1)
    alice = Alice(plan, noisy(0.05, 4096, 2)[0])
    rows = np.array([[0, 0, 256], [0, 0, 512], [1, 5, 2], [1, 5, 3], [1, 5, 7], [1, 5, 8000]])
    once = alice.answer(rows)
    assert (alice.answer(np.concatenate([rows, rows])) == np.concatenate([once, once])).all()
    assert alice.parity_bits.tolist() == [2, 4]


@pytest.mark.system
def test_command_line_does_not_load_the_compiler() -> None:
    """`keystrand --help` stays fast: Numba is loaded by the modules that need it, and only by them."""
    code = "import keystrand.cli.main, keystrand.qkd.cascade, sys; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
