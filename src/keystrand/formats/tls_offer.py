"""What others' hellos say: the ClientHello's offer and the ServerHello's choice, for who reads along.

Sources: RFC 8446, 4.1 and 4.2; RFC 5246, 7.4.1; RFC 6347, 4.2.1 (the cookie of DTLS); RFC 8701 (GREASE).
All raise `TlsUnreadable` where a message is cut short.
"""

import struct
from functools import lru_cache
from typing import NamedTuple

from keystrand.formats.dtls_records import DTLS13, DTLS_OF
from keystrand.formats.dtls_records import VERSIONS as DTLS_NAMES
from keystrand.formats.tls_codepoints import TLS13, VERSIONS
from keystrand.formats.tls_server_flight import HELLO_RETRY_RANDOM
from keystrand.formats.tls_wire import TlsUnreadable

_GROUPS, _SIGNATURES, _VERSIONS, _KEY_SHARE, _PRE_SHARED_KEY = 10, 13, 43, 51, 41
_DRAFT_KEY_SHARE = 40
"""The number of key_share up to draft 22 of TLS 1.3."""
_NO_SUITES = (0x00FF, 0x5600)
"""Signals that stand in the list of suites and are none (RFC 5746, 3.3; RFC 7507)."""
_VERSION_NAMES = VERSIONS | {dtls: DTLS_NAMES[tls] for tls, dtls in DTLS_OF.items()}


class Offer(NamedTuple):
    """What a client offers, in its order, without GREASE. `shares` are the groups it sent a key share for."""

    versions: tuple[int, ...]
    suites: tuple[int, ...]
    groups: tuple[int, ...]
    schemes: tuple[int, ...]
    shares: tuple[int, ...]


class Choice(NamedTuple):
    """What a server chose. `group` is None where this message does not say it; `again`: a HelloRetryRequest."""

    version: int
    suite: int
    group: int | None
    again: bool
    resumes_key: bool = False


def version_name(version: int) -> str:
    """Return a version's name: `TLSv1.2`, `DTLSv1.2`, `TLSv1.3-draft28`; an unknown one keeps its number."""
    if version >> 8 == 0x7F:
        return f"TLSv1.3-draft{version & 0xFF}"
    return _VERSION_NAMES.get(version) or f"TLS-version-0x{version:04x}"


def is_13(version: int) -> bool:
    """Return whether `version` is TLS 1.3, a draft of it or a browser's trial, or DTLS 1.3."""
    return version in (TLS13, DTLS13) or version >> 8 in (0x7E, 0x7F)


@lru_cache(maxsize=4096)
def _words(octets: bytes) -> tuple[int, ...]:
    """Return 16-bit numbers without signals and without GREASE, which is 0x?A?A with equal octets."""
    found = struct.unpack(f">{len(octets) // 2}H", octets[: len(octets) & ~1])
    return tuple(w for w in found if (w & 0x0F0F != 0x0A0A or w >> 8 != w & 0xFF) and w not in _NO_SUITES)


def client_offer(body: bytes, *, datagram: bool = False) -> Offer:
    """Return what a ClientHello offers; `body` is the message without its head."""
    try:
        at = 35 + body[34]
        if datagram:
            at += 1 + body[at]
        suites_at, at = at + 2, at + 2 + (body[at] << 8 | body[at + 1])
        suites = body[suites_at:at]
        at += 1 + body[at]
    except IndexError as error:
        raise TlsUnreadable("a ClientHello ends too early") from error
    found = extensions(body, at)
    versions = found.get(_VERSIONS)
    return Offer(
        versions=_words(versions[1:]) if versions else (body[0] << 8 | body[1],),
        suites=_words(suites),
        groups=_words(found.get(_GROUPS, b"")[2:]),
        schemes=_words(found.get(_SIGNATURES, b"")[2:]),
        shares=_shares(found.get(_KEY_SHARE) or found.get(_DRAFT_KEY_SHARE) or b""),
    )


def server_choice(body: bytes) -> Choice:
    """Return what a ServerHello or HelloRetryRequest chooses; `body` is the message without its head."""
    try:
        version = body[0] << 8 | body[1]
        # up to draft 21 of TLS 1.3 neither session nor compression
        old_draft = version >> 8 == 0x7F and version < 0x7F16
        at = 34 if old_draft else 35 + body[34]
        suite = body[at] << 8 | body[at + 1]
    except IndexError as error:
        raise TlsUnreadable("a ServerHello ends too early") from error
    found = extensions(body, at + 2 if old_draft else at + 3)
    if len(found.get(_VERSIONS, b"")) == 2:
        version = int.from_bytes(found[_VERSIONS], "big")
    share = found.get(_KEY_SHARE) or found.get(_DRAFT_KEY_SHARE) or b""
    group = int.from_bytes(share[:2], "big") if len(share) >= 2 and is_13(version) else None
    return Choice(version, suite, group, body[2:34] == HELLO_RETRY_RANDOM, _PRE_SHARED_KEY in found)


def extensions(body: bytes, at: int) -> dict[int, bytes]:
    """Return the extensions of a hello, whose length stands at `at`, by number; none where the message ends there."""
    found: dict[int, bytes] = {}
    if at == len(body):
        return found
    at, end = at + 2, at + 2 + int.from_bytes(body[at : at + 2], "big")
    if end > len(body):
        raise TlsUnreadable("a hello ends within its extensions")
    while at + 4 <= end:
        after = at + 4 + (body[at + 2] << 8 | body[at + 3])
        found[body[at] << 8 | body[at + 1]] = body[at + 4 : after]
        at = after
    return found


def _shares(content: bytes) -> tuple[int, ...]:
    found, at = [], 2
    while at + 4 <= len(content):
        found.append(content[at : at + 2])
        at += 4 + (content[at + 2] << 8 | content[at + 3])
    return _words(b"".join(found))
