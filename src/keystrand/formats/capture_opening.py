"""Which protocol a conversation speaks, from what it begins with, on whatever port.

Sources: RFC 8446, 5.1 and 4 (record and message heads); RFC 3207, 2595, 4217, 6120, 4511 (upgrades to TLS in-stream);
PostgreSQL's and MySQL's protocol pages; MS-TDS 2.2.6.5 and MS-RDPBCGR 2.2.1; the WireGuard paper, 5.4.
"""

import re

from keystrand.formats.capture_dtls import DtlsDissector, is_dtls
from keystrand.formats.capture_ike import IkeDissector, ike_octets
from keystrand.formats.capture_quic import QuicDissector, is_quic
from keystrand.formats.capture_session import Dissector, Session, Use
from keystrand.formats.capture_ssh import SshDissector
from keystrand.formats.capture_tls import TlsDissector
from keystrand.model.algorithm import Function

MAX_PLAIN = 16 * 1024
"""Octets of a direction in which an upgrade to TLS is looked for."""
_OVERLAP = 16
_CLIENT_HELLO = re.compile(rb"\x16\x03[\x00-\x04][\x00-\x40].\x01\x00[\x00-\x3f].[\x03\x7f][\x00-\x1f]", re.DOTALL)
_SERVER_HELLO = re.compile(rb"\x16\x03[\x00-\x04][\x00-\x40].\x02\x00[\x00-\x3f].[\x03\x7f][\x00-\x1f]", re.DOTALL)
_SSL2_HELLO = re.compile(rb"[\x80-\xff].\x04[\x00\x01][\x00\x01]\x00\x02", re.DOTALL)
_TLS_LATER = re.compile(rb"[\x14\x15\x17]\x03[\x00-\x04][\x00-\x48]", re.DOTALL)
_CARRIERS = (
    ("smtp", re.compile(rb"220[ -][^\r\n]*(?:E?SMTP|mail)", re.IGNORECASE)),
    ("ftp", re.compile(rb"220[ -]")),
    ("imap", re.compile(rb"\* (?:OK|PREAUTH)")),
    ("pop3", re.compile(rb"\+OK")),
    ("sieve", re.compile(rb'"IMPLEMENTATION"', re.IGNORECASE)),
    ("nntp", re.compile(rb"20[01] ")),
    ("irc", re.compile(rb":[^ ]+ (?:NOTICE|\d{3}) |NICK |CAP |NOTICE ")),
    ("xmpp", re.compile(rb"<\?xml|<stream:stream")),
    ("postgresql", re.compile(rb"\x00\x00\x00\x08\x04\xd2\x16\x2f")),
    ("ldap", re.compile(rb"\x30.\x02\x01.[\x77\x78]", re.DOTALL)),
    ("mysql", re.compile(rb".{3}\x00\x0a[\x20-\x7e]{3,40}\x00", re.DOTALL)),
    ("rdp", re.compile(rb"\x03\x00\x00.\x0e?", re.DOTALL)),
    ("tds", re.compile(rb"[\x12\x04]\x01.{2}\x00\x00", re.DOTALL)),
    ("http", re.compile(rb"(?:CONNECT|OPTIONS|GET) |HTTP/1\.")),
)
_TDS_HEAD = 8


class StreamOpening:
    """Reads both directions of a TCP conversation until it is known what they speak, then hands on.

    `unknown` is set where nothing known was spoken.
    """

    def __init__(self) -> None:
        self._plain = {True: b"", False: b""}
        self._found: Dissector | None = None
        self._framed: dict[bool, TdsFrames] = {}

    def take(self, *, first: bool, octets: bytes) -> bool:
        """Take stream octets; see `Dissector`."""
        if self._found is not None:
            if self._framed:
                octets = self._framed[first].take(octets)
            return self._found.take(first=first, octets=octets)
        searched = max(0, len(self._plain[first]) - _OVERLAP)
        self._plain[first] += octets
        plain = self._plain[first]
        if plain.startswith(b"SSH-") or b"\nSSH-" in plain[:1024]:
            return self._hand_on(SshDissector())
        begin = _CLIENT_HELLO.search(plain, searched) or _SERVER_HELLO.match(plain)
        if begin is not None:
            return self._tls(begin.start(), first=first)
        if _SSL2_HELLO.match(plain) is not None:
            self._found = Recognised(_SSL2._replace(client_first=not first))
            return True
        later = len(plain) >= 5 and _TLS_LATER.match(plain) is not None
        if later:
            self._found = TlsDissector()
        return later or len(plain) > MAX_PLAIN

    def _tls(self, begin: int, *, first: bool) -> bool:
        """Go on with TLS: what the other side said before a hello in mid-stream was not TLS, and is dropped."""
        mine, other = self._plain[first], self._plain[not first]
        self._found = TlsDissector(_carrier(mine[:begin], other) if begin else "")
        if begin >= _TDS_HEAD and mine[begin - _TDS_HEAD : begin - _TDS_HEAD + 2] in (b"\x12\x01", b"\x12\x00"):
            self._framed = {True: TdsFrames(), False: TdsFrames()}
            begin -= _TDS_HEAD
        self._plain = {first: mine[begin:], not first: other if _SERVER_HELLO.match(other) else b""}
        return self._hand_on(self._found)

    def _hand_on(self, found: Dissector) -> bool:
        self._found = found
        plain, self._plain = self._plain, {True: b"", False: b""}
        done = [self.take(first=first, octets=octets) for first, octets in plain.items() if octets]
        return any(done)

    def session(self) -> Session | None:
        """Return what was seen; see `Dissector`."""
        return self._found.session() if self._found else None


def _carrier(mine: bytes, other: bytes) -> str:
    """Return the protocol that was spoken before the upgrade to TLS, by its first words."""
    for name, words in _CARRIERS:
        if words.match(other) or words.match(mine):
            return name
    return "unknown"


class TdsFrames:
    """Takes TLS out of the packets that SQL Server wraps it in, while the handshake lasts (MS-TDS, 2.2.3)."""

    def __init__(self) -> None:
        self._left = 0
        self._head = b""

    def take(self, octets: bytes) -> bytes:
        """Return the TLS octets."""
        found = b""
        while octets:
            if not self._left:
                missing = _TDS_HEAD - len(self._head)
                self._head, octets = self._head + octets[:missing], octets[missing:]
                if len(self._head) < _TDS_HEAD:
                    break
                self._left, self._head = max(0, int.from_bytes(self._head[2:4], "big") - _TDS_HEAD), b""
            found += octets[: self._left]
            octets, self._left = octets[self._left :], max(0, self._left - len(octets))
        return found


class Recognised:
    """A conversation whose protocol is plain from one packet, and which says no more."""

    def __init__(self, seen: Session) -> None:
        self._seen = seen

    def take(self, *, first: bool, octets: bytes) -> bool:  # noqa: ARG002 - nothing more is read
        """Take nothing; see `Dissector`."""
        return True

    def session(self) -> Session | None:
        """Return what was seen; see `Dissector`."""
        return self._seen


_RSA = Use(Function.KEY_ESTABLISHMENT, "RSA-KEX", "SSLv2")
_SSL2 = Session("tls", "SSLv2", exchange=_RSA, uses=(_RSA,))
ESP = Session("esp")
MACSEC = Session("macsec")
_X25519 = Use(Function.KEY_ESTABLISHMENT, "X25519", "Noise_IKpsk2_25519")
_CHACHA20 = Use(Function.ENCRYPTION, "ChaCha20-Poly1305", "Noise_IKpsk2_25519")
_WIREGUARD = Session("wireguard", exchange=_X25519, uses=(_X25519, _CHACHA20))
_WIREGUARD_OCTETS = {b"\x01\0\0\0": 148, b"\x02\0\0\0": 92}
_IKE_PORTS, _NAT_PORT = (500, 4500), 4500


def datagram_opening(octets: bytes, ports: tuple[int, int], *, first: bool) -> Dissector | None:
    """Return who reads a UDP conversation that goes on with `octets`, or None where this datagram does not tell."""
    if is_quic(octets):
        return QuicDissector()
    if is_dtls(octets):
        return DtlsDissector()
    if _WIREGUARD_OCTETS.get(octets[:4]) == len(octets):
        return Recognised(_WIREGUARD._replace(client_first=first == (octets[0] == 1)))
    if any(port in _IKE_PORTS for port in ports):
        if ike_octets(octets):
            return IkeDissector()
        if _NAT_PORT in ports and len(octets) >= 20 and any(octets[:4]):
            return Recognised(ESP)
    return None
