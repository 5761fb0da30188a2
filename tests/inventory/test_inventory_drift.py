"""What changed between two inventories: exactly the things that somebody did, each on one line."""

from collections.abc import Iterable
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.inventory.test_inventory_merge import an_estate, merged, record_lists, seen

from keystrand.inventory.drift import Change, Kind, drift
from keystrand.model.algorithm import Function
from keystrand.model.estate import ProbeKind, Target
from keystrand.model.observation import (
    AlgorithmUse,
    Attempt,
    Certificate,
    Endpoint,
    Fact,
    Flow,
    Keystore,
    Library,
    Observation,
    Outcome,
    ProtocolSettings,
    PublicKey,
    Record,
    Strength,
)
from keystrand.model.stages import Inventory

KEX, SIGN, DIGEST = Function.KEY_ESTABLISHMENT, Function.SIGNATURE, Function.DIGEST
HOSTS = ("a.example", "b.example", "c.example")
TARGETS = (
    *(Target(id=h[0], probe=ProbeKind.TLS, system="shop", host=h, port=443) for h in HOSTS),
    Target(id="files", probe=ProbeKind.FILES, system="bank", path="etc"),
)


def inventory(records: Iterable[Record], *, without: str = "", **changes: Any) -> Inventory:
    """Return the inventory of three servers and a folder, or of an estate that does not name one of them."""
    named = tuple(target for target in TARGETS if target.id != without)
    return replace(merged(records, an_estate(target=named)), **changes)


def certificate(number: int, key: str = "RSA-2048", *, subject: str = "CN=shop", **changes: Any) -> Certificate:
    """Return a certificate with a key of its own."""
    plain = Certificate(
        sha256=f"{number:064x}", spki_sha256=f"{number + 1000:064x}", subject=subject, issuer="CN=ca",
        serial=str(number), not_before=date(2026, 1, 1), not_after=date(2027, 1, 1), signature_algorithm="RSA-2048",
        key_algorithm=key,
    )  # fmt: skip
    return replace(plain, **changes)


ROOT = certificate(99, "RSA-4096", subject="CN=ca", authority=True)


def server(
    host: str, leaf: Certificate, groups: tuple[str, ...] = ("X25519",), versions: tuple[str, ...] = ("1.2", "1.3")
) -> list[Record]:
    """Return what a TLS probe says of a server: endpoint, chain, key exchange, authentication, and that it ended."""
    place, safe = f"tls://{host}:443", groups[0].endswith("MLKEM768")
    endpoint = Endpoint(
        protocol="tls", host=host, port=443, versions=versions, supports_post_quantum=safe, negotiates_post_quantum=safe
    )
    uses = [AlgorithmUse(algorithm=name, function=KEX) for name in groups]
    facts: list[tuple[Fact, Strength]] = [
        (endpoint, Strength.NEGOTIATED), (leaf, Strength.NEGOTIATED), (ROOT, Strength.NEGOTIATED),
        (AlgorithmUse(algorithm=leaf.key_algorithm, function=SIGN), Strength.NEGOTIATED),
        (uses[0], Strength.NEGOTIATED), *((use, Strength.OFFERED) for use in uses),
    ]  # fmt: skip
    records = [seen(fact, strength, place=place, target=host[0]) for fact, strength in facts]
    return [*records, ended(host)]


def ended(host: str, outcome: Outcome = Outcome.SEEN, reason: str = "") -> Attempt:
    """Return how the work on a server ended."""
    return Attempt(target=host[0], probe="tls", place=f"tls://{host}:443", outcome=outcome, reason=reason)


def in_file(path: str, *facts: Any) -> list[Record]:
    """Return what was found in a file, line by line or object by object, and that it was read."""
    sign = ":" if path.endswith(".py") else "#"
    found: list[Record] = [
        Observation(target="files", probe="files", place=f"file:{path}{sign}{n}", strength=Strength.REFERENCED, fact=f)
        for n, f in enumerate(facts, start=1)
    ]
    return [*found, Attempt(target="files", probe="files", place=f"file:{path}", outcome=Outcome.SEEN)]


def digest(name: str) -> AlgorithmUse:
    """Return the use of a hash."""
    return AlgorithmUse(algorithm=name, function=DIGEST)


def lines(changes: tuple[Change, ...]) -> list[tuple[Kind, str, tuple[str, ...]]]:
    """Return kind, subject and places of changes."""
    return [(change.kind, change.what, change.where) for change in changes]


SHARED, OTHER = certificate(1), certificate(2, subject="CN=other")
BEFORE = [
    *server("a.example", SHARED), *server("b.example", SHARED), *server("c.example", OTHER),
    *in_file("etc/shop.pem", SHARED, PublicKey(sha256=SHARED.spki_sha256, algorithm="RSA-2048")),
    *in_file("etc/app.py", digest("SHA-256"), digest("MD5"), digest("SHA-256")),
]  # fmt: skip


@given(record_lists)
def test_nothing_changed_is_no_line(records: list[Record]) -> None:
    """Any inventory beside itself is empty, whatever it holds."""
    assert drift(merged(records), merged(records)) == ()


@given(record_lists, record_lists)
def test_a_change_has_two_sides(old: list[Record], new: list[Record]) -> None:
    """What differs does so in both directions, and says from what or to what."""
    there, back = drift(merged(old), merged(new)), drift(merged(new), merged(old))
    assert bool(there) == bool(back)
    assert all(change.before or change.after for change in there)


def test_three_changes_are_three_lines() -> None:
    """A certificate renewed on two servers and in its file, a server that becomes hybrid, a line less in a program."""
    renewed = certificate(7, "RSA-4096")
    after = [
        *server("a.example", renewed), *server("b.example", renewed),
        *server("c.example", OTHER, ("X25519MLKEM768", "X25519")),
        *in_file("etc/shop.pem", renewed, PublicKey(sha256=renewed.spki_sha256, algorithm="RSA-4096")),
        *in_file("etc/app.py", digest("SHA-256"), digest("SHA-256")),
    ]  # fmt: skip
    found = drift(inventory(BEFORE), inventory(after))
    assert lines(found) == [
        (Kind.WENT, "digest", ("file:etc/app.py",)),
        (Kind.IMPROVED, "certificate", ("file:etc/shop.pem", "tls://a.example:443", "tls://b.example:443")),
        (Kind.IMPROVED, "key-establishment", ("tls://c.example:443",)),
    ]
    assert found[0].before == ("MD5 (referenced)",)
    assert found[1].before[0].startswith("CN=shop (RSA-2048")
    assert found[1].after[0].startswith("CN=shop (RSA-4096")
    assert found[1].systems == ("bank", "shop")
    assert "supports post-quantum: yes" in found[2].after


def test_lines_that_move_are_no_change() -> None:
    """The same findings below a new comment of forty lines, and two of them the other way round."""
    moved = [
        replace(r, place=r.place.replace(":2", ":44").replace(":3", ":41").replace(":1", ":50"))
        if isinstance(r, Observation) and r.place.startswith("file:etc/app.py")
        else r
        for r in BEFORE
    ]
    assert drift(inventory(BEFORE), inventory(moved)) == ()


def test_a_hash_replaced_is_one_line() -> None:
    """MD5 by SHA-256 in one file: from what to what, and better."""
    after = [*BEFORE[:-4], *in_file("etc/app.py", digest("SHA-256"), digest("SHA-256"), digest("SHA-256"))]
    (change,) = drift(inventory(BEFORE), inventory(after))
    assert (change.kind, change.before, change.after) == (
        Kind.IMPROVED,
        ("MD5 (referenced)",),
        ("SHA-256 (referenced)",),
    )
    (back,) = drift(inventory(after), inventory(BEFORE))
    assert back.kind is Kind.WEAKENED


@pytest.mark.parametrize("outcome", [Outcome.UNREACHABLE, Outcome.TIMED_OUT, Outcome.NONE, Outcome.SKIPPED])
def test_what_did_not_answer_is_not_gone(outcome: Outcome) -> None:
    """An endpoint without an answer was not observed this time; once it answers again it has not appeared."""
    away = [r for r in BEFORE if r.target != "c"]
    without = inventory([*away, ended("c.example", outcome, "no answer")])
    (change,) = drift(inventory(BEFORE), without)
    assert (change.kind, change.where) == (Kind.NOT_OBSERVED, ("tls://c.example:443",))
    assert "no answer" in change.reason
    (again,) = drift(without, inventory(BEFORE))
    assert again.kind is Kind.FIRST_OBSERVED
    assert not change.kind.is_change
    assert not again.kind.is_change


def test_a_target_that_is_no_longer_named_is_not_gone() -> None:
    """Nobody looked: that is no statement about the world."""
    (change,) = drift(inventory(BEFORE), inventory([r for r in BEFORE if r.target != "c"], without="c"))
    assert change.kind is Kind.NOT_OBSERVED
    assert "not looked at" in change.reason


def test_a_new_target_appeared() -> None:
    """A server that the estate names for the first time is one line with all that it has."""
    (change,) = drift(inventory([r for r in BEFORE if r.target != "c"], without="c"), inventory(BEFORE))
    assert (change.kind, change.what, change.where) == (Kind.APPEARED, "endpoint", ("tls://c.example:443",))
    assert any(words.startswith("CN=other") for words in change.after)


def test_a_file_that_was_removed_is_gone_and_an_unreadable_one_is_not() -> None:
    """The folder was read and the file is not in it; or the file, or its folder, could not be read."""
    rest = [r for r in BEFORE if not r.place.startswith("file:etc/app.py")]
    (change,) = drift(inventory(BEFORE), inventory(rest))
    assert (change.kind, change.what) == (Kind.WENT, "file")
    for place in ("file:etc/app.py", "file:etc"):
        trouble = Attempt(target="files", probe="files", place=place, outcome=Outcome.UNREADABLE, reason="denied")
        (change,) = drift(inventory(BEFORE), inventory([*rest, trouble]))
        assert (change.kind, change.reason) == (Kind.NOT_OBSERVED, "unreadable: denied")


def test_a_question_without_an_answer_takes_nothing_away() -> None:
    """A server seen in part: what is missing beside a reason was not observed."""
    after = [
        r for r in BEFORE if not (r.target == "c" and isinstance(r, Observation) and isinstance(r.fact, Certificate))
    ]
    in_part = [r for r in after if r != ended("c.example")] + [ended("c.example", reason="1 of 5 questions timed out")]
    unseen = {(c.kind, c.reason) for c in drift(inventory(BEFORE), inventory(in_part))}
    assert unseen == {(Kind.NOT_OBSERVED, "1 of 5 questions timed out")}
    assert {c.kind for c in drift(inventory(BEFORE), inventory(after))} == {Kind.WENT}


def test_expiry_is_judged_by_the_two_days() -> None:
    """The same records on a later day: what expired in between is told; on the same day nothing is."""
    soon = [*server("a.example", certificate(1, not_after=date(2026, 12, 1)))]
    old, later = inventory(soon), inventory(soon, as_of=date(2026, 12, 2))
    (change,) = drift(old, later)
    assert (change.kind, change.what, change.before) == (Kind.WEAKENED, "certificate", ("valid until 2026-12-01",))
    assert drift(old, inventory(soon, as_of=date(2026, 12, 1))) == ()
    assert drift(later, inventory(soon, as_of=date(2027, 1, 1))) == ()


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (certificate(1), certificate(2, "RSA-1024"), Kind.WEAKENED),
        (certificate(1), certificate(2, "RSA-4096"), Kind.IMPROVED),
        (certificate(1), certificate(2), Kind.CHANGED),
        (certificate(1), certificate(2, "ECDSA-P-256"), Kind.CHANGED),
        (certificate(1), certificate(2, "ML-DSA-65", signature_algorithm="ML-DSA-65"), Kind.IMPROVED),
    ],
)
def test_a_certificate_is_weighed(before: Certificate, after: Certificate, kind: Kind) -> None:
    """By what a quantum computer means to it, then by the size of a key of the same family."""
    (change,) = drift(inventory(server("a.example", before)), inventory(server("a.example", after)))
    assert (change.kind, change.what) == (kind, "certificate")


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (("1.2",), ("1.2", "1.3"), Kind.APPEARED),
        (("1.0", "1.2"), ("1.2",), Kind.IMPROVED),
        (("1.2",), ("1.0", "1.2"), Kind.WEAKENED),
        (("1.2",), ("SSLv3", "1.2"), Kind.WEAKENED),
        (("1.2", "1.3"), ("1.2",), Kind.WENT),
    ],
)
def test_versions_are_weighed_by_the_oldest(before: tuple[str, ...], after: tuple[str, ...], kind: Kind) -> None:
    """An old version that goes is better, one that comes is worse."""
    one, other = server("a.example", SHARED, versions=before), server("a.example", SHARED, versions=after)
    (change,) = drift(inventory(one), inventory(other))
    assert (change.kind, change.what) == (kind, "protocol")


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        (Keystore(format="jks", entries=1), Keystore(format="jks", entries=2), "keystore"),
        (Library(name="openssl", version="3.0"), Library(name="openssl", version="3.5"), "library"),
        (
            ProtocolSettings(software="nginx", protocol="tls", versions=("1.2",)),
            ProtocolSettings(software="nginx", protocol="tls", versions=("1.3",)),
            "protocol",
        ),
        (PublicKey(sha256="a" * 64, algorithm="X25519"), PublicKey(sha256="b" * 64, algorithm="X25519"), "key"),
        (
            PublicKey(sha256="a" * 64, algorithm="X25519"),
            PublicKey(sha256="a" * 64, algorithm="X25519", private_part_present=True),
            "key",
        ),
    ],
)
def test_what_changed_in_a_file_is_one_line(before: Any, after: Any, what: str) -> None:
    """One by the other, whatever it is."""
    (change,) = drift(inventory(in_file("etc/x", before)), inventory(in_file("etc/x", after)))
    assert (change.kind, change.what, len(change.before), len(change.after)) == (Kind.CHANGED, what, 1, 1)


def test_traffic_that_is_not_seen_is_not_gone() -> None:
    """A flow that comes is told; how much there was, and that there was none, is no change."""
    flow = Flow(client="10.0.0.1", server="10.0.0.2", port=443, transport="tcp", protocol="tls", octets_to_client=5)
    quiet, busy = inventory(in_file("etc/x", SHARED)), inventory([*in_file("etc/x", SHARED), *in_file("etc/p", flow)])
    assert lines(drift(quiet, busy)) == [(Kind.APPEARED, "flow", ("flow 10.0.0.1 to 10.0.0.2:443/tcp",))]
    assert [change.kind for change in drift(busy, quiet)] == [Kind.NOT_OBSERVED]
    more = inventory([*in_file("etc/x", SHARED), *in_file("etc/q", replace(flow, octets_to_client=500))])
    assert drift(busy, more) == ()
    known = inventory([*in_file("etc/x", SHARED), *in_file("etc/p", replace(flow, key_establishment="X25519"))])
    assert not any(change.kind.is_change for change in drift(known, busy))  # it began before the capture did


@given(st.permutations(BEFORE))
def test_the_order_of_records_changes_nothing(records: list[Record]) -> None:
    """Lines come in one order."""
    after = [r for r in BEFORE if r.target != "a"]
    assert drift(inventory(records), inventory(after)) == drift(inventory(BEFORE), inventory(after))


def in_a_capture(port: int, group: str) -> list[Record]:
    """Return what a capture tells of a server."""
    at, use = f"!tls://10.0.0.9:{port}", AlgorithmUse(algorithm=group, function=Function.KEY_ESTABLISHMENT)
    facts = (Endpoint(protocol="tls", host="10.0.0.9", port=port, versions=("1.3",)), use)
    return [
        Observation(target="files", probe="files", place=f"file:a.pcap{at}", strength=Strength.NEGOTIATED, fact=fact)
        for fact in facts
    ]


def test_a_server_of_which_no_traffic_tells_is_not_gone() -> None:
    """A quiet server is not observed; ports of one address are servers of their own."""
    both = [*BEFORE, *in_a_capture(443, "X25519"), *in_a_capture(8443, "X25519MLKEM768")]
    quiet = drift(inventory(both), inventory([*BEFORE, *in_a_capture(443, "X25519")]))
    assert lines(quiet) == [(Kind.NOT_OBSERVED, "endpoint", ("tls://10.0.0.9:8443",))]
    assert "no traffic" in quiet[0].reason
    (change,) = drift(inventory(both), inventory([*BEFORE, *in_a_capture(443, "X25519MLKEM768"), *both[-2:]]))
    assert (change.kind, change.where) == (Kind.IMPROVED, ("tls://10.0.0.9:443",))


def test_what_traffic_alone_told_of_a_server_is_not_gone_with_it() -> None:
    """The probe's answer stays the same, whether or not a capture has something to say of that server."""
    told = Observation(
        target="files", probe="files", place="file:a.pcap!tls://a.example:443", strength=Strength.NEGOTIATED,
        fact=AlgorithmUse(algorithm="ECDH-P-256", function=Function.KEY_ESTABLISHMENT),
    )  # fmt: skip
    assert not any(change.kind.is_change for change in drift(inventory([*BEFORE, told]), inventory(BEFORE)))
