"""The server's encrypted records of the handshake of DTLS 1.3 (RFC 9147, sections 4 and 5.9)."""

from cryptography.exceptions import InvalidTag

from keystrand.formats.dtls_records import DtlsRecord
from keystrand.formats.quic_packets import number_mask, whole_number
from keystrand.formats.tls_key_schedule import (
    DTLS_LABELS,
    NONCE_OCTETS,
    expand_label,
    handshake_secrets,
    parameters_of,
    retried_transcript,
)
from keystrand.formats.tls_server_flight import ServerFlight
from keystrand.formats.tls_wire import number

_WIDE_NUMBER, _WITH_LENGTH, _EPOCH = 0x08, 0x04, 0x03
_HANDSHAKE_EPOCH = 2
_SAMPLE_OCTETS = 16
MAX_WAITING = 16
"""Encrypted records kept that came before the ServerHello: a few, where datagrams overtake each other."""


class DtlsOpener:
    """Opens the server's records of epoch 2. `transcript` is every message up to the ServerHello, as DTLS writes it."""

    def __init__(self, suite: int, shared_secret: bytes, transcript: bytes) -> None:
        secret = handshake_secrets(suite, shared_secret, transcript, DTLS_LABELS).server
        name, cipher, octets = parameters_of(suite)
        self._cipher = cipher(expand_label(name, secret, b"key", b"", octets, DTLS_LABELS))
        self._iv = int.from_bytes(expand_label(name, secret, b"iv", b"", NONCE_OCTETS, DTLS_LABELS), "big")
        self._mask = number_mask(suite, expand_label(name, secret, b"sn", b"", octets, DTLS_LABELS))
        self._largest = -1

    def open(self, octets: bytes) -> DtlsRecord | None:
        """Return what an encrypted record holds, or None where it was not made with these keys."""
        first = octets[0]
        width = 2 if first & _WIDE_NUMBER else 1
        begin = 1 + width + (2 if first & _WITH_LENGTH else 0)
        body = octets[begin:]
        if first & _EPOCH != _HANDSHAKE_EPOCH or len(body) < _SAMPLE_OCTETS:
            return None
        mask = self._mask(body[:_SAMPLE_OCTETS])[:width]
        truncated = int.from_bytes(octets[1 : 1 + width], "big") ^ int.from_bytes(mask, "big")
        order = whole_number(truncated, width, self._largest)
        head = octets[:1] + number(truncated, width) + octets[1 + width : begin]
        try:
            plain = self._cipher.decrypt(number(self._iv ^ order, NONCE_OCTETS), body, head).rstrip(b"\0")
        except InvalidTag:
            return None
        self._largest = max(self._largest, order)
        return DtlsRecord(plain[-1], plain[:-1]) if plain else None


class Encrypted:
    """The encrypted part of a server's flight: opens its records once the messages before them are known."""

    def __init__(self, hello: bytes) -> None:
        self._said = hello
        self._opener: DtlsOpener | None = None
        self._waiting: list[bytes] = []

    def say(self, hello: bytes) -> None:
        """Note our second hello."""
        self._said += hello

    def hear(self, hello: bytes, flight: ServerFlight) -> None:
        """Note a ServerHello or HelloRetryRequest that `flight` has read. Raises `TlsUnreadable`."""
        if flight.retry:
            self._said = retried_transcript(flight.suite or 0, self._said) + hello
            return
        self._said += hello
        if flight.secrets is not None:
            self._opener = DtlsOpener(flight.suite or 0, flight.shared_secret, self._said)

    def opened(self, octets: bytes = b"") -> list[DtlsRecord]:
        """Return what can be read now of `octets` and of the records that came before them."""
        if octets and len(self._waiting) < MAX_WAITING:
            self._waiting.append(octets)
        if self._opener is None:
            return []
        waiting, self._waiting = self._waiting, []
        return [record for one in waiting if (record := self._opener.open(one))]
