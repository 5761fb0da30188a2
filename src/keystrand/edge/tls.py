"""Mutual TLS 1.3 with post-quantum key exchange, on the OpenSSL that `cryptography` brings along.

The standard library's `ssl` speaks the system's OpenSSL, which on current long-term distributions knows no
post-quantum group. Here X25519MLKEM768 is negotiated by default; which group it was is known after the handshake and
recorded, and a client may refuse any other before it has sent a byte of its own.
"""

import contextlib
import io
import select
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import Struct
from OpenSSL import SSL
from OpenSSL.crypto import X509, X509StoreFlags

from keystrand.edge.files import read_bytes
from keystrand.edge.pki import Credentials, Identity, Kind, party_of
from keystrand.model.algorithm import Verdict, classify
from keystrand.model.errors import InvalidInput, PeerUnavailable, PolicyDenied

R = TypeVar("R")

RECORD_BYTES = 1 << 16
"""How much is read at once: a few TLS records of at most 2**14 bytes each (RFC 8446, 5.1)."""

_GOODBYE_S = 1.0
"""How long the end of a connection may wait for a peer that takes nothing."""
_CATALOGUE_NAMES = {"x25519": "X25519", "x448": "X448", "secp256r1": "ECDH-P-256", "secp384r1": "ECDH-P-384",
                    "secp521r1": "ECDH-P-521", "MLKEM512": "ML-KEM-512", "MLKEM768": "ML-KEM-768",
                    "MLKEM1024": "ML-KEM-1024"}  # fmt: skip


class Peer(Struct, frozen=True, kw_only=True):
    """What a finished handshake established: who, by which key exchange group and cipher suite."""

    identity: Identity
    group: str
    cipher: str
    valid_until_s: float
    """When its certificate expires, in seconds since the epoch: a connection may not outlive it."""

    @property
    def post_quantum(self) -> bool:
        """Whether the key exchange is known to resist a quantum computer."""
        return is_post_quantum(self.group)


def group_name(connection: SSL.Connection) -> str:
    """Return the key exchange group of a finished handshake by the catalogue's name; empty where it is not known."""
    name = connection.get_group_name() or ""
    return _CATALOGUE_NAMES.get(name, name)


def is_post_quantum(group: str) -> bool:
    """Return whether the catalogue knows `group` as quantum-safe; an unknown one is not."""
    return classify(group).verdict is Verdict.QUANTUM_SAFE


def _stands_for_a_party(connection: SSL.Connection, certificate: X509, _error: int, depth: int, verified: int) -> bool:
    """Refuse inside the handshake a verified leaf that stands for no party of ours."""
    if verified and depth == 0:
        try:
            party_of(certificate.to_cryptography())
        except (PolicyDenied, ValueError) as error:
            # OpenSSL knows only that it was refused: what refuses it leaves its reason with the connection
            connection.set_app_data(str(error))
            return False
    return bool(verified)


def _context(method: int, credentials: Credentials) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_max_proto_version(SSL.TLS1_3_VERSION)
    # no resumption: every connection proves its certificate anew
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET)
    try:
        context.use_certificate_chain_file(str(credentials.certificate))
        context.use_privatekey_file(str(credentials.key))
        context.check_privatekey()
        context.load_verify_locations(str(credentials.ca))
    except SSL.Error:
        raise InvalidInput(
            f"{credentials.certificate}, {credentials.key} and {credentials.ca} are no usable certificate, its key and "
            "its authority",
            hint="name three PEM files that belong together; issue a new set where they do not",
        ) from None
    if store := context.get_cert_store():
        store.set_flags(X509StoreFlags.X509_STRICT)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _stands_for_a_party)
    return context


def server_context(credentials: Credentials) -> SSL.Context:
    """Return a TLS 1.3 server context that demands a client certificate of the same authority.

    Raises `InvalidInput` where the files are not a certificate, its key and its authority.
    """
    context = _context(SSL.TLS_SERVER_METHOD, credentials)
    # a client that tries to resume all the same gets a full handshake instead of an error
    context.set_session_id(b"keystrand")
    return context


def client_context(credentials: Credentials) -> SSL.Context:
    """Return the client's counterpart of `server_context`."""
    return _context(SSL.TLS_CLIENT_METHOD, credentials)


def established(connection: SSL.Connection) -> Peer:
    """Return what a finished handshake established; the identity is that of the verified leaf.

    Raises `PolicyDenied` where there is no verified leaf or it stands for no party.
    """
    chain = connection.get_verified_chain(as_cryptography=True)
    if not chain:
        raise PolicyDenied("the peer showed no certificate that could be verified")
    cipher = connection.get_cipher_name() or ""
    return Peer(
        identity=party_of(chain[0]), group=group_name(connection), cipher=cipher,
        valid_until_s=chain[0].not_valid_after_utc.timestamp(),
    )  # fmt: skip


def covers_host(certificate: x509.Certificate, host: str) -> bool:
    """Return whether the certificate is for `host`: equal DNS name or IP address (RFC 9525; no wildcards here)."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    try:
        return ip_address(host) in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        return host.lower() in {name.lower() for name in names.get_values_for_type(x509.DNSName)}


class _Stream(Protocol):
    def recv_into(self, buffer: memoryview) -> int: ...


class _Reader(io.RawIOBase):
    """What `http.client` reads an answer from."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed: any writable buffer; ours is
        return self._stream.recv_into(memoryview(buffer))


class BlockingTls:
    """A TLS connection over a connected socket, whose timeout bounds every wait for the peer; `expire_in` all of them.

    The socket belongs to this object. `OSError` (timeouts included) and `SSL.Error` come out as they are.
    """

    def __init__(self, connection: SSL.Connection, transport: socket.socket) -> None:
        self._tls, self._transport = connection, transport
        self._deadline_s: float | None = None
        transport.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def handshake(self) -> None:
        """Finish the handshake; where it fails, the alert still goes out."""
        try:
            self._drive(self._tls.do_handshake)
        except SSL.Error:
            with contextlib.suppress(OSError):
                self._flush()
            raise
        self._flush()

    @property
    def connection(self) -> SSL.Connection:
        """The TLS state, for what was negotiated."""
        return self._tls

    def _drive(self, step: Callable[[], R]) -> R:
        while True:
            try:
                return step()
            except SSL.WantReadError:
                self._flush()
                self._bound_wait()
                received = self._transport.recv(RECORD_BYTES)
                if not received:
                    raise ConnectionResetError("the peer closed the connection without saying so in TLS") from None
                self._tls.bio_write(received)

    def _flush(self) -> None:
        while True:
            try:
                pending = self._tls.bio_read(RECORD_BYTES)
            except SSL.WantReadError:
                return
            self._bound_wait()
            self._transport.sendall(pending)

    def sendall(self, content: bytes) -> None:
        """Send all of `content`."""
        self._tls.sendall(content)
        self._flush()

    def recv_into(self, buffer: memoryview) -> int:
        """Fill `buffer` with at least one byte; 0 means the peer said goodbye."""
        try:
            received = self._drive(lambda: self._tls.recv(len(buffer)))
        except SSL.ZeroReturnError:
            return 0
        buffer[: len(received)] = received
        return len(received)

    def recv_exactly(self, size: int) -> bytes:
        """Return the next `size` bytes. Raises `ConnectionResetError` where the peer ends before."""
        content = bytearray(size)
        filled = 0
        while filled < size:
            got = self.recv_into(memoryview(content)[filled:])
            if not got:
                raise ConnectionResetError("the peer ended before it had sent everything")
            filled += got
        return bytes(content)

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return a reader over the decrypted bytes; `mode` is what `http.client` asks for, `rb`."""
        if mode != "rb":
            raise ValueError("this stream is read as bytes only")
        # it takes no byte beyond what is asked of it: what follows an answer stays here, for `idle` to see
        return io.BufferedReader(_Reader(self), buffer_size=1)

    def expire_in(self, seconds: float) -> None:
        """Bound all waits for the peer from now on together: past it they raise `TimeoutError`."""
        self._deadline_s = time.monotonic() + seconds

    def _bound_wait(self) -> None:
        if self._deadline_s is None:
            return
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the peer took too long")
        self._transport.settimeout(left_s)

    def idle(self) -> bool:
        """Return whether nothing has arrived: a kept connection on which something has is closed or out of step.

        What has is used up; only `close` may follow.
        """
        try:
            self._tls.recv(1)
        except SSL.WantReadError:
            waiting = select.poll()
            waiting.register(self._transport, select.POLLIN)
            return not waiting.poll(0)
        except SSL.Error:
            pass
        return False

    def cut(self) -> None:
        """Cut the connection from any thread: whoever waits for the peer wakes and fails. `close` must still follow."""
        with contextlib.suppress(OSError):
            self._transport.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Say goodbye where that is possible, and close the socket."""
        self.expire_in(_GOODBYE_S)
        try:
            self._tls.shutdown()
            self._flush()
        except (SSL.Error, OSError):
            pass
        self._transport.close()


def connect(
    context: SSL.Context, host: str, port: int, *, timeout_s: float, kme_id: str = "", require_post_quantum: bool = True
) -> tuple[BlockingTls, Peer]:
    """Return a connection to the KME at `host` and `port`, and who it is.

    The server's verified certificate must be a KME's, cover `host`, and name `kme_id` where that is given. `timeout_s`
    bounds all of it, and the connection afterwards until `expire_in` says otherwise. Raises `PeerUnavailable` where any
    of it fails, or where the group is not post-quantum and `require_post_quantum` is set: then nothing of the
    application has been sent.
    """
    place, started_s = f"{host}:{port}", time.monotonic()
    try:
        transport = socket.create_connection((host, port), timeout=timeout_s)
    except OSError as error:
        raise PeerUnavailable(f"{place} cannot be reached: {error.strerror or 'timed out'}") from error
    tls = SSL.Connection(context, None)
    tls.set_connect_state()
    if not _is_address(host):
        tls.set_tlsext_host_name(host.encode("idna"))
    stream = BlockingTls(tls, transport)
    stream.expire_in(started_s + timeout_s - time.monotonic())
    try:
        stream.handshake()
        peer = established(tls)
        _check(tls, peer, host=host, kme_id=kme_id, require_post_quantum=require_post_quantum)
    except (SSL.Error, OSError, PolicyDenied) as error:
        stream.close()
        raise PeerUnavailable(f"no trusted connection to {place}: {refusal_of(tls, error)}") from error
    return stream, peer


def _check(tls: SSL.Connection, peer: Peer, *, host: str, kme_id: str, require_post_quantum: bool) -> None:
    chain = tls.get_verified_chain(as_cryptography=True)
    if peer.identity.kind is not Kind.KME or not chain or not covers_host(chain[0], host):
        raise PolicyDenied("its certificate is not that of a KME at this address")
    if kme_id and peer.identity.id != kme_id:
        raise PolicyDenied(f"it is KME {peer.identity.id!r} and not {kme_id!r}")
    if require_post_quantum and not peer.post_quantum:
        raise PolicyDenied(f"the key exchange group {peer.group or 'unknown'} is not post-quantum")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def reason_of(error: Exception) -> str:
    """Return what went wrong in words, also where OpenSSL keeps them in a list."""
    if isinstance(error, SSL.Error) and error.args and isinstance(error.args[0], list):
        return "; ".join(entry[-1] for entry in error.args[0]) or "TLS refused"
    return str(error) or type(error).__name__


def refusal_of(connection: SSL.Connection, error: Exception) -> str:
    """Return why a handshake failed: our own reason for refusing the peer's certificate, or `reason_of(error)`."""
    ours = connection.get_app_data()
    return ours if isinstance(ours, str) else reason_of(error)


def read_certificate(file: Path) -> x509.Certificate:
    """Return the first certificate in the PEM `file`. Raises `MissingInput`, or `InvalidInput` where there is none."""
    try:
        return x509.load_pem_x509_certificate(read_bytes(file))
    except ValueError:
        raise InvalidInput(f"{file} holds no certificate in PEM") from None


def default_group() -> str:
    """Return the key exchange group that two ends of this machine agree on when nobody asks for any, found by doing it.

    Raises `SSL.Error` where they do not come together at all.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "probe")]), datetime.now(UTC)
    builder = x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key(), serial_number=1)
    certificate = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA256())
    server_side = SSL.Context(SSL.TLS_SERVER_METHOD)
    server_side.use_certificate(certificate)
    server_side.use_privatekey(key)
    client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    server = SSL.Connection(server_side, None)
    client.set_connect_state()
    server.set_accept_state()
    # three flights: the client's hello, the server's answer, the client's end
    for sender, receiver in ((client, server), (server, client), (client, server)):
        with contextlib.suppress(SSL.WantReadError):
            sender.do_handshake()
        receiver.bio_write(sender.bio_read(RECORD_BYTES))
    server.do_handshake()
    return group_name(server)
