"""The two parties of Cascade: Bob asks and corrects, Alice answers. They share the plan, and nothing but messages.

Queries are int32 of shape (m, 3): frame, pass, node; the answer is m parities, uint8, in the same order. Many frames
are in flight at once: one round trip carries what all of them ask. Importing this module loads the compiler.
"""

from functools import lru_cache
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from keystrand.qkd import cascade_kernel as kernel
from keystrand.qkd.cascade import TAG_BITS, Bits, CascadePlan, Order, as_frames, is_bits, orders, tag

Queries = npt.NDArray[np.int32]
Counts = npt.NDArray[np.int64]

PATIENCE = 140
"""Round trips after which a batched frame opens its third pass though some searches go on: a long chain of them is cut
short for some 50 parities more. Measured so that hardly a frame of 65,536 bits in 200 takes more than 200."""


class Corrected(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one frame. `bits` is None where the tags differ: such a frame gives no key, and all is leaked."""

    bits: Bits | None
    corrected_bits: int
    leak_bits: int


class Alice:
    """The party whose bits count. Answers queries, and keeps her own account of the parities she gave away."""

    def __init__(self, plan: CascadePlan, frames: npt.ArrayLike) -> None:
        self._frames = as_frames(plan.frame_bits, frames)
        self._layout = _layout(plan)
        self._trees = np.zeros((len(self._frames), *self._layout.order.shape[:1], 2 * plan.frame_bits), dtype=np.uint8)
        self._given = np.zeros(len(self._frames), dtype=np.int64)

    @property
    def parity_bits(self) -> Counts:
        """Return for each frame how many different parities were disclosed."""
        return self._given.copy()

    def answer(self, queries: Queries) -> Bits:
        """Return the parity of each query; ValueError for one that names no node of the plan."""
        asked = np.asarray(queries)
        if asked.ndim != 2 or asked.shape[1] != 3 or not np.issubdtype(asked.dtype, np.integer):
            raise ValueError("queries are whole numbers of shape (m, 3): frame, pass, node")
        order, _, halves, tops = self._layout
        sent = np.array(asked, dtype=np.int64)  # a message's octets are read-only; and one type for the compiler
        parities = kernel.answer(self._frames, self._trees, order, halves, tops, sent, self._given)
        if len(parities) < len(asked):
            raise ValueError("a query names a frame, pass or node outside the plan")
        return parities

    def tags(self, points: list[int]) -> list[int]:
        """Return the tag of each frame at its point; the points are drawn once correction has ended."""
        return [tag(frame, point) for frame, point in zip(self._frames, points, strict=True)]


class Bob:
    """The party that corrects. Repeat `take(answer(ask()))` until `ask` returns no query, then compare tags.

    Sequential, each frame asks for one parity a round trip: the least leak, thousands of round trips. Batched, each
    search of a frame goes one step: 2 % more leak, some 150 round trips with a plan made for it.
    """

    def __init__(self, plan: CascadePlan, frames: npt.ArrayLike, *, batched: bool = False) -> None:
        self._frames = as_frames(plan.frame_bits, frames)
        self._work = _Workspace(plan, len(self._frames), batched=batched)
        self._awaited = np.zeros(len(self._frames), dtype=np.int64)
        self.rounds = 0

    @property
    def parity_bits(self) -> Counts:
        """Return for each frame how many parities were asked for; none is asked for twice."""
        return self._work.states[:, kernel.ASKED_BITS].copy()

    def ask(self) -> Queries:
        """Return the next queries, none when correction has ended; ValueError while an answer is awaited."""
        if self._awaited.any():
            raise ValueError("the parities asked for last were not taken yet")
        queries = kernel.seek_all(self._frames, *self._work.arrays, self._awaited)
        self.rounds += len(queries) > 0
        return queries

    def take(self, parities: npt.ArrayLike) -> None:
        """Take the answer to what was asked last; ValueError if it is not one bit a query."""
        given = np.asarray(parities)
        if given.shape != (self._awaited.sum(),) or not is_bits(given):
            raise ValueError(f"{self._awaited.sum()} parities, each 0 or 1, were asked for")
        work = self._work
        bits = np.array(given, dtype=np.uint8)
        kernel.learn_all(work.trees, work.layout.tops, work.agendas, work.states, work.queries, bits, self._awaited)
        self._awaited[:] = 0

    def results(self, points: list[int], tags: list[int]) -> list[Corrected]:
        """Return what became of each frame by Alice's tags; ValueError before correction has ended.

        The leak holds every parity and the tag: it is what privacy amplification must remove.
        """
        if self._awaited.any() or not self._work.ended:
            raise ValueError("correction has not ended")
        return [
            self._work.judged(i, bits, same=tag(bits, point) == theirs)
            for i, (bits, point, theirs) in enumerate(zip(self._frames, points, tags, strict=True))
        ]


def reconcile(
    plan: CascadePlan, alice: npt.ArrayLike, bob: npt.ArrayLike, points: list[int], *, batched: bool = False
) -> tuple[list[Corrected], int]:
    """Correct Bob's frames with both parties in one process, as a simulation does; also return the round trips.

    Frame by frame the same parities, in the same order, as the parties exchange. The round trips are those of the
    slowest frame, as all frames are in flight at once.
    """
    theirs, frames = as_frames(plan.frame_bits, alice), as_frames(plan.frame_bits, bob)
    if theirs.shape != frames.shape:
        raise ValueError(f"{len(theirs)} frames of Alice, {len(frames)} of Bob")
    work = _Workspace(plan, 1, batched=batched)
    results, slowest = [], 0
    for mine, bits, point in zip(theirs, frames, points, strict=True):
        slowest = max(slowest, work.run(mine, bits))
        same = np.array_equal(bits, mine) or tag(bits, point) == tag(mine, point)  # equal frames have equal tags
        results.append(work.judged(0, bits, same=same))
    return results, slowest


class _Layout(NamedTuple):
    """What follows from a plan alone, read-only: (passes, n), but `tops` (passes,)."""

    order: Order
    places: Order  # where each pass puts each bit: the inverse of `order`
    halves: Bits  # 1 where that is in the first half
    tops: Order  # the first block of each pass: as many blocks as this number lie in a row from there


@lru_cache(maxsize=2)
def _layout(plan: CascadePlan) -> _Layout:
    order = orders(plan)
    places = np.empty_like(order)
    for place, bit in zip(places, order, strict=True):
        place[bit] = np.arange(plan.frame_bits, dtype=np.int32)
    tops = np.array([plan.frame_bits // k for k in plan.block_bits], dtype=np.int32)
    layout = _Layout(order, places, (places < plan.frame_bits // 2).astype(np.uint8), tops)
    for array in layout:
        array.flags.writeable = False
    return layout


class _Workspace:
    """The arrays the kernels work on for so many frames of Bob's at once."""

    def __init__(self, plan: CascadePlan, frames: int, *, batched: bool) -> None:
        self.layout = _layout(plan)
        nodes = len(plan.block_bits) * 2 * plan.frame_bits
        self.trees = np.zeros((frames, len(plan.block_bits), 2 * plan.frame_bits), dtype=np.uint8)
        self.agendas = np.empty((frames, nodes), dtype=np.int32)  # as many as there are nodes; mostly never touched
        self.queries = np.empty((frames, nodes // 2), dtype=np.int32)
        self.states = np.zeros((frames, kernel.STATE_SIZE), dtype=np.int64)
        self.states[:, kernel.LIMIT] = nodes // 2 if batched else 1
        self.states[:, kernel.PATIENCE] = PATIENCE if batched else np.iinfo(np.int64).max
        self._fresh = self.states[0].copy()

    @property
    def arrays(self) -> tuple[Bits, Order, Order, Bits, Order, Order, Counts, Order]:
        """Return what the kernels take after the bits: a row for each frame of all but the layout."""
        return (self.trees, *self.layout, self.agendas, self.states, self.queries)

    @property
    def ended(self) -> bool:
        """Whether every pass of every frame is over."""
        opened, height = self.states[:, kernel.PASSES], self.states[:, kernel.HEIGHT]
        return bool((opened == len(self.layout.tops)).all() and not height.any())

    def run(self, alice: Bits, bits: Bits) -> int:
        """Correct `bits` in place against Alice's frame in the same process; return the round trips."""
        state = self.states[0]
        state[:] = self._fresh
        state[kernel.HERE] = 1
        bits |= alice * np.uint8(kernel.ALICE)
        kernel.run(bits, self.trees[0], *self.layout, self.agendas[0], state, self.queries[0])
        bits &= np.uint8(1)
        return int(state[kernel.ROUNDS])

    def judged(self, frame: int, bits: Bits, *, same: bool) -> Corrected:
        """Return a frame's result, its bits only if the tags are the same."""
        state = self.states[frame]
        return Corrected(
            bits=bits if same else None,
            corrected_bits=int(state[kernel.CORRECTED]),
            leak_bits=int(state[kernel.ASKED_BITS]) + TAG_BITS,
        )
