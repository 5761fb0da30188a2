"""The public channel of a post-processing session: one TCP connection, frames with their length in four octets ahead.

Whatever the peer or the network does, a session ends: every wait has a limit, and a frame that has not arrived whole
within `silence_s` counts as silence, however slowly it drips. The end that connects speaks first: a listener looks at
the first frame of each who comes, and talks to the one whose frame it knows. Strangers cost it no key.
"""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple, Protocol

from keystrand.model.errors import KeystrandError, PeerUnavailable
from keystrand.qkd.session_states import Running, State
from keystrand.qkd.session_wire import FIRST_OCTETS, FRAME_OCTETS, MOST_STRANGERS

Knows = Callable[[bytes], bool]
"""Whether a first frame is the peer's."""

SILENCE_S = 120.0
"""Longer than the other end calculates in one step, compiling for the first time included."""
_RETRY_S = 0.2
_FIRST_S = 10.0
"""A stranger may hold a place so long."""
_MOST_AT_ONCE = 16
_LENGTH_OCTETS = 4


class Endpoint(NamedTuple):
    """Where to connect to, or to listen at."""

    host: str
    port: int
    listen: bool


class Connection(NamedTuple):
    """Both directions of one connection, and the frame that has come already."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    first: bytes = b""


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
async def connection(endpoint: Endpoint, wait_s: float, knows: Knows | None = None) -> AsyncIterator[Connection]:
    """Yield the one connection of the session, closed at the end; where this end listens, of the peer that it `knows`.

    Without `knows`, of whoever comes first. Raises `PeerUnavailable` after `wait_s` without.
    """
    place, door = f"{endpoint.host}:{endpoint.port}", _Door(knows)
    why = _Why()
    try:
        async with asyncio.timeout(wait_s):
            made = await (door.accepted(endpoint) if endpoint.listen else _connected(endpoint, why))
    except TimeoutError as error:
        what = "nobody connected to" if endpoint.listen else "nobody answers at"
        seen = f"; {door.strangers} without our authentication key did" if door.strangers else ""
        raise PeerUnavailable(
            f"{what} {place} within {wait_s:g} s{seen or why.told}",
            hint="start the other end too, with the same authentication key",
        ) from error
    except OSError as error:
        raise PeerUnavailable(f"cannot listen at {place}: {_reason(error)}", hint="choose a free port") from error
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
        frame = over.first
        while isinstance(party.state, Running):
            if on_step is not None and party.state.step != step:
                on_step(step := party.state.step)
            if not frame:
                async with asyncio.timeout(silence_s):
                    frame = await _frame(over.reader)
            await _send(over.writer, party.receive(frame), silence_s)
            frame = b""
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


async def _frame(reader: asyncio.StreamReader, most: int = FRAME_OCTETS) -> bytes:
    length = int.from_bytes(await reader.readexactly(_LENGTH_OCTETS), "big")
    if not 0 < length <= most:
        raise _TooLong(f"a frame of {length} octets was announced; the longest has {most}")
    try:
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:  # the length alone is the beginning of a frame
        raise asyncio.IncompleteReadError(error.partial or b"\0", length) from error


async def _send(writer: asyncio.StreamWriter, frames: list[bytes], silence_s: float) -> None:
    for frame in frames:
        writer.write(len(frame).to_bytes(_LENGTH_OCTETS, "big") + frame)
        async with asyncio.timeout(silence_s):
            await writer.drain()


def _reason(error: OSError) -> str:
    """Return why, in the system's words; asyncio's own repeat the address."""
    number = error.errno or 0
    return os.strerror(number) if number > 0 else error.strerror or str(error)  # below 0: a name that is not found


def _step(party: Party) -> str:
    return f"waiting for {party.state.step}" if isinstance(party.state, Running) else "at the end"


class _Door:
    """Lets one connection in; the port is closed at once, so that there is no second."""

    def __init__(self, knows: Knows | None) -> None:
        self._knows = knows
        self._waiting = deque[asyncio.StreamWriter]()
        self.strangers = 0

    async def accepted(self, endpoint: Endpoint) -> Connection:
        """Return the connection. Raises `OSError`, what `knows` does, `PeerUnavailable` after too many strangers."""
        self._first: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        server = await asyncio.start_server(self._look, endpoint.host, endpoint.port, limit=FRAME_OCTETS)
        try:
            return await self._first
        finally:
            server.close()
            for writer in self._waiting:
                writer.close()

    async def _look(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._waiting.append(writer)
        if len(self._waiting) > _MOST_AT_ONCE:
            self._waiting.popleft().close()  # who says nothing does not keep the peer out
        frame = await _first_of(reader) if self._knows else b""
        if writer in self._waiting:
            self._waiting.remove(writer)
        try:
            known = not self._first.done() and (self._knows is None or (bool(frame) and self._judge(frame)))
        except KeystrandError as error:
            known = False
            self._first.set_exception(error)
        if known:
            self._first.set_result(Connection(reader, writer, frame))
        else:
            writer.close()

    def _judge(self, frame: bytes) -> bool:
        """Return whether the frame is the peer's; every one that is not counts as a try to forge it."""
        if self._knows is not None and self._knows(frame):
            return True
        self.strangers += 1
        if self.strangers == MOST_STRANGERS:
            hint = "find out who connects there, or choose another port"
            raise PeerUnavailable(f"{MOST_STRANGERS} connected without our authentication key", hint=hint)
        return False


async def _first_of(reader: asyncio.StreamReader) -> bytes:
    """Return the first frame of whoever it is, empty where there is none."""
    with suppress(TimeoutError, asyncio.IncompleteReadError, OSError, _TooLong):
        async with asyncio.timeout(_FIRST_S):
            return await _frame(reader, FIRST_OCTETS)
    return b""


class _Why:
    """Why the latest try to connect failed."""

    told = ""


async def _connected(endpoint: Endpoint, why: _Why) -> Connection:
    """Return a connection, tried again until there is one."""
    while True:
        try:
            made = Connection(*await asyncio.open_connection(endpoint.host, endpoint.port, limit=FRAME_OCTETS))
        except OSError as error:
            why.told = f": {_reason(error)}"
        else:
            if made.writer.get_extra_info("sockname") != made.writer.get_extra_info("peername"):
                return made
            why.told = ": only ourselves"  # a free local port may become our own, and answer
            made.writer.close()
        await asyncio.sleep(_RETRY_S)
