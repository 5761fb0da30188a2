"""What the store asks of a database: a few statements inside one transaction, the same text for every back-end.

SQL is written once, in the subset that SQLite and PostgreSQL share, with `?` for values. The code above is `async`
for both: SQLite's answers are there at once, so its coroutines never wait.
"""

from collections.abc import Iterable
from typing import Any, Protocol

Row = tuple[Any, ...]


class Session(Protocol):
    """Statements inside a transaction. Every fault of the database is raised as the back-end's own exception."""

    async def rows(self, sql: str, *values: Any) -> list[Row]:
        """Return all rows of a query."""

    async def row(self, sql: str, *values: Any) -> Row | None:
        """Return the first row of a query, None where there is none."""

    async def run(self, sql: str, *values: Any) -> int:
        """Run a statement and return how many rows it changed."""

    async def run_many(self, sql: str, values: Iterable[Row]) -> None:
        """Run a statement once for each row of values."""


class Backend(Protocol):
    """A database that holds one store. One transaction is open at a time; `reader` never waits for it.

    That holds for all processes that write the store together: an operation sees what was committed before its
    transaction began, and nothing else changes until its end.
    """

    @property
    def writer(self) -> str:
        """Return the name under which this process writes; alone in its store it is `only`."""

    @property
    def lease_s(self) -> float:
        """Return after how many seconds of silence another writer counts as lost; 0 where there are no others."""

    async def begin(self) -> Session:
        """Begin the transaction. Raises `StoreFailure`."""

    async def commit(self) -> None:
        """Make it durable. Raises `StoreFailure`: what the disk holds is then not known."""

    async def rollback(self) -> None:
        """Undo it. Raises `StoreFailure`."""

    async def reader(self) -> Session:
        """Return a session that sees what is committed, outside of the transaction. Raises `StoreFailure`."""

    async def time(self) -> float:
        """Return the seconds since the epoch by the clock that all writers go by. Raises `StoreFailure`."""

    async def connected(self, writers: Iterable[str]) -> frozenset[str]:
        """Return those of `writers` whose process is connected to the database. Raises `StoreFailure`."""

    async def close(self) -> None:
        """Let go of the database."""
