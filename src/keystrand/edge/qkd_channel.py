"""The public channel of a post-processing session: one TCP connection, frames with their length in four octets ahead.

Whatever the peer or the network does, a session ends: every wait has a limit, and a frame that has not arrived whole
within `silence_s` counts as silence, however slowly it drips.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple, Protocol

from keystrand.model.errors import PeerUnavailable
from keystrand.qkd.session_states import Running, State
from keystrand.qkd.session_wire import FRAME_OCTETS

SILENCE_S = 120.0
"""Longer than the other end calculates in one step, compiling for the first time included."""
_RETRY_S = 0.2
_LENGTH_OCTETS = 4


class Endpoint(NamedTuple):
    """Where to connect to, or to listen at."""

    host: str
    port: int
    listen: bool


class Connection(NamedTuple):
    """Both directions of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Party(Protocol):
    """One end of a session, see `keystrand.qkd.session`."""

    @property
    def state(self) -> State:
        """Return where it stands."""

    def start(self) -> list[bytes]:
        """Return the first frames."""

    def receive(self, frame: bytes) -> list[bytes]:
        """Take a frame, return frames."""

    def lost(self, reason: str) -> None:
        """Note that the peer is gone."""


@asynccontextmanager
async def connection(endpoint: Endpoint, wait_s: float) -> AsyncIterator[Connection]:
    """Yield the one connection of the session, closed at the end. Raises `PeerUnavailable` after `wait_s` without."""
    place = f"{endpoint.host}:{endpoint.port}"
    try:
        async with asyncio.timeout(wait_s):
            made = await (_accepted(endpoint) if endpoint.listen else _connected(endpoint))
    except TimeoutError as error:
        what = "nobody connected to" if endpoint.listen else "nobody answers at"
        raise PeerUnavailable(f"{what} {place} within {wait_s:g} s", hint="start the other end too") from error
    except OSError as error:
        raise PeerUnavailable(f"cannot listen at {place}: {error.strerror}", hint="choose a free port") from error
    try:
        yield made
    finally:
        made.writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(5.0):
                await made.writer.wait_closed()


async def converse(
    party: Party, over: Connection, silence_s: float = SILENCE_S, on_step: Callable[[str], None] | None = None
) -> State:
    """Let `party` talk until its session is over, and return how it ended. Every fault of the channel is a state.

    `on_step` is told what the session waits for, whenever that changes.
    """
    step = ""
    try:
        await _send(over.writer, party.start(), silence_s)
        while isinstance(party.state, Running):
            if on_step is not None and party.state.step != step:
                on_step(step := party.state.step)
            async with asyncio.timeout(silence_s):
                frame = await _frame(over.reader)
            await _send(over.writer, party.receive(frame), silence_s)
    except TimeoutError:
        party.lost(f"the other end was silent for {silence_s:g} s, {_step(party)}")
    except asyncio.IncompleteReadError as error:
        how = "in the middle of a frame" if error.partial else "between frames"
        party.lost(f"the other end closed the connection {how}, {_step(party)}")
    except OSError as error:
        party.lost(f"the connection broke, {_step(party)}: {error.strerror or error}")
    except _TooLong as error:
        party.lost(str(error))
    return party.state


class _TooLong(Exception):
    """A length that no frame has."""


async def _frame(reader: asyncio.StreamReader) -> bytes:
    length = int.from_bytes(await reader.readexactly(_LENGTH_OCTETS), "big")
    if not 0 < length <= FRAME_OCTETS:
        raise _TooLong(f"a frame of {length} octets was announced; the longest has {FRAME_OCTETS}")
    try:
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:  # the length alone is the beginning of a frame
        raise asyncio.IncompleteReadError(error.partial or b"\0", length) from error


async def _send(writer: asyncio.StreamWriter, frames: list[bytes], silence_s: float) -> None:
    for frame in frames:
        writer.write(len(frame).to_bytes(_LENGTH_OCTETS, "big") + frame)
        async with asyncio.timeout(silence_s):
            await writer.drain()


def _step(party: Party) -> str:
    return f"waiting for {party.state.step}" if isinstance(party.state, Running) else "at the end"


async def _accepted(endpoint: Endpoint) -> Connection:
    """Return the first connection; the port is closed at once, so that there is no second."""
    first: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()

    def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if first.done():
            writer.close()
        else:
            first.set_result(Connection(reader, writer))

    server = await asyncio.start_server(take, endpoint.host, endpoint.port, limit=FRAME_OCTETS)
    try:
        return await first
    finally:
        server.close()


async def _connected(endpoint: Endpoint) -> Connection:
    """Return a connection, tried again until there is one."""
    while True:
        with suppress(OSError):
            return Connection(*await asyncio.open_connection(endpoint.host, endpoint.port, limit=FRAME_OCTETS))
        await asyncio.sleep(_RETRY_S)
