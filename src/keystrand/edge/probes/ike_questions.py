"""The questions an IKE responder is asked: one IKE_SA_INIT each, or the first message of Main Mode in version 1.

No question authenticates: nothing is set up, and what a responder keeps of it, it forgets within seconds.
"""

import secrets
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from itertools import product

from cryptography.hazmat.primitives.asymmetric import ec, mlkem
from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from msgspec import Struct

from keystrand.formats import ike_codepoints as codes
from keystrand.formats.ike_codepoints import Notify
from keystrand.formats.ike_messages import (
    IKE_2,
    NON_ESP_MARKER,
    SPI_OCTETS,
    Chosen1,
    IkeUnreadable,
    Notification,
    Said,
    Transform,
    answer_to,
    main_mode,
    sa_init,
    said,
    said_1,
)
from keystrand.formats.tls_key_share import CurvePart

MAX_COOKIES = 3
"""Cookies that are returned in one talk: a responder that changes its secret in between asks twice."""
MAX_COOKIE = 64
"""Octets of a cookie at most (RFC 7296, 2.6)."""
_NONCE_OCTETS = 32


class Question(StrEnum):
    """What one conversation asks."""

    MODERN = "modern-initiator"
    SUPPORTS = "post-quantum-only"
    PREFERS = "classical-first"
    MAIN_MODE = "main-mode"
    ML_KEM_FIRST = "ml-kem-as-first-exchange"
    GROUPS = "classical-exchanges"
    ADDITIONAL = "additional-exchanges"


class Inquiry(Struct, frozen=True, kw_only=True):
    """What is proposed, best first, and the exchange that we send a share for.

    With `follow` we send another share where the responder asks for it, and hear what it chose altogether.
    """

    proposals: tuple[tuple[Transform, ...], ...]
    share: int
    follow: bool = False

    @property
    def exchanges(self) -> frozenset[int]:
        """Return the first exchanges that are offered."""
        return frozenset(one.number for some in self.proposals for one in some if one.kind == codes.KEY_EXCHANGE)


_PRFS = tuple(Transform(codes.PRF, number) for number in (5, 6, 7, 2))
_AEAD = (Transform(codes.ENCRYPTION, 20, 256), Transform(codes.ENCRYPTION, 20, 128), Transform(codes.ENCRYPTION, 28))
_CBC = (Transform(codes.ENCRYPTION, 12, 256), Transform(codes.ENCRYPTION, 12, 128), Transform(codes.ENCRYPTION, 3))
_MACS = tuple(Transform(codes.INTEGRITY, number) for number in (12, 13, 14, 2))
_USUAL = (codes.X25519, codes.P256, codes.P384, codes.P521, 14, 15, 16, 2)


def _exchanges(numbers: tuple[int, ...], kind: int = codes.KEY_EXCHANGE) -> tuple[Transform, ...]:
    return tuple(Transform(kind, number) for number in numbers)


def _both(more: tuple[Transform, ...]) -> tuple[tuple[Transform, ...], ...]:
    """Return a proposal with authenticated ciphers and one with ciphers and codes: they cannot be mixed (RFC 5282)."""
    return (_AEAD + _PRFS + more, _CBC + _PRFS + _MACS + more)


_CLASSICAL = _both(_exchanges(_USUAL))
_HYBRID = _both(_exchanges(_USUAL) + _exchanges(codes.ML_KEMS, codes.ADDITIONAL[0]))
# up to three additional exchanges, all but the first of which may be left out (RFC 9370, 2.2.1)
_SEVERAL = _both(
    _exchanges(_USUAL)
    + _exchanges(codes.ML_KEMS, codes.ADDITIONAL[0])
    + _exchanges((*codes.ML_KEMS, codes.NONE), codes.ADDITIONAL[1])
    + _exchanges((*codes.ML_KEMS, codes.NONE), codes.ADDITIONAL[2])
)
INQUIRIES = {
    Question.MODERN: Inquiry(proposals=_HYBRID + _CLASSICAL, share=codes.X25519, follow=True),
    Question.SUPPORTS: Inquiry(proposals=_HYBRID + _SEVERAL, share=codes.X25519, follow=True),
    Question.PREFERS: Inquiry(proposals=_CLASSICAL + _HYBRID, share=codes.X25519, follow=True),
    Question.ML_KEM_FIRST: Inquiry(proposals=_both(_exchanges(codes.ML_KEMS)), share=codes.ML_KEM_512),
}


def without_exchanges(taken: tuple[int, ...]) -> Inquiry | None:
    """Return the question for the first exchanges not in `taken`; None where none is left.

    The share is for the least likely: for any other, the responder names its choice without computing anything.
    """
    left = tuple(number for number in codes.CLASSICAL_EXCHANGES if number not in taken)
    computable = [number for number in left if number in _SHARES]
    return Inquiry(proposals=_both(_exchanges(left)), share=computable[-1]) if computable else None


def without_additional(taken: tuple[int, ...]) -> Inquiry | None:
    """Return the question for additional exchanges not in `taken`; None where none is left."""
    left = tuple(number for number in codes.ML_KEMS if number not in taken)
    more = _exchanges(_USUAL) + _exchanges(left, codes.ADDITIONAL[0])
    return Inquiry(proposals=_both(more), share=codes.X25519, follow=True) if left else None


def _curve(curve: type[ec.EllipticCurve]) -> Callable[[], bytes]:
    """Return both coordinates, without the octet that says so (RFC 5903, 7)."""
    return lambda: CurvePart(ec.generate_private_key(curve())).public[1:]


def _number_of(octets: int) -> Callable[[], bytes]:
    """Return a number below every prime of that length, whose logarithm nobody knows."""
    return lambda: b"\x01" + secrets.token_bytes(octets - 1)


_SHARES: dict[int, Callable[[], bytes]] = {
    codes.X25519: lambda: X25519PrivateKey.generate().public_key().public_bytes_raw(),
    codes.X448: lambda: X448PrivateKey.generate().public_key().public_bytes_raw(),
    codes.P256: _curve(ec.SECP256R1),
    codes.P384: _curve(ec.SECP384R1),
    codes.P521: _curve(ec.SECP521R1),
    26: _curve(ec.SECP224R1),
    28: _curve(ec.BrainpoolP256R1),
    29: _curve(ec.BrainpoolP384R1),
    30: _curve(ec.BrainpoolP512R1),
    codes.ML_KEM_512: lambda: bytes(800),  # all zeros is a valid encapsulation key (FIPS 203, 7.2)
    codes.ML_KEM_768: lambda: mlkem.MLKEM768PrivateKey.generate().public_key().public_bytes_raw(),
    codes.ML_KEM_1024: lambda: mlkem.MLKEM1024PrivateKey.generate().public_key().public_bytes_raw(),
    **{number: _number_of(octets) for number, octets in
       ((14, 256), (15, 384), (16, 512), (17, 768), (18, 1024), (5, 192), (2, 128), (1, 96))},
}  # fmt: skip


@cache
def share_of(number: int) -> bytes:
    """Return our share for an exchange, the same for every responder: no key is ever made with it."""
    return _SHARES[number]()


class IkeConversation:
    """One IKE_SA_INIT. `said` is the responder's answer, `refused` its error, `named` the share that it asked for.

    What is not an answer to what we sent changes nothing. `fault` says why reading stopped early.
    """

    def __init__(self, inquiry: Inquiry, *, marker: bool) -> None:
        self.inquiry = inquiry
        self.done = False
        self.fault = ""
        self.said: Said | None = None
        self.refused: int | None = None
        self.named: int | None = None
        self.cookies = 0
        self._marker = NON_ESP_MARKER if marker else b""
        self._spi, self._nonce = secrets.token_bytes(SPI_OCTETS), secrets.token_bytes(_NONCE_OCTETS)
        self._share = inquiry.share, share_of(inquiry.share)
        self._cookie: tuple[Notification, ...] = ()

    def begin(self) -> bytes:
        """Return our request."""
        return self._marker + sa_init(self._spi, self.inquiry.proposals, self._share, self._nonce, self._notifications)

    @property
    def _notifications(self) -> tuple[Notification, ...]:
        hashes = b"".join(number.to_bytes(2, "big") for number in (*codes.HASHES, 5))
        return (
            *self._cookie,
            Notification(Notify.IKEV2_FRAGMENTATION_SUPPORTED),
            Notification(Notify.SIGNATURE_HASH_ALGORITHMS, hashes),
            Notification(Notify.INTERMEDIATE_EXCHANGE_SUPPORTED),
            Notification(Notify.USE_PPK),
            Notification(Notify.USE_PPK_INT),
        )

    def receive(self, octets: bytes) -> bytes:
        """Take an answer; return the request again with what it asks for. Sets `done`; never raises."""
        if self.done or not octets:
            return b""
        try:
            head, message = answer_to(self._spi, octets.removeprefix(self._marker))
            if head.version != IKE_2:
                self.fault, self.done = "IKE version 1 only", True
                return b""
            return self._answered(said(message), by_responder=any(head.responder))
        except IkeUnreadable as error:
            # it may be an outsider's: the responder's own answer takes this back
            self.fault = str(error)
            return b""

    def _answered(self, found: Said, *, by_responder: bool) -> bytes:
        notes = {one.kind: one.content for one in found.notifications}
        self.fault = ""
        if found.transforms and by_responder:
            self.said, self.done = found, True
            return b""
        if Notify.COOKIE in notes:
            return self._with_cookie(notes[Notify.COOKIE])
        if Notify.INVALID_KE_PAYLOAD in notes:
            return self._with_share(int.from_bytes(notes[Notify.INVALID_KE_PAYLOAD][:2], "big"))
        self.refused = next((kind for kind in notes if kind < codes.FIRST_STATUS), None)
        self.done = self.refused is not None
        self.fault = "" if self.done else "an answer that neither chooses nor refuses"
        return b""

    def _with_cookie(self, cookie: bytes) -> bytes:
        self.cookies += 1
        if self.cookies > MAX_COOKIES or not 0 < len(cookie) <= MAX_COOKIE:
            self.fault, self.done = f"cookie number {self.cookies}, of {len(cookie)} octets", True
            return b""
        self._cookie = (Notification(Notify.COOKIE, cookie),)
        return self.begin()

    def _with_share(self, group: int) -> bytes:
        if group not in self.inquiry.exchanges:
            self.fault, self.done = f"the responder asks for key exchange {group}, which was not offered", True
            return b""
        again = self.named is not None
        self.named = group
        if again or not self.inquiry.follow or group not in _SHARES or group == self._share[0]:
            self.done = True
            return b""
        self._share = group, share_of(group)
        return self.begin()


_CIPHERS_1 = (((7, 256), 4), ((7, 256), 2), ((7, 128), 2), ((5, None), 2), ((5, None), 1))
"""Cipher and key length, and hash: from AES-256 with SHA-256 to 3DES with MD5."""
_GROUPS_1, _AUTHENTICATION_1 = (14, 2, 5), (1, 3)
_LIFE = ((11, 1), (12, 28800))
"""Seconds, and how many: the usual eight hours."""
_OFFERS_1 = tuple(
    ((1, cipher), (2, digest), (3, method), (4, group), *_LIFE, *(((14, bits),) if bits else ()))
    for ((cipher, bits), digest), group, method in product(_CIPHERS_1, _GROUPS_1, _AUTHENTICATION_1)
)
_OFFERED_1 = frozenset(
    Chosen1(said.get(1), said.get(14), said.get(2), said.get(3), said.get(4)) for said in map(dict, _OFFERS_1)
)


class MainModeConversation:
    """The first message of Main Mode. `chosen` is what the responder takes, `refused` the error it sends.

    `doubt` says why a choice is not believed: it must be one that was offered (RFC 2409, 5), by who has a cookie.
    """

    def __init__(self, *, marker: bool) -> None:
        self.done = False
        self.fault = self.doubt = ""
        self.chosen: Chosen1 | None = None
        self.refused: int | None = None
        self._marker = NON_ESP_MARKER if marker else b""
        self._spi = secrets.token_bytes(SPI_OCTETS)

    def begin(self) -> bytes:
        """Return our proposal."""
        return self._marker + main_mode(self._spi, _OFFERS_1)

    def receive(self, octets: bytes) -> bytes:
        """Take the answer. Sets `done`; never raises."""
        if self.done or not octets:
            return b""
        try:
            head, message = answer_to(self._spi, octets.removeprefix(self._marker))
            if head.version == IKE_2:
                self.fault, self.done = "no IKE version 1", True
                return b""
            chosen, self.refused = said_1(message)
            self.done = chosen is not None or self.refused is not None
            if chosen in _OFFERED_1 and any(head.responder):
                self.chosen = chosen
            elif chosen:
                self.doubt = "the responder chose something that was not offered"
                if not any(head.responder):
                    self.doubt = "the responder has no cookie of its own"
        except IkeUnreadable as error:
            self.fault = str(error)
        return b""
