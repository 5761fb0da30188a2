"""The inner loops of Cascade, compiled by Numba. State is plain arrays; nothing here knows both parties but `run`.

A party keeps one byte a node of each pass: bit 0 is its own parity, bit 1 at Bob's the parity of Alice, and marks. A
query is the number `pass x 2n + node`. Alice's parities are true, so each correction removes an error; the limit on
corrections only ends a run in which what arrives contradicts itself.

A pass of two blocks needs no tree until an error is searched for in it: the parity of a half is a sum over the frame.
`tree[1]`, the whole frame, which nobody asks for, tells how much of a tree there is.
"""

import numpy as np
import numpy.typing as npt

from keystrand.qkd.compiled import compiled

Bytes = npt.NDArray[np.uint8]
Index = npt.NDArray[np.int32]
State = npt.NDArray[np.int64]

# marks of a node
ALICE, KNOWN, ASKED, QUEUED = 2, 4, 8, 16
# what there is of a tree
CLOSED, HALVES, FILLED = 0, 1, 2
# places in the state of one frame: passes opened, height of the agenda, parities asked for, bits corrected, Alice's
# parity of the whole frame, how many searches may ask in one round trip, whether Alice's parities are in the trees
# already, round trips, and after how many of them a pass no longer waits for the last searches of those before
PASSES, HEIGHT, ASKED_BITS, CORRECTED, TOTAL, LIMIT, HERE, ROUNDS, PATIENCE = range(9)
STATE_SIZE = 9
FEW = 8  # searches; fewer do not fill a round trip


@compiled
def _fill(bits: Bytes, order: Index, top: int, tree: Bytes) -> None:
    """Fill `tree` (2n) with the parities of `bits` in `order`, from the leaves up to the children of the blocks."""
    n = bits.size
    leaves = tree[n:]
    for i in range(n):
        leaves[i] = bits[order[i]]
    width = n // 2
    while width > top:
        parents, children = tree[width : 2 * width], tree[2 * width : 4 * width]
        for i in range(width):
            parents[i] = children[2 * i] ^ children[2 * i + 1]
        width //= 2
    tree[1] = FILLED


@compiled
def open_tree(bits: Bytes, order: Index, half: Bytes, top: int, tree: Bytes) -> None:
    """Write the parities of the blocks, of two blocks without the tree below; `half` is 1 for the bits of block 0."""
    if top > 2:
        _fill(bits, order, top, tree)
        for node in range(top, 2 * top):
            tree[node] = tree[2 * node] ^ tree[2 * node + 1]
        return
    first, whole = np.uint8(0), np.uint8(0)
    for i in range(bits.size):
        first ^= bits[i] * half[i]
        whole ^= bits[i]
    tree[1], tree[2], tree[3] = HALVES, first, first ^ whole


@compiled
def answer(
    frames: Bytes,
    trees: Bytes,
    orders: Index,
    halves: Bytes,
    tops: Index,
    queries: State,
    given: State,
) -> Bytes:
    """Return Alice's parities of `queries` (m, 3), and count in `given` those of a frame she had not told before.

    Where one names no node of the plan, return nothing, and tell nothing.
    """
    for i in range(len(queries)):
        frame, p, node = queries[i]
        inside = 0 <= frame < len(frames) and 0 <= p < len(tops) and node < trees.shape[2]
        if not inside or node < tops[p]:
            return np.empty(0, np.uint8)
    parities = np.empty(len(queries), np.uint8)
    for i in range(len(queries)):
        frame, p, node = queries[i]
        bits, tree = frames[frame], trees[frame, p]
        if tree[1] == CLOSED:
            open_tree(bits, orders[p], halves[p], tops[p], tree)
        if tree[1] == HALVES and node >= 2 * tops[p]:
            _fill(bits, orders[p], tops[p], tree)
        if tree[node] & KNOWN == 0:
            tree[node] |= KNOWN
            given[frame] += 1
        parities[i] = tree[node] & 1
    return parities


@compiled
def _odd(mark: int) -> bool:
    return (mark ^ (mark >> 1)) & 1 != 0 and mark & KNOWN != 0


@compiled
def _push(tree: Bytes, node: int, item: int, agenda: Index, state: State) -> None:
    """Put a node on the agenda, once: so the agenda never holds more than there are nodes."""
    if tree[node] & QUEUED == 0:
        tree[node] |= QUEUED
        agenda[state[HEIGHT]] = item
        state[HEIGHT] += 1


@compiled
def _correct(at: int, bits: Bytes, trees: Bytes, places: Index, tops: Index, agenda: Index, state: State) -> None:
    """Flip one bit; in every pass the lowest known node that now holds an odd number of errors comes on the agenda.

    The first pass is pushed last and so looked at first: its blocks are the smallest and the cheapest to search.
    """
    n = bits.size
    bits[at] ^= 1
    state[CORRECTED] += 1
    for p in range(state[PASSES] - 1, -1, -1):
        tree, place, top, lowest = trees[p], places[p, at], tops[p], 0
        node = n + place if tree[1] == FILLED else 2 + 2 * place // n
        while node >= top:
            tree[node] ^= 1
            if lowest == 0 and _odd(tree[node]):
                lowest = node
            node >>= 1
        if lowest != 0:
            _push(tree, lowest, p * 2 * n + lowest, agenda, state)


@compiled
def _open_pass(
    bits: Bytes, trees: Bytes, orders: Index, halves: Bytes, tops: Index, state: State, queries: Index, count: int
) -> int:
    """Ask for the blocks of the next pass, all but the last where the frame's parity, known by then, gives it."""
    p = state[PASSES]
    if p == len(tops):
        return count
    open_tree(bits, orders[p], halves[p], tops[p], trees[p])
    for node in range(tops[p], 2 * tops[p] - (1 if p > 0 else 0)):
        queries[count] = p * 2 * bits.size + node
        count += 1
    state[PASSES] = p + 1
    return count


@compiled
def _descend(tree: Bytes, node: int, through: bool, state: State) -> int:  # noqa: FBT001 (compiled code has no keywords)
    """Return the lowest node with an odd number of errors that is known below `node`; through, the bit itself."""
    while 2 * node < len(tree) and (through or tree[2 * node] & KNOWN != 0):
        if tree[2 * node] & KNOWN == 0:
            tree[2 * node] |= KNOWN
            tree[2 * node + 1] |= KNOWN
            state[ASKED_BITS] += 1
            state[ROUNDS] += 1
        node = 2 * node if _odd(tree[2 * node]) else 2 * node + 1
    return node


@compiled
def seek(  # noqa: PLR0913, PLR0917 (compiled code takes arrays, not objects that hold them)
    bits: Bytes,
    trees: Bytes,
    orders: Index,
    places: Index,
    halves: Bytes,
    tops: Index,
    agenda: Index,
    state: State,
    queries: Index,
) -> int:
    """Correct what is known, and write queries of at most LIMIT searches; return how many, 0 at the end.

    With limit 1 the order is the sequential one; with a limit as large as `queries` every search goes one step. A new
    pass asks for its blocks together when all searches have ended; or when they are few and took long, if its blocks
    are smaller than half the frame. Sequential with Alice HERE, a search goes on as it would after the answer.
    """
    n, count, through = bits.size, 0, state[HERE] != 0 and state[LIMIT] == 1
    while state[HEIGHT] > 0 and count < state[LIMIT]:
        state[HEIGHT] -= 1
        item = agenda[state[HEIGHT]]
        p, node, tree = item // (2 * n), item % (2 * n), trees[item // (2 * n)]
        tree[node] &= 255 - QUEUED
        if not _odd(tree[node]) or state[CORRECTED] >= n:
            continue
        if tree[1] == HALVES:
            _fill(bits, orders[p], tops[p], tree)
        node = _descend(tree, node, through, state)
        if node >= n:
            _correct(orders[p, node - n], bits, trees, places, tops, agenda, state)
        elif tree[2 * node] & ASKED == 0:
            tree[2 * node] |= ASKED
            queries[count] = p * 2 * n + 2 * node
            count += 1
    p = state[PASSES]
    if count == 0 or (count < FEW and state[ROUNDS] >= state[PATIENCE] and p < len(tops) and tops[p] > 2):
        count = _open_pass(bits, trees, orders, halves, tops, state, queries, count)
    state[ASKED_BITS] += count
    state[ROUNDS] += 1 if count else 0
    return count


@compiled
def seek_all(  # noqa: PLR0913, PLR0917 (compiled code takes arrays, not objects that hold them)
    frames: Bytes,
    trees: Bytes,
    orders: Index,
    places: Index,
    halves: Bytes,
    tops: Index,
    agendas: Index,
    states: State,
    queries: Index,
    counts: State,
) -> Index:
    """Seek in every frame; return the queries, named by (frame, pass, node), and how many of each frame in `counts`."""
    width, total = trees.shape[2], 0
    for f in range(len(frames)):
        arrays = (orders, places, halves, tops, agendas[f], states[f], queries[f])
        counts[f] = seek(frames[f], trees[f], *arrays)
        total += counts[f]
    named, at = np.empty((total, 3), np.int32), 0
    for f in range(len(frames)):
        for i in range(counts[f]):
            named[at, 0], named[at, 1], named[at, 2] = f, queries[f, i] // width, queries[f, i] % width
            at += 1
    return named


@compiled
def _learn_node(p: int, node: int, parity: int, trees: Bytes, agenda: Index, state: State) -> None:
    trees[p, node] = (trees[p, node] & (255 - ALICE)) | (parity << 1) | KNOWN
    if _odd(trees[p, node]):
        _push(trees[p], node, p * trees.shape[1] + node, agenda, state)


@compiled
def learn(trees: Bytes, tops: Index, agenda: Index, state: State, queries: Index, parities: Bytes) -> None:
    """Take Alice's parities of as many queries, and with each what follows from it: the parity of the sibling.

    From all blocks of the first pass follows that of the frame, and then from all blocks but one that of the last.
    """
    width, seen = trees.shape[1], 0
    for i in range(len(parities)):
        p, node = queries[i] // width, queries[i] % width
        parent = trees[p, node >> 1]
        _learn_node(p, node, parities[i], trees, agenda, state)
        if node >= 2 * tops[p]:
            _learn_node(p, node + 1, ((parent >> 1) & 1) ^ parities[i], trees, agenda, state)
            continue
        seen = parities[i] ^ (0 if node == tops[p] else seen)
        if p == 0:
            state[TOTAL] = seen
        elif node == 2 * tops[p] - 2:
            _learn_node(p, node + 1, state[TOTAL] ^ seen, trees, agenda, state)


@compiled
def learn_all(
    trees: Bytes, tops: Index, agendas: Index, states: State, queries: Index, parities: Bytes, counts: State
) -> None:
    """Take the parities of all that `seek_all` named, in its order."""
    at = 0
    for f in range(len(trees)):
        if counts[f] > 0:
            learn(trees[f], tops, agendas[f], states[f], queries[f], parities[at : at + counts[f]])
            at += counts[f]


@compiled
def run(  # noqa: PLR0913, PLR0917 (compiled code takes arrays, not objects that hold them)
    bits: Bytes,
    trees: Bytes,
    orders: Index,
    places: Index,
    halves: Bytes,
    tops: Index,
    agenda: Index,
    state: State,
    queries: Index,
) -> None:
    """Correct one frame with Alice in the same process: her bits are bit 1 of `bits`, and so her parities of nodes."""
    parities, width = np.empty(queries.size, np.uint8), trees.shape[1]
    while True:
        count = seek(bits, trees, orders, places, halves, tops, agenda, state, queries)
        if count == 0:
            return
        for i in range(count):
            parities[i] = (trees[queries[i] // width, queries[i] % width] >> 1) & 1
        learn(trees, tops, agenda, state, queries, parities[:count])
