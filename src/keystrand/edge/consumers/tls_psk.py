"""A consumer: an echo over TLS 1.3 with a fresh key from the KMEs for every handshake.

It is the smallest service that can be keyed in band, and what a pilot measures; `psk_ends` does the handshake,
`tls_proxy` gives the same to any other service.
"""

import contextlib
import logging
import socket
import threading
import time
from types import TracebackType
from typing import Self

from msgspec import Struct
from OpenSSL import SSL

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers.psk_ends import ClientEnd, ServerEnd, finish
from keystrand.edge.kme.client import Client014
from keystrand.edge.tls import BlockingTls, reason_of
from keystrand.model.errors import InvalidInput, PeerUnavailable, PolicyDenied

_log = logging.getLogger(__name__)

_CONNECTIONS = 32
_TIMEOUT_S = 10.0
_MESSAGE_BYTES = 1 << 16
"""The longest echo: it fits the buffers between the ends, so neither waits for the other to read first."""


class EchoResult(Struct, frozen=True, kw_only=True):
    """One echo over a fresh key. Times in seconds; the handshake's includes the server's dec_keys."""

    key_id: str
    group: str
    cipher: str
    enc_keys_s: float
    handshake_s: float


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
        end = ServerEnd(self._find)
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

    def _agreed(self, end: ServerEnd, stream: BlockingTls) -> bool:
        try:
            finish(stream)
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
    end = ClientEnd(key_id, key)
    try:
        transport = socket.create_connection((host, port), timeout=_TIMEOUT_S)
    except OSError as error:
        raise PeerUnavailable(f"{host}:{port} cannot be reached: {error.strerror or 'timed out'}") from error
    stream = end.over(transport)
    started = time.perf_counter()
    try:
        group = finish(stream)
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
