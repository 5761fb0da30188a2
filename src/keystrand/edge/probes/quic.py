"""The QUIC probe: the questions of the TLS probe that mean something in QUIC, whose only TLS is 1.3.

We send no Finished and close every connection that we opened. Source: RFC 9001.
"""

import secrets
from typing import ClassVar

from msgspec.structs import replace

from keystrand.edge.probes.base import Answer
from keystrand.edge.probes.tls_datagrams import DatagramConversation, DatagramProbe, talks_of
from keystrand.edge.probes.tls_questions import Inquiry, Question
from keystrand.formats import tls_codepoints as codes
from keystrand.formats.quic_client import QuicClient, error_name, hello_extensions
from keystrand.formats.quic_packets import V1, VERSIONS, QuicUnreadable
from keystrand.formats.tls_wire import TlsUnreadable
from keystrand.model.estate import ProbeKind
from keystrand.model.observation import Endpoint

PROTOCOLS = (b"h3", b"doq", b"smb", b"hq-interop")
"""Application protocols offered: servers refuse a hello without one of theirs (RFC 9001, 8.1)."""
_CONNECTION_ID_OCTETS = 8


class QuicConversation(DatagramConversation):
    """One QUIC connection. A datagram that is not for us, or not by the server, changes nothing."""

    def __init__(self, inquiry: Inquiry, host: str) -> None:
        # an offer of an older version ends the handshake (RFC 9001, 4.2)
        suites = tuple(suite for suite in inquiry.suites if codes.exchange_of(suite) is codes.Exchange.BY_GROUP)
        inquiry = replace(inquiry, versions=(codes.TLS13,), suites=suites)
        source, destination = (secrets.token_bytes(_CONNECTION_ID_OCTETS) for _ in range(2))
        super().__init__(inquiry, host, session=b"", more=hello_extensions(source, PROTOCOLS))
        self.client = QuicClient(V1, destination, source, self.flight)

    def opening(self) -> tuple[bytes, ...]:
        """Return the datagrams with our hello."""
        return self.client.say(self._opening)

    def answer(self, datagram: bytes) -> tuple[bytes, ...]:
        """Read a datagram and return what to send next; the last is our leave. Sets `done`."""
        try:
            return self._answer(datagram)
        except (QuicUnreadable, TlsUnreadable) as error:
            self.fault, self.done = str(error), True
            return self.client.farewell()

    def _answer(self, datagram: bytes) -> tuple[bytes, ...]:
        again = self.client.take(datagram)
        if not again and not self.client.heard:
            # it may still be another's: the server's own answer takes this back
            self.fault, self.foreign = "a datagram that is no QUIC packet for us", True
            return ()
        self.fault, self.foreign = "", False
        if (closed := self.client.closed) is not None and not self.flight.complete:
            self.flight.alert, self.done = closed.alert, True
            self.fault = "" if closed.alert is not None else f"the server closes: {error_name(closed.code)}"
            return ()
        hello = self._go_on()
        if self.done:
            return self.client.farewell()
        return again + (self.client.say(hello) if hello else ()) + self.client.acknowledgement()


class QuicProbe(DatagramProbe):
    """Asks a QUIC server; see `Question`."""

    kind: ClassVar[ProbeKind] = ProbeKind.QUIC
    conversation = QuicConversation
    first = (Question.SUPPORTS, Question.BROWSER)
    rest = (Question.DOWNGRADE, Question.CLASSICAL, Question.ML_DSA)
    at_once = 2

    def endpoint(self, fact: Endpoint, answers: tuple[Answer, ...]) -> Endpoint:
        """Return the endpoint with the QUIC versions that it spoke, or named when we came with another."""
        found: set[int] = set()
        for _, talk in talks_of(answers):
            if isinstance(talk, QuicConversation) and talk.flight.said_hello:
                found |= {talk.client.version, *talk.client.server_versions}
        versions = tuple(name for version, name in VERSIONS.items() if version in found)
        return replace(super().endpoint(fact, answers), versions=versions)
