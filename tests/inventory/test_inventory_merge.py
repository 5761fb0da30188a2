"""Merging observations: properties of any set of records, and the cases a reader would ask about."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from keystrand.formats.certificate_names import name_hash
from keystrand.formats.cyclonedx import cbom
from keystrand.formats.cyclonedx_algorithm import Spec
from keystrand.formats.cyclonedx_read import read as read_cbom
from keystrand.inventory.identity import canonical, identity
from keystrand.inventory.merge import merge
from keystrand.inventory.verdict import endpoint_verdict, fact_verdict, worst
from keystrand.model.algorithm import Function, Verdict, classify
from keystrand.model.document import Coverage, InputRef
from keystrand.model.errors import DocumentMismatch
from keystrand.model.estate import (
    Estate,
    Exposure,
    Layer,
    LossBasis,
    Organisation,
    Owners,
    Place,
    ProbeKind,
    Segment,
    SegmentReach,
    System,
    Target,
)
from keystrand.model.observation import (
    AlgorithmUse,
    Attempt,
    Certificate,
    Endpoint,
    Fact,
    Flow,
    Keystore,
    Observation,
    Outcome,
    ProtocolSettings,
    PublicKey,
    Record,
    Strength,
)
from keystrand.model.stages import Asset, Inventory, Observations

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
REF = InputRef(kind="observations", content_sha256="0" * 64, file_sha256="1" * 64)
A, B = "a" * 64, "b" * 64
WEB, SHELL, FILE = "tls://web.example:443", "ssh://web.example:22", "file:certs/web.pem#1"
KEX = Function.KEY_ESTABLISHMENT
SAFE, VULNERABLE, UNKNOWN = Verdict.QUANTUM_SAFE, Verdict.QUANTUM_VULNERABLE, Verdict.UNKNOWN


def system(name: str, **changes: Any) -> System:
    """Return a system in which only what a test is about differs."""
    given_ = {"id": name, "name": name, "place": Place.WEB, "site": "here", "functions": (KEX,)} | changes
    return System(exposure=Exposure.INTERNAL, **given_)


def an_estate(**changes: Any) -> Estate:
    """Return an estate of three systems; the third has no target."""
    targets = tuple(
        Target(id=name, probe=ProbeKind.TLS, system=of, host="web.example", port=443)
        for name, of in (("web", "shop"), ("web-again", "bank"), ("web-shell", "shop"))
    )
    estate = Estate(
        format_version="1", organisation=Organisation(name="o", sector="s"), region=(), trust_zone=(), owner=(),
        site=(), data_class=(), system=(system("shop"), system("bank"), system("archive")), target=targets,
    )  # fmt: skip
    return replace(estate, **changes)


def merged(records: Iterable[Record], estate: Estate | None = None) -> Inventory:
    """Return the inventory that `records` make of `estate`."""
    observations = Observations(
        format_version="1.0", tool_version="t", as_of=NOON.date(), created_at=NOON, made_from=(), seed=None,
        coverage=Coverage(unit="targets", looked_at=0, answered=0), records=tuple(records),
    )  # fmt: skip
    return merge(estate or an_estate(), observations, made_from=(REF,), created_at=NOON, tool_version="t")


def seen(fact: Fact, strength: Strength = Strength.NEGOTIATED, *, place: str = WEB, target: str = "web") -> Observation:
    """Return one observation."""
    return Observation(target=target, probe="tls", place=place, strength=strength, fact=fact)


def use(algorithm: str, function: Function = KEX) -> AlgorithmUse:
    """Return the use of one algorithm."""
    return AlgorithmUse(algorithm=algorithm, function=function)


def certificate(**changes: Any) -> Certificate:
    """Return a certificate in which only what a test is about differs."""
    plain = Certificate(
        sha256=A, spki_sha256=B, subject="CN=web", issuer="CN=ca", serial="1", not_before=date(2026, 1, 1),
        not_after=date(2027, 1, 1), signature_algorithm="ML-DSA-65", key_algorithm="ML-DSA-65",
    )  # fmt: skip
    return replace(plain, **changes)


def only(records: Iterable[Record]) -> Asset:
    """Return the one asset that `records` make."""
    (asset,) = merged(records).assets
    return asset


ENDPOINT = Endpoint(protocol="tls", host="web.example", port=443)

# Small pools, so that one thing is seen twice, in two places, and with different words.
names = st.sampled_from(("X25519MLKEM768", "ML-KEM-768", "X25519", "ML-DSA-65", "RSA-2048", "mystery", ""))
hashes = st.sampled_from((A, B))
facts: st.SearchStrategy[Fact] = st.one_of(
    st.builds(
        certificate,
        sha256=hashes,
        subject=st.sampled_from(("CN=web", "CN=other", "")),
        signature_algorithm=names,
        key_algorithm=names,
        key_bits=st.sampled_from((None, 2048)),
    ),
    st.builds(PublicKey, sha256=hashes, algorithm=names, private_part_present=st.booleans()),
    st.builds(
        Endpoint,
        protocol=st.just("tls"),
        host=st.sampled_from(("web.example", "WEB.example")),
        port=st.just(443),
        versions=st.sampled_from(((), ("1.2",), ("1.2", "1.3"))),
        prefers_post_quantum=st.sampled_from((None, True, False)),
    ),
    st.builds(AlgorithmUse, algorithm=names, function=st.sampled_from(Function), code_point=st.sampled_from(("", "1"))),
)
places = st.sampled_from((WEB, "tls://WEB.example:443", SHELL, FILE))
targets = st.sampled_from(("web", "web-again", "web-shell"))
sightings = st.builds(
    Observation, target=targets, probe=st.just("tls"), place=places, strength=st.sampled_from(Strength), fact=facts
)
attempts = st.builds(
    Attempt, target=targets, probe=st.just("tls"), place=places, outcome=st.sampled_from(Outcome), reason=st.just("why")
)
record_lists = st.lists(st.one_of(sightings, sightings, attempts), max_size=14)


def by_id(inventory: Inventory) -> dict[str, Asset]:
    """Return the assets of `inventory` by id."""
    return {asset.id: asset for asset in inventory.assets}


@given(record_lists, st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(records: list[Record], shuffler: Any) -> None:
    """The inventory depends on the set of records only."""
    again = [*records, *shuffler.choices(records, k=len(records))] if records else []
    shuffler.shuffle(again)
    assert merged(again) == merged(records)


@given(record_lists, record_lists, record_lists)
def test_parts_add_up_to_the_whole(one: list[Record], two: list[Record], three: list[Record]) -> None:
    """However a scan is split, its parts' inventories say together what the inventory of all of it says."""
    whole = by_id(merged(one + two + three))
    assert merged(three + (one + two)) == merged((one + two) + three)
    parts = [by_id(merged(part)) for part in (one, two, three)]
    assert whole.keys() == set().union(*parts)
    for name, asset in whole.items():
        shares = [part[name] for part in parts if name in part]
        assert set(asset.occurrences) == {occurrence for share in shares for occurrence in share.occurrences}
        assert asset.strength.rank == min(share.strength.rank for share in shares)
        if not isinstance(asset.fact, Endpoint):
            assert asset.verdict is worst(share.verdict for share in shares)


@given(record_lists, sightings)
def test_a_further_observation_never_weakens_the_evidence(records: list[Record], further: Observation) -> None:
    """Every asset stays, at least as strong, and none but an endpoint looks better than before."""
    before, after = by_id(merged(records)), by_id(merged([*records, further]))
    for name, asset in before.items():
        assert after[name].strength.rank <= asset.strength.rank
        if not isinstance(asset.fact, Endpoint):
            assert worst((asset.verdict, after[name].verdict)) is after[name].verdict


@given(record_lists)
def test_every_observation_is_in_exactly_one_occurrence(records: list[Record]) -> None:
    """Nothing is lost, counted twice, or made up."""
    inventory = merged(records)
    owners = an_estate().target
    expected = {
        (
            identity(r.fact, r.place),
            r.target,
            next(t.system for t in owners if t.id == r.target),
            canonical(r).place,
            r.probe,
            r.strength,
        )
        for r in records
        if isinstance(r, Observation)
    }
    found = Counter(
        (asset.id, o.target, o.system, o.place, o.probe, o.strength)
        for asset in inventory.assets
        for o in asset.occurrences
    )
    assert found.keys() == expected
    assert set(found.values()) <= {1}


@given(record_lists)
def test_unknown_never_becomes_safe(records: list[Record]) -> None:
    """An asset is safe only where all that was said of it is; an endpoint only by what was really negotiated there."""
    sighted = [canonical(r) for r in records if isinstance(r, Observation)]
    for asset in merged(records).assets:
        if asset.verdict is not SAFE:
            continue
        own = [r for r in sighted if identity(r.fact, r.place) == asset.id]
        said = {classify(name).verdict for r in own for name in _algorithms_of(r.fact)}
        if isinstance(asset.fact, Endpoint):
            there = {r.place for r in own}
            said = {
                classify(r.fact.algorithm).verdict
                for r in sighted
                if isinstance(r.fact, AlgorithmUse)
                and r.fact.function is KEX
                and r.place in there
                and r.strength is Strength.NEGOTIATED
            }
            assert asset.fact.prefers_post_quantum is not False
            if asset.fact.prefers_post_quantum:
                said -= {VULNERABLE}
        assert said == {SAFE}


def _algorithms_of(fact: Fact) -> list[str]:
    match fact:
        case Certificate():
            return [fact.key_algorithm, fact.signature_algorithm]
        case PublicKey() | AlgorithmUse():
            return [fact.algorithm]
        case _:
            return []


@given(record_lists)
def test_every_difference_is_kept_or_told(records: list[Record]) -> None:
    """Of the values stated for one field, one is in the fact and each other in the words of a conflict."""
    sighted = [canonical(r) for r in records if isinstance(r, Observation)]
    for asset in merged(records).assets:
        own = [r.fact for r in sighted if identity(r.fact, r.place) == asset.id]
        told = 0
        for field in own[0].__struct_fields__:
            stated = {getattr(fact, field) for fact in own} - {None, "", ()}
            if field == "private_part_present":
                stated -= {False}
            assert not stated or getattr(asset.fact, field) in stated
            told += max(0, len(stated) - 1)
        assert len(asset.conflicts) == told


@given(record_lists)
def test_the_document_is_in_a_fixed_order(records: list[Record]) -> None:
    """Assets by id, occurrences strongest first, one view for each system of the estate."""
    inventory = merged(records)
    ids = [asset.id for asset in inventory.assets]
    assert ids == sorted(set(ids))
    for asset in inventory.assets:
        ranks = [o.strength.rank for o in asset.occurrences]
        assert ranks == sorted(ranks)
    assert [view.system for view in inventory.systems] == ["archive", "bank", "shop"]
    assert set(ids) == {name for view in inventory.systems for name in view.assets}


def test_one_certificate_behind_two_targets_is_one_asset() -> None:
    """Seen on the wire for two systems and in a file, it is one asset with three occurrences, the strongest first."""
    asset = only((
        seen(certificate(), Strength.REFERENCED, place=FILE, target="web-shell"),
        seen(certificate(), target="web"),
        seen(certificate(), target="web-again"),
    ))  # fmt: skip
    assert [(o.system, o.strength) for o in asset.occurrences] == [
        ("shop", Strength.NEGOTIATED),
        ("bank", Strength.NEGOTIATED),
        ("shop", Strength.REFERENCED),
    ]
    assert (asset.name, asset.strength, asset.conflicts) == ("CN=web", Strength.NEGOTIATED, ())


@pytest.mark.parametrize(
    ("key", "signature", "verdict"),
    [
        ("ML-DSA-65", "ML-DSA-87", SAFE),
        ("ML-DSA-65", "RSA-2048", VULNERABLE),
        ("RSA-2048", "ML-DSA-65", VULNERABLE),
        ("ML-DSA-65", "mystery", UNKNOWN),
        ("mystery", "ML-DSA-65", UNKNOWN),
        ("mystery", "RSA-2048", VULNERABLE),
    ],
)
def test_a_certificate_is_as_good_as_its_weaker_half(key: str, signature: str, verdict: Verdict) -> None:
    """Its own key and the algorithm its issuer signed with both count; what is unknown is never safe."""
    assert only([seen(certificate(key_algorithm=key, signature_algorithm=signature))]).verdict is verdict


def by_name(**changes: Any) -> Certificate:
    """Return what another tool may say of the certificate: its issuer, number and key, but no hash."""
    plain = certificate(**changes)
    return replace(plain, sha256=name_hash(plain.issuer, plain.serial, plain.spki_sha256))


def test_a_certificate_told_of_by_name_is_the_one_of_that_name() -> None:
    """Issuer, number and key, spelled in another way: one asset, with the hash, and no conflict about it."""
    whole = certificate(issuer="CN=ca,O=Trust", serial="0a1b")
    told = replace(by_name(issuer="o=trust, cn=CA", serial="A1B"), issuer="CN=ca,O=Trust", serial="0a1b")
    for records in ([seen(whole), seen(told, place=FILE)], [seen(told, place=FILE), seen(whole)]):
        asset = only(records)
        assert (asset.id, asset.fact, asset.conflicts) == (f"certificate:{A}", whole, ())
        assert len(asset.occurrences) == 2


def test_a_name_that_two_certificates_go_by_joins_neither() -> None:
    """A careless authority gave one number twice: what is told of by that name stays a thing of its own."""
    twins = [seen(certificate()), seen(certificate(sha256=B)), seen(by_name(), place=FILE)]
    assert len(merged(twins).assets) == 3
    assert len(merged([seen(certificate(serial="2")), seen(by_name(), place=FILE)]).assets) == 2
    assert only([seen(by_name(), place=FILE)]).fact == by_name()


def test_vulnerable_is_worse_than_unknown_and_unknown_worse_than_safe() -> None:
    """Nothing to judge is unknown, not safe."""
    assert worst(()) is UNKNOWN
    assert worst((SAFE,)) is SAFE
    assert worst((SAFE, UNKNOWN)) is UNKNOWN
    assert worst((UNKNOWN, VULNERABLE, SAFE)) is VULNERABLE


NEG, OFF = Strength.NEGOTIATED, Strength.OFFERED


@pytest.mark.parametrize(
    ("uses", "prefers_safe", "verdict"),
    [
        ([], True, UNKNOWN),
        ([(NEG, SAFE)], None, SAFE),
        ([(NEG, SAFE), (OFF, VULNERABLE)], None, SAFE),
        ([(NEG, SAFE), (NEG, VULNERABLE)], True, SAFE),
        ([(NEG, SAFE), (NEG, VULNERABLE)], None, UNKNOWN),
        ([(NEG, SAFE), (NEG, VULNERABLE)], False, VULNERABLE),
        ([(NEG, SAFE), (OFF, VULNERABLE)], False, VULNERABLE),
        ([(NEG, SAFE)], False, UNKNOWN),
        ([(NEG, SAFE), (NEG, UNKNOWN)], True, UNKNOWN),
        ([(NEG, VULNERABLE), (OFF, SAFE)], True, VULNERABLE),
        ([(NEG, VULNERABLE), (NEG, UNKNOWN)], True, VULNERABLE),
        ([(NEG, UNKNOWN), (OFF, VULNERABLE)], None, UNKNOWN),
        ([(OFF, SAFE)], True, UNKNOWN),
        ([(OFF, SAFE), (OFF, VULNERABLE)], None, UNKNOWN),
        ([(OFF, VULNERABLE)], None, VULNERABLE),
        ([(OFF, VULNERABLE), (OFF, UNKNOWN)], None, UNKNOWN),
    ],
)
def test_an_endpoint_is_judged_by_what_it_negotiates(
    *, uses: list[tuple[Strength, Verdict]], prefers_safe: bool | None, verdict: Verdict
) -> None:
    """An offer makes nobody safe; a safe exchange beside another counts only where it is known to be preferred."""
    assert endpoint_verdict(uses, prefers_safe=prefers_safe) is verdict


def test_only_key_establishment_at_the_same_place_speaks_for_an_endpoint() -> None:
    """A safe signature there, or a safe exchange elsewhere, says nothing of the endpoint."""
    records = [
        seen(ENDPOINT),
        seen(use("ML-DSA-65", Function.SIGNATURE)),
        seen(use("X25519MLKEM768"), place=SHELL),
    ]
    assert by_id(merged(records))["endpoint:tls://web.example:443"].verdict is UNKNOWN
    records.append(seen(use("X25519MLKEM768"), place="tls://WEB.EXAMPLE:443", target="web-again"))
    assert by_id(merged(records))["endpoint:tls://web.example:443"].verdict is SAFE


@pytest.mark.parametrize(("answered", "verdict"), [(["X25519"], VULNERABLE), (["X25519MLKEM768"], SAFE), ([], UNKNOWN)])
def test_what_a_report_says_makes_no_endpoint_better_than_it_answered(answered: list[str], verdict: Verdict) -> None:
    """A report may be old, or a lie; what it tells of a worse exchange still counts."""
    told = replace(ENDPOINT, prefers_post_quantum=True, negotiates_post_quantum=True, supports_post_quantum=True)
    report = f"file:report.json!{WEB}"
    records = [seen(ENDPOINT), *(seen(use(name)) for name in answered)]
    records += [seen(told, place=report), seen(use("X25519MLKEM768"), place=report)]
    assert by_id(merged(records))["endpoint:tls://web.example:443"].verdict is verdict


@pytest.mark.parametrize(("probe", "verdict"), [("report", UNKNOWN), ("capture", SAFE)])
def test_a_report_alone_makes_no_endpoint_safe(probe: str, verdict: Verdict) -> None:
    """What a tool wrote into a file is no sight of ours, a capture is. That an endpoint is vulnerable is believed."""
    place = f"file:told!{WEB}"
    told = replace(ENDPOINT, prefers_post_quantum=True)
    safe, weak = (
        [replace(seen(fact, place=place), probe=probe) for fact in (told, use(name))]
        for name in ("X25519MLKEM768", "X25519")
    )
    assert by_id(merged(safe))["endpoint:tls://web.example:443"].verdict is verdict
    assert by_id(merged(weak))["endpoint:tls://web.example:443"].verdict is VULNERABLE


def reported(fact: Fact, place: str = WEB) -> Observation:
    """Return what a report says of a place, with the strongest evidence there is."""
    return replace(seen(fact, place=f"file:cbom.json!{place}"), probe="report")


def test_a_report_makes_nothing_better_that_a_capture_saw() -> None:
    """A capture is our own sight as an answer is: a preference and a safe exchange that are told hide nothing."""
    captured = [replace(seen(fact, place=f"file:a.pcap!{WEB}"), probe="capture") for fact in (ENDPOINT, use("X25519"))]
    records = [*captured, reported(replace(ENDPOINT, prefers_post_quantum=True)), reported(use("X25519MLKEM768"))]
    assert by_id(merged(records))["endpoint:tls://web.example:443"].verdict is VULNERABLE


@pytest.mark.parametrize(
    ("ours", "theirs", "place"),
    [
        (use("X25519"), replace(use("X25519"), in_tests=True), WEB),
        (use("X25519"), replace(use("X25519"), in_tests=True), "file:src/a.py:7"),
        (Keystore(format="PKCS#12", encrypted=False), Keystore(format="PKCS#12", encrypted=True), "file:a.p12"),
    ],
)
def test_what_a_report_says_is_kept_after_what_was_seen(ours: Fact, theirs: Fact, place: str) -> None:
    """It is the same thing, whose facts stay what we saw however strong the report says its evidence is."""
    asset = only((seen(ours, Strength.REFERENCED, place=place), reported(theirs, place)))
    assert (asset.fact, len(asset.occurrences), len(asset.conflicts)) == (ours, 2, 1)
    assert only((reported(theirs, place),)).id == asset.id


def test_an_old_report_makes_no_line_another() -> None:
    """Lines that only a report tells of come after all others, so what was seen keeps its identity."""
    own = [seen(use("RSA"), place=f"file:a.py:{n}") for n in (10, 20)]
    before = {seen.id: seen.occurrences for seen in merged(own).assets}
    after = by_id(merged([*own, reported(use("RSA"), "file:a.py:9"), reported(use("RSA"), "file:a.py:20")]))
    assert len(after) == 3
    assert all(set(occurrences) <= set(after[name].occurrences) for name, occurrences in before.items())


def test_a_place_that_only_looks_told_is_its_own() -> None:
    """A member of an archive may have any name: it is never taken for the file of that name outside."""
    member, file = (seen(Keystore(format="JKS"), place=place) for place in ("file:a.zip!file:a.jks", "file:a.jks"))
    assert len(merged([member, file]).assets) == 2


@pytest.mark.parametrize("spec", Spec)
def test_an_export_read_as_a_report_is_the_same_assets(spec: Spec) -> None:
    """In files and members, at lines, objects and offsets, of services: also once more through an export of that."""
    places = ["a.py:3", "a.py:9", "a.zip!in/a.py:4", "a.p12#2", "a.bin@0x40", f"a.pcap!{WEB}"]
    records = [seen(use("RSA"), place=place) for place in (*(f"file:{place}" for place in places), WEB)]
    records += [seen(Keystore(format="JKS"), place="file:a.jks"), seen(ENDPOINT)]
    records += [seen(ProtocolSettings(software="nginx", protocol="tls"), place="file:nginx.conf:7")]
    first = merged(records)
    again = first
    for name in ("one.json", "two.json"):
        found = read_cbom(name, cbom(again, name="estate", spec=spec)).found
        records = [replace(seen(one.fact, one.strength, place=f"file:{name}{one.where}"), probe="report")
                   for one in found]  # fmt: skip
        again = merged(records)
        assert {asset.id: asset.fact for asset in again.assets} == {asset.id: asset.fact for asset in first.assets}


def test_the_stronger_observation_is_kept_and_the_other_told() -> None:
    """Facts that differ: the stronger stays; what it does not state is filled in; the rest is put into words."""
    asset = only((
        seen(replace(ENDPOINT, versions=("1.2", "1.3"), prefers_post_quantum=True), Strength.OFFERED),
        seen(replace(ENDPOINT, versions=("1.3",), prefers_post_quantum=False)),
        seen(replace(ENDPOINT, software="example/1"), Strength.CONFIGURED),
    ))  # fmt: skip
    assert asset.fact == replace(ENDPOINT, versions=("1.3",), prefers_post_quantum=False, software="example/1")
    assert asset.conflicts == (
        "versions: kept 1.3 (negotiated); 1.2, 1.3 was also seen (offered)",
        "prefers_post_quantum: kept no (negotiated); yes was also seen (offered)",
    )


def test_among_equals_the_one_that_promises_less_is_kept() -> None:
    """With equal evidence for two answers, the more careful one stands in the fact."""
    asset = only(
        (seen(replace(ENDPOINT, prefers_post_quantum=True)), seen(replace(ENDPOINT, prefers_post_quantum=False)))
    )
    assert isinstance(asset.fact, Endpoint)
    assert asset.fact.prefers_post_quantum is False
    key = only((seen(PublicKey(sha256=A, algorithm="ML-DSA-65")), seen(PublicKey(sha256=A, algorithm="RSA-2048"))))
    assert (key.name, key.verdict) == (f"RSA-2048 key {A[:16]}", VULNERABLE)
    assert key.conflicts == ("algorithm: kept RSA-2048 (negotiated); ML-DSA-65 was also seen (negotiated)",)


def test_a_private_part_found_once_is_remembered() -> None:
    """The key on the wire shows no private part; that does not hide the one in the file, and is no conflict."""
    public = PublicKey(sha256=A, algorithm="RSA-2048")
    asset = only((seen(public), seen(replace(public, private_part_present=True), Strength.REFERENCED, place=FILE)))
    assert asset.fact == replace(public, private_part_present=True)
    assert (asset.strength, asset.conflicts) == (Strength.NEGOTIATED, ())


def test_systems_show_their_assets_and_how_many_targets_answered() -> None:
    """A system without a target is there too, empty."""
    records: list[Record] = [
        seen(certificate()),
        Attempt(target="web", probe="tls", place=WEB, outcome=Outcome.SEEN),
        Attempt(target="web-shell", probe="ssh", place=SHELL, outcome=Outcome.UNREACHABLE, reason="refused"),
    ]
    archive, bank, shop = merged(records).systems
    assert (shop.targets, shop.answered, shop.assets) == (2, 1, (f"certificate:{A}",))
    assert (bank.targets, bank.answered, bank.assets) == (1, 0, ())
    assert (archive.targets, archive.answered, archive.assets) == (0, 0, ())


def test_layers_without_an_owner_are_work() -> None:
    """Every layer of every system and segment that names nobody is listed, the owned ones are not."""
    segment = Segment(
        id="ring", name="r", a="x", b="y", reach=SegmentReach.METRO, length_km=5.0, loss_db=2.0,
        loss_basis=LossBasis.ASSUMED, carrier="c", owners=Owners(link="network", algorithms="network"),
    )  # fmt: skip
    owned = Owners(link="network", algorithms="network", keys="network")
    estate = an_estate(system=(system("shop", owners=owned),), segment=(segment,), target=())
    gaps = [(gap.noun, gap.id, gap.layer) for gap in merged((), estate).ownership_gaps]
    assert gaps == [
        ("segment", "ring", Layer.KEYS),
        ("segment", "ring", Layer.GOVERNANCE),
        ("system", "shop", Layer.GOVERNANCE),
    ]


def test_observations_of_another_estate_are_refused() -> None:
    """A record of a target that the estate does not name is an error that names it, never dropped in silence."""
    with pytest.raises(DocumentMismatch) as refused:
        merged((seen(ENDPOINT, target="gone"), seen(ENDPOINT), seen(ENDPOINT, target="lost")))
    assert [problem.field for problem in refused.value.problems] == ["gone", "lost"]


@pytest.mark.parametrize(
    ("fact", "name"),
    [
        (replace(ENDPOINT, host="2001:DB8::1"), "tls://[2001:db8::1]:443"),
        (certificate(subject="", names=("a.example", "b.example")), "a.example"),
        (certificate(subject=""), f"certificate {A[:16]}"),
        (PublicKey(sha256=A, algorithm=""), f"key {A[:16]}"),
        (use(""), "unnamed algorithm"),
    ],
)
def test_every_asset_has_a_name_to_show(fact: Fact, name: str) -> None:
    """Also where the thing itself carries none."""
    assert only([seen(fact)]).name == name


def test_the_head_says_what_it_was_made_from() -> None:
    """The day judged for comes from the observations, the moment and the version from the caller."""
    inventory = merged(())
    assert (inventory.as_of, inventory.created_at, inventory.tool_version) == (NOON.date(), NOON, "t")
    assert (inventory.made_from, inventory.seed, inventory.assets) == ((REF,), None, ())


@pytest.mark.parametrize(
    "fact",
    [
        AlgorithmUse(algorithm="AES-256-GCM", function=KEX),
        AlgorithmUse(algorithm="ML-DSA-65", function=KEX),
        AlgorithmUse(algorithm="SHA-256", function=Function.SIGNATURE),
        PublicKey(sha256=A, algorithm="SHA-256"),
        Flow(client="::1", server="::1", port=443, transport="tcp", protocol="tls", key_establishment="SHA-512"),
        certificate(key_algorithm="AES-256", signature_algorithm="ML-DSA-65"),
        certificate(key_algorithm="ML-DSA-65", signature_algorithm="SHA-256"),
    ],
)
def test_what_is_safe_for_another_use_is_not_safe_for_this_one(fact: Fact) -> None:
    """A report may call a hash a key exchange; that makes no endpoint, key or certificate safe."""
    assert fact_verdict(fact) is UNKNOWN
