"""The ClientHello as a value, and its octets (RFC 8446, 4.1.2; RFC 5246, 7.4.1.2). Random octets are arguments."""

from functools import lru_cache
from typing import NamedTuple

from msgspec import Struct

from keystrand.formats.tls_codepoints import SSL3, TLS10, TLS12, TLS13
from keystrand.formats.tls_wire import message, number, numbers, vector

CLIENT_HELLO = 1

_SERVER_NAME, _GROUPS, _POINT_FORMATS, _SIGNATURES, _EXTENDED_MASTER_SECRET = 0, 10, 11, 13, 23
_VERSIONS, _COOKIE, _PSK_MODES, _KEY_SHARE, _RENEGOTIATION = 43, 44, 45, 51, 0xFF01


class ClientHello(Struct, frozen=True, kw_only=True):
    """What one question offers. `versions` newest first; `key_shares` pairs a group with our public part.

    An empty `key_shares` asks a TLS 1.3 server to name its choice in a HelloRetryRequest (RFC 8446, 4.2.8).
    `random` and `session` are 32 fresh octets each; `server_name` is ASCII, without a final dot (RFC 6066, 3).
    `more` are further extensions, type and content, that what carries TLS asks for.
    """

    random: bytes
    session: bytes
    versions: tuple[int, ...]
    suites: tuple[int, ...]
    groups: tuple[int, ...]
    schemes: tuple[int, ...]
    key_shares: tuple[tuple[int, bytes], ...] = ()
    server_name: str = ""
    cookie: bytes = b""
    more: tuple[tuple[int, bytes], ...] = ()


def client_hello(hello: ClientHello) -> bytes:
    """Return the handshake message, without a record around it. Raises `ValueError` where a list is too long."""
    offer = _offer(hello.versions, hello.suites, hello.groups, hello.schemes, hello.server_name, hello.more)
    body = offer.version + hello.random + vector(1, hello.session) + offer.suites
    if max(hello.versions, default=TLS10) == SSL3:
        return message(CLIENT_HELLO, body)  # it has no extensions (RFC 6101, 5.6.1.2)
    own = _own_extensions(hello) if TLS13 in hello.versions else b""
    return message(CLIENT_HELLO, body + vector(2, offer.extensions + own))


class _Offer(NamedTuple):
    """The parts of a hello that are the same each time one question is asked."""

    version: bytes
    suites: bytes
    extensions: bytes


@lru_cache(maxsize=256)
def _offer(
    versions: tuple[int, ...],
    suites: tuple[int, ...],
    groups: tuple[int, ...],
    schemes: tuple[int, ...],
    server_name: str,
    more: tuple[tuple[int, bytes], ...],
) -> _Offer:
    found = _extension(_SERVER_NAME, vector(2, b"\0" + vector(2, server_name.encode("ascii")))) if server_name else b""
    found += _extension(_GROUPS, vector(2, numbers(groups))) if groups else b""
    found += _extension(_POINT_FORMATS, vector(1, b"\0"))
    found += _extension(_SIGNATURES, vector(2, numbers(schemes)))
    found += _extension(_EXTENDED_MASTER_SECRET, b"") + _extension(_RENEGOTIATION, b"\0")
    found += b"".join(_extension(kind, content) for kind, content in more)
    if TLS13 in versions:
        found += _extension(_VERSIONS, vector(1, numbers(versions))) + _extension(_PSK_MODES, vector(1, b"\1"))
    legacy_version = min(max(versions, default=TLS10), TLS12)
    return _Offer(number(legacy_version), vector(2, numbers(suites)) + vector(1, b"\0"), found)


def _own_extensions(hello: ClientHello) -> bytes:
    """Return the extensions that change with each hello: they come last."""
    shares = b"".join(number(group) + vector(2, public) for group, public in hello.key_shares)
    cookie = _extension(_COOKIE, vector(2, hello.cookie)) if hello.cookie else b""
    return cookie + _extension(_KEY_SHARE, vector(2, shares))


def _extension(kind: int, content: bytes) -> bytes:
    return number(kind) + vector(2, content)
