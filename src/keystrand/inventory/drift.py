"""What changed between two inventories of one estate, one line for each thing that somebody did.

A renewed certificate is one change wherever it is served, with all that follows from it; another key exchange of a
server is one; a file that is new is one, whatever is in it. What was not looked at is never gone: it was not observed
this time. Expiry is judged by the two inventories' own dates.
"""

import re
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import zip_longest
from typing import NamedTuple

from msgspec import Struct

from keystrand.inventory.spots import CERTIFICATE, KEY, PROTOCOL, Sight, Spot, Thing, on_the_network, sight, spots
from keystrand.inventory.verdict import fact_verdict, severity
from keystrand.model.algorithm import Function, classify
from keystrand.model.observation import AlgorithmUse, Certificate, Endpoint, Fact, Flow, PublicKey
from keystrand.model.stages import Inventory

_KEX, _SIGNATURE = Function.KEY_ESTABLISHMENT.value, Function.SIGNATURE.value


class Kind(StrEnum):
    """What became of a thing, the most urgent first."""

    WEAKENED = "weakened"
    APPEARED = "appeared"
    WENT = "went"
    CHANGED = "changed"
    IMPROVED = "improved"
    NOT_OBSERVED = "not-observed"
    FIRST_OBSERVED = "first-observed"

    @property
    def is_change(self) -> bool:
        """Return whether the world changed, and not only what was looked at."""
        return self not in (Kind.NOT_OBSERVED, Kind.FIRST_OBSERVED)


class Change(Struct, frozen=True, kw_only=True):
    """One change: of what, where, from what to what, and why where that is not plain."""

    kind: Kind
    what: str
    where: tuple[str, ...]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    reason: str = ""


class _Step(NamedTuple):
    """Things that went and things that came in their place, at one spot."""

    what: str
    before: list[Thing]
    after: list[Thing]
    kind: Kind
    reason: str = ""

    @property
    def shared(self) -> tuple[str, ...]:
        """Return what the same step at other spots has too: certificates and keys are one thing everywhere."""
        keys = (thing.key for thing in (*self.before, *self.after) if thing.aspect in (CERTIFICATE, KEY))
        return (self.what, self.kind, *keys) if self.what in (CERTIFICATE, KEY) else ()


def drift(old: Inventory, new: Inventory) -> tuple[Change, ...]:
    """Return every change from `old` to `new`, the most urgent first, then by place."""
    before, after = spots(old), spots(new)
    then, now = sight(old), sight(new)
    steps: list[tuple[str, _Step, Spot]] = []
    changes = list(_expired(old, new))
    for name in sorted(before.keys() | after.keys()):
        match before.get(name), after.get(name):
            case None, Spot() as spot:
                changes.append(_whole(name, spot, then, Kind.APPEARED, Kind.FIRST_OBSERVED))
            case Spot() as spot, None:
                changes.append(_whole(name, spot, now, Kind.WENT, Kind.NOT_OBSERVED))
            case Spot() as one, Spot() as other:
                steps += ((name, step, other) for step in _steps(name, one, other, then, now))
    order = list(Kind)
    return tuple(sorted((*changes, *_folded(steps)), key=lambda c: (order.index(c.kind), c.where, c.what, c.before)))


def _whole(name: str, spot: Spot, other: Sight, looked: Kind, not_looked: Kind) -> Change:
    """Return the change of a spot that one inventory has and the `other`, by what it looked at, has not."""
    words = tuple(sorted({thing.words for things in spot.things.values() for thing in things}))
    reason = other.unseen(name, spot.targets)
    is_flow = name.startswith("flow ")
    if looked is Kind.WENT:
        reason = reason or ("no such traffic was seen this time" if is_flow else "")
        if on_the_network(name) and not spot.asked:
            reason = reason or "no traffic and no report tells of it this time"
    elif not spot.targets & other.known:
        reason = ""  # its target is new too
    sides = {"before": words} if looked is Kind.WENT else {"after": words}
    what = "flow" if is_flow else "endpoint" if on_the_network(name) else "file"
    return Change(
        kind=not_looked if reason else looked, what=what, where=(name,), systems=tuple(sorted(spot.systems)),
        reason=reason, **sides,
    )  # fmt: skip


def _steps(name: str, old: Spot, new: Spot, then: Sight, now: Sight) -> Iterator[_Step]:
    missing_now, missing_then = now.in_part(name, new.targets), then.in_part(name, old.targets)
    gone, come = _left_over(old.things, new.things), _left_over(new.things, old.things)
    if name.startswith("flow "):
        gone = []  # traffic that is not seen is not gone
        come = [thing for thing in come if isinstance(thing.fact, Flow) and thing.fact.key_establishment]  # nor new
    elif on_the_network(name) and not new.told_of:
        gone = [thing for thing in gone if not thing.place.startswith("file:")]  # nor what it alone told of a server
    for step in (*_identities(gone, come), *_others(name, old, new, gone, come)):
        yield _observed(step, missing_now, missing_then)


def _others(name: str, old: Spot, new: Spot, gone: list[Thing], come: list[Thing]) -> Iterator[_Step]:
    for aspect in sorted({thing.aspect for thing in (*gone, *come)}):
        one, other = _of(gone, aspect), _of(come, aspect)
        if on_the_network(name):
            yield _Step(aspect, one, other, _of_endpoint(aspect, old, new, one, other))
        else:
            yield from (_paired(aspect, *pair) for pair in _pairs(one, other))


def _observed(step: _Step, missing_now: str, missing_then: str) -> _Step:
    """Return a step as what it is where one of the two scans got no answer to some question."""
    if step.before and not step.after and missing_now:
        return step._replace(kind=Kind.NOT_OBSERVED, reason=missing_now)
    if step.after and not step.before and missing_then:
        return step._replace(kind=Kind.FIRST_OBSERVED, reason=missing_then)
    return step


def _left_over(these: dict[str, list[Thing]], others: dict[str, list[Thing]]) -> list[Thing]:
    """Return the things of `these` beyond those of the same key among `others`, the last in a file first to go."""
    return [thing for key, things in these.items() for thing in things[len(others.get(key, ())) :]]


def _identities(gone: list[Thing], come: list[Thing]) -> Iterator[_Step]:
    """Yield the steps of certificates and keys, and take from both lists what follows from them."""
    old, new = _of(gone, CERTIFICATE), _of(come, CERTIFICATE)
    for one, other in _pairs(old, new, _holder):
        yield _paired(CERTIFICATE, one, other)
    _take(gone, {*old, *_keys_of(gone, old)})
    _take(come, {*new, *_keys_of(come, new)})
    gone_keys, come_keys = _of(gone, KEY), _of(come, KEY)
    for one, other in _pairs(gone_keys, come_keys, _public_part):
        yield _paired(KEY, one, other)
    algorithms = {name for thing in (*old, *new, *gone_keys, *come_keys) for name in _algorithms(thing.fact)}
    for things in (gone, come):
        _take(things, {*_of(things, KEY), *(t for t in things if algorithms and _follows(t, algorithms))})


def _of(things: list[Thing], aspect: str) -> list[Thing]:
    return [thing for thing in things if thing.aspect == aspect]


def _take(things: list[Thing], taken: set[Thing]) -> None:
    things[:] = [thing for thing in things if thing not in taken]


def _keys_of(things: list[Thing], certificates: list[Thing]) -> list[Thing]:
    """Return the keys among `things` that the certificates are for."""
    own = {thing.fact.spki_sha256 for thing in certificates if isinstance(thing.fact, Certificate)}
    return [thing for thing in things if isinstance(thing.fact, PublicKey) and thing.fact.sha256 in own]


def _algorithms(fact: Fact) -> set[str]:
    match fact:
        case Certificate():
            return {fact.key_algorithm}
        case PublicKey():
            return {fact.algorithm}
        case _:
            return set()


def _follows(thing: Thing, algorithms: set[str]) -> bool:
    """Return whether a use of an algorithm follows from another certificate or key at its spot."""
    return isinstance(thing.fact, AlgorithmUse) and (thing.aspect == _SIGNATURE or thing.fact.algorithm in algorithms)


def _holder(thing: Thing) -> Hashable:
    """Return whose a certificate is: what a renewed one has too."""
    fact = thing.fact
    return (fact.subject, fact.authority) if isinstance(fact, Certificate) else None


def _public_part(thing: Thing) -> Hashable:
    return thing.fact.sha256 if isinstance(thing.fact, PublicKey) else None


def _pairs(
    gone: Sequence[Thing], come: Sequence[Thing], alike: Callable[[Thing], Hashable] = lambda _: None
) -> Iterator[tuple[Thing | None, Thing | None]]:
    """Yield what went with what came in its place: first those that have something in common, then in their order."""
    waiting: dict[Hashable, deque[Thing]] = defaultdict(deque)
    for other in come:
        waiting[alike(other)].append(other)
    alone: list[Thing] = []
    for one in gone:
        if (common := alike(one)) is not None and waiting[common]:
            yield one, waiting[common].popleft()
        else:
            alone.append(one)
    yield from zip_longest(alone, (other for others in waiting.values() for other in others))


def _paired(what: str, one: Thing | None, other: Thing | None) -> _Step:
    before, after = [one] if one else [], [other] if other else []
    kind = _direction([one.fact], [other.fact]) if one and other else Kind.WENT if one else Kind.APPEARED
    return _Step(what, before, after, kind)


def _of_endpoint(aspect: str, old: Spot, new: Spot, gone: list[Thing], come: list[Thing]) -> Kind:
    """Return what became of one aspect of an endpoint, by all that it had there and has."""
    kind = _direction(old.facts(aspect), new.facts(aspect))
    if aspect == _KEX:
        kind = _exchange(old, new, kind)
    elif aspect == PROTOCOL:
        kind = _by_number(_oldest(new), _oldest(old), kind)
    if kind is Kind.CHANGED and not (gone and come):
        return Kind.WENT if gone else Kind.APPEARED
    return kind


def _exchange(old: Spot, new: Spot, otherwise: Kind) -> Kind:
    """Return what became of the key exchange: its verdict decides, then what the endpoint does for clients that ask."""
    if not old.endpoints or not new.endpoints:
        return otherwise
    (one,), (other,) = old.endpoints, new.endpoints
    kind = _by_number(severity(one.verdict), severity(other.verdict), Kind.CHANGED)
    if kind is Kind.CHANGED:
        kind = _by_number(_flags(other.fact), _flags(one.fact), Kind.CHANGED)
    return otherwise if kind is Kind.CHANGED else kind


def _flags(fact: Fact) -> int:
    if not isinstance(fact, Endpoint):
        return 0
    flags = (fact.supports_post_quantum, fact.negotiates_post_quantum, fact.prefers_post_quantum)
    return sum(flag is True for flag in flags)


def _oldest(spot: Spot) -> float:
    """Return the number of the oldest version that a spot speaks; those of SSL come before all of TLS."""
    facts = [fact for fact in spot.facts(PROTOCOL) if hasattr(fact, "versions")]
    texts = [version for fact in facts for version in fact.versions]
    found = [(re.search(r"\d+(\.\d+)?", text), "SSL" in text.upper()) for text in texts]
    return min((float(match[0]) - (100 if is_ssl else 0) for match, is_ssl in found if match), default=0.0)


def _by_number(better: float, worse: float, otherwise: Kind) -> Kind:
    """Return improved where the first is the greater, weakened where it is the less."""
    if better == worse:
        return otherwise
    return Kind.IMPROVED if better > worse else Kind.WEAKENED


def _direction(before: Iterable[Fact], after: Iterable[Fact]) -> Kind:
    """Return whether what is there became weaker: by the worst verdict, then by the size of keys in each family."""
    one, other = list(before), list(after)
    worst = [max((severity(fact_verdict(fact)) for fact in facts), default=0) for facts in (one, other)]
    if one and other and worst[0] != worst[1]:
        return _by_number(worst[0], worst[1], Kind.CHANGED)
    sizes, later = _sizes(one), _sizes(other)
    both = [(sizes[family], later[family]) for family in sizes.keys() & later.keys()]
    if any(now < then for then, now in both):
        return Kind.WEAKENED
    return Kind.IMPROVED if any(now > then for then, now in both) else Kind.CHANGED


def _sizes(facts: Iterable[Fact]) -> dict[str, int]:
    """Return the least size of keys, in bits, in each family of algorithms."""
    least: dict[str, int] = {}
    for fact in facts:
        for name in _algorithms(fact) | ({fact.algorithm} if isinstance(fact, AlgorithmUse) else set()):
            known = classify(name)
            if known.bits:
                least[known.family] = min(known.bits, least.get(known.family, known.bits))
    return least


def _folded(steps: list[tuple[str, _Step, Spot]]) -> Iterator[Change]:
    """Yield a change for each step; the same certificate or key replaced at several spots is one."""
    together: dict[tuple[str, ...], list[tuple[str, _Step, Spot]]] = defaultdict(list)
    for number, (name, step, spot) in enumerate(steps):
        together[step.shared or (str(number),)].append((name, step, spot))
    for same in together.values():
        _, step, _ = same[0]
        yield Change(
            kind=step.kind,
            what=step.what,
            where=tuple(name for name, _, _ in same),
            before=tuple(sorted({thing.words for thing in step.before})),
            after=tuple(sorted({thing.words for thing in step.after})),
            systems=tuple(sorted({system for _, _, spot in same for system in spot.systems})),
            reason="; ".join(sorted({one.reason for _, one, _ in same} - {""})),
        )


def _expired(old: Inventory, new: Inventory) -> Iterator[Change]:
    """Yield the certificates of both that were valid on the day of the one and are not on that of the other."""
    known = {asset.id for asset in old.assets}
    for asset in new.assets:
        fact = asset.fact
        if isinstance(fact, Certificate) and asset.id in known and old.as_of <= fact.not_after < new.as_of:
            yield Change(
                kind=Kind.WEAKENED,
                what=CERTIFICATE,
                where=tuple(sorted({seen.place for seen in asset.occurrences})),
                before=(f"valid until {fact.not_after}",),
                after=(f"expired on {new.as_of}",),
                systems=tuple(sorted({seen.system for seen in asset.occurrences})),
                reason=asset.name,
            )
