"""An inventory seen from its places: what is there, thing by thing, so that two inventories can be held together.

A spot is an endpoint, a file, or the way between two addresses. Where a thing stands inside a file is no part of it:
lines and objects move when others come before them.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from keystrand.inventory.identity import authority, service_of
from keystrand.model.algorithm import Function
from keystrand.model.observation import (
    AlgorithmUse,
    Certificate,
    Endpoint,
    Fact,
    Flow,
    Keystore,
    Library,
    Outcome,
    ProtocolSettings,
    PublicKey,
)
from keystrand.model.stages import Asset, Inventory, Occurrence

_INSIDE = re.compile(r"(#\d+|:\d+|@0x[0-9a-f]+)$")
_FLAGS = ("supports_post_quantum", "negotiates_post_quantum", "prefers_post_quantum")
CERTIFICATE, KEY, PROTOCOL = "certificate", "key", "protocol"


class Thing(NamedTuple):
    """Something at a spot. Things of one `key` at one spot are the same; `aspect`: what kind of thing it is."""

    aspect: str
    key: str
    words: str
    place: str
    fact: Fact


class Spot(NamedTuple):
    """What is at one spot, by key (files may have a thing several times), and whose it is. `endpoint`: its asset."""

    things: dict[str, list[Thing]]
    targets: set[str]
    systems: set[str]
    endpoints: list[Asset]

    def facts(self, aspect: str) -> list[Fact]:
        """Return the facts of all things of one aspect."""
        return [thing.fact for things in self.things.values() for thing in things if thing.aspect == aspect]

    @property
    def told_of(self) -> bool:
        """Return whether a file tells of what is here, such as a capture or another tool's report of a service."""
        return any(thing.place.startswith("file:") for things in self.things.values() for thing in things)

    @property
    def asked(self) -> bool:
        """Return whether what is here was looked at by itself."""
        return any(not thing.place.startswith("file:") for things in self.things.values() for thing in things)


def spot_of(place: str, fact: Fact) -> str:
    """Return the name of the spot of `fact` seen at `place`."""
    if isinstance(fact, Flow):
        return f"flow {fact.client} to {fact.server}:{fact.port}/{fact.transport}"
    if isinstance(fact, Endpoint):
        return f"{fact.protocol}://{authority(fact)}"
    told = service_of(place)
    return _INSIDE.sub("", told) if told.startswith("file:") else told


def on_the_network(spot: str) -> bool:
    """Return whether a spot is an endpoint: what is there is one configuration, not a list of findings."""
    return "://" in spot.partition(" ")[0]


def spots(inventory: Inventory) -> dict[str, Spot]:
    """Return every spot of an inventory by name, its things in the order of their places."""
    found: dict[str, Spot] = defaultdict(lambda: Spot(defaultdict(list), set(), set(), []))
    for asset in inventory.assets:
        for seen in {seen.place: seen for seen in reversed(asset.occurrences)}.values():
            spot = found[spot_of(seen.place, asset.fact)]
            if isinstance(asset.fact, Endpoint):
                spot.endpoints[:] = [asset]
            for aspect, key, words in _said(asset, seen):
                spot.things[f"{aspect}:{key}"].append(Thing(aspect, f"{aspect}:{key}", words, seen.place, asset.fact))
        for seen in asset.occurrences:
            found[spot_of(seen.place, asset.fact)].targets.add(seen.target)
            found[spot_of(seen.place, asset.fact)].systems.add(seen.system)
    for spot in found.values():
        for things in spot.things.values():
            things.sort(key=lambda thing: _in_order(thing.place))
    return dict(found)


def _in_order(place: str) -> tuple[str, int]:
    inside = _INSIDE.search(place)
    return place[: inside.start()] if inside else place, int(inside[1].lstrip("#:@"), 0) if inside else 0


def _said(asset: Asset, seen: Occurrence) -> Iterator[tuple[str, str, str]]:
    """Yield aspect, key and words of all that an asset says at one of its occurrences."""
    match asset.fact:
        case Certificate() as fact:
            yield CERTIFICATE, asset.id, f"{asset.name} ({fact.key_algorithm}, {fact.sha256[:12]})"
        case PublicKey() as fact:
            private = " with its private part" if fact.private_part_present else ""
            yield KEY, f"{asset.id}{private}", f"{fact.algorithm} key {fact.sha256[:12]}{private}"
        case AlgorithmUse() as fact:
            where = spot_of(seen.place, fact)
            key = f"{fact.algorithm}:{seen.strength.value}" if on_the_network(where) else fact.algorithm
            yield fact.function.value, key, f"{fact.algorithm} ({seen.strength.value})"
        case Endpoint() as fact:
            yield PROTOCOL, fact.protocol, fact.protocol
            yield from ((PROTOCOL, f"version:{version}", version) for version in fact.versions)
            if fact.software:
                yield PROTOCOL, f"software:{fact.software}", fact.software
            yield from _flags(fact)
        case ProtocolSettings() as fact:
            own = f"{fact.software}:{fact.protocol}"
            yield PROTOCOL, own, f"{fact.protocol} of {fact.software}"
            yield from ((PROTOCOL, f"{own}:version:{version}", version) for version in fact.versions)
            yield from ((PROTOCOL, f"{own}:listens:{listens}", listens) for listens in fact.listens)
        case Keystore() as fact:
            words = f"{fact.format}, {'unknown' if fact.entries is None else fact.entries} entries"
            yield "keystore", f"{words}:{fact.encrypted}", words + (", encrypted" if fact.encrypted else "")
        case Library() as fact:
            yield "library", asset.id, asset.name
        case Flow() as fact:
            yield (
                "flow",
                f"{fact.protocol}:{fact.key_establishment}",
                f"{fact.protocol} {fact.key_establishment}".strip(),
            )


def _flags(fact: Endpoint) -> Iterator[tuple[str, str, str]]:
    for flag in _FLAGS:
        if (value := getattr(fact, flag)) is not None:
            words = flag.replace("post_quantum", "post-quantum").replace("_", " ")
            yield Function.KEY_ESTABLISHMENT.value, f"{flag}:{value}", f"{words}: {'yes' if value else 'no'}"


class Sight(NamedTuple):
    """What an inventory looked at: each target that it knows, with its gaps by place (empty: all of it)."""

    known: set[str]
    gaps: dict[str, dict[str, tuple[Outcome, str]]]

    def unseen(self, spot: str, targets: Iterable[str]) -> str:
        """Return why a spot of `targets` was not looked at; empty where one of them did look there."""
        reasons = [self._unseen(spot, target) for target in sorted(targets)]
        return "" if "" in reasons else next(iter(reasons), "nothing is known of its target")

    def _unseen(self, spot: str, target: str) -> str:
        if target not in self.known:
            return f"target {target} was not looked at"
        for place, (outcome, reason) in self.gaps.get(target, {}).items():
            within = not place or spot == place or spot.startswith((f"{place}/", f"{place}!"))
            looked = outcome is Outcome.SEEN or (outcome is Outcome.NONE and place.startswith("file:"))
            if within and not looked:
                return f"{outcome.value}: {reason}"
        return ""

    def in_part(self, spot: str, targets: Iterable[str]) -> str:
        """Return what is missing at an endpoint that was seen in part; empty where nothing is."""
        gaps = (self.gaps.get(target, {}).get(spot) for target in sorted(targets))
        return next((reason for gap in gaps if gap for outcome, reason in (gap,) if outcome is Outcome.SEEN), "")


def sight(inventory: Inventory) -> Sight:
    """Return what an inventory looked at, from its occurrences and its gaps."""
    known = {seen.target for asset in inventory.assets for seen in asset.occurrences}
    gaps: dict[str, dict[str, tuple[Outcome, str]]] = defaultdict(dict)
    for gap in inventory.coverage.gaps:
        noun, _, rest = gap.what.partition(" ")
        target, _, place = rest.partition(" at ")
        if noun == "target":
            known.add(target)
            gaps[target][place] = gap.outcome, gap.reason
    return Sight(known, gaps)
