"""What two users do with pairs: a BBM92 key and a CHSH check, from bits drawn from the state of each pair.

Alice measures Z or X. Bob measures Z (key), X (test of the phases), or halfway between the two (CHSH): A. K. Ekert,
Phys. Rev. Lett. 67, 661 (1991), with the key of C. H. Bennett, G. Brassard, N. D. Mermin, Phys. Rev. Lett. 68, 557
(1992). The bounds of S are those of W. Hoeffding, J. Am. Stat. Assoc. 58, 13 (1963), for pairs that are independent
of each other and of the settings.
"""

from typing import Annotated, Literal, NamedTuple

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import ArrayLike, NDArray

from keystrand.qkd import finite
from keystrand.qkd.bell_states import checked, error_ratios
from keystrand.qkd.decoy import binary_entropy
from keystrand.qkd.entangled_pairs import both_bases_price

CLASSICAL = 2.0
"""The largest S that devices without entanglement can show (Clauser et al., Phys. Rev. Lett. 23, 880 (1969))."""
DEVICE_LIMITS = (
    "A CHSH check here is of simulated, trusted devices: it shows entanglement, and no rate is device-independent. "
    "Only heralded pairs are counted, and every one of them is measured without loss."
)
SHARES = 21
"""Into so many the secrecy is divided, as in `finite_two_decoys`; fewer would do for pairs without decoys."""
Bits = NDArray[np.bool_]
Verdict = Literal["passes", "fails", "too few"]


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often Alice chooses Z (else X), and Bob Z, or X (else one of the two CHSH directions, equally often)."""

    alice_key: Annotated[float, Meta(gt=0, lt=1)] = 0.8
    bob_key: Annotated[float, Meta(gt=0, lt=1)] = 0.7
    bob_test: Annotated[float, Meta(gt=0, lt=1)] = 0.15

    def __post_init__(self) -> None:
        if not self.bob_key + self.bob_test < 1:
            raise ValueError("bob_key and bob_test must leave some pairs for the CHSH check: their sum is below 1")

    @property
    def key_share(self) -> float:
        """Of all pairs those that make key."""
        return self.alice_key * self.bob_key


class Measured(NamedTuple):
    """Both users' bits of the key, and counts: the test in X, CHSH by Alice's (Z, X) and Bob's (+, -) setting.

    The latter have shape (2, 2).
    """

    alice_key: Bits
    bob_key: Bits
    tested: int
    test_errors: int
    chsh_pairs: NDArray[np.int64]
    chsh_unequal: NDArray[np.int64]

    @property
    def key_errors(self) -> int:
        """The bits of the key that differ."""
        return int((self.alice_key != self.bob_key).sum())


class ChshCheck(NamedTuple):
    """S from counts, its standard error, one-sided bounds that each fail with the risk, and what they say.

    `passes`: the lower bound is above 2; `fails`: the upper one is not; `too few`: these counts do not tell.
    """

    value: float
    standard_error: float
    lower: float
    upper: float
    verdict: Verdict


class PairKey(NamedTuple):
    """The secret bits of a block and what they come from: key bits - phase error - leak - verification - privacy."""

    key_bits: int
    phase_error: float
    phase_error_bits: float
    leak_bits: float
    verification_bits: float
    privacy_bits: float
    length_bits: int


def measure(states: ArrayLike, settings: Settings, rng: np.random.Generator) -> Measured:
    """Return what the users see of pairs with `states`, shape (pairs, 4). Raises `ValueError` for what is no state."""
    state = checked(states)
    wrong = error_ratios(state)
    count = state.shape[0]
    at_x = np.asarray(rng.random(count) >= settings.alice_key)
    bob = np.searchsorted(np.cumsum([settings.bob_key, settings.bob_test]), rng.random(count), side="right")
    minus = rng.random(count) < 0.5
    # Bob's direction in the plane of Z and X, and what Alice's result says along it
    along_z = np.select([bob == 0, bob == 1], [1.0, 0.0], np.sqrt(0.5))
    along_x = np.select([bob == 0, bob == 1], [0.0, 1.0], np.where(minus, -np.sqrt(0.5), np.sqrt(0.5)))
    correlation = np.where(at_x, along_x * (1 - 2 * wrong.x), along_z * (1 - 2 * wrong.z))
    alice = np.asarray(rng.random(count) < 0.5)
    unequal = np.asarray(rng.random(count) < (1 - correlation) / 2)
    key, test = (bob == 0) & ~at_x, (bob == 1) & at_x
    setting, halfway = 2 * at_x + minus, np.asarray(bob == 2)
    pairs, bad = (np.bincount(setting[mask], minlength=4).reshape(2, 2) for mask in (halfway, halfway & unequal))
    return Measured(alice[key], (alice ^ unequal)[key], int(test.sum()), int(unequal[test].sum()), pairs, bad)


def chsh_check(pairs: ArrayLike, unequal: ArrayLike, risk: float = 1e-3) -> ChshCheck:
    """Judge S = E00 + E01 + E10 - E11 from counts by setting, shape (2, 2).

    Raises `ValueError` for counts that cannot be and a risk outside 0..1. Settings never seen say nothing.
    """
    n, m = np.asarray(pairs, dtype=np.float64), np.asarray(unequal, dtype=np.float64)
    if n.shape != (2, 2) or m.shape != (2, 2) or not np.all(np.isfinite(n)) or np.any(m < 0) or not np.all(m <= n):
        raise ValueError("counts are those of 2 x 2 settings, and no more are unequal than there are")
    if not 0 < risk < 1:
        raise ValueError("the risk must lie between 0 and 1")
    seen = np.where(n > 0, n, 1.0)
    e = np.where(n > 0, 1 - 2 * m / seen, 0.0)
    sign = np.array([[1.0, 1.0], [1.0, -1.0]])
    # without any unequal pair the plain error would be 0; half a pair more on either side never is
    spread = np.sqrt((4 * (m + 0.5) * (n - m + 0.5) / (n + 1) ** 2 / seen).sum())
    # each result is +-1 and moves S by 2 / n of its setting at most
    wide = np.sqrt(-2 * np.log(risk) * (1 / seen).sum()) if np.all(n > 0) else np.inf
    value = float((sign * e).sum())
    low, high = max(value - wide, -4.0), min(value + wide, 4.0)
    verdict: Verdict = "passes" if low > CLASSICAL else "fails" if high <= CLASSICAL else "too few"
    return ChshCheck(value, float(spread), float(low), float(high), verdict)


def expected_leak_bits(key_bits: int, errors: int, correction_efficiency: float) -> float:
    """Return what error correction would disclose; a real one counts what it did disclose."""
    return float(correction_efficiency * key_bits * binary_entropy(errors / key_bits)) if key_bits else 0.0


def pair_key(measured: Measured, leak_bits: float, security: finite.Security) -> PairKey:
    """Return the finite key of a block: the sum of `finite.key_length` where every key bit comes from a true pair.

    The sampling bound of the phase error is that module's. Raises `ValueError` for a leak that cannot be, and for a
    secrecy per key bit, which this sum has no form of.
    """
    if not (np.isfinite(leak_bits) and leak_bits >= 0):
        raise ValueError("the bits disclosed must be finite and not negative")
    if security.per_key_bit:
        raise ValueError("the secrecy of a block of pairs is of the whole block, not per key bit")
    n, share = measured.alice_key.size, security.secrecy / SHARES
    told = (np.asarray(float(value)) for value in (share, measured.test_errors, measured.tested, n))
    phase = float(finite.phase_error(*told))
    lost = n * float(both_bases_price(phase))
    verification, privacy = float(np.log2(2 / security.correctness)), float(-6 * np.log2(share))
    length = int(max(n - lost - leak_bits - verification - privacy, 0.0))
    return PairKey(n, phase, lost, leak_bits, verification, privacy, length)
