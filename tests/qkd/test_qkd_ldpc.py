"""LDPC reconciliation: the codes, the decoder against a slow, obvious reference, and what it costs to the bit."""

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from keystrand.qkd import ldpc_kernel as kernel
from keystrand.qkd.cascade import TAG_BITS, Bits
from keystrand.qkd.cascade_party import Corrected
from keystrand.qkd.decoy import binary_entropy
from keystrand.qkd.ldpc import LdpcPlan, code_of, layout, plan_for
from keystrand.qkd.ldpc_codes import COLUMNS, EDGE_SHARES, MAX_ROWS, MIN_ROWS, Code, code, degrees, grow, untainted
from keystrand.qkd.ldpc_party import Alice, Bob, reconcile

SMALL = 50_000
SOME_ROWS = [MIN_ROWS, 130, 240, 322, MAX_ROWS]


def matrix(made: Code) -> sparse.csr_matrix:
    """Return the parity-check matrix bit by bit, from the definition of the lifting."""
    rows = np.repeat(np.arange(made.start.size - 1), np.diff(made.start))
    z = np.arange(made.lift)
    check = (rows[:, None] * made.lift + z).ravel()
    bit = (made.column[:, None] * made.lift + (z + made.shift[:, None]) % made.lift).ravel()
    return sparse.csr_matrix((np.ones(check.size, dtype=np.int64), (check, bit)), (made.checks, COLUMNS * made.lift))


def slow_decode(made: Code, wanted: Bits, prior: npt.NDArray[np.float64], steps: int) -> npt.NDArray[np.float64]:
    """Layered sum-product, check by check in double precision, by tanh and artanh; messages in bits."""
    h = matrix(made)
    totals, messages = prior.copy(), np.zeros(h.nnz)
    for _ in range(steps):
        for check in range(made.checks):
            edges = slice(h.indptr[check], h.indptr[check + 1])
            inward = totals[h.indices[edges]] - messages[edges]
            halves = np.tanh(inward * np.log(2) / 2)
            halves = np.where(np.abs(halves) < 1e-7, np.copysign(1e-7, inward), halves)
            others = (-1.0) ** wanted[check] * halves.prod() / halves
            messages[edges] = 2 * np.arctanh(np.clip(others, -1 + 1.2e-7, 1 - 1.2e-7)) / np.log(2)
            totals[h.indices[edges]] = inward + messages[edges]
    return totals


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


@pytest.mark.parametrize("rows", SOME_ROWS)
def test_codes_have_no_short_cycles(rows: int) -> None:
    """No two checks share two bits, which is what a cycle of length 4 is; no bit meets a check twice."""
    h = matrix(code(rows, 64))
    shared = (h @ h.T).tocoo()
    assert shared.data[shared.row != shared.col].max() == 1
    assert h.data.max() == 1


@pytest.mark.parametrize("leak", EDGE_SHARES)
def test_degrees_are_those_of_the_table(leak: float) -> None:
    """At the rates of the table each degree has its share of the edges, as near as 800 columns allow."""
    found = np.array(degrees(round(leak * COLUMNS)))
    assert found.size == COLUMNS
    for degree, share in EDGE_SHARES[leak].items():
        assert found[found == degree].sum() / found.sum() == pytest.approx(share, rel=0.02, abs=degree / found.sum())


@pytest.mark.parametrize("leak", EDGE_SHARES)
def test_codes_have_the_edges_of_the_table(leak: float) -> None:
    """The shares sum to one, and a code has as many edges as they and its rate ask for, evenly over the checks."""
    shares = EDGE_SHARES[leak]
    made = code(round(leak * COLUMNS), 64)
    checks = np.diff(made.start)
    assert sum(shares.values()) == pytest.approx(1.0, abs=1e-4)
    assert sum(shares.values()) / sum(v / d for d, v in shares.items()) * COLUMNS == pytest.approx(
        checks.sum(), rel=0.01
    )
    assert checks.max() - checks.min() <= 3


@given(rows=st.integers(MIN_ROWS, MAX_ROWS))
def test_degrees_between_the_rates_are_mixed(rows: int) -> None:
    """Every leak has 800 columns, of degrees that occur at one of the two rates next to it."""
    found = degrees(rows)
    below = max(leak for leak in EDGE_SHARES if leak <= rows / COLUMNS)
    above = min((leak for leak in EDGE_SHARES if leak >= rows / COLUMNS), default=below)
    assert len(found) == COLUMNS
    assert found == sorted(found)
    assert set(found) <= set(EDGE_SHARES[below]) | set(EDGE_SHARES[above])


@given(wanted=st.lists(st.integers(2, 4), min_size=2, max_size=14), seed=st.integers(0, 99))
def test_edges_go_as_far_as_they_can(wanted: list[int], seed: int) -> None:
    """Each new edge ends at a row that is at least as far from the column as any other, and of those the lightest."""
    rows, rng = 6, np.random.default_rng(seed)
    columns = grow(wanted, rows, lambda bound: int(rng.integers(bound)))
    for j, met in enumerate(columns):
        for k in range(len(met)):
            earlier = [*columns[:j], met[:k]]
            reach = {row: distance(earlier, j, row) for row in range(rows)}
            weight = {row: sum(other.count(row) for other in earlier) for row in range(rows)}
            farthest = [row for row in range(rows) if reach[row] == max(reach.values())]
            assert met[k] in farthest
            assert weight[met[k]] == min(weight[row] for row in farthest)


def distance(columns: list[list[int]], start: int, row: int) -> int:
    """Return the steps from a column to a row, walked one by one; 99 where no way leads there."""
    reached, steps = set(columns[start]), 1
    while row not in reached:
        grown = reached.union(*(met for met in columns if reached & set(met)))
        if grown == reached:
            return 99
        reached, steps = grown, steps + 1
    return steps


def test_codes_never_change() -> None:
    """Both ends make their own code: it must be the same with every release and on every machine."""
    made = code(240, 64)
    digest = hashlib.sha256(b"".join(part.astype("<i4").tobytes() for part in made[1:])).hexdigest()
    assert digest[:16] == "0b76312dae790469"
    assert code(240, 64, seed=2).shift.tolist() != made.shift.tolist()


@pytest.mark.parametrize(("rows", "lift"), [(MIN_ROWS - 1, 128), (MAX_ROWS + 1, 128), (240, 1), (240, 2**15)])
def test_code_of_other_size_is_refused(rows: int, lift: int) -> None:
    """Sizes outside what was tried are an error."""
    with pytest.raises(ValueError, match="codes have"):
        code(rows, lift)


def test_lift_too_small_for_the_graph_is_refused() -> None:
    """Where no shift is left without a short cycle there is no code."""
    with pytest.raises(ValueError, match="cycles of length 4"):
        code(MIN_ROWS, 4)


@settings(deadline=None, max_examples=6)
@given(rows=st.sampled_from(SOME_ROWS), lift=st.sampled_from([64, 71]), seed=st.integers(0, 2**32))
def test_syndrome_is_the_matrix_product(rows: int, lift: int, seed: int) -> None:
    """Bit for bit what the matrix gives."""
    made, rng = code(rows, lift), np.random.default_rng(seed)
    bits = rng.integers(0, 2, COLUMNS * lift, dtype=np.uint8)
    assert (kernel.syndrome(made, bits) == matrix(made) @ bits % 2).all()


@pytest.mark.parametrize("rows", [MIN_ROWS, 240])
def test_decoder_equals_the_reference(rows: int) -> None:
    """After one step and after three, the belief about each bit, with bits unknown and certain among them."""
    made, rng = code(rows, 64), np.random.default_rng(rows)
    prior = np.full(COLUMNS * 64, 5.0)
    prior[rng.choice(prior.size, 500, replace=False)] = 0.0
    prior[rng.choice(prior.size, 500, replace=False)] = 40.0
    errors = ((rng.random(prior.size) < 0.02) & (prior < 40)).astype(np.uint8)
    wanted = kernel.syndrome(made, errors)
    decoder = kernel.Decoder(made, wanted, prior.astype(np.float32))
    for steps, run in ((1, 1), (3, 2)):
        decoder.run(run)
        slow = slow_decode(made, wanted, prior, steps)
        sure = np.abs(slow) < 10  # above, float32 tells 1 - 2^-x less and less well
        np.testing.assert_allclose(decoder.totals[sure], slow[sure], atol=0.03 * steps, rtol=2e-3)
        assert ((decoder.totals < 0) == (slow < 0))[np.abs(slow) > 0.05].all()


def test_decoder_finds_only_what_satisfies_all_checks() -> None:
    """A few errors are found in a few steps; too many are reported as not found; what is learnt later helps."""
    made, rng = code(240, 64), np.random.default_rng(1)
    few, many = ((rng.random(COLUMNS * 64) < ratio).astype(np.uint8) for ratio in (0.03, 0.055))
    prior = np.full(few.size, 4.0, dtype=np.float32)
    decoder = kernel.Decoder(made, kernel.syndrome(made, few), prior)
    assert 0 < decoder.run(50) < 30
    assert (decoder.bits == few).all()
    decoder = kernel.Decoder(made, kernel.syndrome(made, many), prior)
    assert decoder.run(50) == 0
    places = np.arange(0, few.size, 4, dtype=np.int32)
    decoder.learn(places, np.where(many[places], np.float32(-40.0), np.float32(40.0)))
    assert decoder.run(50) > 0
    assert (decoder.bits == many).all()


@pytest.mark.parametrize("qber", [0.0, 0.004, 0.02, 0.05, 0.1, 0.12])
def test_layout_takes_each_place_once(qber: float) -> None:
    """Frame, punctured and shortened places make up the code; the rounds reveal each punctured place once."""
    plan = plan_for(qber, SMALL)
    places = layout(plan)
    everything = np.concatenate([places.frame, places.punctured, places.shortened])
    assert np.sort(everything).tolist() == list(range(COLUMNS * plan.lift))
    assert (places.frame.size, places.shortened.size) == (SMALL, plan.shortened_bits)
    assert len(places.rounds) == plan.max_rounds
    assert np.sort(np.concatenate(places.rounds)).tolist() == np.sort(places.punctured).tolist()


@pytest.mark.parametrize("qber", [0.004, 0.02, 0.05, 0.1])
def test_punctured_bits_hide_as_many_bits_of_the_syndrome(qber: float) -> None:
    """No check sees two punctured bits, so these shift the syndrome by independent vectors: what the account needs."""
    plan = plan_for(qber, SMALL)
    seen = np.asarray(matrix(code_of(plan))[:, layout(plan).punctured].sum(axis=1))
    assert plan.punctured_bits > 0
    assert seen.max() == 1
    assert len(untainted(plan.rows)) * plan.lift > plan.punctured_bits


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
    for qber in np.linspace(0.015, 0.11, 12):
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
    plan = plan_for(0.02, SMALL)
    alice, bob = noisy(0.06, SMALL, 1)
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


@pytest.mark.parametrize(("at", "reveal"), [(0, False), (12_345, False), (20_001, False), (7, True)])
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
    plan, other = plan_for(0.05, SMALL), plan_for(0.06, SMALL)
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
