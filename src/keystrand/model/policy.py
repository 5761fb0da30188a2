"""Policies, positions and threat curves: versioned data with source, clause and date, never code."""

from datetime import date, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Annotated

from msgspec import Meta, Struct

from keystrand.model.algorithm import Function
from keystrand.model.estate import Place, Sensitivity
from keystrand.model.units import Answer, Identifier, Ratio, Text, Years

EU_MEMBERS = frozenset(
    {"AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
     "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"}
)  # fmt: skip
"""ISO 3166 codes of the 27 Member States: Treaty on European Union, Article 52, since 2020."""


class _Datum(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every record refuses keys it does not know."""


class Status(StrEnum):
    """How far the source has come. Anything but a final text gives a notice at most.

    `unconfirmed`: others speak of such a text, and we found none.
    """

    FINAL = "final"
    DRAFT = "draft"
    SUPERSEDED = "superseded"
    UNCONFIRMED = "unconfirmed"


class Force(StrEnum):
    """What the source can demand."""

    LAW = "law"
    DIRECTIVE = "directive"
    STANDARD = "standard"
    CONTRACT = "contract"
    GUIDANCE = "guidance"
    STATEMENT = "statement"


class Verification(StrEnum):
    """How we know what the source says: read at the source, in two independent places, on one page, or from memory.

    What rests on one page or on memory never produces a violation, only a notice.
    """

    PRIMARY = "primary"
    SECONDARY = "secondary"
    ONE_PAGE = "one-page"
    MEMORY = "memory"

    @property
    def proves(self) -> bool:
        """Return whether it is enough for a violation."""
        return self in (Verification.PRIMARY, Verification.SECONDARY)


class DatePrecision(StrEnum):
    """What the source gives of a date. A month or a year stands for its last day."""

    DAY = "day"
    MONTH = "month"
    YEAR = "year"

    def same(self, one: date, other: date) -> bool:
        """Return whether both days are the same at this precision."""
        parts = {DatePrecision.DAY: 3, DatePrecision.MONTH: 2, DatePrecision.YEAR: 1}[self]
        return one.timetuple()[:parts] == other.timetuple()[:parts]

    def ends(self, day: date) -> bool:
        """Return whether `day` is the last one of its month or year, or any day where the day itself is given."""
        return day == date.max or not self.same(day, day + timedelta(days=1))


class Effect(StrEnum):
    """What a rule does to quantum-vulnerable use once its date has come.

    `disallow`: it must no longer be accepted. `deprecate`: whoever still uses it accepts a risk. `require`: what is
    quantum-safe must be supported. `plan`: the cryptography must be known and a plan must stand; no use ends.
    """

    DISALLOW = "disallow"
    DEPRECATE = "deprecate"
    REQUIRE = "require"
    PLAN = "plan"


class PolicyState(StrEnum):
    """What a rule says of a system on the day of the judgement.

    A violation needs a final text that we read at its source or in two independent places, addressed to this
    organisation, and a date that has passed. Everything weaker is a notice.
    """

    VIOLATION = "violation"
    DUE = "due"
    NOTICE = "notice"
    MET = "met"
    UNDETERMINED = "undetermined"
    NOT_APPLICABLE = "not-applicable"


class Source(_Datum, frozen=True, kw_only=True):
    """Where a record comes from and when we read it. `expires`: from the day after it, our reading counts as old."""

    title: str
    publisher: str
    clause: str
    published: date
    precision: DatePrecision = DatePrecision.DAY
    as_of: date
    expires: date | None = None
    verification: Verification
    url: str = ""

    def old(self, day: date) -> bool:
        """Return whether our reading of it has ended by `day`: it must be read again before it counts."""
        return self.expires is not None and day > self.expires


class Dispute(_Datum, frozen=True, kw_only=True):
    """Something that says otherwise. Until it is resolved the record gives a notice at most.

    `record` names the record of the catalogue that says otherwise, where it is one. Raises `ValueError` where a dispute
    is said to be resolved and no note says how.
    """

    source: Text
    says: Text
    resolved: bool
    record: Identifier | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if self.resolved and not self.note:
            raise ValueError("a resolved dispute needs a note: who settled it, when, and by what")


class Rule(_Datum, frozen=True, kw_only=True):
    """One dated duty, in our own words. Empty `places` or `sensitivities` means all of them.

    `minimum_level`: the NIST category a quantum-safe algorithm must reach. `hybrid`: it must stand together with a
    classical one. `strength_at_most`: the rule speaks only of classical algorithms of at most this security strength in
    bits. `high_impact`: only of high-value assets and systems of high impact. `new_only`: only of what is acquired
    after the date. `exceptions` are the source's own, in words. `verification`: where weaker than the policy's.
    """

    id: Identifier
    functions: Annotated[tuple[Function, ...], Meta(min_length=1)]
    effect: Effect
    deadline: date
    precision: DatePrecision = DatePrecision.DAY
    text: str
    clause: str
    places: tuple[Place, ...] = ()
    sensitivities: tuple[Sensitivity, ...] = ()
    high_impact: bool = False
    new_only: bool = False
    minimum_level: int | None = None
    hybrid: bool = False
    strength_at_most: int | None = None
    exceptions: tuple[Text, ...] = ()
    verification: Verification | None = None
    disputes: tuple[Dispute, ...] = ()

    def __post_init__(self) -> None:
        if not self.precision.ends(self.deadline):
            unit = self.precision.value
            raise ValueError(f"the source gives only the {unit}: write the last day of the {unit} as the deadline")


class PolicyCase(_Datum, frozen=True, kw_only=True):
    """A promise of a policy that can be tested: of such a system, on such a day, `rule` says `expect`.

    `bound`: the organisation names the policy as an obligation. `classical`: a classical algorithm is still accepted.
    """

    name: Text
    rule: Identifier
    function: Function
    algorithms: tuple[str, ...]
    on: date
    expect: PolicyState
    classical: Answer = Answer.UNKNOWN
    bound: bool = True
    jurisdiction: str | None = None
    place: Place | None = None
    sensitivity: Sensitivity | None = None
    high_impact: Answer = Answer.UNKNOWN
    national_security: Answer = Answer.UNKNOWN


class Policy(_Datum, frozen=True, kw_only=True):
    """One instrument with its dated rules. `jurisdictions` are ISO 3166 codes or EU; empty means any.

    `undated` says why it has no rule. `national_security`: true where it speaks only of national security systems,
    false where it leaves them out. `names` are words by which others cite the instrument, `wrong_names` those by which
    they cite it wrongly. `supersedes` and `superseded_by` link the records of one line of texts.
    """

    id: Identifier
    name: str
    status: Status
    force: Force
    jurisdictions: tuple[str, ...]
    addressees: str
    source: Source
    rules: tuple[Rule, ...] = ()
    undated: str = ""
    national_security: bool | None = None
    exceptions: tuple[Text, ...] = ()
    names: tuple[Text, ...] = ()
    wrong_names: tuple[Text, ...] = ()
    supersedes: tuple[Identifier, ...] = ()
    superseded_by: Identifier | None = None
    disputes: tuple[Dispute, ...] = ()
    test: tuple[PolicyCase, ...] = ()
    note: str = ""


class Stance(StrEnum):
    """What an authority says of quantum key distribution. `studies`: it has it examined and takes no side."""

    PROHIBITS = "prohibits"
    DISCOURAGES = "discourages"
    LIMITS = "limits"
    ENCOURAGES = "encourages"
    STUDIES = "studies"


class Technique(StrEnum):
    """What an authority may forbid as the means of resisting a quantum computer.

    `qkd`: quantum key distribution. `psk`: keys shared beforehand and symmetric protocols, such as RFC 8784 for IPsec
    and the pre-shared key of WireGuard, wherever their keys come from.
    """

    QKD = "qkd"
    PSK = "psk"


class Prohibition(_Datum, frozen=True, kw_only=True):
    """What is forbidden: from the day `since`, or, where it may still be used for a time, after the day `until`."""

    of: Technique
    since: date | None = None
    until: date | None = None
    text: str = ""

    def __post_init__(self) -> None:
        if (self.since is None) == (self.until is None):
            raise ValueError("a prohibition has a day since which it holds, or a day until which use may go on")

    def holds(self, day: date) -> bool:
        """Return whether it is forbidden on `day`."""
        return day >= self.since if self.since else self.until is None or day > self.until


class Position(_Datum, frozen=True, kw_only=True):
    """An authority's position on quantum key distribution, shown beside every recommendation of it.

    `prohibits` is what it forbids, with dates. `limitations` are its objections one by one. `national_security`: true
    where it speaks only of national security systems. `verification` of its source decides whether it can forbid.
    """

    id: Identifier
    authority: str
    stance: Stance
    jurisdictions: tuple[str, ...]
    applies_to: str
    text: str
    source: Source
    prohibits: tuple[Prohibition, ...] = ()
    limitations: tuple[Text, ...] = ()
    national_security: bool | None = None
    disputes: tuple[Dispute, ...] = ()

    def prohibition(self, technique: Technique) -> Prohibition | None:
        """Return what it says of `technique`, None where it does not forbid it at any time."""
        return next((one for one in self.prohibits if one.of is technique), None)

    def forbids(self, technique: Technique, day: date) -> Answer:
        """Return whether whom it speaks to may not rely on `technique` on `day`.

        Unknown where it says so, but on one page or from memory, by a reading grown old, or disputed.
        """
        found = self.prohibition(technique)
        if found is None or not found.holds(day):
            return Answer.NO
        open_disputes = any(not one.resolved for one in self.disputes)
        sure = self.source.verification.proves and not self.source.old(day) and not open_disputes
        return Answer.YES if sure else Answer.UNKNOWN


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
