"""Ready questions to the inventory of a run, and its tables for other tools."""

from datetime import date
from pathlib import Path
from typing import Any

from keystrand.app.documents import MADE_BY
from keystrand.app.inventory_store import STORE
from keystrand.edge.analytics.parquet import export
from keystrand.edge.analytics.questions import ask_parquet, ask_store, prepare, question, questions, values_of
from keystrand.edge.store.observations import opened
from keystrand.model.errors import MissingInput
from keystrand.model.stages import Inventory

Row = dict[str, Any]


def question_rows() -> list[Row]:
    """Return one row a ready question."""
    return [{"question": one.id, "asks": one.asks, "days": one.days, "why": one.why} for one in questions()]


def answer(out: Path, name: str, *, as_of: date, days: int | None = None, parquet: Path | None = None) -> list[Row]:
    """Return the answer to a ready question, from the store in `out` or from what was exported into `parquet`."""
    asked = question(name)
    values = values_of(asked, as_of=as_of, days=days)
    if parquet is not None:
        return ask_parquet(parquet, asked.sql, values)
    with opened(store_of(out)) as store:
        return ask_store(store, asked.sql, values)


def export_parquet(out: Path, folder: Path) -> dict[str, int]:
    """Write the tables of the store in `out` into `folder` as Parquet; return the rows of each."""
    with opened(store_of(out)) as store:
        prepare(store)
        return export(store, folder)


def store_of(out: Path, parquet: Path | None = None) -> Path:
    """Return the store in `out`. Raises `MissingInput` where it is not there and `parquet` is not asked instead."""
    path = out / STORE
    if parquet is None and not path.is_file():
        raise MissingInput(f"{path} does not exist", hint=f"make it first: {MADE_BY[Inventory]}")
    return path
