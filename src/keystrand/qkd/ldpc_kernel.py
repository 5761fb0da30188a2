"""Syndromes and the layered sum-product decoder of quasi-cyclic codes, compiled by Numba, in float32.

Rows of the base graph are worked off one after another, the `lift` checks of a row side by side in the processor's
vectors. Messages are log-likelihood ratios, positive for a 0. The exponential and the logarithm are polynomials on the
bits of the float (relative error 2e-4, absolute 2e-3); sums may be taken in another order on another processor. Nothing
rests on this: a decoded frame must satisfy every check, exactly, and its tag must agree.
"""

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt
from numba import njit

from keystrand.qkd.ldpc_codes import Code

Bytes = npt.NDArray[np.uint8]
Index = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Function = TypeVar("Function", bound=Callable[..., object])

F = np.float32
LOG2_E, LN_2 = F(1.4426950409), F(0.69314718056)
LARGEST = F(17.0)  # a message above this is as good as certain: float32 tells 1 - tanh no further
SMALLEST_TANH, SMALLEST_REST = F(1e-7), F(1.2e-7)


def _vectorised(function: Function) -> Function:
    """Compile with reordered sums and no checks for division by zero, without which loops become no vectors."""
    return cast("Function", njit(cache=True, fastmath=True, error_model="numpy")(function))


@_vectorised
def _fold(sums: Bytes, bits: Bytes, start: int, shift: int) -> None:
    """Add the bits of one column, turned by `shift`, to the parities of one row."""
    lift = sums.size
    for z in range(lift - shift):
        sums[z] ^= bits[start + shift + z]
    for z in range(shift):
        sums[lift - shift + z] ^= bits[start + z]


@_vectorised
def _syndrome(first: Index, column: Index, shift: Index, bits: Bytes, out: Bytes) -> None:
    rows = first.size - 1
    lift = out.size // rows
    for r in range(rows):
        out[r * lift : (r + 1) * lift] = 0
        for e in range(first[r], first[r + 1]):
            _fold(out[r * lift : (r + 1) * lift], bits, column[e] * lift, shift[e])


@_vectorised
def _subtract(total: Floats, old: Floats, out: Floats) -> None:
    for z in range(out.size):
        out[z] = total[z] - old[z]


@_vectorised
def _add(one: Floats, other: Floats, out: Floats) -> None:
    for z in range(out.size):
        out[z] = one[z] + other[z]


@_vectorised
def _tanh(messages: Floats, halves: Floats, product: Floats) -> None:
    """Write tanh(x / 2) = (1 - e^-x) / (1 + e^-x) of each message, and multiply the product by it."""
    for z in range(halves.size):
        x = messages[z]
        power = min(abs(x), LARGEST) * -LOG2_E + F(127.0)
        whole = np.int32(power)
        rest = power - F(whole)
        scale = F(np.int32(whole << np.int32(23)).view(np.float32))
        small = scale * (F(1.0) + rest * (F(0.695502) + rest * (F(0.2276) + rest * F(0.0768))))
        half = max((F(1.0) - small) / (F(1.0) + small), SMALLEST_TANH)
        half = half if x >= F(0.0) else -half
        halves[z] = half
        product[z] *= half


@_vectorised
def _two_artanh(product: Floats, halves: Floats, out: Floats) -> None:
    """Write 2 artanh(product / half) = ln((|half| + |product|) / (|half| - |product|)), with the sign of the ratio."""
    for z in range(out.size):
        p, h = abs(product[z]), abs(halves[z])
        ratio = (h + p) / max(h - p, SMALLEST_REST * h)
        pattern = F(ratio).view(np.int32)
        exponent = F((pattern >> np.int32(23)) - np.int32(127))
        m = F(np.int32((pattern & np.int32(0x007FFFFF)) | np.int32(0x3F800000)).view(np.float32))
        log2 = exponent + F(-2.7868) + m * (
            F(5.0470) + m * (F(-3.4928) + m * (F(1.5939) + m * (F(-0.40486) + m * F(0.0434))))
        )
        value = log2 * LN_2
        out[z] = value if product[z] * halves[z] >= F(0.0) else -value


@_vectorised
def _signs(parity: Floats, totals: Floats) -> None:
    for z in range(parity.size):
        parity[z] = parity[z] if totals[z] >= F(0.0) else -parity[z]


@_vectorised
def _satisfied(first: Index, column: Index, shift: Index, signs: Floats, totals: Floats, work: Floats) -> bool:
    """Return whether the hard decisions have the syndrome wanted; ends at the first row that does not."""
    lift = work.shape[1]
    parity = work[0]
    for r in range(first.size - 1):
        parity[:] = signs[r * lift : (r + 1) * lift]
        for e in range(first[r], first[r + 1]):
            base, s = column[e] * lift, shift[e]
            _signs(parity[: lift - s], totals[base + s : base + lift])
            _signs(parity[lift - s :], totals[base : base + s])
        if parity.min() < F(0.0):
            return False
    return True


@_vectorised
def _layer(column: Index, shift: Index, product: Floats, totals: Floats, messages: Floats, work: Floats) -> None:
    """Work off one row: its edges' columns, shifts and messages; `product` comes in as the signs wanted."""
    degree, lift = messages.shape
    for k in range(degree):
        base, s, inward = column[k] * lift, shift[k], work[2 * k]
        _subtract(totals[base + s : base + lift], messages[k, : lift - s], inward[: lift - s])
        _subtract(totals[base : base + s], messages[k, lift - s :], inward[lift - s :])
        _tanh(inward, work[2 * k + 1], product)
    for k in range(degree):
        base, s, inward = column[k] * lift, shift[k], work[2 * k]
        _two_artanh(product, work[2 * k + 1], messages[k])
        _add(inward[: lift - s], messages[k, : lift - s], totals[base + s : base + lift])
        _add(inward[lift - s :], messages[k, lift - s :], totals[base : base + s])


@_vectorised
def _decode(  # noqa: PLR0913, PLR0917 (compiled code takes arrays, not objects that hold them)
    first: Index,
    column: Index,
    shift: Index,
    signs: Floats,
    totals: Floats,
    messages: Floats,
    work: Floats,
    limit: int,
) -> int:
    lift = work.shape[1]
    product = np.empty(lift, np.float32)
    for step in range(limit):
        for r in range(first.size - 1):
            product[:] = signs[r * lift : (r + 1) * lift]
            a, b = first[r], first[r + 1]
            _layer(column[a:b], shift[a:b], product, totals, messages[a:b], work)
        if _satisfied(first, column, shift, signs, totals, work):
            return step + 1
    return 0


def syndrome(code: Code, bits: Bytes) -> Bytes:
    """Return the parities of all checks, uint8 of rows x lift, for 800 x lift bits."""
    out = np.empty(code.checks, dtype=np.uint8)
    _syndrome(code.start, code.column, code.shift, bits, out)
    return out


class Decoder:
    """Belief about one error pattern of known syndrome; may go on after more has been learnt about some bits.

    `prior` is the log-likelihood ratio of each bit before decoding, ln(P(0) / P(1)), float32.
    """

    def __init__(self, code: Code, wanted: Bytes, prior: Floats) -> None:
        self._code = code
        self._signs = np.where(wanted, F(-1.0), F(1.0)).astype(np.float32)
        self._prior = prior.astype(np.float32)
        self._totals = self._prior.copy()
        self._messages = np.zeros((code.column.size, code.lift), dtype=np.float32)
        widest = int(np.diff(code.start).max())
        self._work = np.empty((2 * widest, code.lift), dtype=np.float32)

    @property
    def totals(self) -> Floats:
        """Return the log-likelihood ratio of each bit by all that is known."""
        return self._totals

    @property
    def bits(self) -> Bytes:
        """Return the error pattern by the present belief."""
        return np.asarray(self._totals < 0, dtype=np.uint8)

    def run(self, limit: int) -> int:
        """Iterate up to `limit` times; return how often until every check holds, or 0 if some do not."""
        arrays = (self._code.start, self._code.column, self._code.shift, self._signs)
        return int(_decode(*arrays, self._totals, self._messages, self._work, limit))

    def learn(self, places: Index, ratios: Floats) -> None:
        """Give bits a new prior; the messages stay, so that the next run starts from what was found so far."""
        self._totals[places] += ratios - self._prior[places]
        self._prior[places] = ratios
