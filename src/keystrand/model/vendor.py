"""What is asked of a vendor, what it answered, and what the organisation makes of that."""

from datetime import date
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, field

from keystrand.model.noun import Noun
from keystrand.model.planning import Currency
from keystrand.model.units import Identifier, Text

_NO_BREAK = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]*"
Line = Annotated[
    str,
    Meta(
        min_length=1, max_length=400, pattern=rf"^(?!\s){_NO_BREAK}(?<!\s)\Z",
        description="one line of text, at most 400 characters, no space at either end",
    ),
]  # fmt: skip
"""What a cell of a questionnaire can carry there and back: no line breaks, no control characters."""
LINE_LENGTH = 400
Magnitude = Annotated[float, Meta(ge=-1e15, le=1e15)]
Weight = Annotated[float, Meta(ge=0, le=1000, description="0 or more")]


class EvidenceLevel(StrEnum):
    """How far an answer is proven, from the weakest to the strongest.

    `shown`: the vendor showed it to us. `demonstrated`: our own pilot did. `certified`: an independent body did.
    """

    CLAIMED = "claimed"
    DOCUMENTED = "documented"
    SHOWN = "shown"
    DEMONSTRATED = "demonstrated"
    CERTIFIED = "certified"

    @property
    def rank(self) -> int:
        """Return 0 (claimed) to 4 (certified), for ordering only."""
        return list(EvidenceLevel).index(self)

    @property
    def from_vendor(self) -> bool:
        """Return whether a vendor can give it; the others are the organisation's to find."""
        return self in (EvidenceLevel.CLAIMED, EvidenceLevel.DOCUMENTED)


class AnswerKind(StrEnum):
    """The forms of an answer. `words` has no worth until the organisation has judged it."""

    YES_NO = "yes-no"
    QUANTITY = "quantity"
    CHOICE = "choice"
    WORDS = "words"


class Judgement(StrEnum):
    """What the organisation makes of an answer in words."""

    MEETS = "meets"
    PARTLY = "partly"
    MISSES = "misses"


class Against(StrEnum):
    """What of the estate a quantity is judged against, segment by segment."""

    REACH = "reach"
    KEY_RATE = "key-rate"


YES_NO_WORDS = ("no", "partly", "yes")
"""From worst to best."""
JUDGED_WORDS = tuple(one.value for one in (Judgement.MISSES, Judgement.PARTLY, Judgement.MEETS))
"""From worst to best."""


class Requirement(Noun, frozen=True, kw_only=True):
    """One question to a vendor, and how its answer is judged.

    `units` gives each unit that an answer may use, and how many of the first one it stands for. `worthless` and `full`
    are the values that count nothing and everything, in the first unit, with a straight line between. `choices` go from
    worst to best. `condition` is the unit of the condition that a quantity holds under, such as dB. `pilot_criterion`
    names the criterion of a pilot whose result answers the question.
    """

    id: Identifier
    group: Text
    question: Text
    why: Text
    kind: AnswerKind
    weight: Weight = 1.0
    units: dict[Text, Annotated[float, Meta(gt=0)]] = field(default_factory=dict)
    worthless: Magnitude | None = None
    full: Magnitude | None = None
    choices: tuple[Line, ...] = ()
    condition: Text | None = None
    against: Against | None = None
    pilot_criterion: Text | None = None

    @property
    def unit(self) -> str:
        """Return the unit that values are compared in; empty where there is none."""
        return next(iter(self.units), "")

    @property
    def words(self) -> tuple[str, ...]:
        """Return the only words that an answer may be, from worst to best; empty where any may be."""
        return YES_NO_WORDS if self.kind is AnswerKind.YES_NO else self.choices


class VendorAnswer(Noun, frozen=True, kw_only=True):
    """What is said to one requirement, how far it is proven, and where it stands.

    `up_to` is the other end where the value is a range; `at` the condition it holds under. `judged` is the
    organisation's own, and never leaves it.
    """

    requirement: Identifier
    value: Magnitude | Line
    up_to: Magnitude | None = None
    unit: Line | None = None
    at: Magnitude | None = None
    level: EvidenceLevel
    day: date = field(name="date")
    source: Line
    judged: Judgement | None = None


class Offer(Noun, frozen=True, kw_only=True):
    """What a vendor asks for what is compared, low to high; `per` says for what, the same for every vendor."""

    low: Annotated[float, Meta(ge=0)]
    high: Annotated[float, Meta(ge=0)]
    currency: Currency
    per: Line
    source: Line
    as_of: date


class VendorSheet(Noun, frozen=True, kw_only=True):
    """What is known of one vendor's offer. `pilots`: the pilots of the estate that ran on this vendor's equipment."""

    id: Identifier
    name: Line
    offer: Line
    as_of: date
    pilots: tuple[Identifier, ...] = ()
    note: Line | None = None
    price: Offer | None = None
    answer: tuple[VendorAnswer, ...] = ()


class Gate(Noun, frozen=True, kw_only=True):
    """A must-have: one of `word` (the least good one accepted), `at_least`, `at_most` (in `unit`) and `every_segment`.

    `level` is the weakest evidence that is enough.
    """

    requirement: Identifier
    word: Line | None = None
    at_least: Magnitude | None = None
    at_most: Magnitude | None = None
    unit: Line | None = None
    every_segment: bool = False
    level: EvidenceLevel = EvidenceLevel.CLAIMED
    why: Line


class Evaluation(Noun, frozen=True, kw_only=True):
    """What counts how much for the organisation, and its must-haves. A weight left out is the catalogue's."""

    weights: dict[Identifier, Weight] = field(default_factory=dict)
    gate: tuple[Gate, ...] = ()
