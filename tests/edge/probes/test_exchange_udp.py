"""One conversation in datagrams: sent again while nothing comes, cut as they came, and ended with a reason."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from keystrand.edge.probes.base import MAX_RECEIVED, Answer, Ending, Job
from keystrand.edge.probes.exchange import Address, Exchange
from keystrand.edge.probes.watch import Watch

Serve = Callable[[socket.socket, bytes, tuple[str, int]], None]


class Talk:
    """Says `first`, then whatever `more` holds, and is content with any answer that begins with `yes`."""

    def __init__(self, *more: bytes) -> None:
        self.done, self.heard, self._more = False, list[bytes](), list(more)

    def begin(self) -> bytes:
        """Say the first datagram."""
        return b"first"

    def receive(self, octets: bytes) -> bytes:
        """Take one datagram, or say the next of ours."""
        if not octets:
            return self._more.pop(0) if self._more else b""
        self.heard.append(octets)
        self.done = octets.startswith(b"yes")
        return b"" if self.done else b"next"


@contextmanager
def serving(serve: Serve) -> Iterator[int]:
    """Answer datagrams on a free loopback port as `serve` says, until told to stop by an empty one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def attend() -> None:
            while (came := server.recvfrom(2048))[0] != b"stop":
                serve(server, *came)

        thread = threading.Thread(target=attend, daemon=True)
        thread.start()
        port = server.getsockname()[1]
        yield port
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"stop", ("127.0.0.1", port))
        thread.join()


def ask(talk: Talk, port: int, timeout_s: float = 5.0) -> Answer:
    """Have one exchange."""

    async def run() -> Answer:
        job = Job("?", "127.0.0.1", port, lambda: talk, "udp")
        with Watch(timeout_s) as watch:
            return await Exchange(job, Address(socket.AF_INET, ("127.0.0.1", port)), watch).answer()

    return asyncio.run(run())


def test_a_lost_datagram_is_sent_again() -> None:
    """The server hears the first one only the second time, and is answered as if nothing had happened."""
    came: list[bytes] = []

    def serve(server: socket.socket, octets: bytes, client: tuple[str, int]) -> None:
        came.append(octets)
        if len(came) > 1:
            server.sendto(b"yes", client)

    with serving(serve) as port:
        answer = ask(Talk(), port, timeout_s=1.0)
    assert (answer.ending, came) == (Ending.DONE, [b"first", b"first"])


def test_several_datagrams_go_out_and_come_in_whole() -> None:
    """A flight of three is sent in its order; each answer is handed over as one datagram and may be replied to."""
    came: list[bytes] = []

    def serve(server: socket.socket, octets: bytes, client: tuple[str, int]) -> None:
        came.append(octets)
        if octets == b"third":
            server.sendto(b"wait", client)
        if octets == b"next":
            server.sendto(b"yes, now", client)

    talk = Talk(b"second", b"third")
    with serving(serve) as port:
        assert ask(talk, port).ending is Ending.DONE
    assert came == [b"first", b"second", b"third", b"next"]
    assert talk.heard == [b"wait", b"yes, now"]


def test_silence_is_no_answer() -> None:
    """Nobody answers: asked several times, then given up; it counts as never connected."""
    came: list[bytes] = []
    with serving(lambda _server, octets, _client: came.append(octets)) as port:
        answer = ask(Talk(), port, timeout_s=0.4)
    assert (answer.ending, answer.reason, answer.connected) == (Ending.NO_CONNECTION, "no answer within 0.4 s", False)
    assert len(came) == 3


def test_a_closed_port_says_so() -> None:
    """Where the machine answers that nothing listens (ICMP), the port is refused at once."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert ask(Talk(), port).ending is Ending.REFUSED


@pytest.mark.parametrize("datagram", [b"x" * 2000, b""])
def test_a_flood_ends(datagram: bytes) -> None:
    """A server that never stops sending is left after so many octets, however small its datagrams are."""
    stop = threading.Event()

    def serve(server: socket.socket, _octets: bytes, client: tuple[str, int]) -> None:
        for _ in range(MAX_RECEIVED + 10):
            if stop.is_set():
                return
            server.sendto(datagram, client)

    with serving(serve) as port:
        answer = ask(Talk(), port, timeout_s=30.0)
        stop.set()
    assert answer.ending is Ending.TOO_MUCH


class _Deaf(socket.socket):
    """A socket that takes one datagram to send, and no more."""

    said = 0

    def send(self, octets: bytes, flags: int = 0) -> int:  # type: ignore[override]  # the typeshed's has no names
        """Send the first, and refuse what follows."""
        self.said += 1
        if self.said > 1:
            raise BlockingIOError
        return super().send(octets, flags)


class _LastWord(Talk):
    """Is content with the first answer, and has one more thing to say to it."""

    def receive(self, octets: bytes) -> bytes:
        """Take the answer."""
        self.done = bool(octets)
        return b"thank you" if octets else b""


def test_an_answered_question_is_done_even_where_the_last_word_cannot_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full send buffer must not turn an answer into silence."""

    def serve(server: socket.socket, _: bytes, client: tuple[str, int]) -> None:
        server.sendto(b"yes", client)

    monkeypatch.setattr(socket, "socket", _Deaf)
    with serving(serve) as port:
        answer = ask(_LastWord(), port, timeout_s=0.5)
    assert answer.ending is Ending.DONE
