"""The way from one KME to another in one process: it carries bytes, and loses, delays, repeats and alters them."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, Protocol

from keystrand.edge.kme.channel import InDoubt, NotSent


class Fault(StrEnum):
    """What the wire does to one exchange."""

    UNREACHED = "no connection"
    REQUEST_LOST = "the request is lost"
    ANSWER_LOST = "the answer is lost"
    LATE = "the request arrives after the sender has given up"
    TWICE = "the request arrives twice, and the second answer is taken"
    REFUSED = "the other end answers 401"
    BROKEN = "the other end answers 503"
    NONSENSE = "the answer cannot be read"
    SHORT = "the answer is about fewer orders"
    OTHER_STORE = "the answer shows a store of another run, older than was seen"
    HANGS = "there is no answer, as long as one waits"


class Reached(Protocol):
    """The KME at the far end of a wire. `ended` is done while it does not run."""

    name: str
    ended: asyncio.Event

    async def answer(self, caller: str, url: str, body: bytes) -> tuple[int, bytes]:
        """Answer another KME."""


class Wire:
    """The way from one KME to another. `faults` hold for the next exchanges of a URL; what was said stays in `said`."""

    def __init__(self, there: "Reached", here: str) -> None:
        self.there, self._here = there, here
        self.faults: dict[str, list[Fault]] = {}
        self.late: list[tuple[str, bytes]] = []
        self.said: list[tuple[str, Any]] = []
        self.hanging = asyncio.Event()
        self.before: Callable[[str], Awaitable[None]] | None = None
        """Called before a request arrives, as if it took its time."""

    async def exchange(self, _method: str, url: str, body: bytes, *, timeout_s: float) -> tuple[int, bytes]:
        """Carry one request and its answer, as `PeerConnection` does. Raises `NotSent` or `InDoubt`."""
        del timeout_s
        fault = self.faults[url].pop(0) if self.faults.get(url) else None
        if fault is Fault.UNREACHED or self.there.ended.is_set():
            raise NotSent("the other KME cannot be reached")
        self.said.append((url, json.loads(body)))
        if self.before:
            await self.before(url)
        if fault is Fault.LATE:
            self.late.append((url, body))
        if fault in (Fault.LATE, Fault.REQUEST_LOST):
            raise InDoubt("no answer: it took too long")
        if fault in (Fault.REFUSED, Fault.BROKEN):
            return (401 if fault is Fault.REFUSED else 503), b"{}"
        answer = await self._arrive(url, body)
        if fault is Fault.TWICE:
            answer = await self._arrive(url, body)
        if fault is Fault.HANGS:
            self.hanging.set()
            await asyncio.Event().wait()
        if fault is Fault.ANSWER_LOST:
            raise InDoubt("no answer: the connection was closed")
        return _altered(answer, fault)

    async def _arrive(self, url: str, body: bytes) -> tuple[int, bytes]:
        """Return the answer. Raises `InDoubt` where the other KME ends before it has answered."""
        answer = asyncio.ensure_future(self.there.answer(self._here, url, body))
        ended = asyncio.ensure_future(self.there.ended.wait())
        try:
            await asyncio.wait({answer, ended}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                raise InDoubt("no answer: the connection was closed")
            return answer.result()
        finally:
            for task in (answer, ended):
                task.cancel()

    async def deliver_late(self) -> list[Any]:
        """Let what is still under way arrive, in order; return the answers that nobody waits for."""
        late, self.late = self.late, []
        return [json.loads((await self._arrive(url, body))[1]) for url, body in late]

    def close(self) -> None:
        """Close the connection."""


def _altered(answer: tuple[int, bytes], fault: Fault | None) -> tuple[int, bytes]:
    if fault not in (Fault.NONSENSE, Fault.SHORT, Fault.OTHER_STORE):
        return answer
    content = json.loads(answer[1])
    if fault is Fault.SHORT:
        content["verdicts"].pop()
    if fault is Fault.OTHER_STORE:
        content["mark"] |= {"start": "another", "generation": 0}
    return 200, b"{" if fault is Fault.NONSENSE else json.dumps(content).encode()
