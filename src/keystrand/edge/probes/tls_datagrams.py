"""What QUIC and DTLS have in common as probes: the questions of the TLS probe, asked in datagrams."""

from abc import abstractmethod
from collections import deque
from functools import partial
from typing import ClassVar

from msgspec.structs import replace

from keystrand.edge.probes.base import Answer, Job
from keystrand.edge.probes.tls import TlsProbe
from keystrand.edge.probes.tls_plan import MOST_OF, is_post_quantum
from keystrand.edge.probes.tls_questions import INQUIRIES, Inquiry, Question, TlsConversation, without_groups
from keystrand.formats import tls_codepoints as codes
from keystrand.model.estate import ScanMode, Target
from keystrand.model.observation import Endpoint, Observation, Record

WITH_SHARES = f"{Question.SUPPORTS}-with-shares"
"""Asked where a server takes shares but cannot ask for one: it has no HelloRetryRequest."""

_ALL_SHARES = (codes.X25519_MLKEM768, codes.SECP256R1_MLKEM768, codes.SECP384R1_MLKEM1024, codes.MLKEM768,
               codes.MLKEM1024)  # fmt: skip
_WITH_SHARES = replace(INQUIRIES[Question.SUPPORTS], groups=_ALL_SHARES, shares=_ALL_SHARES)
_CERTIFICATE_CURVES = (codes.SECP256R1, codes.SECP384R1, codes.SECP521R1)
"""Kept at the end of the offer in version 1.2, where they must cover the curve of the certificate too (RFC 8422, 5.1).
A server that goes by the client's order then takes each of the others first."""
_BY_EXCLUSION = (Question.SUPPORTS, Question.CLASSICAL, Question.TLS12)


class DatagramConversation(TlsConversation):
    """A TLS question in datagrams: several may go out before one comes in."""

    _outbox: deque[bytes]

    @abstractmethod
    def opening(self) -> tuple[bytes, ...]:
        """Return the first datagrams."""

    @abstractmethod
    def answer(self, datagram: bytes) -> tuple[bytes, ...]:
        """Read a datagram that came and return the next ones. Sets `done`; never raises."""

    def begin(self) -> bytes:
        """Return the first datagram."""
        self._outbox = deque(self.opening())
        return self._outbox.popleft()

    def receive(self, octets: bytes) -> bytes:
        """Take a datagram, or nothing; return the next datagram to send, if there is one."""
        if octets and not self.done:
            self._outbox.extend(self.answer(octets))
        return self._outbox.popleft() if self._outbox else b""


class DatagramProbe(TlsProbe):
    """Plans the questions in `questions` and judges the answers as the TLS probe does."""

    conversation: ClassVar[type[DatagramConversation]]
    first: ClassVar[tuple[Question, ...]]
    rest: ClassVar[tuple[Question, ...]]
    at_once: ClassVar[int]

    def plan(self, target: Target, answers: tuple[Answer, ...]) -> tuple[Job, ...]:
        """Return the next round, at most `at_once` questions. A server that does not answer is left alone."""
        asked = {answer.job.question for answer in answers}
        wanted = _quick(answers) if target.mode is ScanMode.QUICK else self._thorough(target, answers)
        if _takes_shares_only(answers):
            wanted[WITH_SHARES] = _WITH_SHARES
        new = [(name, inquiry) for name, inquiry in wanted.items() if name not in asked]
        most = MOST_OF[target.mode or ScanMode.STANDARD]
        room = max(0, min(self.at_once, most - len(asked)))
        return tuple(self._job(target, name, inquiry) for name, inquiry in new[:room])

    def _thorough(self, target: Target, answers: tuple[Answer, ...]) -> dict[str, Inquiry]:
        wanted = _named(*self.first)
        if any(talk.flight.said_hello or talk.flight.alert is not None for _, talk in talks_of(answers)):
            wanted |= _named(*self.rest)
            wanted |= _next_groups(answers) if target.mode is ScanMode.FULL else {}
        return wanted

    def judge(self, target: Target, answers: tuple[Answer, ...]) -> tuple[Record, ...]:
        """Return what was seen and one attempt."""
        return tuple(
            replace(record, fact=self.endpoint(record.fact, answers))
            if isinstance(record, Observation) and isinstance(record.fact, Endpoint)
            else record
            for record in super().judge(target, answers)
        )

    def endpoint(self, fact: Endpoint, answers: tuple[Answer, ...]) -> Endpoint:
        """Return the endpoint as this protocol calls it."""
        fact = replace(fact, protocol=self.kind.value)
        if WITH_SHARES not in {answer.job.question for answer in answers}:
            return fact
        return replace(fact, supports_post_quantum=_supports(answers))

    def _job(self, target: Target, question: str, inquiry: Inquiry) -> Job:
        host = target.host or ""
        return Job(question, host, target.port or 0, partial(self.conversation, inquiry, host), "udp")


def talks_of(answers: tuple[Answer, ...]) -> list[tuple[Answer, DatagramConversation]]:
    """Return the answers with their conversations."""
    pairs = ((answer, answer.conversation) for answer in answers)
    return [(answer, talk) for answer, talk in pairs if isinstance(talk, DatagramConversation)]


def _named(*questions: Question) -> dict[str, Inquiry]:
    return {question.value: INQUIRIES[question] for question in questions}


def _quick(answers: tuple[Answer, ...]) -> dict[str, Inquiry]:
    """Ask for the server's choice; again only where that leaves open whether it is post-quantum."""
    wanted = _named(Question.CHOICE)
    for _, talk in talks_of(answers[:1]):
        if talk.accepted and not is_post_quantum(talk):
            wanted |= _named(Question.SUPPORTS)
        elif talk.flight.alert is not None:
            wanted |= _named(Question.BROWSER)
    return wanted


def _next_groups(answers: tuple[Answer, ...]) -> dict[str, Inquiry]:
    """Return each question once more without the groups already taken, where its last answer took a new one."""
    wanted: dict[str, Inquiry] = {}
    for question in _BY_EXCLUSION:
        talks = [
            talk
            for answer, talk in talks_of(answers)
            if answer.job.question.startswith(question) and answer.job.question != WITH_SHARES
        ]
        taken = tuple(talk.flight.group for talk in talks if talk.accepted and talk.flight.group is not None)
        if talks and talks[-1].accepted and taken and taken[-1] not in taken[:-1]:
            inquiry = without_groups(question, taken)
            last = tuple(group for group in taken if question is Question.TLS12 and group in _CERTIFICATE_CURVES)
            inquiry = replace(inquiry, groups=inquiry.groups + last) if inquiry.groups else inquiry
            wanted |= {f"{question}-{len(talks) + 1}": inquiry} if inquiry.groups else {}
    return wanted


def _takes_shares_only(answers: tuple[Answer, ...]) -> bool:
    """Return whether a hello without shares was refused by a server that takes one of the same groups with shares."""
    talks = {answer.job.question: talk for answer, talk in talks_of(answers)}
    browser = talks.get(Question.BROWSER)
    without = [talks[one] for one in (Question.CHOICE, Question.SUPPORTS, Question.CLASSICAL) if one in talks]
    return (
        browser is not None
        and browser.accepted
        and browser.flight.version == codes.TLS13
        and not browser.flight.retried
        and not any(talk.accepted for talk in without)
        and not _supports(answers)
    )


def _supports(answers: tuple[Answer, ...]) -> bool | None:
    """Return whether a post-quantum group was taken, or all were refused with shares; None: not known."""
    talks = {answer.job.question: talk for answer, talk in talks_of(answers)}
    if any(talk.accepted and is_post_quantum(talk) for talk in talks.values()):
        return True
    refused = (talk := talks.get(WITH_SHARES)) is not None and talk.flight.alert is not None
    return False if refused else None
