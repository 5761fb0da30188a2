"""What several documents say differently of the same thing: the report on merging the CBOMs of several generators.

The same thing has the same identity; a use of an algorithm is also held against what others say of the same place and
function, for there two tools often mean one call and name it differently (AES beside AES-256-GCM).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from keystrand.inventory.identity import canonical_place, identity
from keystrand.model.observation import AlgorithmUse, Fact
from keystrand.model.reading import Found


class Contradiction(NamedTuple):
    """One field of one thing, and who says what of it, by document; a value is in words."""

    identity: str
    field: str
    said: tuple[tuple[str, str], ...]


class Comparison(NamedTuple):
    """How far documents agree: things that several name, things that one alone names, and every contradiction."""

    shared: int
    alone: tuple[tuple[str, int], ...]
    contradictions: tuple[Contradiction, ...]


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _silent(value: Any) -> bool:
    return value in (None, "", ())


def _fields(name: str, by_document: Mapping[str, Fact]) -> Iterable[Contradiction]:
    """Yield the fields on which the facts of one identity differ; who is silent contradicts nobody."""
    for field in next(iter(by_document.values())).__struct_fields__:
        said = {document: getattr(fact, field, None) for document, fact in by_document.items()}
        spoken = {document: _words(value) for document, value in said.items() if not _silent(value)}
        if len(set(spoken.values())) > 1:
            yield Contradiction(name, field, tuple(sorted(spoken.items())))


def _use_places(documents: Mapping[str, Iterable[Found]]) -> Iterable[Contradiction]:
    """Yield the places where documents name different algorithms for one function."""
    named: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for document, found in documents.items():
        for where, _, fact in found:
            if isinstance(fact, AlgorithmUse) and where.startswith("!"):
                place = f"{fact.function.value} at {canonical_place(where[1:])}"
                named[place][document].add(fact.algorithm)
    for place, by_document in sorted(named.items()):
        if len({frozenset(names) for names in by_document.values()}) > 1:
            said = ((document, ", ".join(sorted(names))) for document, names in sorted(by_document.items()))
            yield Contradiction(place, "algorithm", tuple(said))


def compared(documents: Mapping[str, Iterable[Found]]) -> Comparison:
    """Return how far `documents`, findings by a document's name, agree on what they all could have seen.

    The order of documents and of findings changes nothing. `#n` places are of one document and shared with none.
    """
    kept = {name: tuple(found) for name, found in documents.items()}
    facts: dict[str, dict[str, Fact]] = defaultdict(dict)
    for document, found in sorted(kept.items()):
        for where, _, fact in sorted(found, key=repr):
            place = where[1:] if where.startswith("!") else f"{document}{where}"
            facts[identity(fact, place)].setdefault(document, fact)
    shared = {name: by_document for name, by_document in facts.items() if len(by_document) > 1}
    alone = ((d, sum(1 for by in facts.values() if set(by) == {d})) for d in sorted(kept))
    fields = (c for name, by_document in sorted(shared.items()) for c in _fields(name, by_document))
    return Comparison(len(shared), tuple(alone), (*fields, *_use_places(kept)))
