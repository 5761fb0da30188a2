"""A consumer: an echo over TLS 1.3 with a fresh key from the KMEs for every handshake.

It is the smallest service that can be keyed in band, and what a pilot measures; `psk_ends` does the handshake,
`tls_proxy` gives the same to any other service.
"""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from msgspec import Struct
from OpenSSL import SSL

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers.echoing import MESSAGE_BYTES, TIMEOUT_S, Echoing, Opened, exchange
from keystrand.edge.consumers.psk_ends import ClientEnd, ServerEnd, finish
from keystrand.edge.kme.client import Client014
from keystrand.edge.tls import BlockingTls, reason_of
from keystrand.model.errors import InvalidInput, PeerUnavailable, PolicyDenied


class EchoResult(Struct, frozen=True, kw_only=True):
    """One echo over a fresh key. Times in seconds; the handshake's includes the server's dec_keys."""

    key_id: str
    group: str
    cipher: str
    enc_keys_s: float
    handshake_s: float


class EchoServer(Echoing):
    """Echoes what authenticated clients send, from `listener` or a free loopback port, in threads of its own.

    `kme` is a 014 client of the slave SAE; keys must come from `master_sae`.
    """

    def __init__(self, kme: Client014, master_sae: str, *, listener: socket.socket | None = None) -> None:
        self._kme, self._master_sae = kme, master_sae
        self._dec_keys_s: dict[str, float] = {}
        self._without_key = 0
        super().__init__(listener or socket.create_server(("127.0.0.1", 0)))

    @property
    def dec_keys_s(self) -> tuple[float, ...]:
        """How long each successful dec_keys took, in seconds."""
        with self._counting:
            return tuple(self._dec_keys_s.values())

    def dec_keys_s_of(self, key_id: str) -> float | None:
        """Return how long dec_keys took for one key, None where it was not fetched here."""
        return self._dec_keys_s.get(key_id)

    @property
    def without_key(self) -> int:
        """How many handshakes were completed though no key was found for them: there must be none."""
        return self._without_key

    def _begun(self, transport: socket.socket) -> tuple[BlockingTls, Callable[[], None]]:
        end = ServerEnd(self._find)
        stream = end.over(transport)
        return stream, partial(self._shake_hands, end, stream)

    def _shake_hands(self, end: ServerEnd, stream: BlockingTls) -> None:
        try:
            finish(stream)
            with self._counting:
                self._without_key += not end.keyed
        except (SSL.Error, OSError, PolicyDenied) as error:
            raise PolicyDenied(reason_of(end.trouble or error)) from error
        finally:
            end.forget()

    def _find(self, key_id: str) -> Secret | None:
        started = time.perf_counter()
        (key,) = self._kme.dec_keys(self._master_sae, (key_id,))
        with self._counting:
            self._dec_keys_s[key_id] = time.perf_counter() - started
        return key.key


def echo(host: str, port: int, kme: Client014, slave_sae: str, message: bytes) -> EchoResult:
    """Send `message` (at most 64 KiB) to the echo server of `slave_sae` under a fresh key; check what comes back.

    Raises what `Client014.enc_keys` raises, before anything is sent to the server (`NoKeyAvailable` above all), and
    `PeerUnavailable` where the server is not reached, the handshake fails, or the echo differs.
    """
    if len(message) > MESSAGE_BYTES:
        raise InvalidInput(f"an echo takes at most {MESSAGE_BYTES} bytes")
    started = time.perf_counter()
    (key,) = kme.enc_keys(slave_sae)
    fetched = time.perf_counter()
    with key.key:
        return echo_with(host, port, key.key_id, key.key, message, enc_keys_s=fetched - started)


def echo_with(host: str, port: int, key_id: str, key: Secret, message: bytes, *, enc_keys_s: float) -> EchoResult:
    """Do as `echo` does with a key that is at hand already; it is cleared once the handshake is over."""
    try:
        transport = socket.create_connection((host, port), timeout=TIMEOUT_S)
    except OSError as error:
        raise PeerUnavailable(f"{host}:{port} cannot be reached: {error.strerror or 'timed out'}") from error
    with opened_with(transport, f"{host}:{port}", key_id, key) as opened:
        exchange(opened, message)
        cipher = opened.stream.connection.get_cipher_name() or ""
    return EchoResult(
        key_id=key_id, group=opened.group, cipher=cipher, enc_keys_s=enc_keys_s, handshake_s=opened.handshake_s
    )


@contextmanager
def opened_with(transport: socket.socket, place: str, key_id: str, key: Secret) -> Iterator[Opened]:
    """Yield a connection to the echo server at `place`, under this key, which is cleared once the handshake is over.

    `transport` is closed at the end. Raises `PeerUnavailable` where the handshake or what follows fails.
    """
    end = ClientEnd(key_id, key)
    stream = end.over(transport)
    started = time.perf_counter()
    try:
        group = finish(stream)
        handshake_s = time.perf_counter() - started
        key.zeroise()
        yield Opened(stream, place, group, handshake_s)
    except (SSL.Error, OSError, PolicyDenied) as error:
        raise PeerUnavailable(
            f"TLS with {place} under key {key_id} failed: {reason_of(end.trouble or error)}",
            hint="that key is used up; try again with another",
        ) from (end.trouble or error)
    finally:
        stream.close()
