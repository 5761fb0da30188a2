"""Quantities with their unit in the name and their possible range in the type."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

MOST = 1e12
"""Most bits of key a second, money, or units of data a year that anybody states: beyond it sums lose their meaning."""
Kilometres = Annotated[float, Meta(ge=0.01, le=20_000, description="kilometres")]
Decibels = Annotated[float, Meta(ge=0, le=200, description="decibels of loss")]
DecibelsPerKm = Annotated[float, Meta(ge=0.1, le=3.0, description="decibels of loss per kilometre")]
Latitude = Annotated[float, Meta(ge=-90, le=90, description="degrees north, WGS 84")]
Longitude = Annotated[float, Meta(ge=-180, le=180, description="degrees east, WGS 84")]
Years = Annotated[float, Meta(ge=0, le=200, description="years")]
Text = Annotated[str, Meta(min_length=1, max_length=400)]
Ratio = Annotated[float, Meta(ge=0, le=1, description="ratio, 0 to 1")]
Count = Annotated[int, Meta(ge=0)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Identifier = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9.-]{0,63}\Z",
        description="lower case, digits, dot, hyphen; at most 64, the first a letter or a digit",
    ),
]
PartyId = Annotated[
    str,
    Meta(
        min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f-\x9f]*\Z",
        description="a KME, SAE or module ID, unique in the network",
    ),
]  # fmt: skip
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Answer(StrEnum):
    """A three-valued answer. Unknown is a value of its own and never counts as yes."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Interval(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A range with its ends, for a quantity that is not known to a point."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"the low end {self.low} is above the high end {self.high}")


class Estimate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A measured or simulated number: median, spread, sample size, unit, and whether the world took part in it."""

    value: float
    low: float
    high: float
    sample_size: Count
    unit: str
    simulated: bool
    spread: str = "5th to 95th percentile"
