"""What is known of a key and of what it is made from: state, source, strength, route."""

from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct


class KeyState(StrEnum):
    """The states of NIST SP 800-57 Part 1 Rev. 5, section 7."""

    PRE_ACTIVATION = "pre-activation"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    DEACTIVATED = "deactivated"
    COMPROMISED = "compromised"
    DESTROYED = "destroyed"


class SourceKind(StrEnum):
    """Where key bits come from."""

    QKD = "qkd"
    PQC = "pqc"
    CLASSICAL = "classical"


class Strength(StrEnum):
    """Against whom a key holds: anybody, a quantum computer, today's computers, nobody who knows the simulation.

    The members stand from the strongest to the weakest; `at_least` compares them.
    """

    INFORMATION_THEORETIC = "information-theoretic"
    POST_QUANTUM = "post-quantum"
    CLASSICAL = "classical"
    SIMULATED = "simulated"

    def at_least(self, other: "Strength") -> bool:
        """Return whether this is as strong as `other` or stronger."""
        return _RANK[self] <= _RANK[other]


class RouteType(StrEnum):
    """How a key came from one end to the other: over one link, or through nodes that hold it in between."""

    DIRECT = "direct"
    INDIRECT = "indirect"


_RANK = {strength: n for n, strength in enumerate(Strength)}

CEILING = {
    SourceKind.QKD: Strength.INFORMATION_THEORETIC,
    SourceKind.PQC: Strength.POST_QUANTUM,
    SourceKind.CLASSICAL: Strength.CLASSICAL,
}
"""The most that the bits of a source can be: no label may claim more."""


class Strand(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the secrets that a key is made from, and the label that its bits must carry.

    Raises `ValueError` where the label claims more than the source can give.
    """

    source: SourceKind
    strength: Strength

    def __post_init__(self) -> None:
        if not CEILING[self.source].at_least(self.strength):
            raise ValueError(f"a {self.source} strand is {CEILING[self.source]} at most, not {self.strength}")

    def __str__(self) -> str:
        return f"{self.source}:{self.strength}"


def strength_of(strands: Sequence[Strand]) -> Strength:
    """Return what a key made from `strands` (one at least) is.

    One strand is handed out as it is. Several go through a key derivation that is no stronger than its hash: the key
    holds as long as the strongest of them does, and is post-quantum at most.
    """
    strongest = min((strand.strength for strand in strands), key=_RANK.__getitem__)
    if len(strands) > 1 and strongest is Strength.INFORMATION_THEORETIC:
        return Strength.POST_QUANTUM
    return strongest
