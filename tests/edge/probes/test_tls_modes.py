"""The three modes of the TLS probe: what each asks, of a server that accepts exactly what a test says."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keystrand.edge.probes.base import Answer, Ending
from keystrand.edge.probes.tls import TlsProbe
from keystrand.edge.probes.tls_plan import MOST_OF
from keystrand.edge.probes.tls_questions import Question, TlsConversation
from keystrand.formats import tls_codepoints as codes
from keystrand.formats.tls_withdrawn import WITHDRAWN_GROUPS, WITHDRAWN_SCHEMES
from keystrand.model.algorithm import Function, Verdict, classify
from keystrand.model.estate import ProbeKind, ScanMode, Target
from keystrand.model.observation import AlgorithmUse, Attempt, Certificate, Endpoint, Observation, Outcome

_MAKE = {
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "ECDSA": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "post-quantum": mldsa.MLDSA65PrivateKey.generate,
}


@cache
def certificate(kind: str) -> bytes:
    """Return the DER of a certificate whose key is of this kind."""
    key: Any = _MAKE[kind]()
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, kind)]), datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    return builder.sign(key, hashes.SHA256() if kind in ("RSA", "ECDSA") else None).public_bytes(Encoding.DER)


class Model(NamedTuple):
    """A server by what it accepts, each list best first; `poison`: it resets when it sees one of these."""

    groups: tuple[int, ...] = ()
    suites: tuple[int, ...] = ()
    schemes: tuple[int, ...] = ()
    groups_12: tuple[int, ...] = ()
    suites_12: tuple[int, ...] = ()
    schemes_12: tuple[int, ...] = ()
    old: tuple[int, ...] = ()
    poison: frozenset[int] = frozenset()

    def answer(self, talk: TlsConversation) -> Ending:
        """Answer a question as such a server would."""
        asked = talk.inquiry
        if self.poison & {*asked.groups, *asked.suites, *asked.schemes}:
            return Ending.RESET
        versions = ([codes.TLS13] if self.groups else []) + ([codes.TLS12] if self.suites_12 else []) + list(self.old)
        version = next((v for v in versions if v in asked.versions), None)
        if version is None:
            talk.flight.alert = 70
        elif version == codes.TLS13:
            self._choose(talk, version, self.suites, self.groups, self.schemes)
        else:
            self._choose(talk, version, self.suites_12, self.groups_12, self.schemes_12)
        return Ending.DONE

    def _choose(
        self,
        talk: TlsConversation,
        version: int,
        suites: tuple[int, ...],
        groups: tuple[int, ...],
        schemes: tuple[int, ...],
    ) -> None:
        asked, flight = talk.inquiry, talk.flight
        group = next((g for g in groups if g in asked.groups), None)
        scheme = next((s for s in schemes if s in asked.schemes), None)
        for suite in (s for s in suites if s in asked.suites):
            exchange = codes.exchange_of(suite)
            by_group = exchange in (codes.Exchange.BY_GROUP, codes.Exchange.ECDHE)
            if (by_group and group is None) or (exchange is not codes.Exchange.RSA and scheme is None):
                continue
            flight.version, flight.suite, flight.group = version, suite, group if by_group else None
            if asked.to_certificate:
                signed = exchange is not codes.Exchange.RSA and version >= codes.TLS12
                flight.scheme = scheme if signed else None
                flight.certificates = (certificate(codes.scheme_kind(scheme) if scheme else "RSA"),)
            return
        flight.alert = 40


def target(mode: ScanMode) -> Target:
    """Return a target asked in this mode."""
    return Target(id="t", probe=ProbeKind.TLS, system="s", host="server.example", port=443, mode=mode)


class Result(NamedTuple):
    """What the probe asked and what it says."""

    questions: list[str]
    seen: tuple[Observation, ...]
    attempt: Attempt

    @property
    def endpoint(self) -> Endpoint:
        """Return the endpoint."""
        return next(one.fact for one in self.seen if isinstance(one.fact, Endpoint))

    def points(self, function: Function) -> set[int]:
        """Return the code points of one kind."""
        uses = [one.fact for one in self.seen if isinstance(one.fact, AlgorithmUse)]
        return {int(point, 16) for use in uses if use.function is function for point in use.code_point.split()}


def asked(server: Model, mode: ScanMode) -> Result:
    """Ask the server all that the mode wants."""
    probe, answers = TlsProbe(), ()
    answers_: tuple[Answer, ...] = answers
    while jobs := probe.plan(target(mode), answers_):
        for job in jobs:
            talk = job.start()
            assert isinstance(talk, TlsConversation)
            ending = server.answer(talk)
            answers_ += (Answer(job, talk, ending),)
        assert len(answers_) <= MOST_OF[mode]
    *seen, attempt = probe.judge(target(mode), answers_)
    assert isinstance(attempt, Attempt)
    kept = tuple(one for one in seen if isinstance(one, Observation))
    return Result([answer.job.question for answer in answers_], kept, attempt)


HYBRID, CLASSICAL = (codes.X25519_MLKEM768, codes.X25519), (codes.X25519, codes.SECP256R1)
PQ_FIRST = Model(HYBRID, (0x1301,), (0x0403,), CLASSICAL, (0xC02B,), (0x0403,))
PQ_LAST = Model(HYBRID[::-1], (0x1301,), (0x0403,))
PQ_ONLY = Model(HYBRID[:1], (0x1302,), (0x0905,))
CLASSICAL_13 = Model(CLASSICAL, (0x1301,), (0x0804,))
DRAFT_ONLY = Model((0xFE31,), (0x1301,), (0x0403,))
ONLY_12 = Model((), (), (), CLASSICAL, (0xC02F, 0x009C), (0x0804,))
SSL_ONLY = Model(suites_12=(), old=(codes.SSL3,))._replace(suites_12=())


@pytest.mark.parametrize(
    ("server", "connections", "facts"),
    [
        (PQ_FIRST, 1, (True, True, True)),
        (PQ_ONLY, 1, (True, True, True)),
        (PQ_LAST, 2, (True, False, False)),
        (CLASSICAL_13, 2, (False, False, False)),
        (DRAFT_ONLY, 2, (None, None, None)),
        (ONLY_12, 2, (False, False, False)),
    ],
)
def test_quick_answers_the_question_in_at_most_three_connections(
    server: Model, connections: int, facts: tuple[bool | None, ...]
) -> None:
    """One where the server asks for a post-quantum share; a second where the first leaves the question open."""
    result = asked(server, ScanMode.QUICK)
    assert result.attempt.outcome is Outcome.SEEN
    assert len(result.questions) == connections
    end = result.endpoint
    assert (end.supports_post_quantum, end.negotiates_post_quantum, end.prefers_post_quantum) == facts


def test_quick_sends_no_key_and_reads_no_certificate() -> None:
    """So that neither side has any asymmetric work."""
    job = TlsProbe().plan(target(ScanMode.QUICK), ())[0]
    talk = job.start()
    assert isinstance(talk, TlsConversation)
    assert talk.inquiry.shares == ()
    assert not talk.inquiry.to_certificate
    assert b"\x00\x33\x00\x02\x00\x00" in talk.begin()  # key_share with an empty list (RFC 8446, 4.2.8)


@pytest.mark.parametrize("mode", list(ScanMode))
@pytest.mark.parametrize("alert", [40, 70])
def test_a_server_that_refuses_everything_is_not_asked_for_ever(mode: ScanMode, alert: int) -> None:
    """It is unreadable, with its alert; never "no cryptography"."""

    class Refuses(Model):
        def answer(self, talk: TlsConversation) -> Ending:
            talk.flight.alert = alert
            return Ending.DONE

    result = asked(Refuses(), mode)
    assert len(result.questions) <= 10
    assert result.attempt.outcome is Outcome.UNREADABLE
    assert f"({alert})" in result.attempt.reason


class _Ssl3(Model):
    """Speaks SSL 3.0 and nothing else: whatever it is asked, it answers with that, or with an alert."""

    def answer(self, talk: TlsConversation) -> Ending:
        """Answer with SSL 3.0 where that is asked for."""
        flight = talk.flight
        if codes.SSL3 in talk.inquiry.versions:
            flight.version, flight.suite = codes.SSL3, 0x000A
        else:
            flight.alert = 70
        return Ending.DONE


@pytest.mark.parametrize("mode", list(ScanMode))
def test_a_server_of_ssl_3_alone_is_found_and_named(mode: ScanMode) -> None:
    """It answers no newer hello but with an alert; it is not lost, and its version is told."""
    result = asked(_Ssl3(), mode)
    assert result.attempt.outcome is Outcome.SEEN
    assert result.endpoint.versions == ("SSLv3",)
    assert result.endpoint.supports_post_quantum is False


@pytest.mark.parametrize("mode", list(ScanMode))
@pytest.mark.parametrize("server", [PQ_ONLY, CLASSICAL_13], ids=["post-quantum-only", "tls-1.3-only"])
def test_hosts_of_tls_13_alone_are_never_lost(server: Model, mode: ScanMode) -> None:
    """What released scanners call a host without TLS."""
    result = asked(server, mode)
    assert result.attempt.outcome is Outcome.SEEN
    assert result.endpoint.versions == ("TLSv1.3",)


@pytest.mark.parametrize("mode", [ScanMode.STANDARD, ScanMode.FULL])
def test_a_silent_downgrade_is_told_apart_from_support(mode: ScanMode) -> None:
    """It supports a post-quantum group but takes the classical share of a client that sends no other."""

    class Downgrades(Model):
        def answer(self, talk: TlsConversation) -> Ending:
            ending = super().answer(talk)
            if (sent := [g for g in self.groups if g in talk.inquiry.shares]) and talk.flight.group is not None:
                talk.flight.group = sent[0]
            return ending

    end = asked(Downgrades(*PQ_FIRST), mode).endpoint
    assert (end.supports_post_quantum, end.negotiates_post_quantum, end.prefers_post_quantum) == (True, True, False)


MULTIPLE = Model(HYBRID, (0x1301,), (0x0403, 0x0804, 0x0807, 0x0905), CLASSICAL, (0xC02B, 0xC02F), (0x0403, 0x0804))


@pytest.mark.parametrize("mode", [ScanMode.STANDARD, ScanMode.FULL])
def test_every_kind_of_certificate_is_found(mode: ScanMode) -> None:
    """A server with an RSA, an ECDSA, an EdDSA and an ML-DSA certificate shows one for each kind of signature."""
    result = asked(MULTIPLE, mode)
    chains = {one.fact.key_algorithm for one in result.seen if isinstance(one.fact, Certificate)}
    assert chains == {"RSA-2048", "ECDSA-P-256", "Ed25519", "ML-DSA-65"}


def some(values: Iterable[int], least: int = 0, most: int = 12) -> st.SearchStrategy[tuple[int, ...]]:
    """Return a strategy for some of `values` in any order."""
    return st.lists(st.sampled_from(list(values)), unique=True, min_size=least, max_size=most).map(tuple)


IN_13 = [s for s in codes.ALL_SCHEMES if codes.scheme_exists(s, codes.TLS13) and s in (
    0x0403, 0x0804, 0x0805, 0x0806, 0x0807, 0x0905)]  # fmt: skip
IN_12 = [0x0403, 0x0503, 0x0804, 0x0805, 0x0401, 0x0501, 0x0601, 0x0201, 0x0203]
ECDHE = [s for s in codes.ALL_OLD_SUITES if codes.exchange_of(s) is codes.Exchange.ECDHE]
GROUPS_13 = (*codes.POST_QUANTUM_GROUPS, *codes.CLASSICAL_GROUPS, *WITHDRAWN_GROUPS)

SERVERS = st.builds(
    Model,
    # one that we can compute, so that certificates are read
    groups=some(GROUPS_13).map(lambda groups: tuple(dict.fromkeys((*groups, codes.X25519)))),
    suites=some(codes.ALL_SUITES_13, 1),
    schemes=some(IN_13, 1),
    groups_12=some(codes.GROUPS_12, 1),
    suites_12=some((*ECDHE, *codes.STATIC_RSA_SUITES)),
    schemes_12=some(IN_12, 1),
    old=st.just(()),
    poison=st.just(frozenset()),
)


@settings(max_examples=60, deadline=None)
@given(SERVERS)
def test_full_finds_exactly_what_a_server_accepts(server: Model) -> None:
    """Every group, suite and signature scheme, in few more connections than there are of them."""
    result = asked(server, ScanMode.FULL)
    assert not result.attempt.reason
    groups = {*server.groups, *(server.groups_12 if any(s in ECDHE for s in server.suites_12) else ())}
    assert result.points(Function.KEY_ESTABLISHMENT) - set(codes.STATIC_RSA_SUITES) == groups
    assert result.points(Function.ENCRYPTION) == {*server.suites, *server.suites_12}
    in_12 = {*server.schemes_12} if any(s in ECDHE for s in server.suites_12) else set()
    assert result.points(Function.SIGNATURE) == {*server.schemes, *in_12}
    things = sum(map(len, (server.groups, server.suites, server.schemes, server.groups_12, server.suites_12)))
    assert len(result.questions) <= things + len(server.schemes_12) + 20


@settings(max_examples=40, deadline=None)
@given(SERVERS, st.sampled_from([*WITHDRAWN_GROUPS, *WITHDRAWN_SCHEMES, 0xC0AE, 0x0016]))
@example(Model(groups=(29, 23), suites=(0x1301,), schemes=(0x0403,), groups_12=(29,), schemes_12=(0x0403,)), 0x0016)
def test_what_a_server_cannot_bear_to_be_offered_hides_little(server: Model, poison: int) -> None:
    """A server that resets at one code point shows all others where the question can be halved."""
    server = server._replace(
        poison=frozenset((poison,)), suites=(0x1301, 0x1302), schemes=(0x0804, 0x0403), groups=CLASSICAL
    )
    result = asked(server, ScanMode.FULL)
    assert result.attempt.outcome is Outcome.SEEN
    assert {0x1301, 0x1302} <= result.points(Function.ENCRYPTION)
    assert result.points(Function.SIGNATURE) >= {0x0804, 0x0403}


@settings(max_examples=60, deadline=None)
@given(SERVERS, st.sampled_from([ScanMode.QUICK, ScanMode.STANDARD]))
def test_support_is_never_wrong(server: Model, mode: ScanMode) -> None:
    """Yes only where a standard post-quantum group is accepted, no only where none is."""
    safe = any(classify(codes.group_name(group)).verdict is Verdict.QUANTUM_SAFE for group in server.groups)
    said = asked(server, mode).endpoint.supports_post_quantum
    assert said in ((True, None) if safe else (False, None))


def test_old_post_quantum_groups_are_named_and_not_called_safe() -> None:
    """Each by a name of its own; not one of them is taken for what became a standard."""
    names = {codes.group_name(group) for group in WITHDRAWN_GROUPS}
    assert len(names) == len(WITHDRAWN_GROUPS)
    assert not any(name.startswith("TLS-group") for name in names)
    drafts = [name for name in names if "Kyber" in name or name == "CECPQ2"]
    assert len(drafts) > 20
    assert {classify(name).verdict for name in drafts} == {Verdict.UNKNOWN}
    assert [codes.group_name(g) for g in (0x6399, 0x639A, 0xFE30, 0x4138)] == [
        "X25519Kyber768Draft00", "SecP256r1Kyber768Draft00", "X25519Kyber512Draft00", "CECPQ2",
    ]  # fmt: skip


def test_the_first_question_of_standard_offers_the_old_groups_too() -> None:
    """A server of an old pilot is found by its draft."""
    result = asked(DRAFT_ONLY, ScanMode.STANDARD)
    assert result.questions[0] == Question.SUPPORTS
    assert result.points(Function.KEY_ESTABLISHMENT) == {0xFE31}
    assert result.endpoint.supports_post_quantum is None
