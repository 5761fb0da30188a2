"""What the inventory's store holds of one run, read in order and in flat memory."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby, islice
from operator import itemgetter
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from keystrand.edge.store.observations import ObservationStore, Said
from keystrand.formats.documents import canonical, encode_record
from keystrand.inventory.assignment import Assignment
from keystrand.inventory.identity import canonical as one_spelling
from keystrand.inventory.identity import seen_as
from keystrand.inventory.merge import Established, establishes
from keystrand.model.algorithm import Verdict
from keystrand.model.estate import Estate, Layer
from keystrand.model.observation import Attempt, Fact, Observation, Record, Strength
from keystrand.model.stages import Asset

_STRENGTHS = tuple(Strength)
_MADE = ("asset", "member", "placed")
"""The tables that each merge fills anew."""
BATCH = 1000
"""Identities that are merged at once."""
_NO_VALUES: Mapping[str, Any] = MappingProxyType({})
_FACT = msgspec.json.Decoder(Fact)
_SAID = msgspec.json.Decoder(Said)
# CROSS JOIN keeps the order of the tables (SQLite, "the query planner"), so that rows come sorted by an index, unsorted
_OBSERVATIONS = (
    "SELECT s.target, s.place, s.probe, o.strength, f.said FROM spot s CROSS JOIN observation o ON o.spot = s.id"
    " CROSS JOIN fact f ON f.id = o.fact WHERE o.last_run = :run {where} ORDER BY s.target, s.place"
)
_ATTEMPTS = (
    "SELECT s.target, s.place, s.probe, a.said FROM spot s CROSS JOIN attempt a ON a.spot = s.id"
    " WHERE a.last_run = :run {where} ORDER BY s.target, s.place"
)
_BY_IDENTITY = (
    "SELECT i.id, i.name, s.id, s.target, s.place, s.probe, o.strength, f.said FROM identity i"
    " CROSS JOIN observation o ON o.identity = i.id CROSS JOIN fact f ON f.id = o.fact"
    " CROSS JOIN spot s ON s.id = o.spot WHERE o.last_run = ? ORDER BY i.name"
)
_MEMBERS = "SELECT i.name FROM identity i JOIN member m ON m.identity = i.id WHERE m.system = ? ORDER BY i.name"


def _observation(row: tuple[Any, ...]) -> Observation:
    target, place, probe, strength, said = row
    return Observation(target=target, place=place, probe=probe, strength=_STRENGTHS[strength], fact=_FACT.decode(said))


def _attempt(row: tuple[Any, ...]) -> Attempt:
    target, place, probe, text = row
    said = msgspec.to_builtins(_SAID.decode(text))
    return msgspec.convert({"record": "attempt", "target": target, "place": place, "probe": probe, **said}, Attempt)


def observations_of(
    store: ObservationStore, run: int, where: str = "", values: Mapping[str, Any] = _NO_VALUES
) -> Iterator[Observation]:
    """Yield the run's observations by target and place, with a condition on the `spot` s if one is given."""
    return map(_observation, store.db.execute(_OBSERVATIONS.format(where=where), {"run": run, **values}))


def attempts_of(
    store: ObservationStore, run: int, where: str = "", values: Mapping[str, Any] = _NO_VALUES
) -> Iterator[Attempt]:
    """Yield the run's attempts by target and place, with a condition on the `spot` s if one is given."""
    return map(_attempt, store.db.execute(_ATTEMPTS.format(where=where), {"run": run, **values}))


def _at(record: Record) -> tuple[str, str]:
    return record.target, record.place


def records_of(store: ObservationStore, run: int) -> Iterator[Record]:
    """Yield all records of a run in the order of the document: by target, place, and then as they are written."""
    sources: tuple[Iterator[Record], Iterator[Record]] = observations_of(store, run), attempts_of(store, run)
    both = heapq.merge(*sources, key=_at)
    for _, together in groupby(both, _at):
        yield from sorted(together, key=encode_record)


def targets_of(store: ObservationStore, run: int) -> set[str]:
    """Return the targets that the run's records name."""
    rows = store.db.execute(
        "SELECT DISTINCT target FROM spot s WHERE EXISTS(SELECT 1 FROM attempt WHERE spot = s.id AND last_run = :run)"
        " OR EXISTS(SELECT 1 FROM observation WHERE spot = s.id AND last_run = :run)",
        {"run": run},
    )
    return {target for (target,) in rows}


class Sighted(NamedTuple):
    """An identity, and all that a run saw of it: each observation in one spelling, with the number of its spot."""

    number: int
    name: str
    seen: list[tuple[int, Observation]]


def by_identity(store: ObservationStore, run: int) -> Iterator[Sighted]:
    """Yield each identity that the run saw, by name."""
    rows = store.db.execute(_BY_IDENTITY, (run,))
    for (number, name), together in groupby(rows, itemgetter(0, 1)):
        yield Sighted(number, name, [(row[2], seen_as(name, one_spelling(_observation(row[3:])))) for row in together])


def members(store: ObservationStore, system: str) -> Iterator[str]:
    """Yield the identities of a system's assets, by name, as `kept_assets` put them in."""
    return (name for (name,) in store.db.execute(_MEMBERS, (system,)))


def members_counted(store: ObservationStore) -> dict[str, int]:
    """Return how many assets each system has that has any."""
    return dict(store.db.execute("SELECT system, count(*) FROM member GROUP BY system"))


def established(store: ObservationStore, run: int) -> Established:
    """Return what tells the key establishment that the run saw at a place."""
    uses = store.db.execute("SELECT id, said FROM fact WHERE kind = 'algorithm-use'")
    weights = [(fact, verdict.value) for fact, said in uses if (verdict := establishes(_FACT.decode(said))) is not None]
    store.db.execute("DROP TABLE IF EXISTS temp.weight")
    store.db.execute("DROP TABLE IF EXISTS temp.establishment")
    store.db.execute("CREATE TEMP TABLE weight(fact INTEGER PRIMARY KEY, verdict TEXT)")
    store.db.executemany("INSERT INTO weight VALUES(?, ?)", weights)
    store.db.execute(
        "CREATE TEMP TABLE establishment(place TEXT, strength INTEGER, verdict TEXT,"
        " PRIMARY KEY(place, strength, verdict)) WITHOUT ROWID"
    )
    store.db.execute(
        "INSERT OR IGNORE INTO establishment SELECT canonical_place(s.place), o.strength, w.verdict FROM observation o"
        " JOIN weight w ON w.fact = o.fact JOIN spot s ON s.id = o.spot WHERE o.last_run = ?",
        (run,),
    )

    def at(place: str) -> Iterable[tuple[Strength, Verdict]]:
        rows = store.db.execute("SELECT strength, verdict FROM establishment WHERE place = ?", (place,))
        return [(_STRENGTHS[strength], Verdict(verdict)) for strength, verdict in rows]

    return at


def place_targets(store: ObservationStore, estate: Estate) -> None:
    """Put in which system each target is of, and who owns each layer of a system, as `estate` says it now."""
    store.db.execute("DELETE FROM target")
    store.db.execute("DELETE FROM owner")
    store.db.executemany("INSERT INTO target VALUES(?, ?)", [(target.id, target.system) for target in estate.target])
    owners = [(s.id, layer.value, owner) for s in estate.system for layer in Layer if (owner := s.owners.of(layer))]
    store.db.executemany("INSERT INTO owner VALUES(?, ?, ?)", owners)


def kept_assets(
    store: ObservationStore,
    found: Iterable[Sighted],
    merged: Callable[[list[Sighted]], list[Asset]],
    assignment: Assignment,
    at_once: int = BATCH,
) -> Iterator[Asset]:
    """Yield the assets that `merged` makes of so many at once; put each in, in place of those of the merge before."""
    for table in _MADE:
        store.db.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
    source = iter(found)
    while batch := list(islice(source, at_once)):
        assets = merged(batch)
        _put(store, list(zip(batch, assets, strict=True)), assignment)
        yield from assets


def _put(store: ObservationStore, batch: list[tuple[Sighted, Asset]], assignment: Assignment) -> None:
    made: tuple[Iterator[tuple[Any, ...]], ...] = (_assets(batch), _members(batch), _placed(batch, assignment))
    for table, rows in zip(_MADE, made, strict=True):
        values = "?, ?, ?, ?, ?, ?" if table == "asset" else "?, ?" if table == "member" else "?, ?, ?"
        store.db.executemany(f"INSERT OR IGNORE INTO {table} VALUES({values})", rows)


def _assets(batch: list[tuple[Sighted, Asset]]) -> Iterator[tuple[Any, ...]]:
    for sighted, asset in batch:
        kind, fact = str(asset.fact.__struct_config__.tag), canonical(asset.fact).decode()
        yield sighted.number, asset.name, kind, asset.verdict.value, asset.strength.value, fact


def _members(batch: list[tuple[Sighted, Asset]]) -> Iterator[tuple[str, int]]:
    for sighted, asset in batch:
        for system in {seen.system for seen in asset.occurrences}:
            yield system, sighted.number


def _placed(batch: list[tuple[Sighted, Asset]], assignment: Assignment) -> Iterator[tuple[int, int, str]]:
    for sighted, asset in batch:
        if any(seen.rule for seen in asset.occurrences):
            for spot, seen in sighted.seen:
                if (assigned := assignment.of(seen)).rule:
                    yield sighted.number, spot, assigned.system
