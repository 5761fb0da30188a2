"""A consumer: TLS 1.3 with an external pre-shared key from the KMEs, a fresh one for every handshake.

The identity of the key in the ClientHello is its `key_ID` (RFC 8446, 4.2.11), so the two ends agree on a key in band:
the client asks its KME for one, the server fetches that one from its own inside the handshake. The key is mixed with an
ephemeral exchange (psk_dhe_ke) in a post-quantum group, so both must fall for the session to fall. No certificate is
ever taken in the key's place, and no session is resumed: a key serves one handshake.

`cryptography`'s OpenSSL offers this only under private names of its binding; `external_psk_supported` guards them.
"""

import contextlib
import logging
import re
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from cryptography.hazmat.bindings.openssl.binding import Binding
from msgspec import Struct
from OpenSSL import SSL

from keystrand.crypto.secret import Secret
from keystrand.edge.kme.client import Client014
from keystrand.edge.tls import BlockingTls, group_name, is_post_quantum, reason_of
from keystrand.model.errors import InvalidInput, PeerUnavailable, PolicyDenied

_log = logging.getLogger(__name__)
_lib, _ffi = Binding.lib or Binding().lib, Binding.ffi

SUITE = "TLS_AES_256_GCM_SHA384"
_SUITE_OCTETS = b"\x13\x02"
_TLS13 = 0x0304
_UUID = re.compile(rb"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\Z")
_NEEDED = (
    "Cryptography_SSL_SESSION_new", "SSL_CIPHER_find", "SSL_SESSION_set1_master_key", "SSL_SESSION_set_cipher",
    "SSL_SESSION_set_protocol_version", "SSL_SESSION_free", "SSL_CTX_set_psk_use_session_callback",
    "SSL_CTX_set_psk_find_session_callback",
)  # fmt: skip
_USE = "int(SSL *, const EVP_MD *, const unsigned char **, size_t *, SSL_SESSION **)"
_FIND = "int(SSL *, const unsigned char *, size_t, SSL_SESSION **)"
_CONNECTIONS = 32
_TIMEOUT_S = 10.0
_MESSAGE_BYTES = 1 << 16
"""The longest echo: it fits the buffers between the ends, so neither waits for the other to read first."""
_KEY_OCTETS = (16, 256)
"""At least 128 bits (RFC 9257, section 6), at most what OpenSSL keeps for a session."""


def external_psk_supported() -> bool:
    """Return whether the installed `cryptography` and pyOpenSSL have every private name this consumer uses."""
    return all(hasattr(_lib, name) for name in _NEEDED) and hasattr(SSL.Context(SSL.TLS_METHOD), "_context")


class EchoResult(Struct, frozen=True, kw_only=True):
    """One echo over a fresh key. Times in seconds; the handshake's includes the server's dec_keys."""

    key_id: str
    group: str
    cipher: str
    enc_keys_s: float
    handshake_s: float


def _session(ssl: Any, key: Secret) -> Any:
    """Return a session that holds `key`, owned by the caller. The key is copied by OpenSSL and nowhere else."""
    if not _KEY_OCTETS[0] <= len(key) <= _KEY_OCTETS[1]:
        raise PolicyDenied(
            f"a key of {8 * len(key)} bits cannot serve here: {_KEY_OCTETS[0]} to {_KEY_OCTETS[1]} octets"
        )
    session = _lib.Cryptography_SSL_SESSION_new()
    suite = _lib.SSL_CIPHER_find(ssl, _ffi.from_buffer(_SUITE_OCTETS))
    with _ffi.from_buffer(key.view()) as octets:
        made = (
            _lib.SSL_SESSION_set1_master_key(session, octets, len(key)) == 1
            and _lib.SSL_SESSION_set_cipher(session, suite) == 1
            and _lib.SSL_SESSION_set_protocol_version(session, _TLS13) == 1
        )
    if not made:
        _lib.SSL_SESSION_free(session)
        raise PolicyDenied("OpenSSL does not take this key")
    return session


def _context(method: int) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_max_proto_version(SSL.TLS1_3_VERSION)
    context.set_tls13_ciphersuites(SUITE.encode())
    # a ticket would let a session outlive its key
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET)
    if method == SSL.TLS_CLIENT_METHOD:
        # whatever certificate a server shows instead of knowing the key, it is refused
        context.set_verify(SSL.VERIFY_PEER, lambda *_: False)
    return context


class _PskEnd:
    """One end of one handshake. It owns the callback that OpenSSL calls, and what that points at, for its life."""

    def __init__(self, method: int) -> None:
        self._context = _context(method)
        self.trouble: Exception | None = None
        # OpenSSL keeps bare pointers: whatever they lead to lives as long as this object
        self._kept: list[Any] = []

    def _guarded(self, signature: str, callback: Callable[..., int]) -> Any:
        """Return `callback` for C: an exception is kept in `trouble` and refuses the key, it never crosses into C."""

        def guarded(*arguments: Any) -> int:
            try:
                return callback(*arguments)
            except Exception as error:  # nothing may propagate into OpenSSL
                self.trouble = error
                return 0

        made = _ffi.callback(signature, guarded)
        self._kept.append(made)
        return made

    def over(self, transport: socket.socket) -> BlockingTls:
        """Return this end's connection over `transport`; keep this object while it is used."""
        connection = SSL.Connection(self._context, None)
        self._start(connection)
        return BlockingTls(connection, transport)

    def _start(self, connection: SSL.Connection) -> None:
        raise NotImplementedError


class _ClientEnd(_PskEnd):
    """Offers one key and nothing else."""

    def __init__(self, key_id: str, key: Secret) -> None:
        super().__init__(SSL.TLS_CLIENT_METHOD)
        identity = _ffi.new("unsigned char[]", key_id.encode())
        self._kept.append(identity)

        def use(ssl: Any, _digest: Any, id_out: Any, length_out: Any, session_out: Any) -> int:
            # called again after a HelloRetryRequest: a new session each time, since OpenSSL takes it over
            session_out[0] = _session(ssl, key)
            id_out[0], length_out[0] = identity, len(key_id)
            return 1

        _lib.SSL_CTX_set_psk_use_session_callback(self._context._context, self._guarded(_USE, use))  # noqa: SLF001  # no public way; see the contract test

    def _start(self, connection: SSL.Connection) -> None:
        connection.set_connect_state()


class _ServerEnd(_PskEnd):
    """Takes the key that the client names, if `find` has it: asked once a handshake, also after a HelloRetryRequest."""

    def __init__(self, find: Callable[[str], Secret | None]) -> None:
        super().__init__(SSL.TLS_SERVER_METHOD)
        self.key_id = ""
        self._key: Secret | None = None

        def look_up(ssl: Any, identity: Any, length: int, session_out: Any) -> int:
            session_out[0] = _ffi.NULL
            name = bytes(_ffi.buffer(identity, length))
            # with no key and no certificate there is nothing to go on with: OpenSSL refuses the handshake
            if not _UUID.match(name) or (self.key_id and self.key_id != name.decode()):
                return 1
            if not self.key_id:
                self.key_id = name.decode()
                self._key = find(self.key_id)
            if self._key is not None:
                session_out[0] = _session(ssl, self._key)
            return 1

        _lib.SSL_CTX_set_psk_find_session_callback(self._context._context, self._guarded(_FIND, look_up))  # noqa: SLF001  # as above

    def _start(self, connection: SSL.Connection) -> None:
        connection.set_accept_state()

    def forget(self) -> None:
        """Clear the key: the handshake is over, whichever way."""
        if self._key is not None:
            self._key.zeroise()


def _finish(stream: BlockingTls) -> str:
    """Shake hands and return the group. Raises `PolicyDenied` where it is not post-quantum or a certificate came."""
    stream.handshake()
    group = group_name(stream.connection)
    if not is_post_quantum(group):
        raise PolicyDenied(f"the key exchange group {group or 'unknown'} is not post-quantum")
    if stream.connection.get_peer_certificate() is not None:
        raise PolicyDenied("the peer showed a certificate where only a key counts")
    return group


class EchoServer:
    """Echoes what authenticated clients send, on a free loopback port, in threads of its own.

    `kme` is a 014 client of the slave SAE; keys must come from `master_sae`.
    """

    def __init__(self, kme: Client014, master_sae: str, *, host: str = "127.0.0.1") -> None:
        self._kme, self._master_sae = kme, master_sae
        self._listener = socket.create_server((host, 0), backlog=_CONNECTIONS)
        self.host, self.port = self._listener.getsockname()[:2]
        self._free = threading.BoundedSemaphore(_CONNECTIONS)
        self._counting = threading.Lock()
        self._dec_keys_s: list[float] = []
        self._done, self._refused = 0, 0
        self._threads: set[threading.Thread] = set()
        self._acceptor = threading.Thread(target=self._accept, name="echo server", daemon=True)
        self._acceptor.start()

    @property
    def dec_keys_s(self) -> tuple[float, ...]:
        """How long each successful dec_keys took, in seconds."""
        with self._counting:
            return tuple(self._dec_keys_s)

    @property
    def handshakes(self) -> int:
        """How many handshakes were completed."""
        return self._done

    @property
    def refused(self) -> int:
        """How many handshakes failed."""
        return self._refused

    def _accept(self) -> None:
        while True:
            self._free.acquire()
            try:
                transport, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(transport,), daemon=True)
            with self._counting:
                self._threads.add(thread)
            thread.start()

    def _serve(self, transport: socket.socket) -> None:
        transport.settimeout(_TIMEOUT_S)
        end = _ServerEnd(self._find)
        stream = end.over(transport)
        try:
            if self._agreed(end, stream):
                self._echo(stream)
        except (SSL.Error, OSError) as error:
            _log.info("an echo connection ended early: %s", reason_of(error))
        finally:
            stream.close()
            with self._counting:
                self._threads.discard(threading.current_thread())
            self._free.release()

    def _agreed(self, end: _ServerEnd, stream: BlockingTls) -> bool:
        try:
            _finish(stream)
        except (SSL.Error, OSError, PolicyDenied) as error:
            _log.info("a TLS-PSK handshake failed: %s", end.trouble or reason_of(error))
            with self._counting:
                self._refused += 1
            return False
        finally:
            end.forget()
        with self._counting:
            self._done += 1
        return True

    def _echo(self, stream: BlockingTls) -> None:
        buffer = bytearray(_MESSAGE_BYTES)
        while received := stream.recv_into(memoryview(buffer)):
            stream.sendall(bytes(buffer[:received]))

    def _find(self, key_id: str) -> Secret | None:
        started = time.perf_counter()
        (key,) = self._kme.dec_keys(self._master_sae, (key_id,))
        with self._counting:
            self._dec_keys_s.append(time.perf_counter() - started)
        return key.key

    def close(self) -> None:
        """Take no more connections and wait for those that are open."""
        # close alone would leave the accepting thread asleep
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()
        with self._counting:
            threads = tuple(self._threads)
        for thread in threads:
            thread.join(_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def echo(host: str, port: int, kme: Client014, slave_sae: str, message: bytes) -> EchoResult:
    """Send `message` (at most 64 KiB) to the echo server of `slave_sae` under a fresh key; check what comes back.

    Raises what `Client014.enc_keys` raises, before anything is sent to the server (`NoKeyAvailable` above all), and
    `PeerUnavailable` where the server is not reached, the handshake fails, or the echo differs.
    """
    if len(message) > _MESSAGE_BYTES:
        raise InvalidInput(f"an echo takes at most {_MESSAGE_BYTES} bytes")
    started = time.perf_counter()
    (key,) = kme.enc_keys(slave_sae)
    fetched = time.perf_counter()
    with key.key:
        return echo_with(host, port, key.key_id, key.key, message, enc_keys_s=fetched - started)


def echo_with(host: str, port: int, key_id: str, key: Secret, message: bytes, *, enc_keys_s: float) -> EchoResult:
    """Do as `echo` does with a key that is at hand already; it is cleared once the handshake is over."""
    end = _ClientEnd(key_id, key)
    try:
        transport = socket.create_connection((host, port), timeout=_TIMEOUT_S)
    except OSError as error:
        raise PeerUnavailable(f"{host}:{port} cannot be reached: {error.strerror or 'timed out'}") from error
    stream = end.over(transport)
    started = time.perf_counter()
    try:
        group = _finish(stream)
        handshake_s = time.perf_counter() - started
        key.zeroise()
        stream.sendall(message)
        answer = stream.recv_exactly(len(message))
        cipher = stream.connection.get_cipher_name() or ""
    except (SSL.Error, OSError, PolicyDenied) as error:
        raise PeerUnavailable(
            f"TLS with {host}:{port} under key {key_id} failed: {reason_of(end.trouble or error)}",
            hint="that key is used up; try again with another",
        ) from (end.trouble or error)
    finally:
        stream.close()
    if answer != message:
        raise PeerUnavailable(f"{host}:{port} echoed something else than was sent")
    return EchoResult(key_id=key_id, group=group, cipher=cipher, enc_keys_s=enc_keys_s, handshake_s=handshake_s)
