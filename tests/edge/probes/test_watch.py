"""What watches all sockets of a scan: who is ready is told, and who is late, each once and nobody else."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from functools import partial

from keystrand.edge.probes.watch import READABLE, WRITABLE, Watch

TIMEOUT_S = 0.05


def watched(use: Callable[[Watch], Awaitable[None]]) -> None:
    """Run `use` with a watch."""

    async def run() -> None:
        with Watch(TIMEOUT_S) as watch:
            await use(watch)

    asyncio.run(run())


def test_only_who_was_not_lifted_is_late() -> None:
    """Limits end in their order; one that was lifted says nothing, even where it stands first or last."""
    late: list[int] = []

    async def use(watch: Watch) -> None:
        over = asyncio.Event()

        def end(number: int) -> None:
            late.append(number)
            if number in (2, 4):
                over.set()

        limits = [watch.limit(partial(end, number)) for number in range(4)]
        limits[0].lift()
        limits[3].lift()
        await over.wait()
        over.clear()
        watch.limit(partial(end, 4))
        await over.wait()

    watched(use)
    assert late == [1, 2, 4]


def test_nothing_is_told_after_the_end() -> None:
    """Neither of a limit nor of a socket; to end a socket that is watched no longer is no mistake."""
    told: list[int] = []

    async def use(watch: Watch) -> None:
        watch.limit(lambda: told.append(0))
        here, there = socket.socketpair()
        with here, there:
            watch.begin(here.fileno(), READABLE, told.append)
            watch.__exit__(None, None, None)
            there.send(b"x")
            watch.end(here.fileno())
            await asyncio.sleep(2 * TIMEOUT_S)

    async def run() -> None:
        await use(Watch(TIMEOUT_S))

    asyncio.run(run())
    assert told == []


def test_a_socket_is_told_for_what_it_is_watched_for() -> None:
    """First that it can be written to, then only that something has come, then nothing."""
    told: list[int] = []

    async def use(watch: Watch) -> None:
        here, there = socket.socketpair()
        with here, there:
            watch.begin(here.fileno(), WRITABLE, told.append)
            await asyncio.sleep(0.01)
            assert set(told) == {WRITABLE}
            watch.change(here.fileno(), READABLE)
            told.clear()
            await asyncio.sleep(0.01)
            assert told == []
            there.send(b"x")
            await asyncio.sleep(0.01)
            assert set(told) == {READABLE}
            watch.end(here.fileno())
            told.clear()
            await asyncio.sleep(0.01)

    watched(use)
    assert told == []
