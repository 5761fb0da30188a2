"""The proxy: any TCP service keyed in band; whole streams, proper ends, bounds; nothing at all without a key."""

import hashlib
import logging
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from OpenSSL import SSL

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers import pump, tls_proxy
from keystrand.edge.consumers.psk_ends import ClientEnd, finish
from keystrand.edge.consumers.tls_proxy import Address, Bounds, ClientSide, Counts, Proxy, ServerSide, demand_local
from keystrand.edge.devices.twin_source import TwinSource
from keystrand.edge.kme.client import Client014
from keystrand.edge.kme.pair import KME_IDS, start_pair
from keystrand.model.errors import InvalidInput, PeerUnavailable

pytestmark = pytest.mark.system

Talk = Callable[[socket.socket], None]


@contextmanager
def service(talk: Talk) -> Iterator[Address]:
    """Run a plain TCP service that does `talk` with each client."""

    def serve(line: socket.socket) -> None:
        with line, suppress(OSError):
            talk(line)

    def accept() -> None:
        with suppress(OSError):
            while True:
                line, _ = listener.accept()
                threading.Thread(target=serve, args=(line,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield Address(*listener.getsockname())
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def echoed(line: socket.socket) -> None:
    """Send back what comes, until its end."""
    while content := line.recv(65536):
        line.sendall(content)


def digested(line: socket.socket) -> None:
    """Say the digest of everything that came, once it has ended."""
    line.sendall(hashlib.sha256(whole(line)).digest())


def whole(line: socket.socket) -> bytes:
    """Return everything up to the proper end."""
    content = bytearray()
    while more := line.recv(65536):
        content += more
    return bytes(content)


class Through(ExitStack):
    """Both proxies and a service."""

    def __init__(self, a: Client014, b: Client014, talk: Talk, bounds: Bounds | None = None) -> None:
        super().__init__()
        service_at = self.enter_context(service(talk))
        self.server = self.enter_context(Proxy(ServerSide(b, "sae-a", service_at), Address("127.0.0.1", 0), bounds))
        self.client = self.enter_context(Proxy(ClientSide(a, "sae-b", self.server.address), Address("127.0.0.1", 0)))

    def connect(self) -> socket.socket:
        """Connect as a program beside the client side does."""
        return socket.create_connection(self.client.address, timeout=20)

    def refuses(self) -> bool:
        """Return whether a new connection is cut, be it before `connect` has returned."""
        try:
            with self.connect() as line:
                return is_cut(line)
        except ConnectionResetError:
            return True


def comes_to(proxy: Proxy, *wanted: Counts) -> bool:
    """Return whether the proxy comes to these counts, or to one of them, within a few seconds."""
    for _ in range(500):
        if proxy.counts in wanted:
            return True
        time.sleep(0.01)
    return False


def is_cut(line: socket.socket) -> bool:
    """Return whether the connection ends as no proper end does."""
    try:
        return line.recv(1) != b"" and is_cut(line)
    except ConnectionResetError:
        return True


def chatter(line: socket.socket) -> None:
    """Go on for ever, an octet at a time."""
    while True:
        line.sendall(b"x")
        line.recv(1)
        time.sleep(0.01)


def fill(line: socket.socket) -> int:
    """Send until nothing more is taken for a second; return how many octets were."""
    line.settimeout(1.0)
    sent = 0
    with suppress(TimeoutError):
        while sent < 200 << 20:
            sent += line.send(bytes(1 << 20))
    return sent


def test_each_connection_has_a_key_of_its_own(sae_a: Client014, sae_b: Client014) -> None:
    """Twenty connections at once: every answer right, twenty keys gone, all of them to their proper end."""
    before = sae_a.status("sae-b").stored_key_count
    with Through(sae_a, sae_b, echoed) as through:
        lines = [through.enter_context(through.connect()) for _ in range(20)]
        for number, line in enumerate(lines):
            line.sendall(b"%d" % number)
            line.shutdown(socket.SHUT_WR)
        for number, line in enumerate(lines):
            assert whole(line) == b"%d" % number
        assert comes_to(through.client, Counts(done=20))
        assert comes_to(through.server, Counts(done=20))
    assert before - sae_a.status("sae-b").stored_key_count == 20


def test_a_long_stream_arrives_whole_and_its_end_is_told(sae_a: Client014, sae_b: Client014) -> None:
    """Half-close: the service answers only after the end of 20 MB, and the answer still comes."""
    content = random.Random(7).randbytes(20_000_000)
    with Through(sae_a, sae_b, digested) as through, through.connect() as line:
        line.sendall(content)
        line.shutdown(socket.SHUT_WR)
        assert whole(line) == hashlib.sha256(content).digest()


def test_both_directions_at_once(sae_a: Client014, sae_b: Client014) -> None:
    """An echo of 8 MB that is written and read at the same time does not lock up."""
    content = os.urandom(8_000_000)
    with Through(sae_a, sae_b, echoed) as through, through.connect() as line:

        def write() -> None:
            line.sendall(content)
            line.shutdown(socket.SHUT_WR)

        writer = threading.Thread(target=write)
        writer.start()
        assert whole(line) == content
        writer.join()


def test_a_service_that_does_not_read_holds_the_sender_back(sae_a: Client014, sae_b: Client014) -> None:
    """Back-pressure: what a writer can get rid of is bounded, not the memory of a proxy filled."""
    go = threading.Event()

    def late(line: socket.socket) -> None:
        go.wait(20)
        digested(line)

    with Through(sae_a, sae_b, late) as through, through.connect() as line:
        sent = fill(line)
        assert sent < 100 << 20
        go.set()
        line.settimeout(20)
        line.shutdown(socket.SHUT_WR)
        assert whole(line) == hashlib.sha256(bytes(sent)).digest()


def test_an_end_that_is_not_said_is_no_end(sae_a: Client014, sae_b: Client014) -> None:
    """Where the other side is cut off in mid-stream the program sees a reset, never a short but proper stream."""

    def begun(line: socket.socket) -> None:
        line.sendall(b"half of ")
        line.recv(1)

    with Through(sae_a, sae_b, begun) as through, through.connect() as line:
        assert line.recv(8) == b"half of "
        through.server.close()
        assert is_cut(line)
        assert comes_to(through.client, Counts(cut=1))


def test_without_a_key_there_is_no_connection(tmp_path: Path) -> None:
    """With empty KMEs the program is cut off, the service never hears of it, and it is counted for what it is."""
    heard: list[bytes] = []
    with (
        start_pair(tmp_path / "run") as empty,
        empty.client("sae-a") as a,
        empty.client("sae-b") as b,
        Through(a, b, lambda line: heard.append(line.recv(9))) as through,
        through.connect() as line,
    ):
        with suppress(OSError):
            line.sendall(b"something")
        assert is_cut(line)
        assert comes_to(through.client, Counts(keyless=1))
        assert comes_to(through.server, Counts(refused=1))
    assert heard == []


def test_when_the_kme_dies_open_connections_go_on_and_no_new_one_begins(tmp_path: Path) -> None:
    """The KME of either side: what is open lives within its bounds; it is new ones that need a key."""
    with start_pair(tmp_path / "run") as pair, pair.client("sae-a") as a, pair.client("sae-b") as b:
        with TwinSource(pair.link, pair.source_ends, bits_per_s=1_000_000, qber=0.02, block_bits=32_768):
            pair.wait_for_keys(20)
        with Through(a, b, echoed) as through, through.connect() as first:
            first.sendall(b"x")
            assert first.recv(1) == b"x"
            for died in reversed(KME_IDS):
                pair.kill(died)
                first.sendall(b"y")
                assert first.recv(1) == b"y"
                assert through.refuses()
            # by which of its two KMEs the client side was refused is a matter of moments
            either = [Counts(open=1, refused=2 - keyless, keyless=keyless) for keyless in range(3)]
            assert comes_to(through.client, *either)
            assert comes_to(through.server, Counts(open=1, refused=2))


def test_no_key_is_in_a_log(sae_a: Client014, sae_b: Client014, caplog: pytest.LogCaptureFixture) -> None:
    """With everything logged, of a good and a refused connection: key IDs, and no key."""
    caplog.set_level(logging.DEBUG)
    good, other = sae_a.enc_keys("sae-b", number=2)
    octets = good.key.reveal()
    with Through(sae_a, sae_b, echoed) as through:
        for key_id, key in ((good.key_id, octets), (other.key_id, octets)):
            end = ClientEnd(key_id, Secret(key))
            stream = end.over(socket.create_connection(through.server.address, timeout=10))
            with suppress(SSL.Error):
                finish(stream)
                stream.sendall(b"x")
                stream.recv_exactly(1)
            stream.close()
    assert good.key_id in caplog.text
    assert octets.hex() not in caplog.text
    assert repr(octets)[2:-1] not in caplog.text


def test_a_slow_stranger_does_not_hold_a_place(
    sae_a: Client014, sae_b: Client014, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who does not finish the handshake in time is cut, however it spreads its bytes; the next one gets the place."""
    monkeypatch.setattr(tls_proxy, "HANDSHAKE_S", 0.5)
    with Through(sae_a, sae_b, echoed, Bounds(connections=1)) as through:
        with socket.create_connection(through.server.address, timeout=10) as slow, suppress(OSError):
            slow.sendall(b"\x16\x03\x01\x02\x00")
            for _ in range(100):
                slow.sendall(b"\x01")
                time.sleep(0.05)
        monkeypatch.setattr(tls_proxy, "HANDSHAKE_S", 10.0)
        with through.connect() as line:
            line.sendall(b"x")
            assert line.recv(1) == b"x"


def test_strangers_do_not_reach_the_service(sae_a: Client014, sae_b: Client014) -> None:
    """Plain text, a key ID nobody gave, the right ID with another key, and a key used before: all are refused."""
    reached: list[int] = []

    def noted(line: socket.socket) -> None:
        reached.append(1)
        echoed(line)

    def tried(key_id: str, key: bytes) -> None:
        end = ClientEnd(key_id, Secret(key))
        stream = end.over(socket.create_connection(through.server.address, timeout=10))
        try:
            finish(stream)
            stream.sendall(b"x")
            stream.recv_exactly(1)
        finally:
            stream.close()

    with Through(sae_a, sae_b, noted) as through:
        with socket.create_connection(through.server.address, timeout=10) as line:
            line.sendall(b"GET / HTTP/1.1\r\n\r\n" * 20)
            with suppress(ConnectionResetError):
                whole(line)
        good, other = sae_a.enc_keys("sae-b", number=2)
        octets = good.key.reveal()
        tried(good.key_id, octets)
        assert len(reached) == 1
        for key_id, key in ((str(uuid.uuid4()), bytes(32)), (other.key_id, bytes(32)), (good.key_id, octets)):
            with pytest.raises(SSL.Error):
                tried(key_id, key)
        assert comes_to(through.server, Counts(done=1, refused=4))
    assert len(reached) == 1


def test_a_connection_lives_no_longer_than_its_key_may(sae_a: Client014, sae_b: Client014) -> None:
    """Idle for too long, or open for too long while busy: both are cut."""
    with Through(sae_a, sae_b, echoed, Bounds(idle_s=0.2)) as through, through.connect() as line:
        assert is_cut(line)
        assert comes_to(through.server, Counts(cut=1))
    with Through(sae_a, sae_b, echoed, Bounds(most_s=0.5)) as through, through.connect() as line:
        with pytest.raises(OSError, match=r"reset|pipe"):
            chatter(line)
        assert comes_to(through.server, Counts(cut=1))


def test_a_key_protects_no_more_than_its_cipher_bears(
    sae_a: Client014, sae_b: Client014, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the bound, in either direction, the connection is cut; up to it nothing is."""
    monkeypatch.setattr(pump, "KEY_OCTETS_MOST", 100_000)
    with Through(sae_a, sae_b, echoed) as through, through.connect() as line:
        line.sendall(bytes(100_000))
        left = 100_000
        while left:
            left -= len(line.recv(left))
        line.sendall(b"x")
        assert is_cut(line)
        assert comes_to(through.client, Counts(cut=1))


def test_more_connections_than_there_are_places_wait(sae_a: Client014, sae_b: Client014) -> None:
    """With two places a third connection is served once one of the two has ended."""
    with Through(sae_a, sae_b, echoed, Bounds(connections=2)) as through:
        first, second = (through.enter_context(through.connect()) for _ in range(2))
        for line in (first, second):
            line.sendall(b"x")
            assert line.recv(1) == b"x"
        third = through.enter_context(through.connect())
        third.sendall(b"x")
        third.settimeout(0.3)
        with pytest.raises(TimeoutError):
            third.recv(1)
        assert through.server.counts.open == 2
        first.close()
        third.settimeout(20)
        assert third.recv(1) == b"x"


def test_a_service_that_is_away_is_no_trouble_to_the_next(sae_a: Client014, sae_b: Client014) -> None:
    """Where the service does not answer the connection is cut, and the proxy goes on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = Address(*taken.getsockname())
    with (
        Proxy(ServerSide(sae_b, "sae-a", nobody), Address("127.0.0.1", 0)) as server,
        Proxy(ClientSide(sae_a, "sae-b", server.address), Address("127.0.0.1", 0)) as client,
    ):
        for number in range(1, 3):
            with socket.create_connection(client.address, timeout=10) as line:
                assert is_cut(line)
            assert comes_to(server, Counts(refused=number))


@pytest.mark.parametrize("field", ["connections", "idle_s", "most_s"])
def test_bounds_are_above_nothing(field: str) -> None:
    """A bound of 0 is refused by its name."""
    with pytest.raises(InvalidInput, match=field):
        Bounds(**{field: 0})


def test_the_plain_side_stays_on_this_machine() -> None:
    """An address of a network is refused for the plain side, with the reason and the next step."""
    for host in ("127.0.0.1", "localhost", "::1", "127.9.9.9"):
        demand_local(Address(host, 1), "the service")
    for host in ("198.51.100.7", "192.0.2.1", "example.org", "::", "127.example.org"):
        with pytest.raises(InvalidInput, match="in clear") as caught:
            demand_local(Address(host, 1), "the service")
        assert "127.0.0.1" in caught.value.hint


def test_a_port_that_is_taken_is_told(sae_a: Client014) -> None:
    """Two proxies cannot listen at one place."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        at = Address(*taken.getsockname())
        with pytest.raises(PeerUnavailable, match=str(at)):
            Proxy(ClientSide(sae_a, "sae-b", at), at)
