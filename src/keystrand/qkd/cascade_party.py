"""The two parties of Cascade: Bob asks and corrects, Alice answers. They share the plan, and nothing but messages.

Queries are int32 of shape (m, 3): frame, pass, node; the answer is m parities, uint8, in the same order. Many frames
are in flight at once: one round trip carries what all of them ask. Importing this module loads the compiler.
"""

import msgspec
import numpy as np
import numpy.typing as npt

from keystrand.qkd import cascade_kernel as kernel
from keystrand.qkd.cascade import TAG_BITS, Bits, CascadePlan, as_frames, orders, tag

Index = npt.NDArray[np.int32]
Queries = npt.NDArray[np.int32]
Counts = npt.NDArray[np.int64]


class Corrected(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one frame. `bits` is None where the tags differ: such a frame gives no key, and all is leaked."""

    bits: Bits | None
    corrected_bits: int
    leak_bits: int


class Alice:
    """The party whose bits count. Answers queries, and keeps her own account of the parities she gave away."""

    def __init__(self, plan: CascadePlan, frames: npt.ArrayLike) -> None:
        self._frames = as_frames(plan, frames)
        self._tops = _tops(plan)
        order = orders(plan)
        self._trees = np.stack([_alice_trees(frame, order, self._tops) for frame in self._frames])
        self._given = np.zeros(self._trees.shape, dtype=np.bool_)

    @property
    def parity_bits(self) -> Counts:
        """Return for each frame how many different parities were disclosed."""
        return np.asarray(self._given.sum(axis=(1, 2)), dtype=np.int64)

    def answer(self, queries: Queries) -> Bits:
        """Return the parity of each query; ValueError for one that names no node of the plan."""
        asked = np.asarray(queries)
        if asked.ndim != 2 or asked.shape[1] != 3 or not np.issubdtype(asked.dtype, np.integer):
            raise ValueError("queries are whole numbers of shape (m, 3): frame, pass, node")
        frame, pass_, node = asked.T
        inside = (asked >= 0).all() and (asked < self._trees.shape).all()
        if not inside or (node < self._tops[pass_]).any():
            raise ValueError("a query names a frame, pass or node outside the plan")
        self._given[frame, pass_, node] = True
        return np.asarray(self._trees[frame, pass_, node])

    def tags(self, points: list[int]) -> list[int]:
        """Return the tag of each frame at its point; the points are drawn once correction has ended."""
        return [tag(frame, point) for frame, point in zip(self._frames, points, strict=True)]


class Bob:
    """The party that corrects. Repeat `take(answer(ask()))` until `ask` returns no query, then compare tags.

    Sequential, each frame asks for one parity a round trip: the least leak, thousands of round trips. Batched, each
    search of a frame goes one step: some 2 % more leak, some hundred round trips.
    """

    def __init__(self, plan: CascadePlan, frames: npt.ArrayLike, *, batched: bool = False) -> None:
        self._frames = as_frames(plan, frames)
        order = orders(plan)
        places, tops = _places(order), _tops(plan)
        self._work = [_Workspace(order, places, tops, batched=batched) for _ in self._frames]
        self._awaited: list[int] = []
        self.rounds = 0

    @property
    def parity_bits(self) -> Counts:
        """Return for each frame how many parities were asked for; none is asked for twice."""
        return np.array([work.state[kernel.ASKED_BITS] for work in self._work], dtype=np.int64)

    def ask(self) -> Queries:
        """Return the next queries, none when correction has ended; ValueError while an answer is awaited."""
        if any(self._awaited):
            raise ValueError("the parities asked for last were not taken yet")
        self._awaited = [work.seek(bits) for work, bits in zip(self._work, self._frames, strict=True)]
        self.rounds += any(self._awaited)
        return np.concatenate([self._named(i, count) for i, count in enumerate(self._awaited)])

    def take(self, parities: npt.ArrayLike) -> None:
        """Take the answer to what was asked last; ValueError if it is not one bit a query."""
        given = np.asarray(parities)
        if given.shape != (sum(self._awaited),) or not np.isin(given, (0, 1)).all():
            raise ValueError(f"{sum(self._awaited)} parities, each 0 or 1, were asked for")
        parts = np.split(np.ascontiguousarray(given, dtype=np.uint8), np.cumsum(self._awaited)[:-1])
        for work, part in zip(self._work, parts, strict=True):
            work.learn(part)
        self._awaited = []

    def results(self, points: list[int], tags: list[int]) -> list[Corrected]:
        """Return what became of each frame by Alice's tags; ValueError before correction has ended.

        The leak holds every parity and the tag: it is what privacy amplification must remove.
        """
        if any(self._awaited) or any(not work.ended for work in self._work):
            raise ValueError("correction has not ended")
        return [
            work.judged(bits, same=tag(bits, point) == theirs)
            for work, bits, point, theirs in zip(self._work, self._frames, points, tags, strict=True)
        ]

    def _named(self, frame: int, count: int) -> Queries:
        asked = self._work[frame].queries[:count]
        width = 2 * self._frames.shape[1]
        return np.stack([np.full_like(asked, frame), asked // width, asked % width], axis=1)


def reconcile(
    plan: CascadePlan, alice: npt.ArrayLike, bob: npt.ArrayLike, points: list[int], *, batched: bool = False
) -> tuple[list[Corrected], int]:
    """Correct Bob's frames with both parties in one process, as a simulation does; also return the round trips.

    Frame by frame the same parities, in the same order, as the parties exchange. The round trips are those of the
    slowest frame, as all frames are in flight at once.
    """
    theirs, frames = as_frames(plan, alice), as_frames(plan, bob)
    if theirs.shape != frames.shape:
        raise ValueError(f"{len(theirs)} frames of Alice, {len(frames)} of Bob")
    order = orders(plan)
    places, tops = _places(order), _tops(plan)
    results, slowest = [], 0
    for mine, bits, point in zip(theirs, frames, points, strict=True):
        work = _Workspace(order, places, tops, batched=batched)
        slowest = max(slowest, work.run(mine, bits))
        results.append(work.judged(bits, same=tag(bits, point) == tag(mine, point)))
    return results, slowest


def _alice_trees(frame: Bits, order: Index, tops: Index) -> Bits:
    """Return the parities of all nodes of one frame, uint8 of shape (passes, 2 x frame bits)."""
    trees = np.zeros((len(order), 2 * frame.size), dtype=np.uint8)
    for p, tree in enumerate(trees):
        kernel.build(frame, order[p], int(tops[p]), tree)
    return trees


class _Workspace:
    """The arrays the kernels work on for one frame of Bob's."""

    def __init__(self, order: Index, places: Index, tops: Index, *, batched: bool) -> None:
        passes, n = order.shape
        self.order, self.places, self.tops = order, places, tops
        self.trees = np.zeros((passes, 2 * n), dtype=np.uint8)
        self.agenda = np.empty(passes * 2 * n, dtype=np.int32)  # as many as there are nodes; mostly never touched
        self.queries = np.empty(passes * n, dtype=np.int32)
        self.state = np.zeros(kernel.STATE_SIZE, dtype=np.int64)
        self.state[kernel.LIMIT] = self.queries.size if batched else 1

    @property
    def ended(self) -> bool:
        """Whether every pass is over."""
        return bool(self.state[kernel.PASSES] == len(self.order) and self.state[kernel.HEIGHT] == 0)

    def seek(self, bits: Bits) -> int:
        """Correct and write the next queries; return their number."""
        arrays = (self.trees, self.order, self.places, self.tops, self.agenda, self.state, self.queries)
        return int(kernel.seek(bits, *arrays))

    def learn(self, parities: Bits) -> None:
        """Take the parities of the last queries."""
        if parities.size:
            kernel.learn(self.trees, self.tops, self.agenda, self.state, self.queries, parities, parities.size)

    def run(self, alice: Bits, bits: Bits) -> int:
        """Correct `bits` in place against Alice's frame in the same process; return the round trips."""
        arrays = (self.trees, self.order, self.places, self.tops, self.agenda, self.state, self.queries)
        return int(kernel.run(_alice_trees(alice, self.order, self.tops), bits, *arrays))

    def judged(self, bits: Bits, *, same: bool) -> Corrected:
        """Return the frame's result, its bits only if the tags are the same."""
        return Corrected(
            bits=bits if same else None,
            corrected_bits=int(self.state[kernel.CORRECTED]),
            leak_bits=int(self.state[kernel.ASKED_BITS]) + TAG_BITS,
        )


def _tops(plan: CascadePlan) -> Index:
    """Return the first block of each pass: as many blocks as this number lie in a row from there."""
    return np.array([plan.frame_bits // k for k in plan.block_bits], dtype=np.int32)


def _places(order: Index) -> Index:
    """Return where each pass puts each bit: the inverse of `order`."""
    return np.argsort(order, axis=1).astype(np.int32)
