"""A wire between the two ends of a session that delays, cuts or alters frames, for tests over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

Change = Callable[[int, bytes], bytes | None]
"""What becomes of the frame with this number, its length in front; None cuts the wire there."""


class Wire:
    """Passes frames both ways; `frames` counts them. `delay_s` is that of one way."""

    def __init__(self, port: int, change: Change | None = None, delay_s: float = 0.0) -> None:
        self._to, self._change, self._delay_s = port, change, delay_s
        self.port = self.frames = 0
        self._passing: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Wire"]:
        """Listen on a free port, `port`, as long as the block lasts."""
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await asyncio.gather(*self._passing)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await self._far_end()
        loop = asyncio.get_running_loop()
        self._passing += [
            loop.create_task(self._one_way(reader, back, writer)),
            loop.create_task(self._one_way(there, writer, back)),
        ]

    async def _far_end(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while True:
            with suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", self._to)
            await asyncio.sleep(0.02)

    async def _one_way(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, other: asyncio.StreamWriter
    ) -> None:
        """Carry frames until one side closes, or the wire is cut; then both sides are closed."""
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                length = await reader.readexactly(4)
                frame = length + await reader.readexactly(int.from_bytes(length, "big"))
                self.frames += 1
                carried = self._change(self.frames - 1, frame) if self._change else frame
                if carried is None:
                    other.close()
                    break
                await asyncio.sleep(self._delay_s)
                writer.write(carried)
                await writer.drain()
        writer.close()
