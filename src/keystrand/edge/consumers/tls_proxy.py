"""A consumer: a proxy through which any TCP service gains TLS 1.3 with a fresh key from the KMEs for each connection.

It has two sides. The client side takes plain connections of programs on its own machine, fetches a key for each and
goes on over TLS; the server side takes those, fetches the very key that each names, and goes on in plain to the
service beside it. Neither asks for anything from the other beyond the handshake, so there is no changeover: the key of
a connection lives as long as the connection does, and that is bounded.

The failure policy is fail-secure and there is no other: without a key there is no connection.
"""

import logging
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from msgspec import Struct
from OpenSSL import SSL

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers.psk_ends import STRICT, ClientEnd, PskEnd, PskTerms, ServerEnd, finish
from keystrand.edge.consumers.pump import Times, pump
from keystrand.edge.kme.client import Client014
from keystrand.edge.tls import BlockingTls, is_address, reason_of
from keystrand.model.errors import InvalidInput, KeystrandError, NoKeyAvailable, PeerUnavailable

_log = logging.getLogger(__name__)

HANDSHAKE_S = 10.0
"""For the whole handshake, the server's question to its KME included: a slow stranger holds a place no longer."""
_ACCEPT_PAUSE_S = 0.1
"""After a connection could not be accepted: most often there are no file descriptors left, for a moment."""
_JOIN_S = 5.0
_NOW_OR_NEVER = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger: the connection is reset, which no program takes for a proper end."""


class Address(NamedTuple):
    """Where to listen or to connect to."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Bounds(Struct, frozen=True, kw_only=True):
    """What a proxy may take: connections at once, and how long each lasts. Raises `InvalidInput`."""

    connections: int = 256
    idle_s: float = 300.0
    most_s: float = 3600.0

    def __post_init__(self) -> None:
        for name in ("connections", "idle_s", "most_s"):
            if not getattr(self, name) > 0:
                raise InvalidInput(f"{name} must be above 0")


class Counts(Struct, frozen=True, kw_only=True):
    """What became of the connections so far. `keyless`: refused since the KME gave no key; `cut`: ended before time."""

    open: int = 0
    done: int = 0
    refused: int = 0
    keyless: int = 0
    cut: int = 0


class _Carried(NamedTuple):
    """Both lines of one connection."""

    tls: SSL.Connection
    outside: socket.socket
    inside: socket.socket


class Side(Protocol):
    """One side of a proxy: what it does with a connection that came in, in plain or not."""

    takes_plain: bool

    def joined(self, came: socket.socket, keep: Callable[[socket.socket], None]) -> _Carried:
        """Shake hands and return both lines. What is opened is given to `keep` at once. Raises whatever fails."""


class ServerSide:
    """Keys of `master_sae` open the way to the service at `to`."""

    takes_plain = False

    def __init__(self, kme: Client014, master_sae: str, to: Address, terms: PskTerms = STRICT) -> None:
        self._kme, self._master_sae, self._to, self._terms = kme, master_sae, to, terms

    def joined(self, came: socket.socket, keep: Callable[[socket.socket], None]) -> _Carried:
        """Shake hands first: a stranger never reaches the service. See `Side`."""
        end = ServerEnd(self._find, self._terms)
        try:
            stream = _handshaken(end.over(came), self._terms)
        except (SSL.Error, OSError, KeystrandError) as error:
            raise _cause(end, error) from error
        finally:
            end.forget()
        _log.info("a connection under key %s is open", end.key_id)
        return _Carried(stream.connection, came, _connected(self._to, keep))

    def _find(self, key_id: str) -> Secret:
        (key,) = self._kme.dec_keys(self._master_sae, (key_id,))
        return key.key


class ClientSide:
    """Each connection goes on to the proxy of `slave_sae` at `to` under a key of its own."""

    takes_plain = True

    def __init__(self, kme: Client014, slave_sae: str, to: Address, terms: PskTerms = STRICT) -> None:
        self._kme, self._slave_sae, self._to, self._terms = kme, slave_sae, to, terms

    def joined(self, came: socket.socket, keep: Callable[[socket.socket], None]) -> _Carried:
        """Spend no key before the other side is reached. See `Side`."""
        outside = _connected(self._to, keep)
        (key,) = self._kme.enc_keys(self._slave_sae)
        end = ClientEnd(key.key_id, key.key, self._terms)
        try:
            stream = _handshaken(end.over(outside), self._terms)
        except (SSL.Error, OSError, KeystrandError) as error:
            raise _cause(end, error) from error
        finally:
            key.key.zeroise()
        _log.info("a connection under key %s is open", key.key_id)
        return _Carried(stream.connection, outside, came)


class Proxy:
    """Listens, and serves each connection in a thread of its own, so many at once; the others wait to be accepted.

    Runs from its making until `close`. Raises `PeerUnavailable` where it cannot listen at `at`.
    """

    def __init__(self, side: Side, at: Address, bounds: Bounds | None = None) -> None:
        self._side, self._bounds = side, bounds or Bounds()
        self._times = Times(idle_s=self._bounds.idle_s, most_s=self._bounds.most_s)
        try:
            family = socket.AF_INET6 if ":" in at.host else socket.AF_INET
            self._listener = socket.create_server(at, family=family, backlog=128)
        except OSError as error:
            raise PeerUnavailable(f"cannot listen at {at}: {error.strerror}", hint="choose another port") from error
        self.address = Address(*self._listener.getsockname()[:2])
        self._places = threading.BoundedSemaphore(self._bounds.connections)
        self._turn = threading.Lock()
        self._open: dict[threading.Thread, list[socket.socket]] = {}
        self._counts = dict.fromkeys(("done", "refused", "keyless", "cut"), 0)
        self._closing = False
        self._acceptor = threading.Thread(target=self._accept, name="proxy", daemon=True)
        self._acceptor.start()

    @property
    def counts(self) -> Counts:
        """What became of the connections so far."""
        with self._turn:
            return Counts(open=len(self._open), **self._counts)

    def _accept(self) -> None:
        while not self._closing:
            self._places.acquire()
            try:
                came, _ = self._listener.accept()
            except OSError as error:
                self._places.release()
                if not self._closing:
                    _log.warning("a connection could not be accepted: %s", reason_of(error))
                    time.sleep(_ACCEPT_PAUSE_S)
                continue
            thread = threading.Thread(target=self._serve, args=(came,), daemon=True)
            with self._turn:
                self._open[thread] = [came]
            thread.start()

    def _serve(self, came: socket.socket) -> None:
        lines = self._open[threading.current_thread()]

        def keep(line: socket.socket) -> None:
            lines.append(line)
            if self._closing:
                line.shutdown(socket.SHUT_RDWR)

        came.settimeout(HANDSHAKE_S)
        outcome = "refused"
        try:
            carried = self._side.joined(came, keep)
            outcome = "cut"
            pump(carried.tls, carried.outside, carried.inside, self._times)
            outcome = "done"
        except NoKeyAvailable as error:
            outcome = "keyless"
            _log.warning("a connection was refused: %s", error.message)
        except (SSL.Error, OSError, KeystrandError) as error:
            _log.info("a connection was %s: %s", outcome, reason_of(error))
        finally:
            with self._turn:
                self._counts[outcome] += 1
                del self._open[threading.current_thread()]
            for line in lines:
                # in TLS an end that is not said is none; in plain only a reset tells
                _close(line, reset=outcome != "done" and (line is came) is self._side.takes_plain)
            self._places.release()

    def close(self) -> None:
        """Take no more connections and cut those that are open."""
        self._closing = True
        for line in (self._listener, *self._lines()):
            # close alone would leave the thread that waits on it asleep
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._turn:
            threads = (self._acceptor, *self._open)
        for thread in threads:
            thread.join(_JOIN_S)

    def _lines(self) -> list[socket.socket]:
        with self._turn:
            return [line for lines in self._open.values() for line in lines]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def demand_local(address: Address, what: str) -> None:
    """Raise `InvalidInput` where the plain side of a proxy is not on this machine: all of it would pass in clear."""
    if address.host != "localhost" and not (is_address(address.host) and _is_loopback(address.host)):
        raise InvalidInput(
            f"{what} is {address}, where everything would pass in clear over the network",
            hint="give an address of this machine, such as 127.0.0.1, and run the proxy beside the program",
        )


def _is_loopback(host: str) -> bool:
    return host == "::1" or host.startswith("127.")


def _handshaken(stream: BlockingTls, terms: PskTerms) -> BlockingTls:
    stream.expire_in(HANDSHAKE_S)
    finish(stream, terms)
    return stream


def _cause(end: PskEnd, error: Exception) -> Exception:
    """Return why a handshake failed: our own reason for giving OpenSSL no key, where there is one."""
    return end.trouble if isinstance(end.trouble, KeystrandError) else error


def _connected(to: Address, keep: Callable[[socket.socket], None]) -> socket.socket:
    try:
        line = socket.create_connection(to, timeout=HANDSHAKE_S)
    except OSError as error:
        raise PeerUnavailable(f"{to} cannot be reached: {error.strerror or 'timed out'}") from error
    keep(line)
    return line


def _close(line: socket.socket, *, reset: bool) -> None:
    with suppress(OSError):
        if reset:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NOW_OR_NEVER)
    line.close()
