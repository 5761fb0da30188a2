"""The DTLS probe: the questions of the TLS probe over datagrams.

Sources: RFC 6347 and RFC 9147. A server's cookie is returned to it, so that it knows that we are where we say we are.
"""

from typing import ClassVar

from msgspec.structs import replace

from keystrand.edge.probes.base import Answer
from keystrand.edge.probes.tls_datagrams import DatagramConversation, DatagramProbe, talks_of
from keystrand.edge.probes.tls_questions import Inquiry, Question
from keystrand.formats.dtls_protection import Encrypted
from keystrand.formats.dtls_records import (
    ENCRYPTED,
    HELLO_VERIFY_REQUEST,
    SERVER_HELLO,
    VERSIONS,
    DtlsRecord,
    Fragments,
    client_hello_of,
    datagrams,
    farewell,
    records,
    server_hello_as_tls,
    verify_cookie,
)
from keystrand.formats.tls_codepoints import TLS13
from keystrand.formats.tls_wire import ALERT, HANDSHAKE, TlsUnreadable
from keystrand.model.estate import ProbeKind
from keystrand.model.observation import Endpoint

MAX_COOKIES = 3
"""HelloVerifyRequests that are answered: a server that restarts in between asks twice."""


class DtlsConversation(DatagramConversation):
    """One DTLS association. A datagram that holds no DTLS record changes nothing."""

    def __init__(self, inquiry: Inquiry, host: str) -> None:
        super().__init__(inquiry, host, session=b"")
        self._first = client_hello_of(self._opening, b"")
        self._encrypted = Encrypted(self._first)
        self._fragments = Fragments()
        self._order = self._record = self._cookies = 0

    def opening(self) -> tuple[bytes, ...]:
        """Return the datagrams with our hello."""
        return self._carried(self._first)

    def answer(self, datagram: bytes) -> tuple[bytes, ...]:
        """Read a datagram; return what to send next. Sets `done`."""
        try:
            return self._answer(datagram)
        except TlsUnreadable as error:
            self.fault, self.done = str(error), True
            return (farewell(self._record),)

    def _carried(self, hello: bytes) -> tuple[bytes, ...]:
        found = datagrams(hello, self._order, self._record)
        self._order, self._record = self._order + 1, self._record + len(found)
        return found

    def _answer(self, datagram: bytes) -> tuple[bytes, ...]:
        found = records(datagram)
        if not found and not self.flight.said_hello:
            self.fault, self.foreign = "a datagram without a DTLS record", True
            return ()
        if any(record.kind != ENCRYPTED for record in found):
            self.fault, self.foreign = "", False
        again: tuple[bytes, ...] = ()
        for record in found:
            again += self._take(record) if record.kind != ENCRYPTED else self._take_opened(record.body)
        again += self._take_opened()
        if hello := self._go_on():
            second = client_hello_of(hello, b"")
            self._encrypted.say(second)
            return again + self._carried(second)
        if self.done:
            return (farewell(self._record),) if self.flight.alert is None else ()
        return again

    def _take_opened(self, octets: bytes = b"") -> tuple[bytes, ...]:
        again: tuple[bytes, ...] = ()
        for record in self._encrypted.opened(octets):
            again += self._take(record)
        return again

    def _take(self, record: DtlsRecord) -> tuple[bytes, ...]:
        again: tuple[bytes, ...] = ()
        if record.kind == ALERT:
            self.flight.take_alert(record.body)
        elif record.kind == HANDSHAKE:
            for message in self._fragments.take(record.body):
                again += self._take_message(message)
        return again

    def _take_message(self, message: bytes) -> tuple[bytes, ...]:
        if message[0] == HELLO_VERIFY_REQUEST:
            return self._with_cookie(verify_cookie(message))
        self.flight.take_messages(server_hello_as_tls(message))
        if message[0] == SERVER_HELLO and self.flight.version == TLS13:
            self._encrypted.hear(message, self.flight)
        return ()

    def _with_cookie(self, cookie: bytes) -> tuple[bytes, ...]:
        self._cookies += 1
        if self.flight.said_hello or self._cookies > MAX_COOKIES:
            raise TlsUnreadable("a HelloVerifyRequest that was not due")
        hello = client_hello_of(self._opening, cookie)
        self._encrypted = Encrypted(hello)
        return self._carried(hello)


class DtlsProbe(DatagramProbe):
    """Asks a DTLS server; see `Question`. One question at a time: small servers hold one association."""

    kind: ClassVar[ProbeKind] = ProbeKind.DTLS
    conversation = DtlsConversation
    first = (Question.BROWSER, Question.SUPPORTS)
    rest = (
        Question.DOWNGRADE,
        Question.CLASSICAL,
        Question.TLS12,
        Question.STATIC_RSA,
        Question.LEGACY,
        Question.ML_DSA,
    )
    at_once = 1

    def endpoint(self, fact: Endpoint, answers: tuple[Answer, ...]) -> Endpoint:
        """Return the endpoint with its versions by their DTLS names."""
        found = {talk.flight.version for _, talk in talks_of(answers) if talk.accepted}
        names = tuple(name for version, name in VERSIONS.items() if version in found)
        return replace(super().endpoint(fact, answers), versions=names)
