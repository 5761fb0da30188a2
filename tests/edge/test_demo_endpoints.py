"""The demonstration's servers: each negotiates what it claims, survives a prober, and leaves nothing behind."""

import asyncio
import importlib.util
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

import asyncssh
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, rsa
from OpenSSL import SSL

from keystrand.edge.demo_endpoints import STAND_INS, Address, DemoEndpoints, Posture

pytestmark = pytest.mark.system
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def endpoints() -> Iterator[DemoEndpoints]:
    """All servers of the demonstration."""
    with DemoEndpoints() as started:
        yield started


def _named(posture: Posture) -> list[Address]:
    return [name for name, stands in STAND_INS.items() if stands is posture]


def _shake_hands(
    address: Address, version: int = SSL.TLS1_3_VERSION, curve: ec.EllipticCurve | None = None
) -> SSL.Connection:
    """Complete a handshake as a client that verifies nothing; `curve` is the only group it offers."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(version)
    if curve:
        context.set_tmp_ecdh(curve)
    connection = SSL.Connection(context, None)
    connection.set_connect_state()
    with socket.create_connection(address, timeout=PATIENCE_S) as wire:
        while True:
            try:
                connection.do_handshake()
            except SSL.WantReadError:
                _send(connection, wire)
                received = wire.recv(65536)
                assert received, "the server closed the connection within the handshake"
                connection.bio_write(received)
            else:
                _send(connection, wire)
                return connection


def _send(connection: SSL.Connection, wire: socket.socket) -> None:
    with suppress(SSL.WantReadError):
        while True:
            wire.sendall(connection.bio_read(65536))


@pytest.mark.parametrize(
    ("posture", "group", "key_type"),
    [
        (Posture.TLS_RSA, "secp256r1", rsa.RSAPublicKey),
        (Posture.TLS_ECDSA, "secp384r1", ec.EllipticCurvePublicKey),
        (Posture.TLS_EXPIRED, "secp256r1", rsa.RSAPublicKey),
        (Posture.TLS_HYBRID, "X25519MLKEM768", ec.EllipticCurvePublicKey),
        (Posture.TLS_ML_DSA, "X25519MLKEM768", mldsa.MLDSA65PublicKey),
    ],
)
def test_a_tls_server_negotiates_what_its_posture_says(
    endpoints: DemoEndpoints, posture: Posture, group: str, key_type: type
) -> None:
    """With OpenSSL's own offer, each posture answers with its group, its kind of certificate, and its host's name."""
    for host, port in _named(posture):
        connection = _shake_hands(endpoints.connect_to[host, port])
        certificate = connection.get_peer_certificate(as_cryptography=True)
        assert certificate is not None
        assert connection.get_group_name() == group
        assert isinstance(certificate.public_key(), key_type)
        assert host in certificate.subject.rfc4514_string()
        assert (certificate.not_valid_after_utc < datetime.now(UTC)) is (posture is Posture.TLS_EXPIRED)


def test_a_hybrid_server_still_accepts_a_classical_client(endpoints: DemoEndpoints) -> None:
    """A client that offers P-256 only gets P-256: the downgrade that the assessment has to show is real."""
    address = endpoints.connect_to[_named(Posture.TLS_HYBRID)[0]]
    assert _shake_hands(address, curve=ec.SECP256R1()).get_group_name() == "secp256r1"


def test_a_classical_server_refuses_every_other_group(endpoints: DemoEndpoints) -> None:
    """One classical group only: a client that offers another gets an alert, which is sent before the close."""
    address = endpoints.connect_to[_named(Posture.TLS_RSA)[0]]
    with pytest.raises(SSL.Error, match="handshake failure"):
        _shake_hands(address, curve=ec.SECP521R1())


def test_tls_1_2_is_spoken_too(endpoints: DemoEndpoints) -> None:
    """An old client is served, so that a scan finds the older version."""
    connection = _shake_hands(endpoints.connect_to[_named(Posture.TLS_RSA)[0]], SSL.TLS1_2_VERSION)
    assert connection.get_protocol_version_name() == "TLSv1.2"


async def _ssh_key_exchange(address: Address) -> tuple[str, str]:
    async with asyncio.timeout(PATIENCE_S):
        key = await asyncssh.get_server_host_key(*address)
        with pytest.raises(asyncssh.PermissionDenied):
            await asyncssh.connect(*address, known_hosts=None, username="nobody", client_keys=None)
        reader, writer = await asyncio.open_connection(*address)
        banner = await reader.readline()
        writer.write(b"SSH-2.0-test\r\n")
        offered = await reader.readexactly(200)
        writer.close()
    assert key is not None
    assert banner.startswith(b"SSH-2.0-")
    length = int.from_bytes(offered[22:26], "big")
    return key.get_algorithm(), offered[26 : 26 + min(length, 174)].decode()


@pytest.mark.parametrize(
    ("posture", "host_key", "first"),
    [
        (Posture.SSH_CLASSICAL, "ssh-rsa", "curve25519-sha256"),
        (Posture.SSH_HYBRID, "ssh-ed25519", "mlkem768x25519-sha256"),
    ],
)
def test_an_ssh_server_offers_what_its_posture_says(
    endpoints: DemoEndpoints, posture: Posture, host_key: str, first: str
) -> None:
    """The first key exchange in the server's KEXINIT and its host key are those of the posture; nobody gets in."""
    for name in _named(posture):
        algorithm, offered = asyncio.run(_ssh_key_exchange(endpoints.connect_to[name]))
        assert algorithm == host_key
        assert offered.split(",")[0] == first


def test_a_closed_port_refuses(endpoints: DemoEndpoints) -> None:
    """At least one named target is down, as in life: its port is held, and refuses."""
    assert _named(Posture.CLOSED)
    for name in _named(Posture.CLOSED):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(endpoints.connect_to[name], timeout=PATIENCE_S)


@pytest.mark.parametrize("words", [b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 64])
def test_a_server_survives_half_handshakes(endpoints: DemoEndpoints, words: bytes) -> None:
    """Clients that hang up in the middle, or talk nonsense, leave the server able to serve the next one."""
    for posture in (Posture.TLS_HYBRID, Posture.SSH_CLASSICAL):
        address = endpoints.connect_to[_named(posture)[0]]
        for _ in range(3):
            with socket.create_connection(address, timeout=PATIENCE_S) as wire, suppress(OSError):
                wire.sendall(words)
    hybrid, classical = (_named(p)[0] for p in (Posture.TLS_HYBRID, Posture.SSH_CLASSICAL))
    assert _shake_hands(endpoints.connect_to[hybrid]).get_group_name() == "X25519MLKEM768"
    assert asyncio.run(_ssh_key_exchange(endpoints.connect_to[classical]))[0] == "ssh-rsa"


def test_every_server_is_on_the_loopback_interface_and_has_its_own_port(endpoints: DemoEndpoints) -> None:
    """Nothing is reachable from outside, and no two targets share a server."""
    assert {ip for ip, _ in endpoints.connect_to.values()} == {"127.0.0.1"}
    assert len(set(endpoints.connect_to.values())) == len(STAND_INS)
    assert set(endpoints.postures.values()) == set(STAND_INS.values())


def test_the_end_leaves_nothing_running() -> None:
    """After the block the ports refuse, the thread is gone, and clients that were still there have been dropped."""
    before = set(threading.enumerate())
    stand_ins = {("a.example", 443): Posture.TLS_ECDSA, ("b.example", 22): Posture.SSH_HYBRID}
    with DemoEndpoints(stand_ins) as started:
        addresses = list(started.connect_to.values())
        lingering = [socket.create_connection(address, timeout=PATIENCE_S) for address in addresses]
        assert lingering[1].recv(8) == b"SSH-2.0-"
    for wire in lingering:
        with suppress(ConnectionResetError):
            while wire.recv(4096):
                pass
        wire.close()
    assert not set(threading.enumerate()) - before
    for address in addresses:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=PATIENCE_S)


def test_without_the_extra_ssh_is_left_out_and_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where asyncssh is not installed the SSH targets are closed, and the posture names the extra."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with DemoEndpoints({("b.example", 22): Posture.SSH_HYBRID}) as started:
        assert "extra 'demo'" in started.postures["b.example:22"]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(started.connect_to["b.example", 22], timeout=PATIENCE_S)
