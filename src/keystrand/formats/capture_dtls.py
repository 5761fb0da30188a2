"""DTLS as a bystander sees it: handshake fragments of both sides, put together and read as TLS.

Sources: RFC 6347, sections 4.1 and 4.2; RFC 9147, sections 4 and 5. Records after the ServerHello of DTLS 1.3 are
encrypted, as in TLS 1.3.
"""

from keystrand.formats.capture_session import Session
from keystrand.formats.capture_tls import Handshake
from keystrand.formats.dtls_records import HELLO_VERIFY_REQUEST, SERVER_HELLO, Fragments
from keystrand.formats.tls_wire import HANDSHAKE, TlsUnreadable

_RECORD_HEAD, _MESSAGE_HEAD = 13, 12
_VERSIONS = (b"\xfe\xff", b"\xfe\xfd", b"\xfe\xfc")
_CLIENT_HELLO = 1


def is_dtls(datagram: bytes) -> bool:
    """Return whether a datagram begins with a plaintext handshake record that opens a handshake of DTLS."""
    return (
        datagram[:1] == bytes((HANDSHAKE,))
        and datagram[1:3] in _VERSIONS
        and len(datagram) > _RECORD_HEAD + _MESSAGE_HEAD
        and datagram[3:5] == b"\0\0"
        and datagram[_RECORD_HEAD] in (_CLIENT_HELLO, SERVER_HELLO, HELLO_VERIFY_REQUEST)
    )


class DtlsDissector:
    """DTLS over datagrams, until what follows is encrypted."""

    def __init__(self) -> None:
        self._handshake = Handshake(datagram=True)
        self._sides = {True: Fragments(ordered=False), False: Fragments(ordered=False)}

    def take(self, *, first: bool, octets: bytes) -> bool:
        """Take a datagram; see `Dissector`."""
        at = 0
        while at + _RECORD_HEAD <= len(octets) and octets[at + 1 : at + 3] in _VERSIONS:
            end = at + _RECORD_HEAD + (octets[at + 11] << 8 | octets[at + 12])
            if octets[at + 3 : at + 5] != b"\0\0":
                return True  # a later epoch: encrypted
            if octets[at] == HANDSHAKE:
                self._read(octets[at + _RECORD_HEAD : end], first=first)
            at = end
        return self._handshake.done

    def _read(self, body: bytes, *, first: bool) -> None:
        try:
            for message in self._sides[first].take(body):
                self._handshake.message(message, first=first)
        except TlsUnreadable:
            return

    def session(self) -> Session | None:
        """Return what was seen; see `Dissector`."""
        return self._handshake.session("dtls") if self._handshake.offer or self._handshake.choice else None
