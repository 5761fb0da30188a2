"""What an estate says for its plan: when nothing may change, who is excused, who needs keys, and what things cost."""

from datetime import date
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from keystrand.model.noun import Noun
from keystrand.model.units import MOST, Identifier, Ratio, Text

DayOfYear = Annotated[str, Meta(pattern=r"^(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])\Z", description="month-day, 12-15")]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z", description="ISO 4217 code, such as EUR")]


class Protection(StrEnum):
    """What a demand for keys must survive: nothing, the loss of one link, or of one node."""

    NONE = "none"
    LINK = "link"
    NODE = "node"


class Freeze(Noun, frozen=True, kw_only=True):
    """Days of every year on which no change goes live; `owners` empty: for everybody. It may run over the new year."""

    id: Identifier
    why: Text
    first: DayOfYear
    last: DayOfYear
    owners: tuple[Identifier, ...] = ()


class Waiver(Noun, frozen=True, kw_only=True):
    """An exception from a policy: who answers for it, why, and when it ends. Results are counted with and without it.

    `rules` empty: every rule of the policy. `systems` and `regions` empty: all of them.
    """

    id: Identifier
    policy: Identifier
    rules: tuple[Identifier, ...] = ()
    systems: tuple[Identifier, ...] = ()
    regions: tuple[Identifier, ...] = ()
    owner: Identifier
    reason: Text
    granted: date
    expires: date


class Demand(Noun, frozen=True, kw_only=True):
    """Keys that two sites need from a quantum network, in bit/s. `zones` and `regions`: where a relay may stand.

    `zones` and `regions` empty: anywhere. `peak_bits_per_s` left out: no more than the mean.
    """

    id: Identifier
    a: Identifier
    b: Identifier
    bits_per_s: Annotated[float, Meta(gt=0, le=MOST)]
    peak_bits_per_s: Annotated[float, Meta(gt=0, le=MOST)] | None = None
    protection: Protection = Protection.NODE
    zones: tuple[Identifier, ...] = ()
    regions: tuple[Identifier, ...] = ()


class Price(Noun, frozen=True, kw_only=True):
    """What the organisation pays for one thing of the price list, low to high, in place of the list's own figure.

    `item` is an id of the price list; `source` says where the figure comes from, such as an offer.
    """

    item: Identifier
    low: Annotated[float, Meta(ge=0, le=MOST)]
    likely: Annotated[float, Meta(ge=0, le=MOST)]
    high: Annotated[float, Meta(ge=0, le=MOST)]
    currency: Currency
    source: Text
    as_of: date


class Exchange(Noun, frozen=True, kw_only=True):
    """What one unit of `currency` is worth in the plan's currency, for prices given in another one."""

    currency: Currency
    rate: Annotated[float, Meta(gt=0, le=MOST)]
    source: Text
    as_of: date


class Planning(Noun, frozen=True, kw_only=True):
    """What holds for the whole plan. `budget` and amounts are in `currency`; rates are a year, 0 to 1.

    `discount_rate` is real: it applies to money of today. `inflation_rate` only turns that into the money of a year.
    """

    currency: Currency = "EUR"
    budget: Annotated[float, Meta(gt=0, le=MOST)] | None = None
    operating_hours_per_year: Annotated[float, Meta(gt=0, le=MOST)] | None = None
    discount_rate: Ratio = 0.03
    horizon_years: Annotated[int, Meta(ge=1, le=30)] = 10
    inflation_rate: Ratio = 0.02
    exchange: tuple[Exchange, ...] = ()
