"""What QUIC and DTLS have in common as probes: TLS questions, asked in datagrams."""

from abc import abstractmethod
from collections import deque

from keystrand.edge.probes.tls_questions import TlsConversation


class DatagramConversation(TlsConversation):
    """A TLS question in datagrams: several may go out before one comes in."""

    _outbox: deque[bytes]

    @abstractmethod
    def opening(self) -> tuple[bytes, ...]:
        """Return the first datagrams."""

    @abstractmethod
    def answer(self, datagram: bytes) -> tuple[bytes, ...]:
        """Read a datagram that came and return the next ones. Sets `done`; never raises."""

    def begin(self) -> bytes:
        """Return the first datagram."""
        self._outbox = deque(self.opening())
        return self._outbox.popleft()

    def receive(self, octets: bytes) -> bytes:
        """Take a datagram, or nothing; return the next datagram to send, if there is one."""
        if octets and not self.done:
            self._outbox.extend(self.answer(octets))
        return self._outbox.popleft() if self._outbox else b""
