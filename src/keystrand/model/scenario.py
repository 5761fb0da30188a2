"""What may go wrong after a change, with the odds that an organisation assumes: named data, never a finding."""

from collections import Counter
from datetime import date
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from keystrand.model.noun import Noun
from keystrand.model.units import Identifier, Interval, Ratio, Text


class Odds(StrEnum):
    """The figures that the residual of an approach rests on.

    All but the last two are probabilities of a break that makes traffic readable, over the years of the plan.
    `shared-cause` is the share of a node's odds that falls on all nodes of a path at once. `common-failure` is the
    correlation of both key sources of a hybrid: 0 independent, 1 always together.
    """

    PQC_CRYPTANALYSIS = "pqc-cryptanalysis"
    PQC_IMPLEMENTATION = "pqc-implementation"
    QKD_SIDE_CHANNEL = "qkd-side-channel"
    TRUSTED_NODE = "trusted-node"
    ENDPOINT = "endpoint"
    SHARED_CAUSE = "shared-cause"
    COMMON_FAILURE = "common-failure"


class Level(StrEnum):
    """How a figure is known."""

    ASSUMED = "assumed"
    PUBLISHED = "published"
    MEASURED = "measured"


class Assumed(Noun, frozen=True, kw_only=True):
    """One figure as a range, with what it means and where it comes from."""

    id: Odds
    low: Ratio
    high: Ratio
    level: Level
    text: Text
    source: Text

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"the low end {self.low:g} is above the high end {self.high:g}")


class ScenarioSet(Noun, frozen=True, kw_only=True):
    """Every figure of `Odds`, once. Raises `ValueError` where one is missing or stands there twice."""

    id: Identifier
    name: Text
    as_of: date
    assumed: Annotated[tuple[Assumed, ...], Meta(min_length=1)]

    def __post_init__(self) -> None:
        count = Counter(one.id for one in self.assumed)
        if wrong := [odds.value for odds in Odds if count[odds] != 1]:
            raise ValueError(f"each figure stands here once; missing or repeated: {', '.join(wrong)}")

    def of(self, odds: Odds) -> Interval:
        """Return the range of `odds`."""
        found = next(one for one in self.assumed if one.id is odds)
        return Interval(low=found.low, high=found.high)


class Answered(Noun, frozen=True, kw_only=True):
    """What keystrand does about one limitation of a position, and what is left. `limitation` counts from 1.

    0: the position as a whole, where it names no limitation by itself.
    """

    limitation: Annotated[int, Meta(ge=0)]
    mitigation: Text
    left: Text


class PositionAnswers(Noun, frozen=True, kw_only=True):
    """The answers to one position on quantum key distribution."""

    position: Identifier
    answer: Annotated[tuple[Answered, ...], Meta(min_length=1)]
