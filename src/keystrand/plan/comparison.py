"""How hard each approach is to run and how ready it is, counted instead of asserted.

Complexity adds up the burdens an approach lays on a team; readiness counts the criteria it meets, once for a pilot and
once at scale. The cut-offs are *calibrated*: they are set so that the counts give the ratings of the security team's
guide this product implements. The words order the approaches; they are never used in arithmetic.
"""

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct

from keystrand.model.stages import Approach

CALIBRATION = "counted burdens and criteria, with cut-offs calibrated to a published comparison of the five approaches"
"""How the ratings come about: the plan lists it among its assumptions."""


class Burden(StrEnum):
    """What a team has to carry."""

    QUANTUM_HARDWARE = "quantum hardware to own and maintain"
    CONTROLLED_OPTICS = "a dedicated or controlled optical path"
    TRUSTED_SITES = "trusted sites on the way to guard and staff"
    SPECIALISED_OPERATION = "specialised operation and monitoring"
    KEY_DELIVERY = "delivery of keys into the existing VPN, TLS and HSM"
    DUAL_SOURCES = "two key sources with a combiner and a fallback policy"
    SOFTWARE_CHANGE = "a change of software, certificates and capacity"
    LABORATORY_GRADE = "laboratory equipment without a support contract"


class Criterion(StrEnum):
    """What makes an approach ready."""

    FINAL_STANDARDS = "final standards"
    SEVERAL_VENDORS = "commercial products of more than one vendor"
    EXISTING_NETWORK = "runs on the network that is there"
    NO_NEW_SITES = "no new sites to build"
    CERTIFIED_PRODUCTS = "independently certified products can be bought"
    FALLBACK = "service goes on where it fails"


_QUANTUM = frozenset(
    {Burden.QUANTUM_HARDWARE, Burden.CONTROLLED_OPTICS, Burden.TRUSTED_SITES, Burden.SPECIALISED_OPERATION,
     Burden.KEY_DELIVERY}
)  # fmt: skip
_LABORATORY_WEIGHT = 2.0
"""There is no vendor to call: it weighs as two burdens."""
_FALLBACK_WEIGHT = 0.5
"""A quantum burden weighs half where its failure degrades the service instead of stopping it."""
CUTS = (1.5, 3.5, 5.5)
"""Calibrated cut-offs between the words, for burdens and for criteria alike."""
_WORDS = ("low", "medium", "high", "very high")


class Profile(Struct, frozen=True, kw_only=True):
    """One approach: what it always and sometimes asks, and which criteria it meets. `scale` is None where it equals
    `pilot`; `spread` says that the two stand for less and more access to a national programme instead."""

    always: frozenset[Burden]
    sometimes: frozenset[Burden] = frozenset()
    degrades: bool = False
    pilot: frozenset[Criterion]
    scale: frozenset[Criterion] | None = None
    spread: bool = False
    benefit: str
    best_fit: str


_C = Criterion
_LINK = _QUANTUM - {Burden.TRUSTED_SITES}
PROFILES: dict[Approach, Profile] = {
    Approach.QKD_FIBRE: Profile(
        always=_LINK,
        pilot=frozenset({_C.FINAL_STANDARDS, _C.SEVERAL_VENDORS, _C.NO_NEW_SITES, _C.FALLBACK}),
        scale=frozenset({_C.FINAL_STANDARDS, _C.SEVERAL_VENDORS, _C.NO_NEW_SITES}),  # the link then carries the service
        benefit="eavesdropping on the key exchange shows as errors",
        best_fit="a few links of the highest value: state, finance, critical infrastructure",
    ),
    Approach.QKD_TRUSTED_NODE: Profile(
        always=_QUANTUM,
        pilot=frozenset({_C.FINAL_STANDARDS, _C.SEVERAL_VENDORS, _C.FALLBACK}),
        benefit="reaches further than one span of fibre",
        best_fit="backbones between several sites",
    ),
    Approach.HYBRID: Profile(
        always=_LINK | {Burden.DUAL_SOURCES},
        degrades=True,
        pilot=frozenset({_C.FINAL_STANDARDS, _C.SEVERAL_VENDORS, _C.NO_NEW_SITES, _C.FALLBACK}),
        benefit="two independent protections, and service goes on without the quantum link",
        best_fit="most enterprise links that justify a quantum link at all",
    ),
    Approach.PQC_ONLY: Profile(
        always=frozenset({Burden.SOFTWARE_CHANGE}),
        sometimes=frozenset({Burden.DUAL_SOURCES}),  # where a policy asks for hybrid key exchange
        pilot=frozenset(_C),
        benefit="resists quantum computers by software alone",
        best_fit="everything, as the broad baseline",
    ),
    Approach.QUANTUM_INTERNET_TESTBED: Profile(
        always=_QUANTUM | {Burden.LABORATORY_GRADE},
        pilot=frozenset({_C.FALLBACK}),
        scale=frozenset({_C.FALLBACK, _C.NO_NEW_SITES}),
        spread=True,
        benefit="learning how distributed quantum states could carry trust",
        best_fit="laboratories and national programmes",
    ),
}


def weight(burden: Burden, *, degrades: bool) -> float:
    """Return how much one burden weighs, where the service goes on without the quantum link or not."""
    if burden is Burden.LABORATORY_GRADE:
        return _LABORATORY_WEIGHT
    return _FALLBACK_WEIGHT if degrades and burden in _QUANTUM else 1.0


def _word(total: float) -> str:
    return _WORDS[sum(total >= cut for cut in CUTS)]


def burden(profile: Profile, burdens: Iterable[Burden]) -> float:
    """Return how much `burdens` weigh in an approach of `profile`."""
    return sum(weight(one, degrades=profile.degrades) for one in burdens)


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def operational_complexity(approach: Approach) -> str:
    """Return the rating in words: `low` to `very high`, or a range."""
    profile = PROFILES[approach]
    most = profile.always | profile.sometimes
    return _range(_word(burden(profile, profile.always)), _word(burden(profile, most)))


def migration_readiness(approach: Approach) -> str:
    """Return the rating in words; where pilot and scale differ it names both."""
    profile = PROFILES[approach]
    pilot = _word(len(profile.pilot))
    scale = pilot if profile.scale is None else _word(len(profile.scale))
    if profile.spread:
        return _range(pilot, scale)
    return pilot if pilot == scale else f"{pilot} for pilot, {scale} for scale"


def profile_text(approach: Approach) -> tuple[str, str]:
    """Return two sentences for a reader: benefit and fit, then complexity and readiness with how they were rated."""
    profile = PROFILES[approach]
    return (
        f"benefit: {profile.benefit}; fits {profile.best_fit}",
        f"operational complexity {operational_complexity(approach)}, migration readiness "
        f"{migration_readiness(approach)} (counted, and calibrated: see the assumptions)",
    )
