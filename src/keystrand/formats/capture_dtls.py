"""DTLS as a bystander sees it: handshake fragments of both sides, put together and read as TLS.

Sources: RFC 6347, sections 4.1 and 4.2; RFC 9147, sections 4 and 5. Records after the ServerHello of DTLS 1.3 are
encrypted, as in TLS 1.3.
"""

from keystrand.formats.capture_session import Session
from keystrand.formats.capture_tls import Handshake
from keystrand.formats.tls_wire import HANDSHAKE, TlsUnreadable

_RECORD_HEAD, _MESSAGE_HEAD = 13, 12
_MAX_MESSAGE, _MAX_PIECES = 64 * 1024, 64
_VERSIONS = (b"\xfe\xff", b"\xfe\xfd", b"\xfe\xfc")
_CLIENT_HELLO, _SERVER_HELLO, _HELLO_VERIFY = 1, 2, 3


def is_dtls(datagram: bytes) -> bool:
    """Return whether a datagram begins with a plaintext handshake record that opens a handshake of DTLS."""
    return (
        datagram[:1] == bytes((HANDSHAKE,))
        and datagram[1:3] in _VERSIONS
        and len(datagram) > _RECORD_HEAD + _MESSAGE_HEAD
        and datagram[3:5] == b"\0\0"
        and datagram[_RECORD_HEAD] in (_CLIENT_HELLO, _SERVER_HELLO, _HELLO_VERIFY)
    )


class DtlsDissector:
    """DTLS over datagrams, until what follows is encrypted."""

    def __init__(self) -> None:
        self._handshake = Handshake(datagram=True)
        self._pieces: dict[tuple[bool, int], tuple[int, int, dict[int, bytes]]] = {}
        self._taken: set[tuple[bool, int]] = set()

    def take(self, *, first: bool, octets: bytes) -> bool:
        """Take a datagram; see `Dissector`."""
        at = 0
        while at + _RECORD_HEAD <= len(octets) and octets[at + 1 : at + 3] in _VERSIONS:
            end = at + _RECORD_HEAD + (octets[at + 11] << 8 | octets[at + 12])
            if octets[at + 3 : at + 5] != b"\0\0":
                return True  # a later epoch: encrypted
            if octets[at] == HANDSHAKE:
                self._fragments(octets[at + _RECORD_HEAD : end], first=first)
            at = end
        return self._handshake.done

    def _fragments(self, body: bytes, *, first: bool) -> None:
        at = 0
        while at + _MESSAGE_HEAD <= len(body):
            kind, length = body[at], int.from_bytes(body[at + 1 : at + 4], "big")
            number = body[at + 4] << 8 | body[at + 5]
            offset, size = int.from_bytes(body[at + 6 : at + 9], "big"), int.from_bytes(body[at + 9 : at + 12], "big")
            piece = body[at + _MESSAGE_HEAD : at + _MESSAGE_HEAD + size]
            if length > _MAX_MESSAGE or len(piece) < size:
                return
            self._piece((first, number), (kind, length), offset, piece)
            at += _MESSAGE_HEAD + size

    def _piece(self, key: tuple[bool, int], head: tuple[int, int], offset: int, piece: bytes) -> None:
        """Keep a piece of message `key`, and read the message where that makes it whole."""
        if key in self._taken or (key not in self._pieces and len(self._pieces) >= _MAX_PIECES):
            return
        if offset == 0 and len(piece) == head[1] and key not in self._pieces:
            self._taken.add(key)
            self._read(bytes((head[0],)) + head[1].to_bytes(3, "big") + piece, first=key[0])
            return
        kind, length, pieces = self._pieces.setdefault(key, (*head, {}))
        if len(pieces) < _MAX_PIECES:
            pieces.setdefault(offset, piece)
        whole = b""
        for start in sorted(pieces):
            if start <= len(whole):
                whole += pieces[start][len(whole) - start :]
        if len(whole) >= length:
            del self._pieces[key]
            self._taken.add(key)
            self._read(bytes((kind,)) + length.to_bytes(3, "big") + whole[:length], first=key[0])

    def _read(self, message: bytes, *, first: bool) -> None:
        try:
            self._handshake.message(message, first=first)
        except TlsUnreadable:
            return

    def session(self) -> Session | None:
        """Return what was seen; see `Dissector`."""
        return self._handshake.session("dtls") if self._handshake.offer or self._handshake.choice else None
