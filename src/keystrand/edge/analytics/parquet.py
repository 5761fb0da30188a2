"""The store's tables as Parquet files, and DuckDB, which reads them at tens of millions of rows."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from keystrand.edge.analytics.views import VIEWS, View
from keystrand.edge.store.observations import ObservationStore
from keystrand.model.errors import MissingInput, StoreFailure

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_CLOSED: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
"""DuckDB fetches nothing from anywhere: JSON and Parquet are built in."""
_BATCH = 10_000


@contextmanager
def duck(folder: Path) -> Iterator["DuckDBPyConnection"]:
    """Yield DuckDB for the files in `folder`. Raises `MissingInput` without the extra, else `StoreFailure`."""
    try:
        import duckdb  # noqa: PLC0415 - an extra, and slow to load
    except ImportError as error:
        raise MissingInput("DuckDB is not installed", hint='pip install "keystrand[analytics]"') from error
    try:
        with duckdb.connect(config=_CLOSED) as db:
            yield db
    except duckdb.Error as error:
        raise StoreFailure(f"DuckDB failed on {folder}: {error}") from error


def export(store: ObservationStore, folder: Path) -> dict[str, int]:
    """Write every view of the store (`prepare` made them) into `folder` as NAME.parquet; return the rows of each."""
    with duck(folder) as db:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return {name: _written(store, db, folder, name, view) for name, view in VIEWS.items()}
        except OSError as error:
            raise StoreFailure(f"{folder} could not be written: {error.strerror}") from error


def _written(store: ObservationStore, db: "DuckDBPyConnection", folder: Path, name: str, view: View) -> int:
    """Write one view, by way of a file of JSON lines that is gone afterwards, and in one step."""
    made = folder / f".{name}.parquet"
    columns = ", ".join(f"'{column}': '{kind}'" for column, kind in view.columns.items())
    with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{name}.") as lines:
        count = _lines(store, name, view, lines)
        source = f"read_json({_quoted(Path(lines.name))}, format = 'newline_delimited', columns = {{{columns}}})"
        copy = f"COPY (SELECT * FROM {source}) TO {_quoted(made)}"  # noqa: S608 - our own names, and quoted paths
        db.execute(f"{copy} (FORMAT parquet, COMPRESSION zstd)")
    made.replace(folder / f"{name}.parquet")
    return count


def _lines(store: ObservationStore, name: str, view: View, file: IO[bytes]) -> int:
    picked = ", ".join(f'"{column}"' for column in view.columns)
    rows = store.db.execute(f"SELECT {picked} FROM {name}")  # noqa: S608 - names of our own views
    encoder, count = msgspec.json.Encoder(), 0
    while batch := list(islice(rows, _BATCH)):
        file.write(encoder.encode_lines([dict(zip(view.columns, row, strict=True)) for row in batch]))
        count += len(batch)
    file.flush()
    return count


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def views_over(db: "DuckDBPyConnection", folder: Path) -> None:
    """Let questions see what was exported into `folder`. Raises `MissingInput` where a file is not there."""
    for name in VIEWS:
        file = folder / f"{name}.parquet"
        if not file.is_file():
            raise MissingInput(f"{file} does not exist", hint="make it first: keystrand inventory export --parquet DIR")
        rows = f"SELECT * FROM read_parquet({_quoted(file)})"  # noqa: S608 - a path, quoted
        db.execute(f"CREATE TEMP VIEW {name} AS {rows}")
