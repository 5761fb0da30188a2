"""HTTP without TLS on a loopback address, for what is no secret and asked from this machine: health and metrics."""

import asyncio
from collections.abc import Callable
from typing import Any

from keystrand.edge.kme.server import HttpFront, Request, Result
from keystrand.edge.kme.transport import Limits
from keystrand.model.errors import InvalidInput, StoreFailure

LOOPBACK = ("127.0.0.1", "::1")
PlainAnswer = Callable[[Request], Result]


class PlainFront(HttpFront):
    """The requests of one connection. `open_ones` are all of its listener."""

    def __init__(self, answer: PlainAnswer, limits: Limits, running: set[Any], open_ones: "set[PlainFront]") -> None:
        super().__init__(limits, running)
        self._answer, self._open_ones = answer, open_ones

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, where there is room."""
        super().connection_made(transport)
        self._open_ones.add(self)
        if len(self._open_ones) > self._limits.connections:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room."""
        super().connection_lost(exc)
        self._open_ones.discard(self)

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    def _ask(self, request: Request) -> Result:
        return self._answer(request)


class PlainListener:
    """What listens, and the connections it has taken."""

    def __init__(self, server: asyncio.Server, open_ones: set[PlainFront]) -> None:
        self._server, self._open_ones = server, open_ones

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Listen no more, and cut what is open."""
        self._server.close()
        for one in self._open_ones:
            one.abort()


async def serve_plain(answer: PlainAnswer, limits: Limits, *, host: str = "127.0.0.1", port: int = 0) -> PlainListener:
    """Serve `answer` on a loopback address; port 0 is any free one.

    Raises `InvalidInput` for another address, `StoreFailure` where nobody can listen there.
    """
    if host not in LOOPBACK:
        raise InvalidInput(f"{host} is not a loopback address", hint="use 127.0.0.1 or ::1, and a proxy in front of it")
    open_ones, running = set[PlainFront](), set[Any]()
    try:
        server = await asyncio.get_running_loop().create_server(
            lambda: PlainFront(answer, limits, running, open_ones), host, port
        )
    except OSError as error:
        raise StoreFailure(f"cannot listen on {host}:{port}: {error.strerror}", hint="choose a free port") from error
    return PlainListener(server, open_ones)
