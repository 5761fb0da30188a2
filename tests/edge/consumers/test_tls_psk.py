"""The TLS-PSK consumer: no session without the very key, each key for one handshake, nothing in its place."""

import contextlib
import gc
import logging
import socket
import threading
import time
import uuid
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from OpenSSL import SSL

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers import psk_ends
from keystrand.edge.consumers.psk_ends import external_psk_supported
from keystrand.edge.consumers.tls_psk import EchoServer, echo, echo_with
from keystrand.edge.devices.twin_source import TwinSource
from keystrand.edge.kme.client import Client014
from keystrand.edge.kme.pair import Pair, start_pair
from keystrand.edge.pki import Kind, issue_pki
from keystrand.edge.tls import BlockingTls
from keystrand.model.errors import InvalidInput, NoKeyAvailable, PeerUnavailable, PolicyDenied

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two KMEs with keys in stock."""
    with start_pair(tmp_path_factory.mktemp("psk") / "run") as running:
        with TwinSource(
            running.link, running.source_ends, bits_per_s=1_000_000, qber=0.02, block_bits=32_768
        ) :  # fmt: skip
            running.wait_for_keys(100)
        yield running


@pytest.fixture(scope="module")
def a(pair: Pair) -> Iterator[Client014]:
    """The client's KME."""
    with pair.client("sae-a") as client:
        yield client


@pytest.fixture(scope="module")
def b(pair: Pair) -> Iterator[Client014]:
    """The server's KME."""
    with pair.client("sae-b") as client:
        yield client


@pytest.fixture
def server(b: Client014) -> Iterator[EchoServer]:
    """An echo server of SAE B."""
    with EchoServer(b, "sae-a") as running:
        yield running


def tried(server: EchoServer, key_id: str, key: bytes) -> None:
    """Do an echo with this key."""
    echo_with(server.host, server.port, key_id, Secret(key), b"hello", enc_keys_s=0.0)


def settled(server: EchoServer, done: int, refused: int) -> bool:
    """Return whether the server comes to these counts: its side ends a moment after the client's."""
    for _ in range(500):
        if (server.handshakes, server.refused) == (done, refused):
            return True
        time.sleep(0.01)
    return False


def test_the_private_names_are_there() -> None:
    """Contract with `cryptography` and pyOpenSSL: everything that has no public way is present."""
    assert external_psk_supported()
    assert callable(psk_ends._lib.SSL_CTX_set_psk_find_session_callback)
    assert psk_ends._lib.Cryptography_HAS_PSK_TLSv1_3
    assert SSL.Context(SSL.TLS_METHOD)._context is not None


def test_every_handshake_has_a_fresh_key_and_a_post_quantum_group(server: EchoServer, a: Client014) -> None:
    """Ten echoes: ten key IDs, X25519MLKEM768, AES-256-GCM, and as many dec_keys as handshakes."""
    results = [echo(server.host, server.port, a, "sae-b", b"%d" % n * 1000) for n in range(10)]
    assert len({result.key_id for result in results}) == 10
    assert {(result.group, result.cipher) for result in results} == {("X25519MLKEM768", "TLS_AES_256_GCM_SHA384")}
    assert all(result.enc_keys_s > 0 and result.handshake_s > 0 for result in results)
    assert settled(server, 10, 0)
    assert len(server.dec_keys_s) == 10


def test_the_longest_message_comes_back_and_longer_ones_are_refused(server: EchoServer, a: Client014) -> None:
    """64 KiB are echoed whole, over several records; more is refused before a key is spent."""
    message = bytes(range(256)) * 256
    assert echo(server.host, server.port, a, "sae-b", message).key_id
    before = a.status("sae-b").stored_key_count
    with pytest.raises(InvalidInput):
        echo(server.host, server.port, a, "sae-b", message + b"x")
    assert a.status("sae-b").stored_key_count == before


def test_unknown_wrong_and_used_keys_fail(server: EchoServer, a: Client014) -> None:
    """No session under an ID the KME does not know, under other bytes, twice under the same, or under no UUID."""
    (wrong, used) = a.enc_keys("sae-b", number=2)
    content = used.key.reveal()
    tried(server, used.key_id, content)
    for key_id, key in (
        (str(uuid.uuid4()), bytes(32)),
        (wrong.key_id, bytes(32)),
        (wrong.key_id, wrong.key.reveal()),
        (used.key_id, content),
        ("no uuid", bytes(32)),
    ):
        with pytest.raises(PeerUnavailable, match="TLS with"):
            tried(server, key_id, key)
    assert settled(server, 1, 5)


def test_without_a_key_nothing_is_attempted(tmp_path: Path) -> None:
    """With empty pools the caller gets NoKeyAvailable, exit code 13, and the server never hears of it."""
    with (
        start_pair(tmp_path / "run") as empty,
        empty.client("sae-a") as a,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        with pytest.raises(NoKeyAvailable) as caught:
            echo("127.0.0.1", listener.getsockname()[1], a, "sae-b", b"hello")
        assert caught.value.exit_code == 13
        listener.settimeout(0.05)
        with pytest.raises(TimeoutError):
            listener.accept()


def test_a_certificate_does_not_replace_the_key(tmp_path: Path) -> None:
    """A server that ignores the key and shows a certificate, however good, is refused before anything is sent."""
    pki = issue_pki(tmp_path / "p", kmes=["k"], saes=[], modules=[], days=1, now=datetime.now(UTC))
    files = pki.of(Kind.KME, "k")
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate_chain_file(str(files.certificate))
    context.use_privatekey_file(str(files.key))
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            transport, _ = listener.accept()
            connection = SSL.Connection(context, None)
            connection.set_accept_state()
            stream = BlockingTls(connection, transport)
            with contextlib.suppress(SSL.Error, OSError):
                stream.handshake()
                got.append(stream.recv_exactly(1))
            stream.close()

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(PeerUnavailable, match="certificate verify failed"):
            echo_with(
                "127.0.0.1", listener.getsockname()[1], str(uuid.uuid4()), Secret(bytes(32)), b"hello", enc_keys_s=0.0
            )  # fmt: skip
        thread.join()
    assert got == []


def connected(server: EchoServer, context: SSL.Context) -> BlockingTls:
    """Return a client of `context`, before its handshake."""
    connection = SSL.Connection(context, None)
    connection.set_connect_state()
    return BlockingTls(connection, socket.create_connection((server.host, server.port), timeout=10))


def test_a_client_without_a_key_is_refused(server: EchoServer) -> None:
    """An ordinary TLS client finds a server that has no certificate and takes no stranger."""
    stream = connected(server, SSL.Context(SSL.TLS_CLIENT_METHOD))
    with pytest.raises(SSL.Error, match="handshake failure"):
        stream.handshake()
    stream.close()
    assert settled(server, 0, 1)


def test_a_session_does_not_outlive_its_key(server: EchoServer, a: Client014) -> None:
    """No ticket comes, and the session object of a finished connection cannot be resumed without a key."""
    (key,) = a.enc_keys("sae-b")
    end = psk_ends.ClientEnd(key.key_id, key.key)
    stream = end.over(socket.create_connection((server.host, server.port), timeout=10))
    stream.handshake()
    assert answered(stream, b"hello") == b"hello"
    session = stream.connection.get_session()
    stream.close()
    assert session is not None
    # the same context, since pyOpenSSL resumes with no other, but without the key
    psk_ends._lib.SSL_CTX_set_psk_use_session_callback(end._context._context, psk_ends._ffi.NULL)
    plain = connected(server, end._context)
    plain.connection.set_session(session)
    with pytest.raises(SSL.Error):
        plain.handshake()
    plain.close()
    assert settled(server, 1, 1)


def answered(stream: BlockingTls, message: bytes) -> bytes:
    """Return the echo of `message`."""
    stream.sendall(message)
    return stream.recv_exactly(len(message))


def client_with_groups(key_id: str, key: Secret, groups: bytes) -> psk_ends.ClientEnd:
    """Return a client end that offers these groups only, the first with a key share."""
    end = psk_ends.ClientEnd(key_id, key)
    assert psk_ends._lib.SSL_CTX_set1_curves_list(end._context._context, groups) == 1
    return end


def test_a_second_hello_asks_the_kme_once(server: EchoServer, a: Client014) -> None:
    """Where the server asks for another group the key is named twice and fetched once."""
    (key,) = a.enc_keys("sae-b")
    end = client_with_groups(key.key_id, key.key, b"secp384r1:X25519MLKEM768")
    stream = end.over(socket.create_connection((server.host, server.port), timeout=10))
    assert psk_ends.finish(stream) == "X25519MLKEM768"
    assert answered(stream, b"hello") == b"hello"
    stream.close()
    assert settled(server, 1, 0)
    assert len(server.dec_keys_s) == 1


def test_a_classical_group_is_refused_at_both_ends(server: EchoServer, a: Client014) -> None:
    """A right key over a classical exchange: the client says no, and the server echoes nothing."""
    refused, unheard = (
        client_with_groups(key.key_id, key.key, b"P-256") for key in a.enc_keys("sae-b", number=2)
    )  # fmt: skip
    stream = refused.over(socket.create_connection((server.host, server.port), timeout=10))
    with pytest.raises(PolicyDenied, match="ECDH-P-256 is not post-quantum"):
        psk_ends.finish(stream)
    stream.close()
    stream = unheard.over(socket.create_connection((server.host, server.port), timeout=10))
    stream.handshake()
    with pytest.raises((OSError, SSL.Error)):
        answered(stream, b"hello")
    stream.close()
    assert settled(server, 0, 2)


def test_a_key_and_its_callback_do_not_stay(server: EchoServer, a: Client014) -> None:
    """After an echo the key is cleared, and what OpenSSL pointed at is freed with its handshake."""
    (key,) = a.enc_keys("sae-b")
    ends: list[weakref.ref[object]] = []
    original = psk_ends.PskEnd.__init__

    def noted(self: psk_ends.PskEnd, method: int, terms: psk_ends.PskTerms) -> None:
        ends.append(weakref.ref(self))
        original(self, method, terms)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psk_ends.PskEnd, "__init__", noted)
        echo_with(server.host, server.port, key.key_id, key.key, b"hello", enc_keys_s=0.0)
        assert settled(server, 1, 0)
    with pytest.raises(ValueError, match="cleared"):
        key.key.view()
    for _ in range(100):
        gc.collect()
        if all(end() is None for end in ends):
            break
        time.sleep(0.01)
    assert len(ends) == 2
    assert [end() for end in ends] == [None, None]


def test_key_bytes_are_in_no_log(server: EchoServer, a: Client014, caplog: pytest.LogCaptureFixture) -> None:
    """With everything logged, of a good and a refused handshake, no key byte shows in any common form."""
    caplog.set_level(logging.DEBUG)
    (key,) = a.enc_keys("sae-b")
    content = key.key.reveal()
    tried(server, key.key_id, content)
    with pytest.raises(PeerUnavailable) as caught:
        tried(server, key.key_id, content)
    assert settled(server, 1, 1)
    told = f"{caplog.text} {caught.value!r} {key!r}"
    assert "not found on KME" in told
    assert content.hex() not in told
    assert repr(content)[2:-1] not in told


@pytest.mark.parametrize("octets", [0, 15, 257])
def test_keys_outside_what_is_safe_are_refused(octets: int) -> None:
    """Fewer than 128 bits, or more than OpenSSL takes, never become a session: no hello goes out."""
    end = psk_ends.ClientEnd(str(uuid.uuid4()), Secret(bytes(octets)))
    connection = SSL.Connection(end._context, None)
    connection.set_connect_state()
    with pytest.raises(SSL.Error):
        connection.do_handshake()
    assert isinstance(end.trouble, PolicyDenied)
    # an alert record (RFC 8446, 5.1), and not a handshake one
    assert connection.bio_read(1) == b"\x15"
