"""Ways for audit events to leave the host, each with one method that blocks until its time-out at most.

UDP: one datagram a message (RFC 5426). TCP: messages with their length in front (RFC 6587, 3.4.1), or JSON lines. HTTP:
JSON lines in a POST. A file: lines. None speaks TLS: to leave the host, send to a forwarder on it that does.
"""

import errno
import http.client
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult


class Transport(Protocol):
    """Sends messages."""

    def send(self, messages: Sequence[bytes]) -> int:
        """Send all and return how many can never be sent. Raises `OSError`: then any of them may have arrived."""

    def close(self) -> None:
        """Let go of the connection; the next `send` makes a new one."""


class Udp:
    """Datagrams to one address. Nobody says whether they arrive."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._socket: socket.socket | None = None

    def send(self, messages: Sequence[bytes]) -> int:
        """Send each message as a datagram; one that no datagram can hold is left out and counted."""
        if self._socket is None:
            family, kind, protocol, _, address = socket.getaddrinfo(*self._address, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(family, kind, protocol)
            self._socket.connect(address)
        too_long = 0
        for message in messages:
            try:
                self._socket.send(message)
            except OSError as error:
                if error.errno != errno.EMSGSIZE:
                    raise
                too_long += 1
        return too_long

    def close(self) -> None:
        """Let go of the socket."""
        if self._socket:
            self._socket.close()
            self._socket = None


class Tcp:
    """A connection that is kept. What the peer had not read when it went away is lost without a sign."""

    def __init__(self, host: str, port: int, *, counted: bool, timeout_s: float) -> None:
        self._address, self._counted, self._timeout_s = (host, port), counted, timeout_s
        self._socket: socket.socket | None = None

    def send(self, messages: Sequence[bytes]) -> int:
        """Send the messages, framed."""
        if self._socket and _has_ended(self._socket):
            self.close()
        if self._socket is None:
            self._socket = socket.create_connection(self._address, self._timeout_s)
        framed = (b"%d %b" % (len(one), one) if self._counted else one + b"\n" for one in messages)
        self._socket.sendall(b"".join(framed))
        return 0

    def close(self) -> None:
        """End the connection."""
        if self._socket:
            self._socket.close()
            self._socket = None


def _has_ended(connection: socket.socket) -> bool:
    """Return whether the peer has closed a connection that only we write to."""
    patience_s = connection.gettimeout()
    connection.settimeout(0)  # with a time-out Python would wait for it, whatever the flags say
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    finally:
        connection.settimeout(patience_s)


class Http:
    """POST requests; an answer of 2xx is the receipt."""

    def __init__(self, host: str, port: int, target: str, *, timeout_s: float) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
        self._target = target

    def send(self, messages: Sequence[bytes]) -> int:
        """Post the messages as JSON lines."""
        headers = {"Content-Type": "application/x-ndjson"}
        try:
            self._connection.request("POST", self._target, b"\n".join(messages) + b"\n", headers)
            with self._connection.getresponse() as answer:
                answer.read()
        except http.client.HTTPException as error:
            raise OSError(f"no HTTP answer: {type(error).__name__}") from error
        if not 200 <= answer.status < 300:  # RFC 9110, 15.3
            raise OSError(f"HTTP status {answer.status}")
        return 0

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


class Lines:
    """A file that grows by lines, its owner's alone; it may be moved away between two writes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, messages: Sequence[bytes]) -> int:
        """Append the messages."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(b"\n".join(messages) + b"\n")
        return 0

    def close(self) -> None:
        """Do nothing: the file is closed after each write."""


def transport_to(url: SplitResult, *, counted: bool, timeout_s: float) -> Transport:
    """Return the transport for a `udp`, `tcp`, `http` or `file` URL. Raises `ValueError` for any other."""
    if url.scheme == "file":
        return Lines(Path(url.path))
    host, port = url.hostname or "", url.port or 0
    if not host or not port:
        raise ValueError("the URL names no host and port")
    if url.scheme == "udp":
        return Udp(host, port)
    if url.scheme == "tcp":
        return Tcp(host, port, counted=counted, timeout_s=timeout_s)
    if url.scheme == "http":
        return Http(host, port, url.path or "/", timeout_s=timeout_s)
    raise ValueError("the URL is none of udp, tcp, http and file")
