"""Servers written for one test, on the loopback interface and the scan's own event loop, and one scan of them all."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from keystrand.edge.estate_folder import load_estate
from keystrand.edge.probes.scheduler import scan
from keystrand.model.estate import ProbeKind, Scan, Target
from keystrand.model.observation import Attempt, Observation, Record
from keystrand.model.starttls import StartTls

_EXAMPLE = Path(__file__).parents[4] / "examples" / "regional-bank"
_PORT, _HUNG_S = 443, 60.0

Behave = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Served(NamedTuple):
    """What a server does with each connection, and how it is to be asked."""

    behave: Behave
    starttls: StartTls | None = None


class Result(NamedTuple):
    """What a scan says of one server."""

    attempt: Attempt
    seen: tuple[Observation, ...]

    def facts(self, kind: type[Any]) -> list[Any]:
        """Return the facts of one kind."""
        return [one.fact for one in self.seen if isinstance(one.fact, kind)]


def scanned(servers: Mapping[str, Served], **limits: Any) -> dict[str, Result]:
    """Start all servers, scan them in one scan with `limits`, and return what it says of each by name."""
    return asyncio.run(_scanned(servers, limits))


async def _scanned(servers: Mapping[str, Served], limits: Mapping[str, Any]) -> dict[str, Result]:
    # a scan that hangs fails the test instead of holding it up
    async with asyncio.timeout(_HUNG_S), contextlib.AsyncExitStack() as stack:
        ports = {name: await _listen(stack, served.behave) for name, served in servers.items()}
        targets = tuple(
            Target(id=name, probe=ProbeKind.TLS, system="core-ledger", host=f"{name}.example", port=_PORT,
                   starttls=served.starttls)
            for name, served in servers.items()
        )  # fmt: skip
        settings = Scan(**({"connections_per_s": 10_000, "connections_per_host": 8, "timeout_s": 1.0} | dict(limits)))
        estate = msgspec.structs.replace(load_estate(_EXAMPLE).estate, target=targets, scan=settings)
        listens = {(f"{name}.example", _PORT): ("127.0.0.1", port) for name, port in ports.items()}
        records = await scan(estate, _EXAMPLE, sink=lambda _: None, connect_to=listens)
    return {name: _result([record for record in records if record.target == name]) for name in servers}


async def _listen(stack: contextlib.AsyncExitStack, behave: Behave) -> int:
    connections: set[asyncio.Task[None]] = set()

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await behave(reader, writer)
        finally:
            writer.transport.abort()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(attend(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    async def leave() -> None:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, backlog=128)
    stack.push_async_callback(leave)
    return int(server.sockets[0].getsockname()[1])


def _result(records: list[Record]) -> Result:
    (attempt,) = [record for record in records if isinstance(record, Attempt)]
    return Result(attempt, tuple(record for record in records if isinstance(record, Observation)))
