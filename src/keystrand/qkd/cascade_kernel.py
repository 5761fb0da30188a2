"""The inner loops of Cascade, compiled by Numba. State is plain arrays; nothing here knows both parties but `run`.

Bob keeps one byte a node of each pass: his own parity, Alice's where known, and marks. A query is the number
`pass x 2n + node`. Alice's parities are true, so each correction removes an error; the limit on corrections only
ends a run in which what arrives contradicts itself.
"""

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt
from numba import njit

Bytes = npt.NDArray[np.uint8]
Index = npt.NDArray[np.int32]
State = npt.NDArray[np.int64]
Function = TypeVar("Function", bound=Callable[..., object])

# marks of a node, beside bit 0 (Bob's parity) and bit 1 (Alice's parity)
KNOWN, ASKED, QUEUED = 4, 8, 16
# places in the state of one frame: passes opened, height of the agenda, parities asked for, bits corrected,
# Alice's parity of the whole frame, whether the parities awaited are those of a pass's blocks,
# and how many searches may ask in one round trip
PASSES, HEIGHT, ASKED_BITS, CORRECTED, TOTAL, OPENING, LIMIT = range(7)
STATE_SIZE = 7


def _compiled(function: Function) -> Function:
    """Compile on the first call and keep the machine code on disk; the wrapper keeps the types of the function."""
    return cast("Function", njit(cache=True)(function))


@_compiled
def build(bits: Bytes, order: Index, top: int, tree: Bytes) -> None:
    """Fill `tree` (2n) with the parities of `bits` in `order`, from the leaves up to the blocks `top`..2 top - 1."""
    n = bits.size
    for i in range(n):
        tree[n + i] = bits[order[i]]
    for node in range(n - 1, top - 1, -1):
        tree[node] = tree[2 * node] ^ tree[2 * node + 1]


@_compiled
def _odd(mark: int) -> bool:
    return (mark ^ (mark >> 1)) & 1 != 0 and mark & KNOWN != 0


@_compiled
def _push(tree: Bytes, node: int, item: int, agenda: Index, state: State) -> None:
    """Put a node on the agenda, once: so the agenda never holds more than there are nodes."""
    if tree[node] & QUEUED == 0:
        tree[node] |= QUEUED
        agenda[state[HEIGHT]] = item
        state[HEIGHT] += 1


@_compiled
def _correct(at: int, bits: Bytes, trees: Bytes, places: Index, tops: Index, agenda: Index, state: State) -> None:
    """Flip one bit; in every pass the lowest known node that now holds an odd number of errors comes on the agenda.

    The first pass is pushed last and so looked at first: its blocks are the smallest and the cheapest to search.
    """
    n = bits.size
    bits[at] ^= 1
    state[CORRECTED] += 1
    for p in range(state[PASSES] - 1, -1, -1):
        node, lowest = n + places[p, at], 0
        while node >= tops[p]:
            trees[p, node] ^= 1
            if lowest == 0 and _odd(trees[p, node]):
                lowest = node
            node >>= 1
        if lowest != 0:
            _push(trees[p], lowest, p * 2 * n + lowest, agenda, state)


@_compiled
def _open_pass(bits: Bytes, trees: Bytes, orders: Index, tops: Index, state: State, queries: Index) -> int:
    """Ask for the blocks of the next pass, all but the last where the frame's parity, known by then, gives it."""
    p = state[PASSES]
    if p == trees.shape[0]:
        return 0
    build(bits, orders[p], tops[p], trees[p])
    count = tops[p] - (1 if p > 0 else 0)
    for i in range(count):
        queries[i] = p * 2 * bits.size + tops[p] + i
    state[PASSES], state[OPENING] = p + 1, 1
    return int(count)


@_compiled
def seek(
    bits: Bytes,
    trees: Bytes,
    orders: Index,
    places: Index,
    tops: Index,
    agenda: Index,
    state: State,
    queries: Index,
) -> int:
    """Correct what is known, and write queries of at most LIMIT searches; return how many, 0 at the end.

    With limit 1 the order is the sequential one; with a limit as large as `queries` every search goes one step.
    The blocks of a new pass are asked for together in either case.
    """
    n, count = bits.size, 0
    while state[HEIGHT] > 0 and count < state[LIMIT]:
        state[HEIGHT] -= 1
        item = agenda[state[HEIGHT]]
        p, node = item // (2 * n), item % (2 * n)
        trees[p, node] &= 255 - QUEUED
        if not _odd(trees[p, node]) or state[CORRECTED] >= n:
            continue
        while node < n and trees[p, 2 * node] & KNOWN != 0:
            node = 2 * node if _odd(trees[p, 2 * node]) else 2 * node + 1
        if node >= n:
            _correct(orders[p, node - n], bits, trees, places, tops, agenda, state)
        elif trees[p, 2 * node] & ASKED == 0:
            trees[p, 2 * node] |= ASKED
            queries[count] = p * 2 * n + 2 * node
            count += 1
    if count == 0:
        count = _open_pass(bits, trees, orders, tops, state, queries)
    state[ASKED_BITS] += count
    return count


@_compiled
def _learn_node(p: int, node: int, parity: int, trees: Bytes, agenda: Index, state: State) -> None:
    trees[p, node] = (trees[p, node] & (255 - 2)) | (parity << 1) | KNOWN
    if _odd(trees[p, node]):
        _push(trees[p], node, p * trees.shape[1] + node, agenda, state)


@_compiled
def learn(trees: Bytes, tops: Index, agenda: Index, state: State, queries: Index, parities: Bytes, count: int) -> None:
    """Take Alice's parities of the first `count` queries, and with each that of its sibling, which follows from it."""
    width, seen, p = trees.shape[1], 0, state[PASSES] - 1
    for i in range(count):
        q, node = queries[i] // width, queries[i] % width
        parent = trees[q, node >> 1]
        _learn_node(q, node, parities[i], trees, agenda, state)
        if state[OPENING] == 0:
            _learn_node(q, node + 1, ((parent >> 1) & 1) ^ parities[i], trees, agenda, state)
        seen ^= parities[i]
    if state[OPENING] != 0:
        if p == 0:
            state[TOTAL] = seen
        else:
            _learn_node(p, 2 * tops[p] - 1, state[TOTAL] ^ seen, trees, agenda, state)
        state[OPENING] = 0


@_compiled
def run(  # noqa: PLR0913, PLR0917 (compiled code takes arrays, not objects that hold them)
    alice: Bytes,
    bits: Bytes,
    trees: Bytes,
    orders: Index,
    places: Index,
    tops: Index,
    agenda: Index,
    state: State,
    queries: Index,
) -> int:
    """Correct one frame with Alice in the same process: `alice` are her trees (passes, 2n). Return the round trips."""
    parities, rounds = np.empty(queries.size, np.uint8), 0
    while True:
        count = seek(bits, trees, orders, places, tops, agenda, state, queries)
        if count == 0:
            return rounds
        rounds += 1
        for i in range(count):
            parities[i] = alice[queries[i] // alice.shape[1], queries[i] % alice.shape[1]]
        learn(trees, tops, agenda, state, queries, parities, count)
