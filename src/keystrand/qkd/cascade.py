"""Cascade error correction: what both parties must agree on before the first parity is sent.

Brassard and Salvail (Eurocrypt 1993), with blocks of powers of two, reuse of every parity already known, and the block
sizes of Martinez-Mateo et al. (arXiv:1407.3257). A pass puts the frame's bits in an order of its own and
cuts them into blocks; a block is halved down to one wrong bit. Nodes are numbered as in a heap over the ordered frame
of n bits: 1 is the whole frame, the children of `node` are 2 node and 2 node + 1, the bit at place i is n + i.
"""

import math
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from keystrand.qkd import universal_hash

Bits = npt.NDArray[np.uint8]
Order = npt.NDArray[np.int32]

PASSES = 14  # the first ones find nearly all errors; the late ones bring wrong frames below one in a thousand
TAG_BITS = 64
"""Of a frame's check value: two frames of 65,536 bits that differ agree in it with probability below 2^-53."""


class CascadePlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The block size of each pass, and the public seed of the orders. Both parties hold the same plan.

    The seed is no secret, but it must be drawn after the last pulse was received: whoever knows the orders before
    could place errors where they cancel.
    """

    frame_bits: Annotated[int, Meta(ge=16, le=2**24)]
    block_bits: Annotated[tuple[Annotated[int, Meta(ge=2)], ...], Meta(min_length=1, max_length=32)]
    seed: Annotated[int, Meta(ge=0, lt=2**64)]

    def __post_init__(self) -> None:
        sizes = (self.frame_bits, *self.block_bits)
        if any(size < 2 or size & (size - 1) for size in sizes):
            raise ValueError("frame and blocks must be powers of two")
        if not self.block_bits or max(self.block_bits) > self.frame_bits // 2:
            raise ValueError("every pass needs at least two blocks")


def plan_for(qber: float, frame_bits: int, seed: int, passes: int = PASSES, *, batched: bool = False) -> CascadePlan:
    """Return the plan for an expected error ratio `qber`, 0..1/2; ValueError outside, or if the frame is no power of 2.

    Block sizes: arXiv:1407.3257, the eighth of its variants: 2^ceil(a), 2^ceil((a + 12) / 2) where
    a = log2(1/qber) - 1/2, then 4096, then half the frame. Batched, a search of the second pass starts another for as
    long as pairs of errors share blocks, so its blocks are smaller: these chains take about 40 qber^2 k1 k2 round trips
    (measured here at 65,536 bits), and k1 k2 is the largest that keeps this below 256. The estimate only sets the
    cost: a wrong one corrects all the same, or is noticed.
    """
    if not 0.0 <= qber <= 0.5:
        raise ValueError(f"an error ratio of {qber} is not within 0 and 1/2")
    half = frame_bits // 2
    spacing = math.log2(1.0 / max(qber, 1.0 / max(frame_bits, 2)))  # below one error a frame nothing changes
    if batched:
        first = max(1, round(spacing - 0.15))
        second = math.floor(math.log2(256 / 40) + 2.0 * spacing) - first
    else:
        first, second = math.ceil(spacing - 0.5), math.ceil((spacing - 0.5 + 12.0) / 2.0)
    sizes = [2**first, 2**second, 4096] + [half] * passes
    return CascadePlan(frame_bits=frame_bits, block_bits=tuple(min(k, half) for k in sizes[:passes]), seed=seed)


def orders(plan: CascadePlan) -> Order:
    """Return the order of the bits in each pass, int32 of shape (passes, frame bits); the first pass keeps the frame's.

    Random orders sort by the output of splitmix64, so that every release and machine finds the same. From the third
    pass on, a pass of two blocks only needs a random half: it pairs the halves of the second order, turned by a random
    amount, and a random bit says which of each pair comes first. A set of errors that holds one of a pair without the
    other is seen with probability 1/2; one of whole pairs only has four errors at least, and other pairs next time.
    """
    n, order = plan.frame_bits, np.empty((len(plan.block_bits), plan.frame_bits), dtype=np.int32)
    order[0] = np.arange(n, dtype=np.int32)
    for p in range(1, len(order)):
        if p > 1 and plan.block_bits[p] == n // 2:
            words = random_words(plan.seed, p * n, n // 128 + 2).astype("<u8")
            swap = np.unpackbits(words[1:].view(np.uint8))[: n // 2].astype(np.bool_)
            one, other = order[1, : n // 2], np.roll(order[1, n // 2 :], int(words[0] % (n // 2)))
            order[p] = np.concatenate([np.where(swap, other, one), np.where(swap, one, other)])
        else:
            order[p] = np.argsort(random_words(plan.seed, p * n, n))  # no two are equal
    return order


def random_words(seed: int, start: int, count: int) -> npt.NDArray[np.uint64]:
    """Return outputs `start` + 1 .. `start` + `count` of splitmix64 (Steele, Lea, Flood 2014) from `seed`."""
    counter = np.arange(start + 1, start + count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    mixed = (counter ^ (counter >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))


def as_frames(frame_bits: int, frames: npt.ArrayLike) -> Bits:
    """Return a copy of `frames` as uint8 of shape (frames, frame bits); ValueError where they are no such bits."""
    made = np.atleast_2d(np.array(frames))
    if made.ndim != 2 or made.shape[1] != frame_bits or not len(made):
        raise ValueError(f"frames have shape {made.shape}; the plan wants (frames, {frame_bits})")
    if not is_bits(made):
        raise ValueError("a frame holds bits, 0 or 1")
    return np.ascontiguousarray(made, dtype=np.uint8)


def is_bits(values: npt.NDArray[Any]) -> bool:
    """Return whether every element is 0 or 1."""
    if values.dtype == np.uint8:  # the usual case, and the quick one
        return bool(values.max(initial=0) <= 1)
    return bool(((values == 0) | (values == 1)).all())


def tag(frame: Bits, point: int) -> int:
    """Return the frame's check value at the randomly drawn `point`; see `universal_hash` for its bound and errors.

    The point is drawn uniformly for each frame after correction has ended, and may then be public.
    """
    return universal_hash.tag(np.packbits(frame).tobytes(), frame.size, point, TAG_BITS)
