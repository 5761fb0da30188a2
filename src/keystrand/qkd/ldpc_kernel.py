"""Syndromes and the layered sum-product decoder of quasi-cyclic codes, compiled by Numba, in float32.

Rows of the base graph are worked off one after another, the `lift` checks of a row side by side in the processor's
vectors. Messages are log-likelihood ratios in bits, log2(P(0) / P(1)). Exponential and logarithm are polynomials on the
bits of the float, fitted here (relative error 8e-5, absolute 9e-5); sums may be taken in another order on
another processor. Nothing rests on this: a decoded frame must satisfy every check, exactly, and its tag must agree.
"""

import numpy as np
import numpy.typing as npt

from keystrand.qkd.compiled import vectorised
from keystrand.qkd.ldpc_codes import Code

Bytes = npt.NDArray[np.uint8]
Index = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]

F = np.float32
SIGN = np.int32(-(2**31))
ONE_EXPONENT = F(2.0**-23)
LARGEST = F(24.5)  # a message above this is as good as certain: float32 tells 1 - 2^-x no further
SMALLEST_HALF, SMALLEST_REST = F(1e-7), F(1.2e-7)


@vectorised
def _fold(sums: Bytes, bits: Bytes, start: int, shift: int) -> None:
    """Add the bits of one column, turned by `shift`, to the parities of one row."""
    lift = sums.size
    for z in range(lift - shift):
        sums[z] ^= bits[start + shift + z]
    for z in range(shift):
        sums[lift - shift + z] ^= bits[start + z]


@vectorised
def _syndrome(first: Index, column: Index, shift: Index, bits: Bytes, out: Bytes) -> None:
    rows = first.size - 1
    lift = out.size // rows
    for r in range(rows):
        out[r * lift : (r + 1) * lift] = 0
        for e in range(first[r], first[r + 1]):
            _fold(out[r * lift : (r + 1) * lift], bits, column[e] * lift, shift[e])


@vectorised
def _take_in(total: Floats, messages: Floats, inward: Floats, halves: Floats, product: Floats) -> None:
    """Take the check's own last message off each bit's total x, and multiply the product by (1 - 2^-x) / (1 + 2^-x).

    The exponent goes into the bits of the float, 2^rest is a polynomial; the sign of x is copied bit by bit.
    """
    for z in range(halves.size):
        x = total[z] - messages[z]
        power = F(127.0) - min(abs(x), LARGEST)
        whole = np.int32(power)
        rest = power - F(whole)
        scale = np.int32(whole << np.int32(23)).view(np.float32)
        small = scale * (F(0.99992522) + rest * (F(0.69583354) + rest * (F(0.22606716) + rest * F(0.07802452))))
        half = max((F(1.0) - small) / (F(1.0) + small), SMALLEST_HALF)
        signed = np.int32(F(half).view(np.int32) | (F(x).view(np.int32) & SIGN)).view(np.float32)
        inward[z] = x
        halves[z] = signed
        product[z] *= signed


@vectorised
def _give_out(product: Floats, inward: Floats, halves: Floats, messages: Floats, total: Floats) -> None:
    """Send each bit what the product of the others, a = product / half, says, and add it to the bit's total.

    That is log2((1 + a) / (1 - a)), so one division does: log2((|half| + |product|) / (|half| - |product|)), with the
    sign of a. The bits of a float, read as a whole number, are its logarithm but for a polynomial of the mantissa.
    """
    for z in range(messages.size):
        p, h = abs(product[z]), abs(halves[z])
        pattern = F((h + p) / max(h - p, SMALLEST_REST * h)).view(np.int32)
        m = np.int32((pattern & np.int32(0x007FFFFF)) | np.int32(0x3F800000)).view(np.float32)
        size = F(pattern) * ONE_EXPONENT + (
            F(-128.51285427) + m * (F(3.07008978) + m * (F(-2.12067407) + m * (F(0.64514188) + m * F(-0.08161573))))
        )
        sign = (F(product[z]).view(np.int32) ^ F(halves[z]).view(np.int32)) & SIGN
        value = np.int32(F(size).view(np.int32) ^ sign).view(np.float32)
        messages[z] = value
        total[z] = inward[z] + value


@vectorised
def _signs(parity: Floats, totals: Floats) -> None:
    for z in range(parity.size):
        parity[z] = parity[z] if totals[z] >= F(0.0) else -parity[z]


@vectorised
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


@vectorised
def _layer(column: Index, shift: Index, product: Floats, totals: Floats, messages: Floats, work: Floats) -> None:
    """Work off one row: its edges' columns, shifts and messages; `product` comes in as the signs wanted."""
    degree, lift = messages.shape
    for k in range(degree):
        base, s, inward, halves = column[k] * lift, shift[k], work[2 * k], work[2 * k + 1]
        a, b = lift - s, base + s
        _take_in(totals[b : base + lift], messages[k, :a], inward[:a], halves[:a], product[:a])
        _take_in(totals[base:b], messages[k, a:], inward[a:], halves[a:], product[a:])
    for k in range(degree):
        base, s, inward, halves = column[k] * lift, shift[k], work[2 * k], work[2 * k + 1]
        a, b = lift - s, base + s
        _give_out(product[:a], inward[:a], halves[:a], messages[k, :a], totals[b : base + lift])
        _give_out(product[a:], inward[a:], halves[a:], messages[k, a:], totals[base:b])


@vectorised
def _decode(
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

    `prior` is the log-likelihood ratio of each bit before decoding, in bits, float32.
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
        """Return the log-likelihood ratio of each bit by all that is known, in bits."""
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
