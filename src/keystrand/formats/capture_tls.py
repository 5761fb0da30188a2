"""TLS as a bystander sees it: hellos, and before TLS 1.3 certificates and signatures too.

Sources: RFC 8446, section 4; RFC 5246, 7.4; RFC 8422, 5.4; RFC 4346 and RFC 2246 for what came before. QUIC and DTLS
carry the same messages and share `Handshake`.
"""

from collections.abc import Callable
from functools import lru_cache

from keystrand.formats import tls_codepoints as codes
from keystrand.formats.capture_session import Session, Use
from keystrand.formats.tls_offer import Choice, Offer, client_offer, is_13, server_choice, version_name
from keystrand.formats.tls_server_flight import MAX_CERTIFICATES
from keystrand.formats.tls_suites import Suite, suite
from keystrand.formats.tls_wire import (
    ALERT,
    CHANGE_CIPHER_SPEC,
    HANDSHAKE,
    MAX_RECORD,
    Reader,
    TlsUnreadable,
)
from keystrand.formats.x509_facts import certificate_fact
from keystrand.model.algorithm import Function, Verdict, classify
from keystrand.model.errors import InvalidInput
from keystrand.model.observation import Certificate

_CLIENT_HELLO, _SERVER_HELLO, _CERTIFICATE, _KEY_EXCHANGE = 1, 2, 11, 12
_NAMED_CURVE, _TLS12, _WARNING, _MAJOR = 3, (0x0303, 0xFEFD), b"\1", 3
_FAMILY = {"ECDHE": "ECDH", "ECDH": "ECDH", "ECDH_anon": "ECDH", "DHE": "FFDH", "DH": "FFDH", "DH_anon": "FFDH"}


class Handshake:
    """Takes handshake messages of both sides, each with its four-octet head. `done`: nothing more can be read."""

    def __init__(self, *, datagram: bool = False) -> None:
        self._datagram = datagram
        self.offer: Offer | None = None
        self.choice: Choice | None = None
        self.done = False
        self.client_first: bool | None = None
        self._group: int | None = None
        self._prime_bits: int | None = None
        self._scheme: int | None = None
        self._signed = False
        self._chains: dict[bool, tuple[bytes, ...]] = {}

    def message(self, message: bytes, *, first: bool) -> None:
        """Take a message. Raises `TlsUnreadable`; what was read before stays."""
        if (take := _TAKE.get(message[0])) is not None:
            take(self, message[4:], first)

    def _take_client_hello(self, body: bytes, first: bool) -> None:  # noqa: FBT001 - the form of every reader
        if self.choice is None or self.choice.again or self._datagram:
            self.offer, self.client_first = client_offer(body, datagram=self._datagram), first

    def _take_server_hello(self, body: bytes, first: bool) -> None:  # noqa: FBT001 - as above
        self.choice = server_choice(body)
        if self.client_first is None:
            self.client_first = not first
        if is_13(self.choice.version):
            self._group = self.choice.group
            self.done = not self.choice.again

    def _take_chain(self, body: bytes, first: bool) -> None:  # noqa: FBT001 - as above
        entries = Reader(Reader(body).vector(3))
        found: list[bytes] = []
        while not entries.empty and len(found) < MAX_CERTIFICATES:
            found.append(entries.vector(3))
        self._chains[first == self.client_first] = tuple(found)

    def _take_key_exchange(self, body: bytes, _first: bool) -> None:  # noqa: FBT001 - as above
        content, chosen = Reader(body), self._suite()
        family = _FAMILY.get(chosen.exchange) if chosen else None
        if family == "FFDH":
            self._prime_bits = int.from_bytes(content.vector(2), "big").bit_length()
            content.vector(2)
            content.vector(2)
        elif family == "ECDH" and content.number(1) == _NAMED_CURVE:
            self._group = content.number(2)
            content.vector(1)
        else:
            return
        self._signed = not content.empty
        if self._signed and self.choice and self.choice.version in _TLS12:
            self._scheme = content.number(2)

    def _suite(self) -> Suite | None:
        return suite(self.choice.suite) if self.choice else None

    def session(self, protocol: str, carried_by: str = "") -> Session:
        """Return what was seen of the conversation."""
        exchange = self._exchange()
        seen = self.choice is not None and not self.choice.again
        return Session(
            protocol=protocol,
            version=version_name(self.choice.version) if self.choice and seen else "",
            exchange=exchange,
            uses=tuple(use for use in (exchange, self._signature(), self._encryption()) if use) if seen else (),
            offers=offers(self.offer) if self.offer else (),
            certificates=self._chains.get(False, ()),
            client_certificates=self._chains.get(True, ()),
            client_first=self.client_first,
            offered_post_quantum=self.offer is not None and offers_post_quantum(self.offer.shares),
            carried_by=carried_by,
        )

    def _leaf(self) -> Certificate | None:
        chain = self._chains.get(False, ())
        return certificate_of(chain[0]) if chain else None

    def _exchange(self) -> Use | None:
        chosen = self._suite()
        if self.choice is None or self.choice.again:
            return None
        if self._group is not None:
            return _establishment(codes.group_name(self._group), self._group)
        number = self.choice.suite
        if is_13(self.choice.version):
            return _establishment("PSK", number) if self.choice.resumes_key else None
        name = exchange_name(chosen.exchange) if chosen else f"TLS-suite-{codes.code_point(number)}"
        if name == "RSA-KEX":
            name = codes.sized(name, self._leaf())
        return _establishment(f"{name}-{self._prime_bits}" if self._prime_bits else name, number)

    def _signature(self) -> Use | None:
        leaf = self._leaf()
        if self._scheme is not None:
            return Use(Function.SIGNATURE, scheme_name(self._scheme, leaf), codes.code_point(self._scheme))
        return Use(Function.SIGNATURE, leaf.key_algorithm) if self._signed and leaf else None

    def _encryption(self) -> Use | None:
        chosen = self._suite()
        return (
            Use(Function.ENCRYPTION, chosen.cipher, codes.code_point(self.choice.suite))
            if chosen and self.choice
            else None
        )


_TAKE: dict[int, Callable[[Handshake, bytes, bool], None]] = {
    # the machine reads its own messages
    _CLIENT_HELLO: Handshake._take_client_hello,  # noqa: SLF001
    _SERVER_HELLO: Handshake._take_server_hello,  # noqa: SLF001
    _CERTIFICATE: Handshake._take_chain,  # noqa: SLF001
    _KEY_EXCHANGE: Handshake._take_key_exchange,  # noqa: SLF001
}


def _establishment(name: str, value: int) -> Use:
    return Use(Function.KEY_ESTABLISHMENT, name, codes.code_point(value))


_OLD_SIGNATURES = {1: "RSA", 2: "DSA", 3: "ECDSA"}
_OLD_HASHES = range(1, 7)


def scheme_name(scheme: int, certificate: Certificate | None = None) -> str:
    """Return the canonical name of a signature scheme, the pairs of hash and signature of RFC 5246, 7.4.1.4.1 too."""
    name = codes.scheme_name(scheme, certificate)
    if not name.startswith("TLS-signature-") or scheme >> 8 not in _OLD_HASHES or scheme & 0xFF not in _OLD_SIGNATURES:
        return name
    family = _OLD_SIGNATURES[scheme & 0xFF]
    return certificate.key_algorithm if certificate and certificate.key_algorithm.startswith(family) else family


def exchange_name(exchange: str) -> str:
    """Return the canonical name of a suite's key exchange where neither group nor size is known."""
    if exchange in _FAMILY:
        return _FAMILY[exchange]
    return {"RSA": "RSA-KEX", "RSA_PSK": "RSA-KEX", "ECDHE_PSK": "ECDH", "DHE_PSK": "FFDH"}.get(exchange, exchange)


@lru_cache(maxsize=1024)
def certificate_of(der: bytes) -> Certificate | None:
    """Return a certificate's facts, None where it is no X.509. The same few pass a sensor over and over."""
    try:
        return certificate_fact(der)
    except InvalidInput:
        return None


@lru_cache(maxsize=4096)
def offers_post_quantum(groups: tuple[int, ...]) -> bool:
    """Return whether one of the groups resists a quantum computer."""
    return any(classify(codes.group_name(group)).verdict is Verdict.QUANTUM_SAFE for group in groups)


def offers(offer: Offer) -> tuple[Use, ...]:
    """Return what a client offers to establish keys with.

    The signatures it takes are no use of its own: shown beside a server's they would be mistaken for them.
    """
    return _offers(offer.groups, offer.suites)


@lru_cache(maxsize=1024)
def _offers(groups: tuple[int, ...], suites: tuple[int, ...]) -> tuple[Use, ...]:
    found = {use.algorithm: use for use in (_establishment(codes.group_name(group), group) for group in groups)}
    for number in suites:
        if (one := suite(number)) is not None and one.exchange == "RSA":
            found.setdefault("RSA-KEX", _establishment("RSA-KEX", number))
    return tuple(found.values())


class TlsDissector:
    """TLS over a stream: records of both sides, until what follows is encrypted."""

    def __init__(self, carried_by: str = "") -> None:
        self._carried_by = carried_by
        self._handshake = Handshake()
        self._records = {True: b"", False: b""}
        self._messages = {True: b"", False: b""}
        self._ended = {True: False, False: False}

    def take(self, *, first: bool, octets: bytes) -> bool:
        """Take stream octets; see `Dissector`."""
        if not self._ended[first]:
            try:
                self._records[first] = self._cut(self._records[first] + octets, first=first)
            except TlsUnreadable:
                self._ended[first] = True
        return self._handshake.done or (self._ended[True] and self._ended[False])

    def _cut(self, octets: bytes, *, first: bool) -> bytes:
        """Read the whole records; return the octets after them. Raises `TlsUnreadable` where no record can begin."""
        at = 0
        while at + 5 <= len(octets):
            end = at + 5 + (octets[at + 3] << 8 | octets[at + 4])
            if octets[at + 1] != _MAJOR or end - at > 5 + MAX_RECORD:
                raise TlsUnreadable("no TLS record begins so")
            if end > len(octets):
                break
            if octets[at] == HANDSHAKE:
                self._read(octets[at + 5 : end], first=first)
            elif self._ends(octets[at], octets[at + 5 : end]):
                self._ended[first] = True
                return b""
            if self._handshake.done:
                return b""
            at = end
        return octets[at:] if at else octets

    def _read(self, body: bytes, *, first: bool) -> None:
        """Read the whole messages in the content of records, however they are cut."""
        octets = self._messages[first] + body
        at = 0
        while at + 4 <= len(octets):
            end = at + 4 + (octets[at + 1] << 16 | octets[at + 2] << 8 | octets[at + 3])
            if end > len(octets):
                break
            self._handshake.message(octets[at:end], first=first)
            at = end
        self._messages[first] = octets[at:]

    def _ends(self, kind: int, body: bytes) -> bool:
        """Return whether a record that is no handshake's says that what follows is encrypted."""
        choice = self._handshake.choice
        # RFC 8446, D.4: around a HelloRetryRequest this may come in clear; RFC 6066, 3: a warning ends nothing
        retry = kind == CHANGE_CIPHER_SPEC and choice is not None and choice.again
        warning = kind == ALERT and body[:1] == _WARNING and choice is None
        return not (retry or warning)

    def session(self) -> Session | None:
        """Return what was seen; see `Dissector`."""
        handshake = self._handshake
        return handshake.session("tls", self._carried_by) if handshake.offer or handshake.choice else Session("tls")
