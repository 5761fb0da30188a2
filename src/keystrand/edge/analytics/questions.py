"""Ready questions, and the two databases that answer them."""

import tomllib
from collections.abc import Iterable
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from keystrand.edge.analytics.parquet import duck, views_over
from keystrand.edge.analytics.views import CURRENT, VIEWS
from keystrand.edge.store.observations import ObservationStore, told
from keystrand.model.errors import InvalidInput
from keystrand.model.observation import Strength

Row = dict[str, Any]
_STRENGTHS = tuple(strength.value for strength in Strength)


class Question(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question as data: in words, and in SQL. `days`: the usual number where it asks for one, with its reason."""

    id: str
    asks: str
    sql: str
    days: int | None = None
    why: str = ""


class _Questions(Struct, forbid_unknown_fields=True):
    question: tuple[Question, ...]


class _Answered(Protocol):
    @property
    def description(self) -> Any: ...
    def fetchall(self) -> Iterable[tuple[Any, ...]]: ...


@cache
def questions() -> tuple[Question, ...]:
    """Return every ready question, in the order of their file."""
    text = (files("keystrand.edge.analytics") / "questions.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), _Questions).question


def question(name: str) -> Question:
    """Return the question of this id. Raises `InvalidInput` where there is none."""
    found = next((one for one in questions() if one.id == name), None)
    if found is None:
        raise InvalidInput(f"no question {name!r}", hint=f"ask one of {', '.join(one.id for one in questions())}")
    return found


def values_of(asked: Question, *, as_of: date, days: int | None) -> dict[str, Any]:
    """Return the values that the question's SQL asks for. Raises `InvalidInput` where it takes no such days."""
    if days is not None and asked.days is None:
        raise InvalidInput(f"{asked.id} asks for no number of days")
    number = days if days is not None else asked.days or 0
    try:
        until = as_of + timedelta(days=number)
    except OverflowError as error:
        raise InvalidInput(f"{number} days from {as_of} is no day of the calendar") from error
    values = {"as_of": as_of.isoformat(), "until": until.isoformat(), "days": number}
    return {name: value for name, value in values.items() if f"${name}" in asked.sql}


def host_of(place: str, target: str) -> str:
    """Return the host of an endpoint's place, or for a place in a file its target."""
    _, sign, rest = place.partition("://")
    if not sign:
        return f"files of {target}"
    return rest.partition("]")[0] + "]" if rest.startswith("[") else rest.partition("/")[0].rpartition(":")[0] or rest


def prepare(store: ObservationStore) -> None:
    """Give a store the views that questions are asked of."""
    db = store.db
    db.create_function("host_of", 2, host_of, deterministic=True)
    db.create_function("strength_of", 1, lambda rank: _STRENGTHS[rank], deterministic=True)
    for name, query in (("current", CURRENT), *((name, view.query) for name, view in VIEWS.items())):
        db.execute(f"CREATE TEMP VIEW IF NOT EXISTS {name} AS {query}")


def ask_store(store: ObservationStore, sql: str, values: dict[str, Any]) -> list[Row]:
    """Return the rows that the store answers. Raises `StoreFailure`."""
    with told(store.path):
        prepare(store)
        return _rows(store.db.execute(sql, values))


def ask_parquet(folder: Path, sql: str, values: dict[str, Any]) -> list[Row]:
    """Return the rows that DuckDB answers over what was exported into `folder`. Raises `StoreFailure`."""
    with duck(folder) as db:
        views_over(db, folder)
        return _rows(db.execute(sql, values))


def _rows(answered: _Answered) -> list[Row]:
    names = [column[0] for column in answered.description]
    return [dict(zip(names, row, strict=True)) for row in answered.fetchall()]
