"""The way from site a to site b for what is no tunnel: TCP over the carrier, or loopback where there is none."""

import socket
import threading
from contextlib import suppress

from keystrand.edge.pilot.base import A, B, Carrier
from keystrand.edge.pilot.paced import PATIENCE_S
from keystrand.edge.pilot.sockets import socket_in
from keystrand.model.errors import PeerUnavailable

_CHUNK = 1 << 18


class Way:
    """Sockets at both sites. Every wait on them ends after `PATIENCE_S`."""

    def __init__(self, carrier: Carrier | None) -> None:
        self._carrier = carrier
        self.host = carrier.addresses[B] if carrier else "127.0.0.1"

    def listener(self) -> socket.socket:
        """Return a socket of site b that listens at a free port of `host`."""
        made = self._socket(B)
        made.bind((self.host, 0))
        made.listen(128)
        return made

    def dial(self, port: int) -> socket.socket:
        """Return a connection from site a to a port of `host`. Raises `PeerUnavailable`."""
        made = self._socket(A)
        made.settimeout(PATIENCE_S)
        try:
            made.connect((self.host, port))
        except OSError as error:
            made.close()
            raise PeerUnavailable(f"{self.host}:{port} cannot be reached: {error.strerror or 'timed out'}") from error
        return made

    def carry(self, content: bytes) -> bytes:
        """Send `content` from site a and return what arrived at site b. Raises `PeerUnavailable`, `OSError`."""
        with self.listener() as listener, self.dial(listener.getsockname()[1]) as sender:
            listener.settimeout(PATIENCE_S)
            receiver, _ = listener.accept()
            with receiver:
                receiver.settimeout(PATIENCE_S)
                sending = threading.Thread(target=_send, args=(sender, content), daemon=True)
                sending.start()
                try:
                    arrived = bytearray()
                    while part := receiver.recv(_CHUNK):
                        arrived += part
                finally:
                    with suppress(OSError):
                        receiver.shutdown(socket.SHUT_RDWR)
                    sending.join()
        return bytes(arrived)

    def _socket(self, at: int) -> socket.socket:
        if self._carrier is None:
            return socket.socket()
        return socket_in(self._carrier.spaces[at])


def _send(sender: socket.socket, content: bytes) -> None:
    # where this fails less arrives, and whoever compares says so
    with suppress(OSError):
        sender.sendall(content)
        sender.shutdown(socket.SHUT_WR)
