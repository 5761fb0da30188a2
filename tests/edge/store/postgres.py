"""A PostgreSQL server of the tests' own: started on loopback with its data in a new folder, stopped and removed."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg

_START_S = 30.0
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


def _owner() -> dict[str, str | int]:
    """Return how to run the server: it refuses to be root's."""
    return {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}


class PostgresServer:
    """A running server; `dsn` leads to a schema of it."""

    def __init__(self, folder: Path, port: int, child: "subprocess.Popen[bytes]") -> None:
        self.folder, self.port, self._child = folder, port, child
        self._schemas = 0

    def dsn(self, schema: str = "") -> str:
        """Return a connection string, over the loopback interface."""
        place = f"postgresql://{_USER}@127.0.0.1:{self.port}/postgres"
        return f"{place}?search_path={schema}" if schema else place

    def new_schema(self) -> str:
        """Make an empty schema and return its name: one store has one."""
        self._schemas += 1
        name = f"store_{self._schemas}"
        self.run(f"CREATE SCHEMA {name}")
        return name

    def run(self, sql: str) -> list[tuple[object, ...]]:
        """Run a statement without our code and return its rows."""

        async def run() -> list[tuple[object, ...]]:
            db = await asyncpg.connect(self.dsn())
            try:
                return [tuple(row) for row in await db.fetch(sql)]
            finally:
                await db.close()

        return asyncio.run(run())

    def wait_ready(self) -> None:
        """Wait until it answers."""
        until_s = time.monotonic() + _START_S
        while True:
            try:
                self.run("SELECT 1")
            except (OSError, asyncpg.PostgresError):
                assert self._child.poll() is None, (self.folder / "log").read_text(errors="replace")[-2000:]
                assert time.monotonic() < until_s, "the database server does not answer"
                time.sleep(0.05)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: at once and in good order by SIGINT, as a crash would by SIGQUIT."""
        self._child.send_signal(how)
        self._child.wait(_START_S)


@contextlib.contextmanager
def running_server() -> Iterator[PostgresServer]:
    """Make and start a server with default settings (fsync on), and remove it afterwards."""
    # not below pytest's folder: another user must get there, and a socket's path is short
    folder = Path(tempfile.mkdtemp(prefix="keystrand-pg-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        bin_folder, place = binaries(), folder / "db"
        command = [str(bin_folder / "initdb"), "-D", str(place), "-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C"]
        subprocess.run(command, check=True, capture_output=True, timeout=60, cwd=folder, **_owner())  # type: ignore[call-overload]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        with (folder / "log").open("wb") as log:
            child = subprocess.Popen(
                [str(bin_folder / "postgres"), "-D", str(place), "-p", str(port), "-k", str(folder), "-h", "127.0.0.1"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder, **_owner(),  # type: ignore[call-overload]
            )  # fmt: skip
        server = PostgresServer(folder, port, child)
        try:
            server.wait_ready()
            yield server
        finally:
            if child.poll() is None:
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
