"""Several processes are one KME: another of its URLs is asked where one does not answer, and nothing is asked twice."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from OpenSSL import SSL

from keystrand.edge import tls
from keystrand.edge.kme.channel import InDoubt, NotSent
from keystrand.edge.kme.config import LinkEnd, load_config
from keystrand.edge.kme.pair import Pair
from keystrand.edge.kme.ways import PeerWays
from keystrand.edge.pki import Kind
from keystrand.edge.tls import LiveContext
from keystrand.model.errors import InvalidInput

pytestmark = pytest.mark.system

HELLO = "/keystrand/v1/hello"


def ways(pair: Pair, *urls: str) -> PeerWays:
    """Return ways of KME A to KME B."""
    context = LiveContext(pair.credentials(Kind.KME, "kme-a"), server=False)
    return PeerWays(urls, context.current, kme_id="kme-b")


@pytest.fixture
def closed() -> Iterator[str]:
    """Return a URL where nobody listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"https://127.0.0.1:{holder.getsockname()[1]}"


@pytest.fixture
def mute() -> Iterator[str]:
    """Return a URL where somebody listens and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def breaking_off(pair: Pair) -> Iterator[tuple[str, list[bytes]]]:
    """Stand in for a process of KME B that greets, takes a request and is gone. Gives its URL and what it was asked."""
    context, asked = tls.server_context(pair.credentials(Kind.KME, "kme-b")), list[bytes]()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def run() -> None:
            with contextlib.suppress(OSError, SSL.Error):
                transport, _ = listener.accept()
                connection = SSL.Connection(context, None)
                connection.set_accept_state()
                stream = tls.BlockingTls(connection, transport)
                stream.handshake()
                for _ in range(2):
                    buffer = bytearray(4096)
                    asked.append(bytes(buffer[: stream.recv_into(memoryview(buffer))]))
                    if len(asked) == 1:
                        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                stream.close()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}", asked
        finally:
            listener.close()
            thread.join()


def test_the_next_is_asked_where_one_cannot_be_reached(pair: Pair, closed: str, mute: str) -> None:
    """Closed or silent, it costs no request; the one that answered is asked first from then on."""

    async def run() -> None:
        way = ways(pair, closed, mute, pair.urls[1])
        assert (await way.exchange("GET", HELLO, timeout_s=9.0))[0] == 405
        assert way._ways[0]._where == pair.urls[1].removeprefix("https://")
        assert (await way.exchange("GET", HELLO, timeout_s=1.0))[0] == 405
        way.close()

    asyncio.run(run())


def test_where_nobody_can_be_reached_nothing_was_sent(pair: Pair, closed: str) -> None:
    """It says so, as often as it is asked."""

    async def run() -> None:
        way = ways(pair, closed, closed)
        for _ in range(3):
            with pytest.raises(NotSent):
                await way.exchange("POST", HELLO, b"{}", timeout_s=5.0)
        way.close()

    asyncio.run(run())


def test_what_is_in_doubt_is_not_sent_to_another(pair: Pair) -> None:
    """A request that one process has taken is never repeated at the next; the one after goes there."""

    async def run() -> None:
        with breaking_off(pair) as (url, asked):
            way = ways(pair, url, pair.urls[1])
            with pytest.raises(InDoubt):
                await way.exchange("POST", HELLO, b"{}", timeout_s=5.0)
            assert [one.split(b" ", 1)[0] for one in asked] == [b"GET", b"POST"]
            status, _ = await way.exchange("GET", HELLO, timeout_s=5.0)
            assert status == 405
            way.close()

    asyncio.run(run())


def test_a_link_names_one_url_or_several(pair: Pair, tmp_path: Path) -> None:
    """As a text or as a list of texts, each an https URL."""
    text = (pair.folder / "kme-a.toml").read_text()
    one = f"peer_url = '{pair.urls[1]}'"
    assert one in text
    for written, read in (
        (one, (pair.urls[1],)),
        (f"peer_url = ['{pair.urls[1]}', 'https://b.example']", (pair.urls[1], "https://b.example")),
    ):
        (tmp_path / "kme.toml").write_text(text.replace(one, written))
        (link,) = load_config(tmp_path / "kme.toml").links
        assert isinstance(link, LinkEnd)
        assert link.peer_urls == read
    for written in ("peer_url = []", f"peer_url = ['{pair.urls[1]}', 'http://b.example']"):
        (tmp_path / "kme.toml").write_text(text.replace(one, written))
        with pytest.raises(InvalidInput) as caught:
            load_config(tmp_path / "kme.toml")
        assert "peer_url" in caught.value.problems[0].field
