"""DNS messages: a question made, an answer read (RFC 1035, section 4; RFC 6891 for EDNS).

Every count and length from the wire is checked before use; compression is followed backwards only, so it ends.
"""

from typing import NamedTuple

from keystrand.formats.host_names import a_labels
from keystrand.formats.tls_wire import number

NO_ERROR, FORMAT_ERROR, SERVER_FAILURE, NO_SUCH_NAME, REFUSED = 0, 1, 2, 3, 5
RESPONSE_CODES = {FORMAT_ERROR: "FORMERR", SERVER_FAILURE: "SERVFAIL", NO_SUCH_NAME: "NXDOMAIN", 4: "NOTIMP",
                  REFUSED: "REFUSED", 9: "NOTAUTH"}  # fmt: skip
SOA, OPT, DS, SSHFP, RRSIG, DNSKEY, NSEC3PARAM, TLSA = 6, 41, 43, 44, 46, 48, 51, 52
UDP_OCTETS = 1232
"""Octets of an answer that we take in one datagram: no path fragments it (DNS flag day 2020)."""
MAX_RECORDS = 1000
"""Records read of one answer: a key set has two to a dozen."""

_HEAD_OCTETS = 12
_RESPONSE, _AUTHORITATIVE, _TRUNCATED, _RECURSION_AVAILABLE = 0x8000, 0x0400, 0x0200, 0x0080
_RECURSION_DESIRED, _CHECKING_DISABLED = 0x0100, 0x0010
_DNSSEC_OK = 0x8000
_INTERNET = 1
_MAX_LABEL, _MAX_NAME = 63, 255
_POINTER = 0xC0


class DnsUnreadable(ValueError):
    """What came is not what DNS prescribes here; the message says what it is instead."""


class Asked(NamedTuple):
    """A question: identifier, name in wire format, and type."""

    identifier: int
    name: bytes
    kind: int


class ResourceRecord(NamedTuple):
    """One record of the answer: its owner in lower-case wire format, its type, and its content."""

    owner: bytes
    kind: int
    content: bytes


class Reply(NamedTuple):
    """An answer: whether it is cut short, its response code, and the records of its answer section.

    `knows`: the server holds the zone or looks names up. One that does neither only says whom to ask (RFC 1034, 4.3.1).
    """

    truncated: bool
    code: int
    records: tuple[ResourceRecord, ...]
    knows: bool


def wire_name(name: str) -> bytes:
    """Return a domain name in wire format, in lower case. Raises `UnicodeError` where DNS cannot hold it."""
    spelt = a_labels(name.rstrip(".").lower())
    found = b"".join(bytes((len(label),)) + label.encode("ascii") for label in spelt.split(".") if spelt)
    if len(found) >= _MAX_NAME:
        raise UnicodeError("a name has at most 255 octets")
    return found + b"\0"


def query(asked: Asked) -> bytes:
    """Return the question, with a wish for signatures (DO) and for what a resolver would not validate (CD)."""
    flags = _RECURSION_DESIRED | _CHECKING_DISABLED
    head = number(asked.identifier) + number(flags) + number(1) + bytes(4) + number(1)
    extension = b"\0" + number(OPT) + number(UDP_OCTETS) + bytes(2) + number(_DNSSEC_OK) + bytes(2)
    return head + asked.name + number(asked.kind) + number(_INTERNET) + extension


def reply(asked: Asked, message: bytes) -> Reply:
    """Return the answer to `asked`. Raises `DnsUnreadable`, also where the message answers another question."""
    if len(message) < _HEAD_OCTETS:
        raise DnsUnreadable("too short for a DNS message")
    identifier, flags, questions, answers = (int.from_bytes(message[at : at + 2], "big") for at in (0, 2, 4, 6))
    if identifier != asked.identifier or not flags & _RESPONSE:
        raise DnsUnreadable("a DNS message that answers nothing of ours")
    at = _HEAD_OCTETS
    if questions:
        name, at = name_at(message, at)
        if questions > 1 or name != asked.name or message[at : at + 4] != number(asked.kind) + number(_INTERNET):
            raise DnsUnreadable("an answer to another question")
        at += 4
    elif flags & 0xF == NO_ERROR:
        raise DnsUnreadable("an answer without the question")
    truncated = bool(flags & _TRUNCATED)
    found: list[ResourceRecord] = []
    # of an answer cut short nothing is believed: it is asked again over TCP
    while not truncated and len(found) < min(answers, MAX_RECORDS):
        record, at = _record(message, at)
        found.append(record)
    knows = bool(flags & (_AUTHORITATIVE | _RECURSION_AVAILABLE))
    return Reply(truncated, flags & 0xF, tuple(found), knows)


def _record(message: bytes, at: int) -> tuple[ResourceRecord, int]:
    owner, at = name_at(message, at)
    end = at + 10 + int.from_bytes(message[at + 8 : at + 10], "big")
    if end > len(message) or at + 10 > len(message):
        raise DnsUnreadable("a record is cut short")
    return ResourceRecord(owner, int.from_bytes(message[at : at + 2], "big"), message[at + 10 : end]), end


def name_at(message: bytes, at: int) -> tuple[bytes, int]:
    """Return a name in lower-case wire format without compression, and where it ends. Raises `DnsUnreadable`."""
    found, end, limit = b"", 0, len(message)
    while True:
        if at >= limit:
            raise DnsUnreadable("a name is cut short")
        length = message[at]
        if length & _POINTER == _POINTER:
            end = end or at + 2
            target = int.from_bytes(message[at : at + 2], "big") & 0x3FFF
            # each pointer leads before the part it ends, or it could lead in circles
            limit, at = min(limit, at), target
        elif length > _MAX_LABEL:
            raise DnsUnreadable("a label of more than 63 octets")
        else:
            found += message[at : at + 1 + length].lower()
            if len(found) > _MAX_NAME or at + 1 + length > len(message):
                raise DnsUnreadable("a name is longer than allowed")
            at += 1 + length
            if length == 0:
                return found, end or at
