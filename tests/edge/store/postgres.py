"""A PostgreSQL server of the tests' own: started on loopback with its data in a new folder, stopped and removed."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg

from keystrand.edge.daemons import Daemon, program, run

_USER = "keystrand"


def binaries() -> Path:
    """Return the folder of the newest server that is installed, 15 or later."""
    found = {
        int(path.parts[-3]): path.parent
        for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")
        if re.fullmatch(r"\d+", path.parts[-3])
    }
    assert found, "these tests need PostgreSQL 15 or later: apt-get install postgresql"
    assert max(found) >= 15, f"these tests need PostgreSQL 15 or later; {max(found)} is installed"
    return found[max(found)]


class PostgresServer:
    """A server with its data in `folder`; `dsn` leads to a schema of it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        words = ("-D", str(folder / "db"), "-p", str(port), "-k", str(folder), "-h", "127.0.0.1")
        self._server = Daemon([binaries() / "postgres", *words], folder / "log", prefix=self._prefix)

    @property
    def _prefix(self) -> tuple[str, ...]:
        """In its own folder, not as root, for it refuses that; who becomes another must be told anew to end with us."""
        place = (program("env", "coreutils"), f"--chdir={self.folder}")
        owner = ("--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=KILL", "--")
        return (program("setpriv", "util-linux"), *owner, *place) if os.geteuid() == 0 else place

    def make(self) -> None:
        """Make its data folder, with default settings."""
        words = ("-D", str(self.folder / "db"), "-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C")
        run(*self._prefix, str(binaries() / "initdb"), *words)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._server.start(self._answers)

    def dsn(self, schema: str = "") -> str:
        """Return a connection string, over the loopback interface."""
        place = f"postgresql://{_USER}@127.0.0.1:{self.port}/postgres"
        return f"{place}?search_path={schema}" if schema else place

    def run(self, sql: str) -> list[tuple[object, ...]]:
        """Run a statement without our code and return its rows."""

        async def run() -> list[tuple[object, ...]]:
            db = await asyncpg.connect(self.dsn())
            try:
                return [tuple(row) for row in await db.fetch(sql)]
            finally:
                await db.close()

        return asyncio.run(run())

    def _answers(self) -> bool:
        try:
            self.run("SELECT 1")
        except (OSError, asyncpg.PostgresError):
            return False
        return True

    def stop(self) -> None:
        """End it in good order, without waiting for its clients."""
        self._server.end(signal.SIGINT)

    def crash(self) -> None:
        """End it with no order at all."""
        self._server.end(signal.SIGQUIT)


@contextlib.contextmanager
def running_server() -> Iterator[PostgresServer]:
    """Make and start a server (fsync on, as it comes), and remove it afterwards."""
    # not below pytest's folder: another user must get there, and a socket's path is short
    folder = Path(tempfile.mkdtemp(prefix="keystrand-pg-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        server = PostgresServer(folder, port)
        server.make()
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
