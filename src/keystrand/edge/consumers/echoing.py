"""An echo over TLS, whatever the handshake rests on: the server's side of it, and what a client does once it stands."""

import contextlib
import logging
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self

from OpenSSL import SSL

from keystrand.edge.tls import BlockingTls, reason_of
from keystrand.model.errors import InvalidInput, PeerUnavailable, PolicyDenied

_log = logging.getLogger(__name__)

_CONNECTIONS = 32
TIMEOUT_S = 10.0
MESSAGE_BYTES = 1 << 16
"""The longest echo: it fits the buffers between the ends, so neither waits for the other to read first."""


class Opened(NamedTuple):
    """A client's connection whose handshake is over."""

    stream: BlockingTls
    place: str
    group: str
    handshake_s: float


def exchange(opened: Opened, message: bytes) -> None:
    """Send `message` and take it back. Raises `InvalidInput` where it is too long, `PeerUnavailable` where the echo
    differs, `SSL.Error` and `OSError` as the connection does.
    """
    if len(message) > MESSAGE_BYTES:
        raise InvalidInput(f"an echo takes at most {MESSAGE_BYTES} bytes")
    opened.stream.sendall(message)
    if opened.stream.recv_exactly(len(message)) != message:
        raise PeerUnavailable(f"{opened.place} echoed something else than was sent")


class Echoing(ABC):
    """Echoes what clients send, in threads of its own, from `listener`: it is closed with this object."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.host, self.port = listener.getsockname()[:2]
        self._free = threading.BoundedSemaphore(_CONNECTIONS)
        self._counting = threading.Lock()
        self._done, self._refused = 0, 0
        self._threads: set[threading.Thread] = set()
        self._acceptor = threading.Thread(target=self._accept, name="echo server", daemon=True)
        self._acceptor.start()

    @abstractmethod
    def _begun(self, transport: socket.socket) -> tuple[BlockingTls, Callable[[], None]]:
        """Return a connection, and what shakes hands on it: it raises `SSL.Error`, `OSError`, `PolicyDenied`."""

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
        transport.settimeout(TIMEOUT_S)
        stream, shake_hands = self._begun(transport)
        try:
            if self._agreed(shake_hands):
                _echo(stream)
        except (SSL.Error, OSError) as error:
            _log.info("an echo connection ended early: %s", reason_of(error))
        finally:
            stream.close()
            with self._counting:
                self._threads.discard(threading.current_thread())
            self._free.release()

    def _agreed(self, shake_hands: Callable[[], None]) -> bool:
        try:
            shake_hands()
        except (SSL.Error, OSError, PolicyDenied) as error:
            _log.info("a TLS handshake failed: %s", reason_of(error))
            with self._counting:
                self._refused += 1
            return False
        with self._counting:
            self._done += 1
        return True

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
            thread.join(TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _echo(stream: BlockingTls) -> None:
    buffer = bytearray(MESSAGE_BYTES)
    while received := stream.recv_into(memoryview(buffer)):
        stream.sendall(bytes(buffer[:received]))
