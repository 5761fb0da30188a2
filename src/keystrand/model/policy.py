"""Policies, positions and threat curves: versioned data with source, clause and date, never code."""

from datetime import date
from enum import StrEnum
from itertools import pairwise
from typing import Annotated

from msgspec import Meta, Struct

from keystrand.model.algorithm import Function
from keystrand.model.estate import Place, Sensitivity
from keystrand.model.units import Identifier, Ratio, Years

EU_MEMBERS = frozenset(
    {"AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
     "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"}
)  # fmt: skip
"""ISO 3166 codes of the 27 Member States: Treaty on European Union, Article 52, since 2020."""


class _Datum(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every record refuses keys it does not know."""


class Status(StrEnum):
    """How far the source has come. A draft never produces a violation, only a notice."""

    FINAL = "final"
    DRAFT = "draft"


class Force(StrEnum):
    """What the source can demand."""

    LAW = "law"
    DIRECTIVE = "directive"
    STANDARD = "standard"
    GUIDANCE = "guidance"


class Verification(StrEnum):
    """How we know what the source says. Memory never produces a violation, only a notice."""

    PRIMARY = "primary"
    SECONDARY = "secondary"
    MEMORY = "memory"


class Effect(StrEnum):
    """What a rule does to quantum-vulnerable use once its date has come.

    `disallow`: it must no longer be accepted. `deprecate`: whoever still uses it accepts a risk. `require`: what is
    quantum-safe must be supported. `plan`: the cryptography must be known and a plan must stand; no use ends.
    """

    DISALLOW = "disallow"
    DEPRECATE = "deprecate"
    REQUIRE = "require"
    PLAN = "plan"


class Source(_Datum, frozen=True, kw_only=True):
    """Where a record comes from and when we read it."""

    title: str
    publisher: str
    clause: str
    published: date
    as_of: date
    verification: Verification
    url: str = ""


class Rule(_Datum, frozen=True, kw_only=True):
    """One dated duty, in our own words. Empty `places` or `sensitivities` means all of them.

    `minimum_level`: the NIST category a quantum-safe algorithm must reach. `strength_at_most`: the rule speaks only of
    classical algorithms of at most this security strength in bits. `verification`: where weaker than the policy's.
    """

    id: Identifier
    functions: Annotated[tuple[Function, ...], Meta(min_length=1)]
    effect: Effect
    deadline: date
    text: str
    clause: str
    places: tuple[Place, ...] = ()
    sensitivities: tuple[Sensitivity, ...] = ()
    minimum_level: int | None = None
    strength_at_most: int | None = None
    verification: Verification | None = None


class Policy(_Datum, frozen=True, kw_only=True):
    """One instrument with its dated rules. `jurisdictions` are ISO 3166 codes or EU; empty means any."""

    id: Identifier
    name: str
    status: Status
    force: Force
    jurisdictions: tuple[str, ...]
    addressees: str
    source: Source
    rules: Annotated[tuple[Rule, ...], Meta(min_length=1)]
    note: str = ""


class Stance(StrEnum):
    """What an authority says of quantum key distribution."""

    PROHIBITS = "prohibits"
    DISCOURAGES = "discourages"
    LIMITS = "limits"
    ENCOURAGES = "encourages"


class Position(_Datum, frozen=True, kw_only=True):
    """An authority's position on quantum key distribution, shown beside every recommendation of it."""

    id: Identifier
    authority: str
    stance: Stance
    jurisdictions: tuple[str, ...]
    applies_to: str
    text: str
    source: Source


class Anchor(_Datum, frozen=True, kw_only=True):
    """A point of a threat curve: the probability range that a quantum computer breaks RSA-2048 within `years`."""

    years: Years
    low: Ratio
    high: Ratio


class ThreatCurve(_Datum, frozen=True, kw_only=True):
    """The threat horizon as a distribution: cumulative probability by years from `origin`, flat after the last.

    Raises `ValueError` where the anchors are not in order of time, or a probability falls, or a range is upside down.
    """

    id: Identifier
    name: str
    origin: date
    anchors: Annotated[tuple[Anchor, ...], Meta(min_length=1)]
    source: Source
    note: str = ""

    def __post_init__(self) -> None:
        if not self.anchors[0].years > 0 or any(b.years <= a.years for a, b in pairwise(self.anchors)):
            raise ValueError("the anchors must stand in order of their years, the first above 0")
        if any(anchor.low > anchor.high for anchor in self.anchors):
            raise ValueError("an anchor's low end is above its high end")
        if any(b.low < a.low or b.high < a.high for a, b in pairwise(self.anchors)):
            raise ValueError("a cumulative probability cannot fall with time")
