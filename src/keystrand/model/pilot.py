"""The pilots that an estate declares, with the criteria that decide."""

from typing import Annotated

from msgspec import Meta

from keystrand.model.noun import Noun
from keystrand.model.units import Identifier, Ratio, Text


class Criteria(Noun, frozen=True, kw_only=True):
    """What a pilot must show, decided before it runs."""

    secret_key_rate_min_bits_per_s: Annotated[float, Meta(gt=0)]
    handshake_median_max_ms: Annotated[float, Meta(gt=0)]
    key_delivery_median_max_ms: Annotated[float, Meta(gt=0)]
    recovery_max_s: Annotated[float, Meta(gt=0)]
    failed_handshakes_max_ratio: Ratio = 0.0


class Pilot(Noun, frozen=True, kw_only=True):
    """A bounded trial on one segment, with the criteria it will be judged by."""

    id: Identifier
    name: Text
    segment: Identifier
    handshakes: Annotated[int, Meta(ge=20, le=100_000)] = 100
    criteria: Criteria
