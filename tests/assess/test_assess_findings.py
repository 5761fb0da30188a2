"""From evidence to verdict: the strongest evidence at a place, the weakest place of a system, unknown never safe."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.assess.findings import findings
from keystrand.model.algorithm import Function, Verdict, classify
from keystrand.model.observation import AlgorithmUse, Certificate, Endpoint, PublicKey, Strength
from keystrand.model.stages import Finding
from keystrand.model.units import Answer

VULNERABLE, SAFE, UNKNOWN = Verdict.QUANTUM_VULNERABLE, Verdict.QUANTUM_SAFE, Verdict.UNKNOWN
KEX, SIG = Function.KEY_ESTABLISHMENT, Function.SIGNATURE
Judge = Callable[..., Finding]


@pytest.fixture(scope="session")
def judge(estate_of: Any, system_of: Any, inventory_of: Any) -> Judge:
    """Return a function from evidence on one system to its finding for one function."""

    def run(*seen: Any, function: Function = KEX, silent: int = 0) -> Finding:
        estate = estate_of(system_of(functions=(function,)))
        found = findings(estate, inventory_of({"web": seen}, silent=silent))
        return next(f for f in found if f.function is function)

    return run


CASES: list[tuple[str, bool | None, dict[str, Strength], Verdict, Answer]] = [
    ("classical only", None, {"X25519": Strength.NEGOTIATED}, VULNERABLE, Answer.YES),
    ("safe only, asked", True, {"X25519MLKEM768": Strength.NEGOTIATED}, SAFE, Answer.NO),
    ("safe only, not asked", None, {"X25519MLKEM768": Strength.NEGOTIATED}, SAFE, Answer.UNKNOWN),
    ("safe negotiated, classical offered", True,
     {"X25519MLKEM768": Strength.NEGOTIATED, "X25519": Strength.OFFERED}, SAFE, Answer.YES),
    ("both negotiated, safe preferred", True,
     {"X25519MLKEM768": Strength.NEGOTIATED, "X25519": Strength.NEGOTIATED}, SAFE, Answer.YES),
    ("both negotiated, classical preferred", False,
     {"X25519MLKEM768": Strength.NEGOTIATED, "X25519": Strength.NEGOTIATED}, VULNERABLE, Answer.YES),
    ("both negotiated, preference not seen", None,
     {"X25519MLKEM768": Strength.NEGOTIATED, "X25519": Strength.NEGOTIATED}, UNKNOWN, Answer.YES),
    ("safe negotiated, but said not to be preferred", False,
     {"X25519MLKEM768": Strength.NEGOTIATED, "X25519": Strength.OFFERED}, VULNERABLE, Answer.YES),
    ("classical negotiated, safe only offered", False,
     {"X25519MLKEM768": Strength.OFFERED, "X25519": Strength.NEGOTIATED}, VULNERABLE, Answer.YES),
    ("both offered", None,
     {"mlkem768x25519-sha256": Strength.OFFERED, "X25519": Strength.OFFERED}, UNKNOWN, Answer.YES),
    ("only safe seen, the rest not asked", None, {"X25519MLKEM768": Strength.OFFERED}, SAFE, Answer.UNKNOWN),
    ("a library that has it", None, {"ML-KEM-768": Strength.LINKED}, UNKNOWN, Answer.UNKNOWN),
    ("libraries alone, beside a service that prefers safe ones", True,
     {"X25519MLKEM768": Strength.LINKED, "X25519": Strength.LINKED}, UNKNOWN, Answer.UNKNOWN),
    ("draft of ML-KEM", True, {"X25519Kyber768Draft00": Strength.NEGOTIATED}, UNKNOWN, Answer.UNKNOWN),
    ("draft beside a safe one", True,
     {"X25519Kyber768Draft00": Strength.NEGOTIATED, "X25519MLKEM768": Strength.NEGOTIATED}, UNKNOWN, Answer.UNKNOWN),
    ("a name nobody knows", None, {"frodo-next": Strength.NEGOTIATED}, UNKNOWN, Answer.UNKNOWN),
]  # fmt: skip


@pytest.mark.parametrize(("prefers", "seen", "verdict", "classical"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_evidence_at_one_service_decides_its_verdict(
    judge: Judge, kex: Any, service: Any, *, prefers: bool | None, seen: dict[str, Strength], verdict: Verdict,
    classical: Answer,
) -> None:  # fmt: skip
    """Each row is a posture that a scan can meet, with the only verdict it supports."""
    found = judge(service(prefers=prefers), *(kex(name, strength) for name, strength in seen.items()))
    assert (found.verdict, found.classical_still_accepted) == (verdict, classical)
    assert all(name in found.algorithms for name in seen)


def test_an_ssh_server_names_everything_it_accepts(judge: Judge, kex: Any, service: Any) -> None:
    """What an SSH server does not offer it does not take; what a configuration does not list likewise."""
    safe = kex("mlkem768x25519-sha256", Strength.OFFERED)
    assert judge(service(prefers=None, protocol="ssh"), safe).classical_still_accepted is Answer.NO
    assert judge(kex("ML-KEM-768", Strength.CONFIGURED, "file:a")).classical_still_accepted is Answer.NO


def test_the_weakest_place_decides_for_the_system(judge: Judge, kex: Any) -> None:
    """One safe host and one vulnerable host make a vulnerable system."""
    safe = kex("X25519MLKEM768", place="tls://a:443")
    assert judge(safe, kex("X25519", place="tls://b:443")).verdict is VULNERABLE


def test_a_service_that_showed_nothing_keeps_the_system_unknown(judge: Judge, kex: Any, service: Any) -> None:
    """A second service answered without showing its key establishment: the first one does not speak for it."""
    safe = kex("X25519MLKEM768", place="tls://a:443")
    assert judge(safe, service(prefers=None, place="tls://b:443")).verdict is UNKNOWN


def test_one_algorithm_seen_twice_is_said_once(judge: Judge, sig: Any) -> None:
    """The leaf and its issuer sign alike, or a second target does: the reason names the algorithm once."""
    found = judge(sig("ECDSA-P-256"), sig("ECDSA-P-256"), function=SIG)
    assert found.reason == "ECDSA-P-256 negotiated"
    assert len(found.assets) == 2


def test_an_algorithm_that_no_standard_names_is_unknown_however_common(judge: Judge, kex: Any, service: Any) -> None:
    """An SSH server that takes nothing but sntrup761 with X25519 is not called safe, nor broken."""
    found = judge(service(prefers=None, protocol="ssh"), kex("sntrup761x25519-sha512", Strength.OFFERED))
    assert found.verdict is UNKNOWN
    assert "no standard names it: RFC 9941" in found.reason
    assert "not in the catalogue" in judge(kex("frodo-next")).reason
    assert "catalogue" not in judge(kex("frodo-next"), kex("X25519")).reason


def test_a_silent_target_keeps_a_safe_system_unknown_and_says_so(judge: Judge, kex: Any) -> None:
    """Safe where it answered, silent elsewhere: unknown. Vulnerable stays vulnerable."""
    found = judge(kex("X25519MLKEM768"), silent=1)
    assert found.verdict is UNKNOWN
    assert "1 of 2 targets gave no answer" in found.reason
    assert judge(kex("X25519"), silent=1).verdict is VULNERABLE


@pytest.mark.parametrize(
    ("silent", "words"), [(0, "no target is declared"), (2, "none of its 2 targets gave an answer")]
)
def test_nothing_seen_is_unknown_with_its_reason(judge: Judge, silent: int, words: str) -> None:
    """A system without evidence is unknown, and the reader learns whether anybody looked."""
    found = judge(silent=silent)
    assert (found.verdict, found.strength, found.algorithms) == (UNKNOWN, None, ())
    assert words in found.reason


def test_an_answer_that_says_nothing_of_the_function_is_unknown(judge: Judge, sig: Any) -> None:
    """Only a signature was seen: key establishment stays unknown."""
    assert "showed nothing about key establishment" in judge(sig("RSA-2048")).reason


def test_a_function_that_was_seen_counts_though_nobody_declared_it(
    estate_of: Any, system_of: Any, inventory_of: Any, kex: Any, sig: Any
) -> None:
    """Evidence beats the declaration: the signature gets its own finding."""
    estate = estate_of(system_of(functions=(KEX,)))
    found = findings(estate, inventory_of({"web": [kex("X25519"), sig("RSA-2048")]}))
    assert [f.id for f in found] == ["web/key-establishment", "web/signature"]


def test_certificates_and_keys_are_judged_by_what_their_key_is_for(
    estate_of: Any, system_of: Any, inventory_of: Any
) -> None:
    """A certificate signs; an X25519 public key establishes keys; the size of an RSA key is named."""
    certificate = Certificate(
        sha256="0" * 64, spki_sha256="1" * 64, subject="CN=web", issuer="CN=ca", serial="1",
        not_before=date(2026, 1, 1), not_after=date(2027, 1, 1), signature_algorithm="RSA-2048", key_algorithm="RSA",
        key_bits=2048,
    )  # fmt: skip
    seen = [
        ("file:a", certificate, Strength.CONFIGURED),
        ("file:b", PublicKey(sha256="2" * 64, algorithm="X25519"), Strength.CONFIGURED),
    ]
    found = findings(estate_of(system_of()), inventory_of({"web": seen}))
    assert {f.function: f.algorithms for f in found} == {KEX: ("X25519",), SIG: ("RSA-2048",)}


def test_one_classical_link_of_a_chain_makes_the_signature_vulnerable(judge: Judge, sig: Any) -> None:
    """A leaf under a classical issuer gains nothing: forging the issuer is enough."""
    assert judge(sig("ML-DSA-65"), sig("RSA-4096"), function=SIG).verdict is VULNERABLE
    assert judge(sig("ML-DSA-65"), sig("ECDSA-P-256", Strength.OFFERED), function=SIG).verdict is VULNERABLE
    assert judge(sig("ML-DSA-65"), function=SIG).verdict is SAFE


names = st.sampled_from(["X25519", "X25519MLKEM768", "ML-KEM-1024", "X25519Kyber768Draft00", "never-heard-of"])
places = st.sampled_from(["tls://a:443", "tls://b:443"])
evidence = st.lists(st.tuples(names, st.sampled_from(Strength), places), max_size=6)
services = st.dictionaries(places, st.sampled_from([True, False, None]), max_size=2)


@given(evidence, services, st.integers(0, 1))
def test_safe_needs_proof_at_every_place(
    judge: Judge, kex: Any, service: Any, seen: list[Any], answered: dict[str, bool | None], silent: int
) -> None:
    """Whatever was seen: safe only if every target answered and every place shows a safe algorithm in use."""
    uses = [kex(name, strength, place) for name, strength, place in seen]
    found = judge(*uses, *(service(prefers=p, place=place) for place, p in answered.items()), silent=silent)
    if found.verdict is SAFE:
        assert not silent
        for place in {place for _, _, place in seen} | set(answered):
            strengths = [s for name, s, at in seen if at == place and classify(name).verdict is SAFE]
            assert min(strengths, key=lambda s: s.rank).rank <= Strength.CONFIGURED.rank


@given(evidence, services)
def test_more_vulnerable_evidence_never_makes_a_system_safe(
    judge: Judge, kex: Any, service: Any, seen: list[Any], answered: dict[str, bool | None]
) -> None:
    """A further place that negotiates a classical exchange makes any system vulnerable."""
    uses = [kex(name, strength, place) for name, strength, place in seen]
    more = kex("X25519", place="tls://c:443")
    found = judge(*uses, *(service(prefers=p, place=place) for place, p in answered.items()), more)
    assert (found.verdict, found.classical_still_accepted) == (VULNERABLE, Answer.YES)


def test_a_key_wrapped_for_a_public_key_is_judged_as_key_establishment(judge: Judge) -> None:
    """RSA-OAEP carries the key of a backup: who records it today opens it later. A cipher is no such thing."""
    wrap = ("x", AlgorithmUse(algorithm="RSA-OAEP-2048", function=Function.ENCRYPTION), Strength.REFERENCED)
    cipher = ("x", AlgorithmUse(algorithm="AES-256-GCM", function=Function.ENCRYPTION), Strength.REFERENCED)
    assert judge(wrap, cipher).algorithms == ("RSA-OAEP-2048",)


def test_test_code_decides_nothing(judge: Judge, kex: Any) -> None:
    """What only the tests of a program use is listed in the inventory and judged nowhere."""
    of_tests = ("y", AlgorithmUse(algorithm="FFDH-1024", function=KEX, in_tests=True), Strength.REFERENCED)
    assert judge(kex("ML-KEM-768", Strength.CONFIGURED, "x"), of_tests).algorithms == ("ML-KEM-768",)


def test_what_a_client_offered_decides_nothing(judge: Judge, kex: Any) -> None:
    """A browser that offers classical groups beside the safe one it got does not make the answer doubtful."""
    got = kex("X25519MLKEM768", Strength.NEGOTIATED, "file:a.pcap!tls://192.0.2.1:443")
    offered = kex("X25519", Strength.OFFERED, "file:a.pcap!client://192.0.2.9")
    assert judge(got, offered).algorithms == ("X25519MLKEM768",)
    assert judge(offered).verdict is UNKNOWN


def test_what_only_a_report_says_is_never_safe_and_may_be_vulnerable(judge: Judge, kex: Any) -> None:
    """Nobody looked; beside what was seen elsewhere a told safe exchange keeps the system unknown."""
    told = kex("X25519MLKEM768", Strength.NEGOTIATED, "file:sslyze.json!tls://192.0.2.1:443")
    seen = kex("X25519MLKEM768", Strength.NEGOTIATED, "tls://192.0.2.2:443")
    assert judge(seen).verdict is SAFE
    found = judge(seen, told)
    assert (found.verdict, "nobody looked" in found.reason) == (UNKNOWN, True)
    weak = kex("X25519", Strength.NEGOTIATED, "file:sslyze.json!tls://192.0.2.1:443")
    assert judge(weak).verdict is VULNERABLE


def test_facts_of_other_kinds_are_no_use(judge: Judge) -> None:
    """A digest and a bare endpoint say nothing about key establishment."""
    digest = ("x", AlgorithmUse(algorithm="SHA-256", function=Function.DIGEST), Strength.NEGOTIATED)
    endpoint = ("x", Endpoint(protocol="ssh", host="a", port=22), Strength.NEGOTIATED)
    assert judge(digest, endpoint).verdict is UNKNOWN
