"""The TLS probe: what a server supports, prefers and gives a modern client; its certificates; its older versions.

Three facts that are often taken for one are asked apart: supported, preferred, and negotiated by default. An
unanswered question stays unknown: a closed or silent connection is never counted as a refusal.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from typing import ClassVar, NamedTuple

from msgspec.structs import replace

from keystrand.edge.probes.base import (
    Answer,
    Conversation,
    Ending,
    Job,
    Seen,
    attempt,
    observations,
    strongest,
    unanswered,
)
from keystrand.edge.probes.prefaced import Prefaced, prefaced
from keystrand.edge.probes.tls_plan import MOST_OF, Asked, cut_short, next_inquiries
from keystrand.edge.probes.tls_questions import Inquiry, Question, TlsConversation, server_name
from keystrand.formats import tls_codepoints as codes
from keystrand.formats.x509_facts import certificate_fact, shortened
from keystrand.model.algorithm import Function, Verdict, classify
from keystrand.model.errors import InvalidInput
from keystrand.model.estate import ProbeKind, ScanMode, Target
from keystrand.model.observation import (
    AlgorithmUse,
    Attempt,
    Certificate,
    Endpoint,
    Fact,
    Outcome,
    Record,
    Strength,
)
from keystrand.model.starttls import StartTls

_NO_SUCH_GROUP = (40, 47, 70, 71, 86, 109)
"""Alerts that answer "nothing of that": handshake_failure, illegal_parameter, protocol_version, insufficient_security,
inappropriate_fallback, and missing_extension, by which some refuse a hello without a share they know."""
_ANONYMOUS = (codes.Exchange.DH_ANON, codes.Exchange.ECDH_ANON)
_FINITE_FIELD = (codes.Exchange.DHE, codes.Exchange.DH, codes.Exchange.DH_ANON)


class Heard(NamedTuple):
    """One question's answer, ready to judge. `accepted`: the server agreed to something that we offered.

    `chain` holds the certificates that could be read, leaf first.
    """

    question: str
    talk: TlsConversation
    ending: Ending
    accepted: bool
    chain: tuple[Certificate, ...]


class TlsProbe:
    """Asks a TLS server; see `Question`."""

    kind: ClassVar[ProbeKind] = ProbeKind.TLS

    def plan(self, target: Target, answers: tuple[Answer, ...]) -> tuple[Job, ...]:
        """Return the next round of what the target's mode asks; see `tls_plan`."""
        wanted = next_inquiries(_mode(target), _asked(answers))
        return tuple(_job(target, name, inquiry) for name, inquiry in wanted.items())

    def judge(self, target: Target, answers: tuple[Answer, ...]) -> tuple[Record, ...]:
        """Return what was seen and one attempt. Nothing is concluded from a question without an answer."""
        heard = tuple(_heard(answer, talk) for answer, talk in _talks(answers))
        if not any(one.accepted for one in heard):
            return (_not_seen(target, answers, heard),)
        facts = strongest(_facts(target, heard))
        if _mode(target) is ScanMode.FULL:
            facts = _joined(facts)
        remarks = dict.fromkeys((*_remarks(heard), *_bound(_mode(target), answers)))
        return (*observations(target, facts), attempt(target, Outcome.SEEN, "; ".join(remarks)))


def _job(target: Target, question: str, inquiry: Inquiry) -> Job:
    host = target.host or ""
    return Job(question, host, target.port or 0, partial(_conversation, inquiry, host, target.starttls))


def _conversation(inquiry: Inquiry, host: str, starttls: StartTls | None) -> Conversation:
    talk = TlsConversation(inquiry, host)
    return prefaced(talk, starttls, host) if starttls else talk


def _joined(facts: Mapping[Fact, Strength]) -> dict[Fact, Strength]:
    """Return `facts`, strongest first, with one use for each algorithm that names every code point it was taken by."""
    points: dict[tuple[str, Function], list[str]] = {}
    for fact in facts:
        if isinstance(fact, AlgorithmUse):
            points.setdefault((fact.algorithm, fact.function), []).append(fact.code_point)
    joined: dict[Fact, Strength] = {}
    for fact, strength in facts.items():
        if isinstance(fact, AlgorithmUse):
            every = " ".join(filter(None, points[fact.algorithm, fact.function]))
            joined.setdefault(replace(fact, code_point=every), strength)
        else:
            joined[fact] = strength
    return joined


def _mode(target: Target) -> ScanMode:
    return target.mode or ScanMode.STANDARD


def _asked(answers: tuple[Answer, ...]) -> list[Asked]:
    return [
        Asked(
            answer.job.question, talk, talk.accepted, answer.connected, answer.ending in (Ending.CLOSED, Ending.RESET)
        )
        for answer, talk in _talks(answers)
    ]


def _talks(answers: tuple[Answer, ...]) -> list[tuple[Answer, TlsConversation]]:
    found = []
    for answer in answers:
        talk = answer.conversation
        if isinstance(talk, Prefaced):
            talk = talk.talk
        if isinstance(talk, TlsConversation):
            found.append((answer, talk))
    return found


# A server shows the same chain again and again, and many servers show the same authorities.
_fact_of = lru_cache(maxsize=512)(certificate_fact)


def _heard(answer: Answer, talk: TlsConversation) -> Heard:
    chain = []
    for der in talk.flight.certificates:
        try:
            chain.append(_fact_of(der))
        except InvalidInput:
            break
    return Heard(answer.job.question, talk, answer.ending, talk.accepted, tuple(chain))


def _not_seen(target: Target, answers: tuple[Answer, ...], heard: tuple[Heard, ...]) -> Attempt:
    """Return the attempt for a server that accepted nothing: what stood in the way, never "no cryptography"."""
    if alerts := list(dict.fromkeys(str(one.talk.flight) for one in heard if one.talk.flight.alert is not None)):
        nameless = "" if server_name(target.host or "") else "; no name was sent, because the target is an address"
        why = f"speaks TLS but refuses every hello: {', '.join(alerts)}{nameless}"
        return attempt(target, Outcome.UNREADABLE, why)
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
    for question in (Question.BROWSER, Question.CHOICE):
        if question in accepted:
            return accepted[question]
    if any(one.talk.flight.version == codes.TLS13 for one in accepted.values()):
        return None
    fallbacks = (Question.TLS12, Question.STATIC_RSA, Question.LEGACY, Question.OLDER, Question.SSL3)
    return next((accepted[question] for question in fallbacks if question in accepted), None)


def _facts(target: Target, heard: tuple[Heard, ...]) -> Iterator[Seen]:
    primary = _primary(heard)
    yield Strength.NEGOTIATED, _endpoint(target, heard, primary)
    for one in heard:
        if one.accepted:
            strength = Strength.NEGOTIATED if one is primary else Strength.OFFERED
            yield strength, _key_establishment(one)
            if (signature := _signature(one)) is not None:
                yield strength, signature
            if _mode(target) is ScanMode.FULL:
                yield strength, _encryption(one.talk.flight.suite or 0)
            yield from ((strength, certificate) for certificate in one.chain)


def _endpoint(target: Target, heard: tuple[Heard, ...], primary: Heard | None) -> Endpoint:
    versions = {one.talk.flight.version for one in heard if one.accepted}
    accepted = {one.question: one for one in heard if one.accepted}
    supports = _support(heard)
    return Endpoint(
        protocol="tls",
        host=target.host or "",
        port=target.port or 0,
        versions=tuple(name for version, name in codes.VERSIONS.items() if version in versions),
        supports_post_quantum=supports,
        negotiates_post_quantum=_resists(primary) if primary else None,
        prefers_post_quantum=_preference(accepted, supports=supports),
    )


def _resists(one: Heard) -> bool | None:
    """Return whether the group of an answer resists a quantum computer; below TLS 1.3 none does. None: not known."""
    group = one.talk.flight.group
    if one.talk.flight.version != codes.TLS13 or group is None:
        return False
    verdict = classify(codes.group_name(group)).verdict
    return {Verdict.QUANTUM_SAFE: True, Verdict.QUANTUM_VULNERABLE: False}.get(verdict)


def _support(heard: tuple[Heard, ...]) -> bool | None:
    """Return whether the server takes a post-quantum group. A refusal in words is a no, silence is none."""
    if any(one.accepted and _resists(one) for one in heard):
        return True
    asked = [one for one in heard if one.question.startswith((Question.SUPPORTS, Question.CHOICE))]
    if any(one.accepted and _resists(one) is None for one in asked):
        return None
    return False if any(one.talk.flight.alert in _NO_SUCH_GROUP and not one.accepted for one in asked) else None


def _preference(accepted: dict[str, Heard], *, supports: bool | None) -> bool | None:
    """Return whether the server asks for a post-quantum share that it was offered but not sent; None: not known.

    What speaks nothing newer than TLS 1.2 asks for none, where a hello of TLS 1.3 was not left unanswered.
    """
    for question in (Question.DOWNGRADE, Question.CHOICE):
        if one := accepted.get(question):
            return _resists(one)
    older = accepted and all(one.talk.flight.version != codes.TLS13 for one in accepted.values())
    return False if older and (Question.BROWSER in accepted or supports is False) else None


def _encryption(suite: int) -> AlgorithmUse:
    return AlgorithmUse(
        algorithm=codes.cipher_of(suite), function=Function.ENCRYPTION, code_point=codes.code_point(suite)
    )


def _leaf(one: Heard) -> Certificate | None:
    return one.chain[0] if one.chain else None


def _key_establishment(one: Heard) -> AlgorithmUse:
    flight = one.talk.flight
    suite = flight.suite or 0
    if flight.group is not None:
        name, value = codes.group_name(flight.group), flight.group
    elif codes.exchange_of(suite) is codes.Exchange.RSA:
        name, value = codes.sized("RSA-KEX", _leaf(one)), suite
    elif codes.exchange_of(suite) in _FINITE_FIELD:
        name, value = (f"FFDH-{flight.prime_bits}" if flight.prime_bits else "FFDH"), suite
    else:
        name, value = "ECDH", suite
    return AlgorithmUse(algorithm=name, function=Function.KEY_ESTABLISHMENT, code_point=codes.code_point(value))


def _signature(one: Heard) -> AlgorithmUse | None:
    """Return what the server signed its handshake with, where it did and that is believed.

    Before TLS 1.2 no scheme is named: it is the key's (RFC 4346, 7.4.3).
    """
    flight, leaf = one.talk.flight, _leaf(one)
    if flight.scheme is not None:
        name, point = codes.scheme_name(flight.scheme, leaf), codes.code_point(flight.scheme)
        return None if _doubt(one) else AlgorithmUse(algorithm=name, function=Function.SIGNATURE, code_point=point)
    exchange = codes.exchange_of(flight.suite or 0)
    if leaf is None or exchange is None or not exchange.signed or (flight.version or 0) >= codes.TLS12:
        return None
    return AlgorithmUse(algorithm=leaf.key_algorithm, function=Function.SIGNATURE)


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


def _bound(mode: ScanMode, answers: tuple[Answer, ...]) -> Iterator[str]:
    """Return the remark that the bound on connections left something unasked."""
    if cut_short(mode, _asked(answers)):
        yield f"not every group was asked for: {MOST_OF[mode]} connections are the most"


def _remarks(heard: tuple[Heard, ...]) -> Iterator[str]:
    """Return what a reader must know to trust the rest: questions without an answer, and names refused."""
    for one in heard:
        flight = one.talk.flight
        if one.accepted and (doubt := _doubt(one)):
            yield f"{one.question}: not believed, {doubt}"
        yield from filter(None, map(shortened, one.chain))
        if codes.UNRECOGNIZED_NAME in (flight.alert, *flight.warnings):
            yield f"{one.question}: the server does not know this name, {codes.alert_name(codes.UNRECOGNIZED_NAME)}"
        elif not one.accepted and flight.alert is None and not one.talk.older:
            yield f"{one.question}: unknown, {one.talk.fault or f'connection {one.ending.value}'}"
        elif one.question == Question.ML_DSA and flight.alert is not None:
            continue  # a plain no: it has no such certificate
        elif one.accepted and one.talk.inquiry.to_certificate and not one.chain:
            suite = one.talk.flight.suite or 0
            anonymous = codes.exchange_of(suite) in _ANONYMOUS
            unread = f"{one.question}: certificates not read, {_why_unread(one)}"
            yield f"accepts suite {codes.code_point(suite)}, which proves no identity" if anonymous else unread


def _why_unread(one: Heard) -> str:
    if one.talk.fault:
        return one.talk.fault
    if one.talk.flight.alert is not None:
        return str(one.talk.flight)
    return "no X.509" if one.talk.flight.certificates else f"connection {one.ending.value}"
