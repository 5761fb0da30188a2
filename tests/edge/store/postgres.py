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
from typing import Any

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


class PostgresServer:
    """A server with its data in `folder`; `dsn` leads to a schema of it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self._child: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        """Make its data folder, with default settings."""
        self._call("initdb", "-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C").wait(_START_S)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._child = self._call("postgres", "-p", str(self.port), "-k", str(self.folder), "-h", "127.0.0.1")
        self._wait_ready()

    def _call(self, name: str, *arguments: str) -> "subprocess.Popen[bytes]":
        # it refuses to be root's
        owner: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        command = [str(binaries() / name), "-D", str(self.folder / "db"), *arguments]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder, **owner
            )  # fmt: skip

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

    def _wait_ready(self) -> None:
        until_s = time.monotonic() + _START_S
        while True:
            try:
                self.run("SELECT 1")
            except (OSError, asyncpg.PostgresError):
                ended = self._child is None or self._child.poll() is not None
                assert not ended, (self.folder / "log").read_text(errors="replace")[-2000:]
                assert time.monotonic() < until_s, "the database server does not answer"
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """End it in good order, without waiting for its clients."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """End it with no order at all."""
        self._end(signal.SIGQUIT)

    def _end(self, how: signal.Signals) -> None:
        if self._child:
            self._child.send_signal(how)
            self._child.wait(_START_S)
        self._child = None


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
