"""What a plan's cost is made of: price lists and assumed rates, every figure a range with its source and its level."""

from datetime import date
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from keystrand.model.noun import Noun
from keystrand.model.planning import Currency
from keystrand.model.units import Identifier, Text

Amount = Annotated[float, Meta(ge=0)]


class CostCategory(StrEnum):
    """Where money goes over the whole life of a change; what would be spent anyway is taken off again as `avoided`."""

    ACQUISITION = "acquisition"
    INTEGRATION = "integration"
    TRAINING = "training"
    MONITORING = "monitoring"
    CHANGE = "change"
    OPERATION = "operation"
    TELECOM = "telecom"
    FACILITY = "facility"
    KEY_MANAGEMENT = "key-management"
    SUPPORT_AND_SPARES = "support-and-spares"
    CALIBRATION = "calibration"
    REFRESH = "refresh"
    CERTIFICATION = "certification"
    PILOT = "pilot"
    DUAL_RUNNING = "dual-running"
    DECOMMISSION = "decommission"
    AVOIDED = "avoided"


class PriceLevel(StrEnum):
    """How far a figure can be relied on. An unverified default only shows the form; a decision needs your own."""

    VERIFIED = "verified"
    MEASURED = "measured"
    ONE_SOURCE = "one-source"
    ASSUMED = "assumed"
    UNVERIFIED_DEFAULT = "unverified-default"


class Factor(StrEnum):
    """What moves several figures together: if one device is dearer than thought, the others are likely to be too."""

    WAGES = "wages"
    DEVICES = "devices"
    FIBRE = "fibre"
    SITES = "sites"
    EFFORT = "effort"


class Spread(Noun, frozen=True, kw_only=True):
    """A figure as a range. All three left out: not known, and asked for."""

    id: Identifier
    name: Text
    unit: Text
    low: Amount | None = None
    likely: Amount | None = None
    high: Amount | None = None
    level: PriceLevel
    source: Text
    as_of: date
    factor: Factor

    def __post_init__(self) -> None:
        given = [value for value in (self.low, self.likely, self.high) if value is not None]
        if len(given) not in (0, 3):
            raise ValueError("give low, likely and high, or none of them")
        if given != sorted(given):
            raise ValueError("low, likely and high must stand in this order")

    @property
    def ends(self) -> tuple[float, float, float] | None:
        """Return low, likely and high, or None where the figure is not known."""
        if self.low is None or self.likely is None or self.high is None:
            return None
        return self.low, self.likely, self.high


class PriceItem(Spread, frozen=True, kw_only=True):
    """A thing with a price in its list's currency; `life_years`: after how long it is bought again."""

    category: CostCategory
    life_years: tuple[Annotated[float, Meta(ge=1)], Annotated[float, Meta(ge=1)]] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.life_years and self.life_years[0] > self.life_years[1]:
            raise ValueError("the shorter life comes first in life_years")


class PriceList(Noun, frozen=True, kw_only=True):
    """One file of prices."""

    id: Identifier
    currency: Currency
    item: Annotated[tuple[PriceItem, ...], Meta(min_length=1)]


class RateList(Noun, frozen=True, kw_only=True):
    """One file of rates: working time by unit, and shares (unit `ratio`)."""

    id: Identifier
    rate: Annotated[tuple[Spread, ...], Meta(min_length=1)]

    def __post_init__(self) -> None:
        for one in self.rate:
            if one.unit == "ratio" and (one.high or 0.0) > 1:
                raise ValueError(f"{one.id} is a ratio, and its high end is above 1")
