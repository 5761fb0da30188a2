"""The identity of a fact: what is the same thing, and what is not."""

from datetime import date
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from keystrand.inventory.identity import canonical, canonical_place, identity, without_line
from keystrand.model.algorithm import Function
from keystrand.model.observation import (
    AlgorithmUse,
    Certificate,
    Endpoint,
    Fact,
    Flow,
    Keystore,
    Library,
    Observation,
    ProtocolSettings,
    PublicKey,
    Strength,
)

A, B = "a" * 64, "b" * 64
TRICKY = st.text(alphabet="aB:/%[]3", max_size=8)


def a_certificate() -> Certificate:
    """Return a certificate with every field filled in."""
    return Certificate(
        sha256=A, spki_sha256=B, subject="CN=web", issuer="CN=ca", serial="1", not_before=date(2026, 1, 1),
        not_after=date(2027, 1, 1), signature_algorithm="RSA-2048", key_algorithm="RSA-2048", names=("web",),
    )  # fmt: skip


def use_of(algorithm: str) -> AlgorithmUse:
    """Return the use of one algorithm."""
    return AlgorithmUse(algorithm=algorithm, function=Function.KEY_ESTABLISHMENT)


def endpoint_of(protocol: str, host: str) -> Endpoint:
    """Return an endpoint on port 443."""
    return Endpoint(protocol=protocol, host=host, port=443)


uses = st.builds(AlgorithmUse, algorithm=TRICKY, function=st.sampled_from(Function), code_point=TRICKY)
endpoints = st.builds(Endpoint, protocol=TRICKY, host=TRICKY.filter(bool), port=st.integers(1, 65535))
keys = st.builds(PublicKey, sha256=st.sampled_from((A, B)), algorithm=TRICKY)
libraries = st.builds(Library, name=TRICKY, version=TRICKY, purl=st.sampled_from(["", "pkg:a/b", "pkg"]) | TRICKY)
keystores = st.builds(Keystore, format=TRICKY)
settings = st.builds(ProtocolSettings, software=TRICKY, protocol=TRICKY)
flows = st.builds(Flow, client=TRICKY, server=TRICKY, port=st.integers(1, 3), transport=st.sampled_from(["tcp", "udp"]),
                  protocol=TRICKY, key_establishment=TRICKY)  # fmt: skip
facts = st.one_of(uses, endpoints, keys, st.just(a_certificate()), libraries, keystores, settings, flows)


def what_it_is(fact: Fact, place: str) -> tuple[object, ...]:
    """Return the parts of an identity as a tuple, the plain way, to hold the text against."""
    found: tuple[object, ...]
    match fact:
        case AlgorithmUse():
            found = "use", fact.function, fact.algorithm, canonical_place(place)
        case Endpoint():
            found = "endpoint", fact.protocol.lower(), fact.host.lower(), fact.port
        case Library():
            found = "library", fact.purl or (fact.name, fact.version)
        case Keystore():
            found = "keystore", fact.format, canonical_place(place)
        case ProtocolSettings():
            found = "settings", fact.software, fact.protocol, canonical_place(place)
        case Flow():
            ends = fact.client.lower(), fact.server.lower(), fact.port
            found = "flow", ends, fact.transport, fact.protocol, fact.key_establishment
        case Certificate() | PublicKey():
            found = type(fact), fact.sha256
    return found


@given(st.lists(st.tuples(facts, TRICKY), min_size=2, max_size=6))
def test_different_things_never_share_an_identity(seen: list[tuple[Fact, str]]) -> None:
    """Two identities are equal exactly where the parts that make them are, whatever signs are in names and places."""
    for (one, here), (other, there) in combinations(seen, 2):
        same = what_it_is(one, here) == what_it_is(other, there)
        assert (identity(one, here) == identity(other, there)) is same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((use_of("a:b"), "c"), (use_of("a"), "b:c")),
        ((use_of("a:"), "b"), (use_of("a%3A"), "b")),
        ((endpoint_of("a://b", "c"), ""), (endpoint_of("a", "b://c"), "")),
        ((endpoint_of("a:", "b"), ""), (endpoint_of("a%3A", "b"), "")),
    ],
)
def test_no_separator_inside_a_name_fools_it(one: tuple[Fact, str], other: tuple[Fact, str]) -> None:
    """A colon in one part is not mistaken for the end of it, and neither is what stands for a colon."""
    assert identity(*one) != identity(*other)


def test_an_address_of_version_6_stands_in_brackets() -> None:
    """As in a URL, so that a reader sees where it ends and the port begins."""
    assert identity(endpoint_of("tls", "::1"), "") == "endpoint:tls://[::1]:443"


def test_a_certificate_is_its_bytes_and_nothing_else() -> None:
    """Another subject, expiry, algorithm or place does not make another certificate; another hash does."""
    one = a_certificate()
    aged = replace(one, subject="CN=other", not_after=date(2099, 1, 1), key_algorithm="ML-DSA-65")
    assert identity(one, "tls://h:443") == identity(aged, "file:x.pem#1") == f"certificate:{A}"
    assert identity(replace(one, sha256=B), "tls://h:443") != identity(one, "tls://h:443")


def test_a_key_is_one_thing_with_and_without_its_private_part() -> None:
    """The private part found beside a public key does not make another key."""
    assert identity(PublicKey(sha256=A, algorithm="RSA-2048", private_part_present=True), "file:k") == identity(
        PublicKey(sha256=A, algorithm="RSA", bits=2048), "ssh://h:22"
    )


def test_what_an_endpoint_says_does_not_make_it_another() -> None:
    """Versions, software and preference may change from scan to scan; protocol, host and port are the endpoint."""
    one = Endpoint(protocol="tls", host="h.example", port=443)
    assert identity(replace(one, versions=("1.3",), software="x", prefers_post_quantum=True), "p") == identity(one, "q")
    assert identity(one, "p") == "endpoint:tls://h.example:443"
    assert identity(replace(one, port=444), "p") != identity(one, "p") != identity(replace(one, protocol="ssh"), "p")


def test_names_of_hosts_have_no_case_and_paths_do() -> None:
    """A host in capitals is the same host; a file in capitals is another file."""
    assert canonical_place("TLS://Web.Example:443/Path") == "tls://web.example:443/Path"
    assert canonical_place("file:certs/Web.pem#1") == "file:certs/Web.pem#1"
    use = AlgorithmUse(algorithm="X25519", function=Function.KEY_ESTABLISHMENT)
    assert identity(use, "tls://WEB:443") == identity(use, "tls://web:443")
    assert identity(use, "file:A") != identity(use, "file:a")


@given(facts, TRICKY, st.sampled_from(Strength))
def test_the_canonical_spelling_keeps_the_identity(fact: Fact, place: str, strength: Strength) -> None:
    """An observation in its canonical spelling is the same thing, and has no further spelling."""
    seen = canonical(Observation(target="t", probe="tls", place=place, strength=strength, fact=fact))
    assert identity(seen.fact, seen.place) == identity(fact, place)
    assert canonical(seen) == seen


@pytest.mark.parametrize(
    ("place", "same"),
    [
        ("file:reports/sslyze.json!tls://web.example:443", True),
        ("file:traffic.pcap!tls://WEB.example:443", True),
        ("file:app.zip!tls:/web.example:443", False),
        ("file:reports/sslyze.json!client:/10.0.0.1", False),
        ("file:captures.zip!traffic.pcap!tls://web.example:443", True),
        ("file:cbom.json!file:traffic.pcap!tls://web.example:443", True),
        ("file:a!tls://web.example:443!b", False),
    ],
)
def test_what_a_report_says_of_a_service_is_what_a_probe_of_it_says(place: str, *, same: bool) -> None:
    """A group that sslyze, a capture and our own probe saw at one endpoint is one asset with three occurrences."""
    asked = identity(use_of("X25519"), "tls://web.example:443")
    assert (identity(use_of("X25519"), place) == asked) is same


def test_the_port_of_a_service_is_no_line() -> None:
    """What a capture says of port 443 and of port 8443 of one address are two things, and neither is a line."""
    for port in (443, 8443):
        name, line = without_line(use_of("X25519"), f"file:traffic.pcap!tls://192.0.2.1:{port}")
        assert (name, line) == (identity(use_of("X25519"), f"tls://192.0.2.1:{port}"), None)


@pytest.mark.parametrize(
    ("one", "other"),
    [("2001:DB8::1", "2001:db8:0:0::1"), ("web.example.", "WEB.example"), ("::FFFF:192.0.2.1", "::ffff:c000:201")],
)
def test_a_host_in_two_spellings_is_one_endpoint(one: str, other: str) -> None:
    """As an address is written in full or short, and a name with its final dot or without."""
    names = {identity(Endpoint(protocol="tls", host=host, port=443), "tls://x:443") for host in (one, other)}
    assert len(names) == 1
