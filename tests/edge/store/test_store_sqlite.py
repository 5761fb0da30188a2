"""What is SQLite's alone: where a COMMIT runs, and that no statement goes through a whole table."""

import asyncio
import contextlib
import re
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from tests.edge.store.place import Clock, SqlitePlace, add_ready, asked, block, holding, in_loop, opened, take, write

from keystrand.edge.store import sqlite
from keystrand.edge.store.sqlite import SqliteBackend


class _Disk(sqlite3.Connection):
    """A connection whose COMMIT takes `wait_s`, and tells in which thread it ran."""

    wait_s = 0.0
    threads: list[int] = []  # noqa: RUF012  # of all connections

    def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
        if sql == "COMMIT":
            time.sleep(_Disk.wait_s)
            _Disk.threads.append(threading.get_ident())
        return super().execute(sql, *values)  # type: ignore[arg-type]


def _connect(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(file, isolation_level=None, check_same_thread=False, factory=_Disk)


def test_a_slow_disk_is_waited_for_in_another_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quick COMMIT runs in the loop's thread; where it takes long, the loop goes on, until it is quick again."""
    monkeypatch.setattr(sqlite, "connect", _connect)
    monkeypatch.setattr(sqlite, "_QUICK_S", 0.02)
    asyncio.run(_commit_often(tmp_path / "store"))


async def _commit_often(folder: Path) -> None:
    backend, here = SqliteBackend(folder), threading.get_ident()

    async def commit(times: int, wait_s: float) -> list[bool]:
        _Disk.wait_s, begin = wait_s, len(_Disk.threads)
        for no in range(times):
            session = await backend.begin()
            await session.run("INSERT INTO meta VALUES(?, '') ON CONFLICT DO NOTHING", str(no))
            await backend.commit()
        return [thread == here for thread in _Disk.threads[begin:]]

    try:
        assert await commit(3, 0.0) == [True] * 3
        assert (await commit(20, 0.1))[0]
        assert not any(await commit(3, 0.1))
        assert (await commit(100, 0.0))[-1]
    finally:
        await backend.close()


_GROWS = re.compile(r"SCAN (holding|replay|block\w*|[bhs])\b")
"""Tables, and their short names in statements, of which a store that runs for long holds millions of rows."""


@in_loop
async def test_no_statement_goes_through_a_whole_table(tmp_path: Path, clock: Clock) -> None:
    """Neither what hands keys out nor the sweep: they would take ever longer the longer a store has run."""
    place, said = SqlitePlace(tmp_path), set[str]()
    async with opened(place, clock) as store:
        backend = store._backend
        assert isinstance(backend, SqliteBackend)
        backend._db.set_trace_callback(said.add)
        one, late = holding(until=clock.now + 60), holding(until=clock.now + 1)
        await add_ready(store, block(now=clock.now))
        await write(store, one, late)
        await take(store, asked(one))
        for _ in range(3):
            clock.now += 2000
            await store.next_epoch()
            await store.sweep()
    with contextlib.closing(sqlite3.connect(place.file)) as db:
        plans = {
            sql: db.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()
            for sql in said
            if "holding" in sql or "block" in sql
        }
    assert len(plans) > 15
    assert {sql: plan for sql, plan in plans.items() if any(_GROWS.match(row[3]) for row in plan)} == {}
