"""What a session agrees on before it starts, and what it accounts for when it ends: key to the bit, and epsilon."""

from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct

from keystrand.model.errors import KeystrandError
from keystrand.qkd import finite_one_decoy, finite_two_decoys
from keystrand.qkd.authentication import Ledger
from keystrand.qkd.bb84_link import Bb84Link
from keystrand.qkd.finite import Counts, Epsilon, KeyLength, Security
from keystrand.qkd.ldpc import MIN_FRAME_BITS


class EpsilonExceeded(KeystrandError):
    """What may go wrong adds up to more than was asked for: no key is made."""

    default_hint = "raise the limit, or ask for a smaller secrecy and correctness epsilon"


class SessionParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Public, and the same at both ends, or nothing starts.

    A session makes one key block of all detections of a run: the statistics of a finite key only gain by size.
    `frames_in_flight` frames of `frame_bits` are corrected together; `batched` saves round trips, see `cascade_party`.
    LDPC takes a handful of messages instead of hundreds, so less authentication key, discloses more, and calculates
    longer: for small blocks and long ways.
    """

    link: Bb84Link
    pulses: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    security: Security = Security()
    epsilon_limit: Epsilon = 1e-8
    frame_bits: Annotated[int, Meta(ge=16, le=2**20)] = 65_536
    frames_in_flight: Annotated[int, Meta(ge=1, le=1024)] = 64
    batched: bool = True
    correction: Literal["cascade", "ldpc"] = "cascade"

    def __post_init__(self) -> None:
        if self.frame_bits & (self.frame_bits - 1):
            raise ValueError("frame_bits must be a power of two")
        if self.correction == "ldpc" and self.frame_bits < MIN_FRAME_BITS:
            raise ValueError(f"frame_bits must be at least {MIN_FRAME_BITS} with LDPC")
        if not self.security.per_key_bit and self.security.secrecy + self.security.correctness > self.epsilon_limit:
            raise ValueError("secrecy and correctness already exceed epsilon_limit")


def differing(ours: SessionParameters, theirs: SessionParameters) -> list[str]:
    """Return the names of the fields in which two ends differ."""
    return [name for name in ours.__struct_fields__ if getattr(ours, name) != getattr(theirs, name)]


class EpsilonBudget(Struct, frozen=True, kw_only=True):
    """What may go wrong in one session, as probabilities that add up (composable security).

    Authentication is the sum of the forgery bounds of all messages, for uniform authentication key: key that came from
    earlier sessions adds their totals, which whoever runs many sessions must sum.
    """

    secrecy: float
    correctness: float
    authentication: float
    limit: float

    @property
    def total(self) -> float:
        """Return the sum."""
        return self.secrecy + self.correctness + self.authentication

    def check(self) -> None:
        """Raise `EpsilonExceeded` where the sum is above the limit asked for."""
        if self.total > self.limit:
            raise EpsilonExceeded(f"the epsilons add up to {self.total:.3g}, above the limit of {self.limit:.3g}")


def epsilon_budget(parameters: SessionParameters, final_bits: int, forgery: float) -> EpsilonBudget:
    """Return the budget of a session with a key of `final_bits`; with `per_key_bit` the secrecy grows with it."""
    asked = parameters.security
    secrecy = asked.secrecy * max(final_bits, 1) if asked.per_key_bit else asked.secrecy
    return EpsilonBudget(
        secrecy=secrecy, correctness=asked.correctness, authentication=forgery, limit=parameters.epsilon_limit
    )


class KeyLedger(Struct, frozen=True, kw_only=True):
    """Where the bits of the key basis went: sifted = disclosed + amplified away + final; final = refill + delivered.

    Disclosed are parities, tags (the frames' and the whole key's) and frames told in clear. A frame never counts for
    more than the bits it holds. `dropped_bits` is 0: no bit is dropped, see `session_reconciliation`.
    """

    sifted_bits: int
    parity_bits: int
    tag_bits: int
    told_bits: int
    shrink_bits: int
    final_bits: int
    refill_bits: int = 0
    dropped_bits: int = 0

    @property
    def leak_bits(self) -> int:
        """Return all that was disclosed."""
        return self.parity_bits + self.tag_bits + self.told_bits

    @property
    def delivered_bits(self) -> int:
        """Return what is left for use."""
        return self.final_bits - self.refill_bits


class Account(Struct, frozen=True, kw_only=True):
    """The account of one session; both ends arrive at the same. Counts by intensity, strongest first."""

    detections: int
    key: tuple[int, ...]
    key_errors: tuple[int, ...]
    test: tuple[int, ...]
    test_errors: tuple[int, ...]
    frames: int
    failed_frames: int
    rounds: int
    messages: int
    ledger: KeyLedger
    authentication: Ledger
    epsilon: EpsilonBudget

    @property
    def net_bits(self) -> int:
        """Return the key made less the authentication key spent: negative where a block costs more than it gives."""
        return self.ledger.final_bits - self.authentication.spent_bits


def counts_of(
    key: tuple[int, ...], key_errors: tuple[int, ...], test: tuple[int, ...], test_errors: tuple[int, ...]
) -> Counts:
    """Return counts as the bounds of finite keys take them."""
    return Counts(*(np.array(x, dtype=np.float64) for x in (key, key_errors, test, test_errors)))


def key_length(parameters: SessionParameters, counts: Counts, leak_bits: int) -> KeyLength:
    """Return the secret key that counts and disclosed bits prove, by the protocol the link's source stands for."""
    sent = parameters.link.transmitter
    found = finite_one_decoy.key_length if len(sent.intensities) == 2 else finite_two_decoys.key_length
    return found(counts, sent.source, leak_bits, parameters.security)


def with_key(ledger: KeyLedger, *, final_bits: int) -> KeyLedger:
    """Return the ledger with a key of `final_bits`; the rest of what is not disclosed is amplified away."""
    shrink = ledger.sifted_bits - ledger.leak_bits - final_bits
    return msgspec.structs.replace(ledger, shrink_bits=shrink, final_bits=final_bits)
