"""The ClientHello as a value, and its octets (RFC 8446, 4.1.2; RFC 5246, 7.4.1.2). Random octets are arguments."""

from msgspec import Struct

from keystrand.formats.tls_codepoints import TLS10, TLS12, TLS13
from keystrand.formats.tls_wire import message, number, numbers, vector

CLIENT_HELLO = 1

_SERVER_NAME, _GROUPS, _POINT_FORMATS, _SIGNATURES, _EXTENDED_MASTER_SECRET = 0, 10, 11, 13, 23
_VERSIONS, _COOKIE, _PSK_MODES, _SIGNATURES_CERT, _KEY_SHARE, _RENEGOTIATION = 43, 44, 45, 50, 51, 0xFF01


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
    legacy_version = min(max(hello.versions, default=TLS10), TLS12)
    return message(
        CLIENT_HELLO,
        number(legacy_version)
        + hello.random
        + vector(1, hello.session)
        + vector(2, numbers(hello.suites))
        + vector(1, b"\0")
        + vector(2, _extensions(hello)),
    )


def _extensions(hello: ClientHello) -> bytes:
    found = (
        _extension(_SERVER_NAME, vector(2, b"\0" + vector(2, hello.server_name.encode("ascii"))))
        if hello.server_name
        else b""
    )
    found += _extension(_GROUPS, vector(2, numbers(hello.groups))) if hello.groups else b""
    found += _extension(_POINT_FORMATS, vector(1, b"\0"))
    found += _extension(_SIGNATURES, vector(2, numbers(hello.schemes)))
    found += _extension(_EXTENDED_MASTER_SECRET, b"") + _extension(_RENEGOTIATION, b"\0")
    found += b"".join(_extension(kind, content) for kind, content in hello.more)
    return found + (_extensions_13(hello) if TLS13 in hello.versions else b"")


def _extensions_13(hello: ClientHello) -> bytes:
    shares = b"".join(number(group) + vector(2, public) for group, public in hello.key_shares)
    found = _extension(_VERSIONS, vector(1, numbers(hello.versions)))
    found += _extension(_PSK_MODES, vector(1, b"\1"))
    found += _extension(_COOKIE, vector(2, hello.cookie)) if hello.cookie else b""
    return found + _extension(_KEY_SHARE, vector(2, shares))


def _extension(kind: int, content: bytes) -> bytes:
    return number(kind) + vector(2, content)
