"""What comes before TLS on one connection, sans I/O: a script that says what to send and which answer to wait for.

Nothing here believes a server: every answer is cut out of a bounded buffer, and what does not fit ends the script.
"""

from collections.abc import Callable, Generator
from typing import NamedTuple

MAX_PLAIN = 16 * 1024
"""Octets read before TLS at most. Greetings, capabilities and a pre-login take under 4 KiB together."""
MAX_LINE = 4 * 1024
"""Octets of a line at most: RFC 5321, 4.5.3.1.5 allows 512, the capability lines of IMAP run longer."""

Cut = Callable[[bytes], int | None]
"""Says how many octets at the front of what came are one whole answer; None: more must come."""


class Say(NamedTuple):
    """One step: send `octets`, then wait for the answer that `cut` finds. With `nothing` no answer is awaited."""

    octets: bytes
    cut: Cut


class Refusal(Exception):
    """Ends a script: the server does not do TLS here, and the text says why."""


Script = Generator[Say, bytes, None]
"""Yields steps and is sent the answers. It returns where TLS may begin, and raises `Refusal` where it may not."""


def nothing(_octets: bytes) -> int:
    """Cut for a step that no answer follows."""
    return 0


def line(octets: bytes) -> int | None:
    """Cut for one line, its line end included. Raises `Refusal` where it is too long to be one."""
    end = octets.find(b"\n", 0, MAX_LINE)
    if end < 0 and len(octets) >= MAX_LINE:
        raise Refusal(f"answers with a line of more than {MAX_LINE} octets")
    return end + 1 if end >= 0 else None


class Preface:
    """Runs a script. `done`: TLS may begin, or `refused` says why it does not.

    `leftover` is what came after the go-ahead. No server of these protocols speaks before the client's hello, so
    whatever is there was said in clear where TLS was due (the fault behind CVE-2011-0411 and CVE-2021-23222).
    """

    def __init__(self, script: Script) -> None:
        self.done = False
        self.refused = ""
        self.leftover = b""
        self._script = script
        self._cut: Cut = nothing
        self._buffer, self._came = b"", 0
        self._first = True

    def begin(self) -> bytes:
        """Return what to send first: nothing where the server speaks first."""
        return self._run()

    def receive(self, octets: bytes) -> bytes:
        """Take what came and return what to send next. Never raises."""
        if self.done:
            self.leftover = (self.leftover + octets)[:MAX_PLAIN]
            return b""
        self._came += len(octets)
        self._buffer += octets
        said = self._run()
        # counted afterwards: how much comes at once is the network's choice, and must not decide the reason
        if self._came > MAX_PLAIN and not self.done:
            return self._end(f"sends more than {MAX_PLAIN} octets before TLS begins")
        return said

    def wrap(self, octets: bytes) -> bytes:
        """Return TLS records as they go on the wire."""
        return octets

    def unwrap(self, octets: bytes) -> bytes:
        """Return the TLS records in what came off the wire. Raises `Refusal` where it holds none."""
        return octets

    def _run(self) -> bytes:
        said = b""
        try:
            while not self.done and (taken := self._answer()) is not None:
                said += self._step(taken)
        except Refusal as refusal:
            return self._end(str(refusal))
        return said

    def _answer(self) -> bytes | None:
        end = self._cut(self._buffer)
        if end is None:
            return None
        answer, self._buffer = self._buffer[:end], self._buffer[end:]
        return answer

    def _step(self, answer: bytes) -> bytes:
        try:
            step = next(self._script) if self._first else self._script.send(answer)
        except StopIteration:
            self._end("")
            return b""
        self._first = False
        self._cut = step.cut
        return step.octets

    def _end(self, refused: str) -> bytes:
        self.done, self.refused = True, refused
        self.leftover, self._buffer = self._buffer[:MAX_PLAIN], b""
        self._script.close()
        return b""
