"""TLS over a blocking socket, for clients that are plain threads."""

import contextlib
import io
import select
import socket
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from OpenSSL import SSL

from keystrand.edge.tls.peer import RECORD_BYTES, Peer, check_server, established, is_address, refusal_of
from keystrand.formats.host_names import a_labels
from keystrand.model.errors import PeerUnavailable, PolicyDenied

R = TypeVar("R")

_GOODBYE_S = 1.0
"""How long the end of a connection may wait for a peer that takes nothing."""


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
    if not is_address(host):
        tls.set_tlsext_host_name(a_labels(host).encode("ascii"))
    stream = BlockingTls(tls, transport)
    stream.expire_in(started_s + timeout_s - time.monotonic())
    try:
        stream.handshake()
        peer = established(tls)
        check_server(tls, peer, host=host, kme_id=kme_id, require_post_quantum=require_post_quantum)
    except (SSL.Error, OSError, PolicyDenied) as error:
        stream.close()
        raise PeerUnavailable(f"no trusted connection to {place}: {refusal_of(tls, error)}") from error
    return stream, peer
