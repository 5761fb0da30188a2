"""A network of quantum links as it is declared: sites, devices, links, switches, demands, and what may happen to them.

Everything a twin needs and nothing it finds out. Names are checked against each other here, so that what reads a file
can say at once which of them are wrong.
"""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct

from keystrand.model.units import Decibels, Identifier
from keystrand.qkd.attacks import AnyAttack
from keystrand.qkd.bb84_link import Bb84Link, Receiver, Transmitter
from keystrand.qkd.distillation import Distillation
from keystrand.qkd.faults import AnyFault, ClassicalOutage, Cut, Maintenance

STOPS = (Cut, Maintenance, ClassicalOutage)
"""Faults that leave the link's parameters as they are: nothing is distilled while they last."""

_Seconds = Annotated[float, Meta(ge=0, le=1e12)]
_Positive = Annotated[float, Meta(gt=0, le=1e12)]


class _Noun(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class NetworkSite(_Noun, frozen=True, kw_only=True):
    """A place with a key management entity. Only a `trusted_node` may relay key: it sees all key it relays."""

    id: Identifier
    trusted_node: bool = False


class Device(_Noun, frozen=True, kw_only=True):
    """A pair of QKD modules of one make."""

    id: Identifier
    transmitter: Transmitter
    receiver: Receiver
    distillation: Distillation = Distillation()


class NetworkLink(_Noun, frozen=True, kw_only=True):
    """A quantum link between two sites. `store_bits` is how much key its two ends can keep."""

    id: Identifier
    a: Identifier
    b: Identifier
    device: Identifier
    channel_loss_db: Decibels
    background_ratio: Annotated[float, Meta(ge=0, le=1)] = 0.0
    store_bits: Annotated[float, Meta(gt=0, le=1e15)] = 1e9


class Switch(_Noun, frozen=True, kw_only=True):
    """One transmitter that serves several links in turn, `dwell_s` each, blind for `change_s` at every change.

    A link that is down gives its turn to the others.
    """

    id: Identifier
    links: Annotated[tuple[Identifier, ...], Meta(min_length=2)]
    dwell_s: _Positive
    change_s: _Seconds = 1.0

    def __post_init__(self) -> None:
        if self.change_s >= self.dwell_s:
            raise ValueError("a switch must stay longer on a link than a change takes")


class Demand(_Noun, frozen=True, kw_only=True):
    """Key that two sites need, in the order in which demands are listed."""

    id: Identifier
    a: Identifier
    b: Identifier
    bits_per_s: Annotated[float, Meta(gt=0, le=1e12)]
    most_hops: Annotated[int, Meta(ge=1, le=8)] = 4


class LinkFault(_Noun, frozen=True, kw_only=True):
    """A fault that is known to come."""

    link: Identifier
    fault: AnyFault


class FaultRate(_Noun, frozen=True, kw_only=True):
    """A fault that comes by chance: on each of `links` (all where none is named) `per_year` times on average, at any
    moment alike; its duration is exponential about `mean_duration_s`."""

    fault: AnyFault
    per_year: Annotated[float, Meta(gt=0, le=1e5)]
    mean_duration_s: _Positive
    links: tuple[Identifier, ...] = ()


class SiteOutage(_Noun, frozen=True, kw_only=True):
    """A site that is out: its links make no key, and nothing is relayed over it."""

    site: Identifier
    start_s: _Seconds
    duration_s: _Positive


class LinkAttack(_Noun, frozen=True, kw_only=True):
    """Somebody attacks a link for some time. Only its effect on what the devices see is modelled."""

    link: Identifier
    start_s: _Seconds
    duration_s: _Positive
    attack: AnyAttack


class Network(_Noun, frozen=True, kw_only=True):
    """The whole of it. `step_s` is the resolution of time: a change of a link must last as long; stops need not."""

    name: str
    site: Annotated[tuple[NetworkSite, ...], Meta(min_length=2)]
    device: Annotated[tuple[Device, ...], Meta(min_length=1)]
    link: Annotated[tuple[NetworkLink, ...], Meta(min_length=1)]
    switch: tuple[Switch, ...] = ()
    demand: tuple[Demand, ...] = ()
    fault: tuple[LinkFault, ...] = ()
    fault_rate: tuple[FaultRate, ...] = ()
    outage: tuple[SiteOutage, ...] = ()
    attack: tuple[LinkAttack, ...] = ()
    step_s: Annotated[float, Meta(ge=1, le=3600)] = 60.0

    def healthy(self, link: NetworkLink) -> Bb84Link:
        """Return the link as it is when nothing is wrong."""
        device = self.device_of(link)
        return Bb84Link(
            transmitter=device.transmitter,
            receiver=device.receiver,
            channel_loss_db=link.channel_loss_db,
            background_ratio=link.background_ratio,
        )

    def device_of(self, link: NetworkLink) -> Device:
        """Return the device at a link's ends."""
        return next(one for one in self.device if one.id == link.device)


class NameFault(Struct, frozen=True):
    """A name that does not fit: where it stands in the description, and what is wrong with it."""

    path: tuple[str | int, ...]
    message: str
    hint: str = ""


def name_faults(network: Network) -> Iterator[NameFault]:
    """Yield every name that is used twice, or means nothing, and every demand or link that cannot be."""
    for kind in ("site", "device", "link", "switch", "demand"):
        yield from _twice(kind, [one.id for one in getattr(network, kind)])
    known = {kind: {one.id for one in getattr(network, kind)} for kind in ("site", "device", "link")}
    for kind, at, name, value, path in _uses(network):
        if value not in known[kind]:
            yield NameFault((name, at, *path), f"no {kind} is called {value!r}", f"there are: {', '.join(known[kind])}")
    for name in ("link", "demand"):
        for at, one in enumerate(getattr(network, name)):
            if one.a == one.b:
                yield NameFault((name, at, "b"), "both ends are the same site")
    yield from _too_short(network)
    switched = [link for one in network.switch for link in one.links]
    for link in sorted({one for one in switched if switched.count(one) > 1}):
        yield NameFault(("switch",), f"link {link!r} hangs on more than one switch, or twice on one")


def _too_short(network: Network) -> Iterator[NameFault]:
    """Yield what changes a link for less than a step: it would not be seen. Stops are exact, however short."""
    said = "{:g} s are less than a step, and would not be seen"
    hint = f"a step is {network.step_s:g} s: make step_s smaller, or the time longer"
    lasting = [("fault", n, one.fault, one.fault.duration_s) for n, one in enumerate(network.fault)]
    lasting += [("fault_rate", n, one.fault, one.mean_duration_s) for n, one in enumerate(network.fault_rate)]
    for name, at, fault, seconds in lasting:
        if not isinstance(fault, STOPS) and seconds is not None and seconds < network.step_s:
            yield NameFault((name, at), said.format(seconds), hint)
    for at, attack in enumerate(network.attack):
        if attack.duration_s < network.step_s:
            yield NameFault(("attack", at), said.format(attack.duration_s), hint)


def _twice(kind: str, ids: list[str]) -> Iterator[NameFault]:
    for at, one in enumerate(ids):
        if one in ids[:at]:
            yield NameFault((kind, at, "id"), f"{one!r} is used twice")


def _uses(network: Network) -> Iterator[tuple[str, int, str, str, tuple[str | int, ...]]]:
    """Yield every use of a name: the kind it names, where, and the name."""
    for at, link in enumerate(network.link):
        yield "site", at, "link", link.a, ("a",)
        yield "site", at, "link", link.b, ("b",)
        yield "device", at, "link", link.device, ("device",)
    for at, demand in enumerate(network.demand):
        yield "site", at, "demand", demand.a, ("a",)
        yield "site", at, "demand", demand.b, ("b",)
    for at, outage in enumerate(network.outage):
        yield "site", at, "outage", outage.site, ("site",)
    for name in ("fault", "attack"):
        for at, one in enumerate(getattr(network, name)):
            yield "link", at, name, one.link, ("link",)
    for name in ("switch", "fault_rate"):
        for at, one in enumerate(getattr(network, name)):
            for place, link_id in enumerate(one.links):
                yield "link", at, name, link_id, ("links", place)
