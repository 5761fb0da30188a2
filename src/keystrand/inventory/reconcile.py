"""One fact out of several observations of the same identity, with every difference in words."""

from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from keystrand.inventory.verdict import fact_verdict, severity
from keystrand.inventory.volumes import together
from keystrand.model.observation import Endpoint, Fact, Flow, Strength

Seen = tuple[Strength, Fact]


def _caution(fact: Fact) -> int:
    """Return what comes first among facts of equal strength: the one that promises less."""
    if isinstance(fact, Endpoint):
        return 1 if fact.prefers_post_quantum else 0
    return -severity(fact_verdict(fact))


def _order(seen: Seen) -> tuple[int, int, bytes]:
    strength, fact = seen
    return strength.rank, _caution(fact), msgspec.json.encode(fact)


def _silent(field: str, value: Any) -> bool:
    """Return whether `value` states nothing. A private part found nowhere near one copy may lie beside another."""
    return value in (None, "", ()) or (field == "private_part_present" and value is False)


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _spoken(field: str, ordered: list[Seen]) -> dict[Any, Strength]:
    """Return every value stated for `field` with its strongest evidence, the one to keep first."""
    spoken: dict[Any, Strength] = {}
    for strength, fact in ordered:
        value = getattr(fact, field)
        if not _silent(field, value):
            spoken.setdefault(value, strength)
    return spoken


def _conflicts(field: str, spoken: dict[Any, Strength]) -> Iterator[str]:
    if field == "code_point":
        return  # one algorithm has several: RSA signs with six hashes
    (kept, kept_strength), *others = spoken.items()
    for value, strength in others:
        yield f"{field}: kept {_words(kept)} ({kept_strength}); {_words(value)} was also seen ({strength})"


def reconcile(seen: Collection[Seen], told: Collection[Seen] = ()) -> tuple[Fact, tuple[str, ...]]:
    """Return the fact to keep of those `seen` or `told` (at least one, all of one identity), and their conflicts.

    The strongest observation is kept; among equals, the one that promises less. A field on which it is silent is filled
    from the next one that speaks: silence is no conflict. Sightings of a flow add up instead. What
    reports have `told` comes after all that was seen, however strong they say it is. Order does not matter.
    """
    ordered = [*sorted(set(seen), key=_order), *sorted(set(told) - set(seen), key=_order)]
    fact = ordered[0][1]
    kept: dict[str, Any] = (
        together(one for _, one in seen or told if isinstance(one, Flow)) if isinstance(fact, Flow) else {}
    )
    conflicts: list[str] = []
    for field in fact.__struct_fields__ if len(ordered) > 1 else ():
        if field in kept:
            continue
        if spoken := _spoken(field, ordered):
            kept[field] = next(iter(spoken))
            conflicts += _conflicts(field, spoken)
    return msgspec.structs.replace(fact, **kept), tuple(conflicts)
