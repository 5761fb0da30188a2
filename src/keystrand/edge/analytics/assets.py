"""The assets of the inventory as the rules want them, grouped or one by one, over the store or over Parquet."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from keystrand.assess.assets import Alike
from keystrand.edge.analytics.parquet import duck, views_over
from keystrand.edge.analytics.questions import prepare
from keystrand.edge.store.observations import opened, told

_KINDS = """
WITH kinds AS (
  SELECT id, key_algorithm AS algorithm, key_bits AS bits, '' AS function, verdict FROM certificates
  UNION ALL SELECT id, algorithm, bits, '', verdict FROM keys
  UNION ALL SELECT id, algorithm, NULL, function, verdict FROM uses WHERE coalesce(in_tests, 0) = 0)
"""
_WHERE_USED = "JOIN sightings s ON s.id = k.id WHERE s.place NOT LIKE '%!client://%'"
_GROUPED = f"""{_KINDS}
SELECT s.system, k.algorithm, k.bits, k.function, k.verdict, count(DISTINCT k.id) FROM kinds k {_WHERE_USED}
GROUP BY s.system, k.algorithm, k.bits, k.function, k.verdict ORDER BY 1, 2, 3, 4, 5
"""  # noqa: S608 - texts from this file
_LISTED = f"""{_KINDS}
SELECT DISTINCT s.system, k.algorithm, k.bits, k.function, k.verdict, a.identity
FROM kinds k JOIN assets a ON a.id = k.id {_WHERE_USED}"""  # noqa: S608 - texts from this file
_ALL = f"{_LISTED} ORDER BY a.identity, s.system"
_ONE = f"{_LISTED} AND a.identity = $name ORDER BY s.system"
_BATCH = 10_000

Ask = Callable[[str, dict[str, Any]], Iterator[tuple[Any, ...]]]


@contextmanager
def asking(store: Path, parquet: Path | None = None) -> Iterator[Ask]:
    """Yield what answers SQL: the store in the file `store`, or what was exported into `parquet`.

    Raises `StoreFailure`, and `MissingInput` where Parquet files or DuckDB are not there.
    """
    if parquet is not None:
        with duck(parquet) as db:
            views_over(db, parquet)
            yield lambda sql, values: _each(db.execute(sql, values))
        return
    with opened(store) as opened_store, told(store):
        prepare(opened_store)
        yield lambda sql, values: _each(opened_store.db.execute(sql, values))


def groups(ask: Ask) -> Iterator[tuple[Alike, int]]:
    """Yield every kind of asset that a system has, and how many."""
    return ((Alike(*row[:5]), row[5]) for row in ask(_GROUPED, {}))


def assets(ask: Ask) -> Iterator[tuple[str, Alike]]:
    """Yield every asset by identity with its kind, once for each system that has it."""
    return ((row[5], Alike(*row[:5])) for row in ask(_ALL, {}))


def asset(ask: Ask, name: str) -> Iterator[tuple[str, Alike]]:
    """Yield the asset with the identity `name`, once for each system that has it."""
    return ((row[5], Alike(*row[:5])) for row in ask(_ONE, {"name": name}))


def _each(answered: Any) -> Iterator[tuple[Any, ...]]:
    while batch := answered.fetchmany(_BATCH):
        yield from batch
