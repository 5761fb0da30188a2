"""A server's first flight, read as it comes: ServerHello or HelloRetryRequest, certificate chain, signature scheme.

Sans I/O. We never send Finished, so no handshake completes. Sources: RFC 8446, section 4; RFC 5246, section 7.4;
RFC 8422, 5.4. TLS 1.0 and 1.1 are read as far as they are alike.
"""

from collections.abc import Callable, Mapping

from keystrand.formats.tls_codepoints import TLS12, TLS13, VERSIONS, Exchange, alert_name, exchange_of
from keystrand.formats.tls_key_schedule import HandshakeSecrets, RecordOpener, handshake_secrets, retried_transcript
from keystrand.formats.tls_key_share import KeyShare
from keystrand.formats.tls_wire import (
    ALERT,
    APPLICATION_DATA,
    CHANGE_CIPHER_SPEC,
    HANDSHAKE,
    Messages,
    NotTls,
    Reader,
    Record,
    Records,
    TlsUnreadable,
)

HELLO_RETRY_RANDOM = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
"""The random of a ServerHello that is a HelloRetryRequest: SHA-256 of "HelloRetryRequest" (RFC 8446, 4.1.3)."""
MAX_CERTIFICATES = 16
"""Certificates kept of a chain: real ones have two to four."""
MAX_WARNINGS = 8
"""Different warnings kept: one, unrecognized_name, is in use before a ServerHello."""

_SERVER_HELLO, _CERTIFICATE, _SERVER_KEY_EXCHANGE, _SERVER_HELLO_DONE = 2, 11, 12, 14
_CERTIFICATE_VERIFY, _FINISHED = 15, 20
_VERSIONS, _COOKIE, _KEY_SHARE = 43, 44, 51
_WARNING = 1
_NAMED_CURVE = 3


class ServerFlight:
    """What the server has said so far.

    `version`, `suite` and `group` are None until known. `retry` is set while a HelloRetryRequest waits for our second
    hello. `complete` is set once the server has said everything we can hear. `prime_bits` is the size of a
    finite-field group that TLS 1.2 sent without a name. `shared_secret` is what both shares of TLS 1.3 make,
    and `secrets` are those of its handshake.
    """

    def __init__(self, hello: bytes, shares: Mapping[int, KeyShare]) -> None:
        self._shares = dict(shares)
        self._first_hello, self._transcript = hello, hello
        self._records, self._messages = Records(), Messages()
        self._opener: RecordOpener | None = None
        self.secrets: HandshakeSecrets | None = None
        self.shared_secret = b""
        self.version: int | None = None
        self.suite: int | None = None
        self.group: int | None = None
        self.prime_bits: int | None = None
        self.scheme: int | None = None
        self.certificates: tuple[bytes, ...] = ()
        self.alert: int | None = None
        self.warnings: tuple[int, ...] = ()
        self.retry = self.retried = self.complete = False
        self.cookie = b""

    @property
    def said_hello(self) -> bool:
        """Return whether a ServerHello or a HelloRetryRequest came: the server accepts something we offered."""
        return self.version is not None

    def feed(self, octets: bytes) -> None:
        """Read what came. Raises `TlsUnreadable`; what was read before stays."""
        self._records.feed(octets)
        while not self.complete and not self.retry and (record := self._records.next()) is not None:
            self._take_record(record)

    def send_again(self, hello: bytes, share: KeyShare | None = None) -> None:
        """Go on after a HelloRetryRequest with our second `hello`, which carries `share`; without one, as the first."""
        self._transcript += hello
        self._shares = {share.group: share} if share else self._shares
        self.retry, self.retried = False, True

    def _take_record(self, record: Record) -> None:
        if self._opener is not None and record.kind == APPLICATION_DATA:
            kind, content = self._opener.open(record)
        else:
            kind, content = record.kind, record.body
        if kind == ALERT:
            self.take_alert(content)
        elif kind == HANDSHAKE and (self._opener is None or record.kind == APPLICATION_DATA):
            self.take_messages(content)
        elif kind != CHANGE_CIPHER_SPEC or not self.said_hello:
            raise self._unexpected(f"a record of type {kind}")

    def take_messages(self, octets: bytes) -> None:
        """Read handshake messages that came without records, as QUIC carries them. Raises `TlsUnreadable`."""
        self._messages.feed(octets)
        while not self.complete and not self.retry and (message := self._messages.next()) is not None:
            self._take_message(message)

    def take_alert(self, content: bytes) -> None:
        """Read the content of an alert. Raises `TlsUnreadable`."""
        reader = Reader(content)
        level, alert = reader.number(1), reader.number(1)
        # A warning before the ServerHello does not end the handshake: unrecognized_name is one (RFC 6066, 3).
        if level == _WARNING and not self.said_hello and alert != 0:
            if alert not in self.warnings and len(self.warnings) < MAX_WARNINGS:
                self.warnings += (alert,)
            return
        self.alert, self.complete = alert, True

    def _take_message(self, message: bytes) -> None:
        kind, content = message[0], Reader(message[4:])
        if not self.said_hello or (self.retried and self._opener is None and self.version == TLS13):
            if kind != _SERVER_HELLO:
                raise self._unexpected(f"handshake message {kind}")
            self._take_server_hello(message, content)
            return
        readers = _READERS_13 if self.version == TLS13 else _READERS_12
        if kind in readers:
            readers[kind](self, content)

    def _unexpected(self, what: str) -> TlsUnreadable:
        error = TlsUnreadable if self.said_hello or self.warnings else NotTls
        return error(f"{what} came where a ServerHello was due" if not self.said_hello else f"{what} was not due")

    def _take_server_hello(self, message: bytes, content: Reader) -> None:
        version, random = content.number(2), content.take(32)
        content.vector(1)
        suite = content.number(2)
        content.take(1)
        extensions = _extensions(content)
        if _VERSIONS in extensions:
            version = extensions[_VERSIONS].number(2)
        if version not in VERSIONS or exchange_of(suite) is None:
            raise TlsUnreadable(f"the server chose version 0x{version:04x} with suite 0x{suite:04x}")
        self._check_choice(version, suite)
        self.suite = suite
        if version == TLS13:
            self._take_13(message, extensions, again=random == HELLO_RETRY_RANDOM)
        self.version = version

    def _check_choice(self, version: int, suite: int) -> None:
        if (version == TLS13) != (exchange_of(suite) is Exchange.BY_GROUP):
            raise TlsUnreadable(f"suite 0x{suite:04x} does not belong to {VERSIONS[version]}")
        if self.retried and (version, suite) != (self.version, self.suite):
            raise TlsUnreadable("the server changed its mind after its HelloRetryRequest")

    def _take_13(self, message: bytes, extensions: dict[int, Reader], *, again: bool) -> None:
        share = extensions.get(_KEY_SHARE)
        if again and self.retried:
            raise TlsUnreadable("a second HelloRetryRequest")
        if share is None and not (again and _COOKIE in extensions):
            raise TlsUnreadable("the server names no group")
        if share is not None:
            self._choose(share.number(2))
        if again or share is None:
            self._take_retry(message, extensions)
            return
        self._transcript += message
        self._derive(self.group or 0, share.vector(2))

    def _choose(self, group: int) -> None:
        if self.retried and self.group not in (None, group):
            raise TlsUnreadable("the server changed its mind after its HelloRetryRequest")
        self.group = group

    def _take_retry(self, message: bytes, extensions: dict[int, Reader]) -> None:
        if _COOKIE in extensions:
            self.cookie = extensions[_COOKIE].vector(2)
        self._transcript = retried_transcript(self.suite or 0, self._first_hello) + message
        self.retry = True

    def _derive(self, group: int, answer: bytes) -> None:
        if group not in self._shares:
            raise TlsUnreadable(f"the server answers for group 0x{group:04x}, for which we sent no share")
        suite = self.suite or 0
        self.shared_secret = self._shares[group].secret(answer)
        self.secrets = handshake_secrets(suite, self.shared_secret, self._transcript)
        self._opener = RecordOpener(suite, self.secrets.server)

    def _take_chain_13(self, content: Reader) -> None:
        content.vector(1)
        entries = Reader(content.vector(3))
        found: list[bytes] = []
        while not entries.empty and len(found) < MAX_CERTIFICATES:
            found.append(entries.vector(3))
            entries.vector(2)
        self.certificates = tuple(found)

    def _take_chain_12(self, content: Reader) -> None:
        entries = Reader(content.vector(3))
        found: list[bytes] = []
        while not entries.empty and len(found) < MAX_CERTIFICATES:
            found.append(entries.vector(3))
        self.certificates = tuple(found)

    def _take_verify(self, content: Reader) -> None:
        self.scheme, self.complete = content.number(2), True

    def _take_key_exchange(self, content: Reader) -> None:
        exchange = exchange_of(self.suite or 0)
        if exchange in (Exchange.DHE, Exchange.DH_ANON):
            self.prime_bits = int.from_bytes(content.vector(2), "big").bit_length()
            content.vector(2)
            content.vector(2)
        elif exchange in (Exchange.ECDHE, Exchange.ECDH_ANON):
            if content.number(1) != _NAMED_CURVE:
                raise TlsUnreadable("the server's curve has no name")
            self.group = content.number(2)
            content.vector(1)
        if self.version == TLS12 and exchange and exchange.signed:
            self.scheme = content.number(2)

    def _finish(self, _content: Reader) -> None:
        self.complete = True

    def __str__(self) -> str:
        if self.alert is not None:
            return f"alert {alert_name(self.alert)}"
        return VERSIONS.get(self.version or 0, "no answer yet")


_Take = Callable[[ServerFlight, Reader], None]
# The machine reads its own messages.
_READERS_13: dict[int, _Take] = {
    _CERTIFICATE: ServerFlight._take_chain_13,  # noqa: SLF001
    _CERTIFICATE_VERIFY: ServerFlight._take_verify,  # noqa: SLF001
    _FINISHED: ServerFlight._finish,  # noqa: SLF001
}
_READERS_12: dict[int, _Take] = {
    _CERTIFICATE: ServerFlight._take_chain_12,  # noqa: SLF001
    _SERVER_KEY_EXCHANGE: ServerFlight._take_key_exchange,  # noqa: SLF001
    _SERVER_HELLO_DONE: ServerFlight._finish,  # noqa: SLF001
}


def _extensions(content: Reader) -> dict[int, Reader]:
    """Return the extensions of a ServerHello by type; before TLS 1.3 there may be none."""
    if content.empty:
        return {}
    rest, found = Reader(content.vector(2)), {}
    while not rest.empty:
        kind = rest.number(2)
        found[kind] = Reader(rest.vector(2))
    return found
