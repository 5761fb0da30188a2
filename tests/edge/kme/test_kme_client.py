"""The 014 client against servers that are not ours: it uses only what it asked for, over a key exchange it trusts."""

import http.client
import http.server
import json
import logging
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from keystrand.edge.kme.channel import Channel, InDoubt, NotSent
from keystrand.edge.kme.client import Client014
from keystrand.edge.kme.pair import start_pair
from keystrand.edge.pki import Kind, Pki, issue_pki
from keystrand.model.errors import InvalidInput, KeystrandError, NoKeyAvailable, PeerUnavailable, PolicyDenied

UUID = str(uuid.UUID(int=1))
CLASSICAL = "prime256v1"
Canned = Callable[[str], tuple[int, bytes]]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Return a PKI."""
    folder = tmp_path_factory.mktemp("pki") / "made"
    return issue_pki(folder, kmes=["kme-a", "kme-b"], saes=["sae-a"], modules=[], days=1, now=datetime.now(UTC))


@contextmanager
def standing_in(pki: Pki, canned: Canned) -> Iterator[tuple[int, list[str]]]:
    """Run Python's own HTTPS server, with a classical group, that answers what `canned` says; give port and paths."""
    paths: list[str] = []

    class StandIn(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # http.server's name
            paths.append(self.path)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = canned(self.path)
            if not status:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815  # as above

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    files = pki.of(Kind.KME, "kme-a")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(files.ca))
    context.load_cert_chain(files.certificate, files.key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_ecdh_curve(CLASSICAL)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_address[1], paths
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def client_of(pki: Pki, port: int, *, kme_id: str = "", require: bool = False) -> Client014:
    """Return a client of SAE A."""
    files = pki.of(Kind.SAE, "sae-a")
    return Client014(
        f"https://127.0.0.1:{port}", files.ca, files.certificate, files.key, kme_id=kme_id, require_post_quantum=require
    )


def container(*sizes: int, key_id: str = UUID) -> bytes:
    """Return a key container with keys of these sizes in octets."""
    return json.dumps({"keys": [{"key_ID": key_id, "key": "AAAA" * (size // 3)} for size in sizes]}).encode()


def test_a_classical_kme_is_refused_before_anything_is_sent(pki: Pki) -> None:
    """By default the key exchange must be post-quantum: no request leaves otherwise. A client that may, records it."""
    with standing_in(pki, lambda _: (200, container(3))) as (port, paths):
        with client_of(pki, port, require=True) as client, pytest.raises(NotSent, match="ECDH-P-256 is not post-qu"):
            client.enc_keys("sae-b")
        assert paths == []
        with client_of(pki, port) as client:
            assert len(client.enc_keys("sae-b")) == 1
            assert client.peer is not None
            assert (client.peer.group, client.peer.post_quantum) == ("ECDH-P-256", False)


def test_another_kme_than_expected_is_not_spoken_to(pki: Pki) -> None:
    """The certificate must name the KME that the caller means."""
    with (
        standing_in(pki, lambda _: (200, b"{}")) as (port, paths),
        client_of(pki, port, kme_id="kme-b") as client,
        pytest.raises(NotSent, match="'kme-a' and not 'kme-b'"),
    ):
        client.status("sae-b")
    assert paths == []


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (503, b'{"message":"none","details":[{"stored_key_count":0}]}', NoKeyAvailable),
        (401, b'{"message":"no"}', PolicyDenied),
        (401, b"", PolicyDenied),
        (400, b'{"message":"bad"}', InvalidInput),
        (404, b"<html>", InvalidInput),
        (500, b"", PeerUnavailable),
        (302, b"", PeerUnavailable),
        (400, json.dumps({"message": "\n" * 100_000}).encode(), InvalidInput),
        (200, json.dumps({"keys": [{"key\n" * 100_000: 1}]}).encode(), PeerUnavailable),
        (200, b"", PeerUnavailable),
        (200, b"{}", PeerUnavailable),
        (200, b'{"keys":[]}', PeerUnavailable),
        (200, container(30), PeerUnavailable),
        (200, container(33, 33), PeerUnavailable),
        (200, container(0), PeerUnavailable),
        (200, container(33, key_id="x"), PeerUnavailable),
        (200, b'{"keys":[{"key_ID":"' + UUID.encode() + b'","key":"@@@@"}]}', PeerUnavailable),
    ],
)
def test_every_answer_becomes_the_right_error(
    pki: Pki, status: int, body: bytes, kind: type[KeystrandError]
) -> None:  # fmt: skip
    """Refusals map to their classes; a 200 that is not what was asked for is never used. Long words are cut."""
    with (
        standing_in(pki, lambda _: (status, body)) as (port, _),
        client_of(pki, port) as client,
        pytest.raises(kind) as caught,
    ):
        client.enc_keys("sae-b", number=1, size=264)
    assert type(caught.value) is kind
    assert len(caught.value.message) < 300
    assert caught.value.message.isprintable()


def test_keys_under_other_ids_than_asked_are_not_used(pki: Pki) -> None:
    """dec_keys must answer the very IDs, in order."""
    with standing_in(pki, lambda _: (200, container(33))) as (port, _), client_of(pki, port) as client:
        assert client.dec_keys("sae-b", [UUID])[0].key_id == UUID
        with pytest.raises(PeerUnavailable, match="other keys"):
            client.dec_keys("sae-b", [str(uuid.UUID(int=2))])


def test_an_answer_that_does_not_come_is_doubt_and_is_not_asked_again(pki: Pki) -> None:
    """A connection that ends without an answer is reported; the request went out exactly once."""
    with standing_in(pki, lambda _: (0, b"")) as (port, paths), client_of(pki, port) as client:
        with pytest.raises(InDoubt):
            client.enc_keys("sae-b")
        assert len(paths) == 1


@contextmanager
def speaking(pki: Pki, speak: Callable[[ssl.SSLSocket], None]) -> Iterator[Channel]:
    """Run a TLS server that lets `speak` have each connection once its request has come; give a channel to it."""
    files = pki.of(Kind.KME, "kme-a")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(files.ca))
    context.load_cert_chain(files.certificate, files.key)
    context.verify_mode = ssl.CERT_REQUIRED
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                transport, _ = listener.accept()
                with suppress(OSError), context.wrap_socket(transport, server_side=True) as stream:
                    stream.recv(1000)
                    speak(stream)

    thread = threading.Thread(target=serve)
    thread.start()
    url, own = f"https://127.0.0.1:{listener.getsockname()[1]}", pki.of(Kind.SAE, "sae-a")
    channel = Channel(url, own, require_post_quantum=False, timeout_s=1.0)
    try:
        yield channel
    finally:
        channel.close()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d"


def test_an_exchange_has_one_deadline_however_the_bytes_come(pki: Pki) -> None:
    """A peer that keeps sending without ever answering is given up: every wait counts against the same time."""

    def drip(stream: ssl.SSLSocket) -> None:
        for _ in range(30):
            stream.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            time.sleep(0.1)
        stream.sendall(EMPTY % 1)

    with speaking(pki, drip) as channel, pytest.raises(InDoubt, match=r"timed out|too long"):
        channel.exchange("GET", "/x")


def test_closing_does_not_wait_for_the_peer(pki: Pki) -> None:
    """An exchange under way ends in doubt as soon as its channel is closed."""
    asked = threading.Event()

    def hold(stream: ssl.SSLSocket) -> None:
        asked.set()
        stream.settimeout(0.5)
        try:
            stream.recv(1)
        except TimeoutError:
            stream.sendall(EMPTY % 1)

    with speaking(pki, hold) as channel:

        def close() -> None:
            asked.wait(10)
            channel.close()

        closer = threading.Thread(target=close)
        closer.start()
        with pytest.raises(InDoubt):
            channel.exchange("GET", "/x")
        closer.join()


@pytest.mark.parametrize("together", [True, False])
def test_an_answer_to_nothing_is_never_taken_for_the_next(pki: Pki, together: bool) -> None:  # noqa: FBT001  # pytest passes it by name
    """A peer that answers twice is left: the second answer, in the same record or the next, answers no question."""
    count, left = iter(range(1, 9)), threading.Event()

    def twice(stream: ssl.SSLSocket) -> None:
        this = next(count)
        pieces = (EMPTY % this, EMPTY % 9)
        for piece in (b"".join(pieces),) if together else pieces:
            stream.sendall(piece)
        with suppress(OSError):
            # another request on this connection would be answered, and counted
            if stream.recv(1000):
                stream.sendall(EMPTY % 8)
            left.set()

    with speaking(pki, twice) as channel:
        for n in (b"1", b"2", b"3"):
            assert channel.exchange("GET", "/x") == (200, n)
            # what comes in the same record is seen at once, what comes later before the next question
            assert not together or left.wait(10)
            left.clear()


def test_a_kept_connection_does_not_outlive_the_certificate_of_its_kme(pki: Pki) -> None:
    """Once it has expired the next exchange connects anew, and proves it anew."""
    connections: list[int] = []

    def answer(stream: ssl.SSLSocket) -> None:
        connections.append(1)
        stream.sendall(EMPTY % 1)
        while stream.recv(1000):
            stream.sendall(EMPTY % 1)

    with speaking(pki, answer) as channel:
        for _ in range(2):
            channel.exchange("GET", "/x")
        assert (len(connections), channel.peer is not None) == (1, True)
        assert channel.peer
        channel.peer = replace(channel.peer, valid_until_s=time.time() - 1)
        channel.exchange("GET", "/x")
        assert len(connections) == 2


def test_nobody_there_is_peer_unavailable(pki: Pki) -> None:
    """A refused connection and a URL that is none are told apart."""
    with client_of(pki, 1) as client, pytest.raises(NotSent, match="cannot be reached"):
        client.status("sae-b")
    files = pki.of(Kind.SAE, "sae-a")
    for url in ("http://127.0.0.1:1", "https://", "https://h/path", "127.0.0.1:1"):
        with pytest.raises(InvalidInput, match="not the URL"):
            Client014(url, files.ca, files.certificate, files.key)


def resumed(context: ssl.SSLContext, port: int) -> bool:
    """Return whether a second connection can go on with the session of a first one."""
    session = None
    for _ in range(2):
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as raw,
            context.wrap_socket(raw, server_hostname="localhost", session=session) as stream,
        ):
            stream.sendall(b"GET /x HTTP/1.1\r\nHost: k\r\nConnection: close\r\n\r\n")
            assert stream.recv(100).startswith(b"HTTP/1.1 404")
            session, again = stream.session, stream.session_reused
    return bool(again)


@pytest.mark.system
def test_the_standard_library_talks_014_and_its_group_is_recorded(tmp_path_factory: pytest.TempPathFactory) -> None:
    """An independent client, `ssl` with a classical group, is served where that is allowed, and recorded as such."""
    folder = tmp_path_factory.mktemp("classical") / "run"
    with start_pair(folder, require_post_quantum=False) as pair:
        files = pair.credentials(Kind.SAE, "sae-a")
        context = ssl.create_default_context(cafile=str(files.ca))
        # what Python 3.13 does by default, for every version
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_cert_chain(files.certificate, files.key)
        context.set_ecdh_curve(CLASSICAL)
        connection = http.client.HTTPSConnection("127.0.0.1", pair.port(0), context=context, timeout=10)
        for _ in range(2):
            connection.request("GET", "/api/v1/keys/sae-b/status")
            answer = connection.getresponse()
            body = json.loads(answer.read())
            assert answer.status == 200
        connection.close()
        assert body["status_extension"]["keystrand_tls_group"] == "ECDH-P-256"
        with pair.client("sae-a") as ours:
            extension = ours.status("sae-b").status_extension
            assert isinstance(extension, dict)
            assert extension["keystrand_tls_group"] == "X25519MLKEM768"
        assert not resumed(context, pair.port(0))


@pytest.mark.system
def test_a_classical_sae_is_refused_by_default(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where nothing else is configured a classical key exchange gets 401 with its reason, and no key."""
    with start_pair(tmp_path_factory.mktemp("strict") / "run") as pair:
        files = pair.credentials(Kind.SAE, "sae-a")
        context = ssl.create_default_context(cafile=str(files.ca))
        context.load_cert_chain(files.certificate, files.key)
        context.set_ecdh_curve(CLASSICAL)
        connection = http.client.HTTPSConnection("127.0.0.1", pair.port(0), context=context, timeout=10)
        connection.request("GET", "/api/v1/keys/sae-b/enc_keys")
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["message"]) == (
            401, "the key exchange group ECDH-P-256 is not post-quantum"
        )  # fmt: skip
        connection.close()


def test_a_client_logs_nothing_of_its_keys(pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    """With everything logged, and the container printed, no key byte shows."""
    caplog.set_level(logging.DEBUG)
    with standing_in(pki, lambda _: (200, container(33))) as (port, _), client_of(pki, port) as client:
        keys = client.enc_keys("sae-b")
        logging.getLogger("t").warning("%s %r", keys, client)
    assert "AAAA" not in caplog.text
    assert "\\x00" not in caplog.text
