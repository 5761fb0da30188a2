"""How likely traffic is recorded, by the networks it crosses: a named set of assumptions, never a measurement."""

from typing import Annotated

from msgspec import Meta, Struct

from keystrand.model.estate import Exposure as Network
from keystrand.model.units import Identifier, Interval, Ratio, Text


class Likelihood(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The range of the probability that traffic on `network` is recorded and kept. Raises `ValueError` upside down."""

    network: Network
    low: Ratio
    high: Ratio

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("the low end is above the high end")


class HarvestSet(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One set of likelihoods; `source` says who assumes them. A network left out is from 0 to 1: nobody knows."""

    id: Identifier
    name: Text
    source: Text
    likelihoods: Annotated[tuple[Likelihood, ...], Meta(min_length=1)]

    def of(self, network: Network) -> Interval:
        """Return the range for `network`."""
        found = next((one for one in self.likelihoods if one.network is network), None)
        return Interval(low=found.low, high=found.high) if found else Interval(low=0.0, high=1.0)
