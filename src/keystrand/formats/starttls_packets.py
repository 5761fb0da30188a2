"""The way to TLS in protocols of packets.

LDAP (RFC 4511, 4.14), PostgreSQL (its manual, "Message Flow", SSL session encryption), MySQL and MariaDB (their
manuals, "Protocol::HandshakeV10" and "Protocol::SSLRequest"), RDP (MS-RDPBCGR, 2.2.1.1 and 2.2.1.2).
"""

import struct

from keystrand.formats.der import Element, children, element
from keystrand.formats.starttls_script import MAX_PLAIN, Refusal, Say, Script, nothing

_LDAP_STARTTLS = b"1.3.6.1.4.1.1466.20037"
_LDAP_REQUEST = bytes(
    (0x30, 7 + len(_LDAP_STARTTLS), 2, 1, 1, 0x77, 2 + len(_LDAP_STARTTLS), 0x80, len(_LDAP_STARTTLS))
)
_LDAP_RESULTS = {1: "operationsError", 2: "protocolError", 10: "referral", 52: "unavailable", 53: "unwillingToPerform"}
_EXTENDED_RESPONSE, _ENUMERATED = 0x78, 0x0A

_SSL_REQUEST = struct.pack(">IHH", 8, 1234, 5679)

_CLIENT_SSL = 0x0800
_CAPABILITIES = 0x0200 | _CLIENT_SSL | 0x8000 | 0x0008_0000  # protocol 4.1, TLS, secure connection, plug-in passwords
_UTF8MB4 = 45
_ERROR, _HANDSHAKE_10 = 0xFF, 10

_RDP_TLS, _RDP_HYBRID, _RDP_HYBRID_EX = 1, 2, 8
_NEGOTIATION_RESPONSE, _NEGOTIATION_FAILURE, _CONNECTION_CONFIRM = 2, 3, 0xD0
_RDP_FAILURES = {1: "TLS required by server", 2: "TLS not allowed by server", 3: "no certificate on server",
                 4: "inconsistent flags", 5: "CredSSP required by server", 6: "TLS with user authentication required",
                 }  # fmt: skip


def _ber(octets: bytes) -> int | None:
    """Cut for one BER element."""
    if len(octets) >= 2 and octets[0] != 0x30:
        raise Refusal("does not answer with LDAP")
    try:
        return len(element(octets).raw)
    except ValueError:
        return None  # cut off; what never ends is bounded by the octets that may come


def _result(message: bytes) -> int:
    """Return the result code of an ExtendedResponse. Raises `ValueError` where it is none."""
    parts: list[Element] = list(children(element(message).content))
    if len(parts) < 2 or parts[1].tag != _EXTENDED_RESPONSE:
        raise ValueError("another operation")
    code = element(parts[1].content)
    if code.tag != _ENUMERATED or len(code.content) != 1:
        raise ValueError("no result")
    return code.content[0]


def ldap() -> Script:
    """LDAP: the extended request StartTLS."""
    message = yield Say(_LDAP_REQUEST + _LDAP_STARTTLS, _ber)
    try:
        code = _result(message)
    except ValueError:
        raise Refusal("StartTLS is not answered with an extended response") from None
    if code:
        raise Refusal(f"StartTLS is answered with result {code} {_LDAP_RESULTS.get(code, '')}".rstrip())


def _octet(octets: bytes) -> int | None:
    return 1 if octets else None


def postgresql() -> Script:
    """PostgreSQL: one octet answers an SSLRequest."""
    answer = yield Say(_SSL_REQUEST, _octet)
    if answer == b"N":
        raise Refusal("SSLRequest is answered N: TLS is off")
    if answer != b"S":
        raise Refusal("SSLRequest is answered with an error" if answer == b"E" else "does not answer with PostgreSQL")


def _mysql_packet(octets: bytes) -> int | None:
    if len(octets) < 4:
        return None
    length = int.from_bytes(octets[:3], "little")
    if not 0 < length <= MAX_PLAIN or octets[3] != 0:
        raise Refusal("does not greet with MySQL")
    return 4 + length if len(octets) >= 4 + length else None


def _mysql_capabilities(greeting: bytes) -> int:
    """Return the lower capability flags: after the version's text come 4 octets of thread, 8 of salt and a zero."""
    at = greeting.find(b"\0", 1) + 14
    if at < 14 or at + 2 > len(greeting):
        raise Refusal("greets with MySQL that cannot be read")
    return int.from_bytes(greeting[at : at + 2], "little")


def mysql() -> Script:
    """MySQL and MariaDB: the greeting says whether TLS is there; a short login packet goes before it, unanswered."""
    greeting = (yield Say(b"", _mysql_packet))[4:]
    if greeting[0] == _ERROR:
        raise Refusal(f"greets with error {int.from_bytes(greeting[1:3], 'little')}")
    if greeting[0] != _HANDSHAKE_10:
        raise Refusal(f"greets with version {greeting[0]} of the protocol, which has no TLS")
    if not _mysql_capabilities(greeting) & _CLIENT_SSL:
        raise Refusal("greets without the capability of TLS")
    request = struct.pack("<IIB23x", _CAPABILITIES, 1 << 24, _UTF8MB4)
    yield Say(struct.pack("<I", len(request) | 1 << 24) + request, nothing)


def _tpkt(octets: bytes) -> int | None:
    """Cut for one packet of RFC 1006, section 6."""
    if octets and octets[0] != 3:
        raise Refusal("does not answer with RDP")
    if len(octets) < 4:
        return None
    length = int.from_bytes(octets[2:4], "big")
    if length < 7:
        raise Refusal("does not answer with RDP")
    return length if len(octets) >= length else None


def rdp() -> Script:
    """RDP: a connection request that asks for TLS, alone or below CredSSP."""
    wanted = struct.pack("<BBHI", 1, 0, 8, _RDP_TLS | _RDP_HYBRID | _RDP_HYBRID_EX)
    request = struct.pack(">BBHBBHHB", 3, 0, 11 + len(wanted), 6 + len(wanted), 0xE0, 0, 0, 0)
    answer = yield Say(request + wanted, _tpkt)
    if answer[5] != _CONNECTION_CONFIRM:
        raise Refusal("the connection request is not confirmed")
    if len(answer) < 19:
        raise Refusal("confirms without a choice of security: RDP's own, no TLS")
    kind, chosen = answer[11], int.from_bytes(answer[15:19], "little")
    if kind == _NEGOTIATION_FAILURE:
        raise Refusal(f"negotiation fails with {chosen} {_RDP_FAILURES.get(chosen, '')}".rstrip())
    if kind != _NEGOTIATION_RESPONSE or chosen not in (_RDP_TLS, _RDP_HYBRID, _RDP_HYBRID_EX):
        raise Refusal(
            "chooses RDP's own security, no TLS" if not chosen else f"chooses security {chosen}, not asked for"
        )
