"""Which system a thing belongs to: the first rule of the estate that holds for it, else the system of its target."""

import ipaddress
import re
from collections.abc import Iterator
from fnmatch import translate
from typing import NamedTuple

from keystrand.model.estate import Estate, Rule
from keystrand.model.observation import Certificate, Endpoint, Fact, Flow, Observation

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_COMMON_NAME = re.compile(r"(?:^|,)\s*CN=([^,]+)")


class Assigned(NamedTuple):
    """A system, and the rule that gave it; an empty rule where it is that of the target."""

    system: str
    rule: str = ""


class _Conditions(NamedTuple):
    """A rule made ready to compare."""

    rule: Rule
    place: re.Pattern[str] | None
    network: _Network | None
    name: re.Pattern[str] | None

    def hold(self, seen: Observation) -> bool:
        return (
            (self.place is None or bool(self.place.match(seen.place)))
            and (self.network is None or any(_within(host, self.network) for host in _hosts(seen.fact)))
            and (self.name is None or any(self.name.match(name.lower()) for name in _names(seen.fact)))
        )


def _ready(rule: Rule) -> _Conditions:
    return _Conditions(
        rule,
        re.compile(translate(rule.place)) if rule.place is not None else None,
        ipaddress.ip_network(rule.address) if rule.address is not None else None,
        re.compile(translate(rule.name.lower())) if rule.name is not None else None,
    )


def _within(host: str, network: _Network) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]) in network
    except ValueError:
        return False


def _hosts(fact: Fact) -> Iterator[str]:
    match fact:
        case Endpoint():
            yield fact.host
        case Flow():
            yield from (fact.server, fact.client)


def _names(fact: Fact) -> Iterator[str]:
    yield from _hosts(fact)
    if isinstance(fact, Certificate):
        yield from fact.names
        yield fact.subject
        yield from _COMMON_NAME.findall(fact.subject)


class Assignment:
    """The rules of one estate, compiled once."""

    def __init__(self, estate: Estate) -> None:
        self._rules = tuple(_ready(rule) for rule in estate.rule)
        self._targets = {target.id: target.system for target in estate.target}

    def of(self, seen: Observation) -> Assigned:
        """Return where `seen` belongs. Raises `KeyError` where the estate does not name its target."""
        system = self._targets[seen.target]
        for conditions in self._rules:
            if conditions.hold(seen):
                return Assigned(conditions.rule.system, conditions.rule.id)
        return Assigned(system)
