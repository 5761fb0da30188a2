"""The same store on both back-ends: SQLite in a folder, PostgreSQL on a server of the tests' own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.edge.store.place import Clock, Place, PostgresPlace, SqlitePlace
from tests.edge.store.postgres import PostgresServer, running_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Return a running server; each test takes a schema of its own."""
    with running_server() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.system)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Return where one store is, by either back-end; it holds nothing yet."""
    if request.param == "sqlite":
        return SqlitePlace(tmp_path)
    server: PostgresServer = request.getfixturevalue("postgres")
    return PostgresPlace(tmp_path, server)


@pytest.fixture
def shared(tmp_path: Path, postgres: PostgresServer) -> PostgresPlace:
    """Return where a store is that several processes can write."""
    return PostgresPlace(tmp_path, postgres)


@pytest.fixture
def clock() -> Clock:
    """Return a clock that only the test moves."""
    return Clock()
