"""The TLS probe: what a server supports, prefers and gives a modern client; its certificates; its older versions.

Three facts that are often taken for one are asked apart: supported, preferred, and negotiated by default. An
unanswered question stays unknown: a closed or silent connection is never counted as a refusal.
"""

from collections.abc import Iterator
from functools import partial
from typing import ClassVar, NamedTuple

from keystrand.edge.probes.base import Answer, Ending, Job, attempt, place_of, unanswered
from keystrand.edge.probes.tls_questions import INQUIRIES, Inquiry, Question, TlsConversation, without_groups
from keystrand.formats import tls_codepoints as codes
from keystrand.formats.x509_facts import certificate_fact, shortened
from keystrand.model.algorithm import Function, Verdict, classify
from keystrand.model.errors import InvalidInput
from keystrand.model.estate import ProbeKind, Target
from keystrand.model.observation import (
    AlgorithmUse,
    Attempt,
    Certificate,
    Endpoint,
    Fact,
    Observation,
    Outcome,
    Record,
    Strength,
)

MAX_CONNECTIONS = 24
"""Connections to one target at most: eight questions, and sixteen for groups beyond the ones a server prefers."""

_BY_EXCLUSION = (Question.SUPPORTS, Question.CLASSICAL)
"""Asked again without the groups already taken, until the server refuses: so every group it accepts is found.

Without TLS 1.3 the same is done in TLS 1.2.
"""

_FIRST = (Question.SUPPORTS, Question.BROWSER)
_REST = (
    Question.DOWNGRADE,
    Question.CLASSICAL,
    Question.TLS12,
    Question.STATIC_RSA,
    Question.LEGACY,
    Question.ML_DSA,
)


class Heard(NamedTuple):
    """One question's answer, ready to judge. `chain` holds the certificates that could be read, leaf first."""

    question: str
    talk: TlsConversation
    ending: Ending
    chain: tuple[Certificate, ...]

    @property
    def accepted(self) -> bool:
        """Return whether the server agreed to something we offered."""
        return self.talk.accepted


class TlsProbe:
    """Asks a TLS server; see `Question`."""

    kind: ClassVar[ProbeKind] = ProbeKind.TLS

    def plan(self, target: Target, answers: tuple[Answer, ...]) -> tuple[Job, ...]:
        """Return the next round. A server that does not answer is asked once more in TLS 1.2, then left alone."""
        asked = {answer.job.question for answer in answers}
        wanted = {question.value: INQUIRIES[question] for question in _next_questions(answers)}
        wanted |= _next_groups(answers)
        new = [(name, inquiry) for name, inquiry in wanted.items() if name not in asked]
        return tuple(_job(target, name, inquiry) for name, inquiry in new[: max(0, MAX_CONNECTIONS - len(asked))])

    def judge(self, target: Target, answers: tuple[Answer, ...]) -> tuple[Record, ...]:
        """Return what was seen and one attempt. Nothing is concluded from a question without an answer."""
        heard = tuple(_heard(answer, talk) for answer, talk in _talks(answers))
        if not any(one.accepted for one in heard):
            return (_not_seen(target, answers, heard),)
        # A fact seen at two strengths is told once, at the stronger.
        strongest: dict[Fact, Strength] = {}
        for strength, fact in sorted(_facts(target, heard), key=lambda pair: pair[0].rank):
            strongest.setdefault(fact, strength)
        observations = (
            Observation(target=target.id, probe=self.kind.value, place=place_of(target), strength=strength, fact=fact)
            for fact, strength in strongest.items()
        )
        remarks = dict.fromkeys((*_remarks(heard), *_bound(answers)))
        return (*observations, attempt(target, Outcome.SEEN, "; ".join(remarks)))


def _job(target: Target, question: str, inquiry: Inquiry) -> Job:
    host = target.host or ""
    return Job(question, host, target.port or 0, partial(TlsConversation, inquiry, host))


def _next_questions(answers: tuple[Answer, ...]) -> tuple[Question, ...]:
    if not answers:
        return _FIRST
    talks = [talk for _, talk in _talks(answers)]
    if any(talk.flight.said_hello or talk.flight.alert is not None for talk in talks):
        return _REST
    if any(answer.connected for answer in answers) and not any(talk.foreign for talk in talks):
        return (Question.TLS12,)
    return ()


def _next_groups(answers: tuple[Answer, ...]) -> dict[str, Inquiry]:
    """Return the questions for further groups, where the last one for their kind was answered with a new group."""
    wanted: dict[str, Inquiry] = {}
    speaks_13 = any(talk.accepted and talk.flight.version == codes.TLS13 for _, talk in _talks(answers))
    for question in _BY_EXCLUSION if speaks_13 else (Question.TLS12,):
        talks = [talk for answer, talk in _talks(answers) if answer.job.question.startswith(question)]
        if talks and talks[-1].accepted and talks[-1].flight.group is not None:
            taken = tuple(talk.flight.group for talk in talks if talk.accepted and talk.flight.group is not None)
            inquiry = without_groups(question, taken)
            wanted |= {f"{question}-{len(talks) + 1}": inquiry} if inquiry.groups else {}
    return wanted


def _talks(answers: tuple[Answer, ...]) -> list[tuple[Answer, TlsConversation]]:
    return [(answer, answer.conversation) for answer in answers if isinstance(answer.conversation, TlsConversation)]


def _heard(answer: Answer, talk: TlsConversation) -> Heard:
    chain = []
    for der in talk.flight.certificates:
        try:
            chain.append(certificate_fact(der))
        except InvalidInput:
            break
    return Heard(answer.job.question, talk, answer.ending, tuple(chain))


def _not_seen(target: Target, answers: tuple[Answer, ...], heard: tuple[Heard, ...]) -> Attempt:
    """Return the attempt for a server that accepted nothing: what stood in the way, never "no cryptography"."""
    if alerts := list(dict.fromkeys(str(one.talk.flight) for one in heard if one.talk.flight.alert is not None)):
        return attempt(target, Outcome.UNREADABLE, f"speaks TLS but refuses every hello: {', '.join(alerts)}")
    for one in heard:
        if one.talk.fault:
            outcome, what = (
                (Outcome.NONE, "answers, but not with TLS")
                if one.talk.foreign
                else (Outcome.UNPARSABLE, "answers with TLS that cannot be read")
            )
            return attempt(target, outcome, f"{what}: {one.talk.fault}")
    return unanswered(target, answers)


def _primary(heard: tuple[Heard, ...]) -> Heard | None:
    """Return the answer that tells what a modern client gets by default, or None where that is not known.

    Where the modern hello got no answer, an older version stands for it only if nothing speaks TLS 1.3.
    """
    accepted = {one.question: one for one in heard if one.accepted}
    if Question.BROWSER in accepted:
        return accepted[Question.BROWSER]
    if any(one.talk.flight.version == codes.TLS13 for one in accepted.values()):
        return None
    fallbacks = (Question.TLS12, Question.STATIC_RSA, Question.LEGACY)
    return next((accepted[question] for question in fallbacks if question in accepted), None)


def _facts(target: Target, heard: tuple[Heard, ...]) -> Iterator[tuple[Strength, Fact]]:
    primary = _primary(heard)
    versions = {one.talk.flight.version for one in heard if one.accepted}
    yield (
        Strength.NEGOTIATED,
        Endpoint(
            protocol="tls",
            host=target.host or "",
            port=target.port or 0,
            versions=tuple(name for version, name in codes.VERSIONS.items() if version in versions),
            prefers_post_quantum=_preference({one.question: one for one in heard if one.accepted}),
        ),
    )
    for one in heard:
        if one.accepted:
            strength = Strength.NEGOTIATED if one is primary else Strength.OFFERED
            yield strength, _key_establishment(one)
            if one.talk.flight.scheme is not None and not _doubt(one):
                yield strength, _signature(one, one.talk.flight.scheme)
            yield from ((strength, certificate) for certificate in one.chain)


def _preference(accepted: dict[str, Heard]) -> bool | None:
    """Return whether the server asks for a post-quantum share that it was offered but not sent; None: not known."""
    if (one := accepted.get(Question.DOWNGRADE)) and one.talk.flight.group is not None:
        verdict = classify(codes.group_name(one.talk.flight.group)).verdict
        return {Verdict.QUANTUM_SAFE: True, Verdict.QUANTUM_VULNERABLE: False}.get(verdict)
    if (one := accepted.get(Question.BROWSER)) and one.talk.flight.version != codes.TLS13:
        return False
    return None


def _leaf(one: Heard) -> Certificate | None:
    return one.chain[0] if one.chain else None


def _key_establishment(one: Heard) -> AlgorithmUse:
    flight = one.talk.flight
    suite = flight.suite or 0
    if flight.group is not None:
        name, value = codes.group_name(flight.group), flight.group
    elif codes.exchange_of(suite) is codes.Exchange.RSA:
        name, value = codes.sized("RSA-KEX", _leaf(one)), suite
    elif codes.exchange_of(suite) is codes.Exchange.DHE:
        name, value = (f"FFDH-{flight.prime_bits}" if flight.prime_bits else "FFDH"), suite
    else:
        name, value = "ECDH", suite
    return AlgorithmUse(algorithm=name, function=Function.KEY_ESTABLISHMENT, code_point=codes.code_point(value))


def _signature(one: Heard, scheme: int) -> AlgorithmUse:
    return AlgorithmUse(
        algorithm=codes.scheme_name(scheme, _leaf(one)),
        function=Function.SIGNATURE,
        code_point=codes.code_point(scheme),
    )


def _doubt(one: Heard) -> str:
    """Return why the signature scheme that the server names is not believed; empty where it is, or none is named."""
    flight, leaf = one.talk.flight, _leaf(one)
    if flight.scheme is None:
        return ""
    claim = f"the server names signature scheme {codes.code_point(flight.scheme)}"
    if flight.scheme not in one.talk.inquiry.schemes:
        return f"{claim}, which was not offered"
    if not codes.scheme_exists(flight.scheme, flight.version or 0):
        return f"{claim}, which {codes.VERSIONS[flight.version or 0]} does not have"
    if leaf is None:
        return f"{claim}, but its certificate cannot be read"
    return "" if codes.scheme_fits(flight.scheme, leaf.key_algorithm) else f"{claim} with a key of {leaf.key_algorithm}"


def _bound(answers: tuple[Answer, ...]) -> Iterator[str]:
    """Return the remark that the bound on connections left groups unasked."""
    if len(answers) >= MAX_CONNECTIONS and _next_groups(answers):
        yield f"not every group was asked for: {MAX_CONNECTIONS} connections are the most"


def _remarks(heard: tuple[Heard, ...]) -> Iterator[str]:
    """Return what a reader must know to trust the rest: questions without an answer, and names refused."""
    for one in heard:
        flight = one.talk.flight
        if one.accepted and (doubt := _doubt(one)):
            yield f"{one.question}: not believed, {doubt}"
        yield from filter(None, map(shortened, one.chain))
        if codes.UNRECOGNIZED_NAME in (flight.alert, *flight.warnings):
            yield f"{one.question}: the server does not know this name, {codes.alert_name(codes.UNRECOGNIZED_NAME)}"
        elif not one.accepted and flight.alert is None:
            yield f"{one.question}: unknown, {one.talk.fault or f'connection {one.ending.value}'}"
        elif one.question == Question.ML_DSA and flight.alert is not None:
            continue  # a plain no: it has no such certificate
        elif one.accepted and one.talk.inquiry.to_certificate and not one.chain:
            yield f"{one.question}: certificates not read, {_why_unread(one)}"


def _why_unread(one: Heard) -> str:
    if one.talk.fault:
        return one.talk.fault
    if one.talk.flight.alert is not None:
        return str(one.talk.flight)
    return "no X.509" if one.talk.flight.certificates else f"connection {one.ending.value}"
