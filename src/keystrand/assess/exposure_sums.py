"""Exposure by system, segment, owner, flow or data class, and what a system carries: sums that keep their ranges.

Both ends of a sum lie on one threat curve: there is one quantum computer to come, so the low ends belong together, and
the high ends. A system's own sums count every data class as one unit a year. Where the estate declares its volume, the
volume-years lie between all of it being its shortest-lived class and all of it being its longest-lived one.

A flow is a system on a segment. How a system divides its traffic between segments is not declared, so on each of
several segments it counts from none to all: flows do not add up to systems.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from keystrand.model.estate import Estate, Layer, System
from keystrand.model.estate import Exposure as Network
from keystrand.model.likelihood import HarvestSet
from keystrand.model.stages import Exposure
from keystrand.model.units import Interval

NOBODY, NOWHERE = "nobody named", "no segment declared"
"""What stands in the place of an owner or a segment that the estate does not name."""


class By(StrEnum):
    """What exposure can be summed by."""

    SYSTEM = "system"
    SEGMENT = "segment"
    OWNER = "owner"
    FLOW = "flow"
    DATA_CLASS = "data-class"


class Amounts(NamedTuple):
    """Data-years, and data-years for each year of delay; `volume`: avoidable volume-years, None where not declared."""

    avoidable: Interval
    sunk: Interval
    delay: Interval
    volume: Interval | None = None


class ExposureSum(NamedTuple):
    """What a system, segment, owner, flow or data class comes to; `systems` are those that are in it."""

    name: str
    systems: tuple[str, ...]
    amounts: Amounts


class _Share(NamedTuple):
    name: str
    system: str
    amounts: Amounts


def exposure_sums(estate: Estate, exposures: Sequence[Exposure], by: By) -> tuple[ExposureSum, ...]:
    """Return the sums of `exposures`, the largest avoidable high end first, then by name."""
    together: dict[str, list[_Share]] = defaultdict(list)
    for share in _shares(estate, exposures, by):
        together[share.name].append(share)
    sums = [
        ExposureSum(name, tuple(dict.fromkeys(s.system for s in shares)), _sum(s.amounts for s in shares))
        for name, shares in together.items()
    ]
    return tuple(sorted(sums, key=lambda s: (-s.amounts.avoidable.high, -s.amounts.sunk.high, s.name)))


def _shares(estate: Estate, exposures: Sequence[Exposure], by: By) -> Iterator[_Share]:
    found: dict[str, list[Exposure]] = defaultdict(list)
    for exposure in exposures:
        found[exposure.system].append(exposure)
    for system in estate.system:
        own = found.get(system.id, [])
        if by is By.DATA_CLASS:
            yield from (_Share(e.data_class, system.id, _of_class(system, e, alone=len(own) == 1)) for e in own)
        elif own:
            yield from _of_system(system, own, by)


def _of_system(system: System, own: list[Exposure], by: By) -> Iterator[_Share]:
    amounts = _amounts(system, own)
    if by is By.SYSTEM:
        yield _Share(system.id, system.id, amounts)
    elif by is By.OWNER:
        yield _Share(system.owners.of(Layer.ALGORITHMS) or NOBODY, system.id, amounts)
    else:
        for segment in system.segments or (NOWHERE,):
            name = segment if by is By.SEGMENT else f"{system.id} on {segment}"
            yield _Share(name, system.id, amounts if len(system.segments) < 2 else _from_none(amounts))


def _amounts(system: System, own: list[Exposure]) -> Amounts:
    ahead = [e.avoidable_data_years for e in own]
    return Amounts(
        _total(ahead),
        _total(e.sunk_data_years for e in own),
        _total(e.delay_cost_data_years_per_year for e in own),
        _times(Interval(low=min(i.low for i in ahead), high=max(i.high for i in ahead)), system.volume_per_year),
    )


def _of_class(system: System, exposure: Exposure, *, alone: bool) -> Amounts:
    ahead = exposure.avoidable_data_years
    least = ahead if alone else Interval(low=0.0, high=ahead.high)
    return Amounts(
        ahead, exposure.sunk_data_years, exposure.delay_cost_data_years_per_year, _times(least, system.volume_per_year)
    )


def _times(interval: Interval, factor: float | None) -> Interval | None:
    return None if factor is None else Interval(low=interval.low * factor, high=interval.high * factor)


def _from_none(amounts: Amounts) -> Amounts:
    ahead, behind, delay, volume = amounts
    ends = Interval(low=0.0, high=ahead.high), Interval(low=0.0, high=behind.high), Interval(low=0.0, high=delay.high)
    return Amounts(*ends, volume and Interval(low=0.0, high=volume.high))


def _total(intervals: Iterable[Interval]) -> Interval:
    ends = [(i.low, i.high) for i in intervals]
    return Interval(low=sum(low for low, _ in ends), high=sum(high for _, high in ends))


def _sum(parts: Iterable[Amounts]) -> Amounts:
    avoidable, sunk, delay, volume = zip(*parts, strict=True)
    declared = [one for one in volume if one is not None]
    return Amounts(_total(avoidable), _total(sunk), _total(delay), _total(declared) if declared else None)


def harvested(networks: Mapping[str, Network], one: ExposureSum, likelihoods: HarvestSet) -> Interval:
    """Return the avoidable data-years of `one` with the likelihoods of an assumption set: beside, never in place of it.

    `networks`: which each system crosses. Where systems on several networks are in it, the least and the most likely
    of them bound the whole.
    """
    ranges = [likelihoods.of(network) for network in {networks[system] for system in one.systems}]
    ahead = one.amounts.avoidable
    return Interval(
        low=ahead.low * min(r.low for r in ranges),
        high=ahead.high * max(r.high for r in ranges),
    )
