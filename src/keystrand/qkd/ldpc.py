"""Rate-adaptive LDPC error correction: what both parties must agree on before the syndrome is sent.

A frame is laid on the bits of a code of `ldpc_codes`. Some places are punctured: Alice fills them with secret random
bits of her own, which hide as many bits of the syndrome. Some are shortened: both hold 0 there. Their numbers set the
rate (Elkouss, Martinez-Mateo, Martin, arXiv:1006.2660). Where decoding fails, Alice reveals punctured bits in rounds
(blind reconciliation: Martinez-Mateo, Elkouss, Martin, Quantum Inf. Comput. 12, 791 (2012)).

What is disclosed: the punctured columns share no check, so the part of the syndrome they hide is uniform whatever the
frame. Let X be the frame, S the syndrome of m bits, V the r punctured bits revealed out of p. Then H(S, V) <= m + r and
H(S, V | X) = p, as V and the p - r others are uniform and fixed by (S, V) once X is known. So I(X; S, V) <= m - p + r.
A revealed punctured bit costs one bit; a shortened one was known to all and costs none. Bob says after each attempt
whether it failed; each such word is counted as one bit too.
"""

import functools
import math
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from keystrand.qkd.decoy import binary_entropy
from keystrand.qkd.ldpc_codes import COLUMNS, MAX_ROWS, MIN_ROWS, ROW_STEP, Code, code, untainted

Places = npt.NDArray[np.int32]

MIN_LIFT = 64  # enough for every code to be free of cycles of length 4
MIN_FRAME_BITS = 2**15  # shorter frames would be mostly shortened bits; Cascade serves them better
RESERVE, RESERVE_SPREAD = 0.02, 3.0  # by so much, and so many deviations, it may grow before a frame is given up
STEP = 0.005  # of h(qber) a bit: what one round reveals
MAX_ROUNDS = 16  # round trips at most, whatever the reserve; steps grow instead
START = 1.093  # first leak over h(qber) of a very long frame
SPREAD = 1.0  # and by how many standard deviations of the frame's own entropy it exceeds that
LEAST_QBER = 1e-4  # a prior of certainty would leave nothing to correct


class LdpcPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The code, and how the frame lies on it. Both parties hold the same plan; nothing in it is secret."""

    frame_bits: Annotated[int, Meta(ge=MIN_FRAME_BITS, le=2**23)]
    rows: Annotated[int, Meta(ge=MIN_ROWS, le=MAX_ROWS)]
    lift: Annotated[int, Meta(ge=MIN_LIFT, le=2**14)]
    punctured_bits: Annotated[int, Meta(ge=0)]
    step_bits: Annotated[int, Meta(ge=1)]
    qber: Annotated[float, Meta(gt=0.0, lt=0.5)]

    def __post_init__(self) -> None:
        if not 0.0 < self.qber < 0.5:
            raise ValueError(f"an error ratio of {self.qber} is not within 0 and 1/2")
        if self.frame_bits < MIN_FRAME_BITS or self.punctured_bits < 0 or self.step_bits < 1 or self.shortened_bits < 0:
            raise ValueError(f"frame and punctured bits do not fit on {COLUMNS * self.lift} bits of the code")

    @property
    def shortened_bits(self) -> int:
        """Return how many places of the code hold a 0 known to all."""
        return COLUMNS * self.lift - self.frame_bits - self.punctured_bits

    @property
    def syndrome_bits(self) -> int:
        """Return the length of the syndrome of one frame."""
        return self.rows * self.lift

    @property
    def max_rounds(self) -> int:
        """Return after how many rounds every punctured bit is revealed."""
        return -(-self.punctured_bits // self.step_bits)

    def disclosed_bits(self, attempts: int, revealed_bits: int) -> int:
        """Return what is leaked of a frame without its tag: `attempts` words of Bob's, and Alice's bits."""
        return self.syndrome_bits - self.punctured_bits + revealed_bits + attempts


class Layout(msgspec.Struct, frozen=True):
    """Where the bits lie on the code. `rounds` holds the punctured places in the order they are revealed in."""

    frame: Places
    punctured: Places
    shortened: Places
    rounds: tuple[Places, ...]


def plan_for(qber: float, frame_bits: int, *, efficiency: float | None = None) -> LdpcPlan:
    """Return the plan for an expected error ratio `qber`; ValueError outside 0..1/2 or where no code is long enough.

    The first leak is `efficiency` x h(qber) a bit, by default what nearly every frame is decoded with; a lower one
    costs time, as most frames then need rounds. Below about 1.1 % the smallest code leaks more than that, above about
    12 % none leaks enough. A frame shorter than 51,200 bits takes the smallest lift all the same, with more of it
    shortened, and leaks more. An estimate some 3 % of itself too low still does, with rounds; where it may be worse,
    give the plan a higher `qber`, as a frame given up is lost.
    """
    if not 0.0 <= qber <= 0.5:
        raise ValueError(f"an error ratio of {qber} is not within 0 and 1/2")
    if not MIN_FRAME_BITS <= frame_bits <= 2**23:
        raise ValueError(f"a frame has {MIN_FRAME_BITS} to 2^23 bits, not {frame_bits}")
    q = max(qber, LEAST_QBER)
    entropy = frame_bits * float(binary_entropy(q))
    deviation = _deviation(q, frame_bits)
    ratio = START + SPREAD * deviation if efficiency is None else efficiency
    need = (ratio + RESERVE + RESERVE_SPREAD * deviation) * entropy
    if not 1.0 <= ratio <= 2.0:
        raise ValueError(f"an efficiency of {ratio} is not within 1 and 2")
    lift = max(MIN_LIFT, -(-frame_bits // COLUMNS))
    while frame_bits + (punctured := _punctured(need, math.ceil(ratio * entropy), lift)) > COLUMNS * lift:
        lift += 1
    rows = _rows(need, lift)
    step = max(math.ceil(STEP * entropy), -(-punctured // MAX_ROUNDS))
    return LdpcPlan(
        frame_bits=frame_bits, rows=rows, lift=lift, punctured_bits=punctured, step_bits=step, qber=min(q, 0.4999)
    )


def _rows(need: float, lift: int) -> int:
    """Return the rows of the weakest code whose syndrome has `need` bits."""
    rows = max(MIN_ROWS, ROW_STEP * math.ceil(need / lift / ROW_STEP))
    if rows > MAX_ROWS:
        raise ValueError(f"no code is strong enough: a syndrome of {need:.0f} bits for {COLUMNS * lift}")
    return rows


def _punctured(need: float, first: int, lift: int) -> int:
    """Return how many bits must be punctured for a first leak of `first`, at most half of what can be."""
    rows = _rows(need, lift)
    return min(rows * lift - first, lift * len(untainted(rows)) // 2)


def _deviation(qber: float, frame_bits: int) -> float:
    """Return the deviation of a frame's own entropy over its mean: the number of errors varies from frame to frame."""
    slope = math.log2((1.0 - qber) / qber)
    return slope * math.sqrt(qber * (1.0 - qber) / frame_bits) / float(binary_entropy(qber))


def code_of(plan: LdpcPlan) -> Code:
    """Return the code of a plan, from memory where it was made before."""
    return code(plan.rows, plan.lift)


@functools.lru_cache(maxsize=16)
def layout(plan: LdpcPlan) -> Layout:
    """Return the places of a plan; ValueError where it punctures more than the columns that share no check.

    Shortened places are spread evenly over all the other columns, each round over all punctured ones.
    """
    columns = code_of(plan).untainted
    if plan.punctured_bits > columns.size * plan.lift:
        raise ValueError(f"only {columns.size * plan.lift} bits of the code can be punctured")
    inside = np.arange(plan.lift, dtype=np.int32)
    punctured = (columns[:, None] * np.int32(plan.lift) + inside).ravel()[: plan.punctured_bits]
    others = np.setdiff1d(np.arange(COLUMNS * plan.lift, dtype=np.int32), punctured)
    every = others.size * (2 * np.arange(plan.shortened_bits, dtype=np.int64) + 1) // (2 * max(plan.shortened_bits, 1))
    rounds = tuple(punctured[k :: plan.max_rounds] for k in range(plan.max_rounds))
    return Layout(np.delete(others, every), punctured, others[every], rounds)
