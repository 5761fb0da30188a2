"""The questions a TLS server is asked: one ClientHello each, with fresh random octets."""

import secrets
from collections.abc import Callable
from enum import StrEnum
from functools import cache, lru_cache
from ipaddress import ip_address

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM1024PrivateKey
from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from msgspec import Struct
from msgspec.structs import replace

from keystrand.formats import tls_codepoints as codes
from keystrand.formats.host_names import a_labels
from keystrand.formats.tls_hello import ClientHello, client_hello
from keystrand.formats.tls_key_share import CurvePart, KemPart, KeyShare, SharePart, X448Part, X25519Part
from keystrand.formats.tls_server_flight import ServerFlight
from keystrand.formats.tls_wire import NotTls, TlsUnreadable, handshake_record
from keystrand.formats.tls_withdrawn import WITHDRAWN_GROUPS

MAX_COOKIE = 8 * 1024
"""Octets of a cookie sent back: the hello must fit one record of 16384. Servers send a few hundred at most."""


class Question(StrEnum):
    """What one connection asks."""

    SUPPORTS = "post-quantum-groups"
    BROWSER = "modern-client"
    DOWNGRADE = "post-quantum-without-share"
    CLASSICAL = "classical-groups"
    TLS12 = "tls-1.2"
    STATIC_RSA = "static-rsa"
    LEGACY = "tls-1.1-or-older"
    ML_DSA = "ml-dsa-certificate"
    OTHER_KEY = "other-certificate"
    CHOICE = "choice-of-group"
    OLDER = "older-versions"
    TLS11 = "tls-1.1"
    TLS10 = "tls-1.0"
    SSL3 = "ssl-3.0"


class Inquiry(Struct, frozen=True, kw_only=True):
    """What a hello offers, and how far we listen. `shares` are the groups we send a key share for.

    With `to_certificate` we listen until the certificate chain has come, else until the server's choice is known.
    """

    versions: tuple[int, ...]
    suites: tuple[int, ...]
    groups: tuple[int, ...]
    schemes: tuple[int, ...] = (*codes.CLASSICAL_SCHEMES, *codes.POST_QUANTUM_SCHEMES)
    shares: tuple[int, ...] = ()
    to_certificate: bool = False


_ONLY_13, _ONLY_12, _LEGACY = (codes.TLS13,), (codes.TLS12,), (codes.TLS11, codes.TLS10)
_POST_QUANTUM, _CLASSICAL = tuple(codes.POST_QUANTUM_GROUPS), tuple(codes.CLASSICAL_GROUPS)
_EVER_POST_QUANTUM = _POST_QUANTUM + tuple(WITHDRAWN_GROUPS)
_OLD_SUITES = codes.FORWARD_SECRET_SUITES + codes.STATIC_RSA_SUITES
# A modern client sends these two shares, and offers what else it can do (RFC 8446, 4.2.8).
_USUAL_SHARES = (codes.X25519_MLKEM768, codes.X25519)
_USUAL_GROUPS = (
    codes.X25519_MLKEM768,
    *_CLASSICAL,
    *(group for group in _POST_QUANTUM if group != codes.X25519_MLKEM768),
)
_OLD_SCHEMES = codes.CLASSICAL_SCHEMES


def _of_version(version: int) -> Inquiry:
    return Inquiry(
        versions=(version,),
        suites=codes.ALL_OLD_SUITES,
        groups=codes.OLD_GROUPS,
        schemes=_OLD_SCHEMES,
        to_certificate=True,
    )


_BROWSER = Inquiry(
    versions=(codes.TLS13, codes.TLS12),
    suites=codes.ALL_SUITES_13 + _OLD_SUITES,
    groups=_USUAL_GROUPS,
    shares=_USUAL_SHARES,
    to_certificate=True,
)
INQUIRIES = {
    Question.SUPPORTS: Inquiry(versions=_ONLY_13, suites=codes.ALL_SUITES_13, groups=_EVER_POST_QUANTUM),
    Question.BROWSER: _BROWSER,
    Question.OTHER_KEY: replace(_BROWSER, schemes=codes.ALL_SCHEMES),
    Question.DOWNGRADE: Inquiry(
        versions=_ONLY_13, suites=codes.ALL_SUITES_13, groups=_POST_QUANTUM + _CLASSICAL, shares=(codes.X25519,)
    ),
    Question.CLASSICAL: Inquiry(versions=_ONLY_13, suites=codes.ALL_SUITES_13, groups=_CLASSICAL),
    Question.TLS12: Inquiry(
        versions=_ONLY_12,
        suites=codes.FORWARD_SECRET_SUITES,
        groups=codes.OLD_GROUPS,
        schemes=_OLD_SCHEMES,
        to_certificate=True,
    ),
    Question.STATIC_RSA: Inquiry(
        versions=_ONLY_12,
        suites=codes.STATIC_RSA_SUITES,
        groups=(),
        schemes=_OLD_SCHEMES,
        to_certificate=True,
    ),
    Question.LEGACY: Inquiry(
        versions=_LEGACY, suites=_OLD_SUITES, groups=codes.OLD_GROUPS, schemes=_OLD_SCHEMES, to_certificate=True
    ),
    Question.ML_DSA: Inquiry(
        versions=_ONLY_13,
        suites=codes.ALL_SUITES_13,
        groups=_USUAL_GROUPS,
        schemes=tuple(codes.ML_DSA_SCHEMES),
        shares=_USUAL_SHARES,
        to_certificate=True,
    ),
    # Without a share a server can only name its choice: no key is made or used on either side.
    Question.CHOICE: Inquiry(
        versions=_ONLY_13, suites=codes.ALL_SUITES_13, groups=_POST_QUANTUM + _CLASSICAL + tuple(WITHDRAWN_GROUPS)
    ),
    Question.OLDER: Inquiry(
        versions=(codes.TLS12, *_LEGACY), suites=_OLD_SUITES, groups=codes.OLD_GROUPS, schemes=_OLD_SCHEMES
    ),
    Question.TLS11: _of_version(codes.TLS11),
    Question.TLS10: _of_version(codes.TLS10),
    Question.SSL3: _of_version(codes.SSL3),
}


def without_groups(question: Question, taken: tuple[int, ...]) -> Inquiry:
    """Return `question` for groups other than those in `taken`."""
    inquiry = INQUIRIES[question]
    return replace(inquiry, groups=tuple(group for group in inquiry.groups if group not in taken))


def _x25519() -> SharePart:
    return X25519Part(X25519PrivateKey.generate())


def _curve(curve: type[ec.EllipticCurve]) -> Callable[[], SharePart]:
    return lambda: CurvePart(ec.generate_private_key(curve()))


def _kem_768() -> SharePart:
    return KemPart(MLKEM768PrivateKey.generate())


def _kem_1024() -> SharePart:
    return KemPart(MLKEM1024PrivateKey.generate())


_SHARE_PARTS: dict[int, tuple[Callable[[], SharePart], ...]] = {
    codes.X25519: (_x25519,),
    codes.X448: (lambda: X448Part(X448PrivateKey.generate()),),
    codes.SECP256R1: (_curve(ec.SECP256R1),),
    codes.SECP384R1: (_curve(ec.SECP384R1),),
    codes.SECP521R1: (_curve(ec.SECP521R1),),
    codes.X25519_MLKEM768: (_kem_768, _x25519),
    codes.SECP256R1_MLKEM768: (_curve(ec.SECP256R1), _kem_768),
    codes.SECP384R1_MLKEM1024: (_curve(ec.SECP384R1), _kem_1024),
    codes.MLKEM768: (_kem_768,),
    codes.MLKEM1024: (_kem_1024,),
}


@cache
def key_share(group: int) -> KeyShare | None:
    """Return our share for `group`, or None where we cannot compute one.

    It is made once: no handshake is finished and no secret is sent, so that there is nothing a fresh one would protect.
    """
    parts = _SHARE_PARTS.get(group)
    return KeyShare(group, tuple(make() for make in parts)) if parts else None


@cache
def _public(group: int) -> bytes:
    share = key_share(group)
    return share.public if share else b""


@lru_cache(maxsize=1024)
def server_name(host: str) -> str:
    """Return the name for the server_name extension: empty for an IP address or a name that DNS cannot hold."""
    name = host.rstrip(".")
    try:
        ip_address(name.partition("%")[0])
    except ValueError:
        try:
            return a_labels(name)
        except UnicodeError:
            return ""
    return ""


class TlsConversation:
    """One connection. `flight` is what the server said; `fault` says why reading stopped early; `foreign`: no TLS.

    `session` and `more` are for what carries TLS otherwise than TCP: the session id, and further extensions.
    """

    def __init__(
        self, inquiry: Inquiry, host: str, session: bytes | None = None, more: tuple[tuple[int, bytes], ...] = ()
    ) -> None:
        self.inquiry = inquiry
        self.done = self.foreign = False
        self._accepted: bool | None = None
        self.fault = ""
        shares = {group: share for group in inquiry.shares if (share := key_share(group))}
        fresh = secrets.token_bytes(64)
        self._hello = ClientHello(
            random=fresh[:32],
            session=fresh[32:] if session is None else session,
            versions=inquiry.versions,
            suites=inquiry.suites,
            groups=inquiry.groups,
            schemes=inquiry.schemes,
            key_shares=tuple((group, _public(group)) for group in shares),
            server_name=server_name(host),
            more=more,
        )
        self._opening = client_hello(self._hello)
        self.flight = ServerFlight(self._opening, shares)

    @property
    def accepted(self) -> bool:
        """Return whether the server took one of the things offered, and nothing that was not."""
        if self._accepted is None:
            accepted = self._accepts()
            if not self.done:
                return accepted
            self._accepted = accepted  # it is asked for again and again, and nothing changes any more
        return self._accepted

    def _accepts(self) -> bool:
        flight, offered = self.flight, self.inquiry
        if flight.version not in offered.versions or flight.suite not in offered.suites:
            return False
        if flight.group is None:
            return flight.version != codes.TLS13
        # below TLS 1.3 only those groups are believed that exist there
        return flight.group in offered.groups and (flight.version == codes.TLS13 or flight.group in codes.GROUPS_12)

    @property
    def older(self) -> bool:
        """Return whether the server answered with a version below all that were offered: a plain no to those."""
        return self.flight.version is not None and self.flight.version < min(self.inquiry.versions)

    def begin(self) -> bytes:
        """Return the record with our hello."""
        return handshake_record(self._opening, min(codes.TLS10, *self.inquiry.versions))

    def receive(self, octets: bytes) -> bytes:
        """Read what came; after a HelloRetryRequest return the second hello. Sets `done`; never raises."""
        if self.done:
            return b""
        try:
            self.flight.feed(octets)
            hello = self._go_on()
        except TlsUnreadable as error:
            self.fault, self.foreign, self.done = str(error), isinstance(error, NotTls), True
            return b""
        return handshake_record(hello) if hello else b""

    def _go_on(self) -> bytes:
        """Return our second hello where the server asks for one. Raises `TlsUnreadable`; sets `done`."""
        flight = self.flight
        if flight.version == codes.TLS13 and flight.group is None:
            # all that is known is that it wants its cookie back
            self.done = flight.complete
            return self._again() if flight.retry else b""
        if self.older:
            self.done = True
            return b""
        if flight.said_hello and not self.accepted:
            raise TlsUnreadable("the server chose something that was not offered")
        if flight.retry and self.inquiry.to_certificate:
            return self._again()
        self.done = flight.complete or (flight.said_hello and not self.inquiry.to_certificate)
        return b""

    def _again(self) -> bytes:
        cookie, group = self.flight.cookie[:MAX_COOKIE], self.flight.group
        if group is None:  # all that the server wants is its cookie
            hello = client_hello(replace(self._hello, cookie=cookie))
            self.flight.send_again(hello)
            return hello
        if group in dict(self._hello.key_shares):
            raise TlsUnreadable("the server asks again for a key share that it has")
        share = key_share(group)
        if share is None:
            raise TlsUnreadable(f"no key share of ours for {codes.group_name(group)}")
        hello = client_hello(replace(self._hello, key_shares=((group, _public(group)),), cookie=cookie))
        self.flight.send_again(hello, share)
        return hello
