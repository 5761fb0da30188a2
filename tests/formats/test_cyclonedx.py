"""The CBOM against the official CycloneDX 1.6 and 1.7 schemas and an independent reader, from an installed package."""

import json
import re
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.model.crypto import CryptoAssetType, CryptoPrimitive
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from keystrand.formats.cyclonedx import cbom
from keystrand.formats.cyclonedx_algorithm import Spec, algorithm_properties, sized
from keystrand.model.algorithm import Function, Verdict, classify
from keystrand.model.document import Coverage, Gap, InputRef
from keystrand.model.estate import Layer
from keystrand.model.observation import (
    AlgorithmUse,
    Certificate,
    Endpoint,
    Fact,
    Flow,
    Keystore,
    Library,
    Outcome,
    ProtocolSettings,
    PublicKey,
    Strength,
)
from keystrand.model.stages import Asset, Inventory, Occurrence, OwnershipGap

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
A, B, C = "a" * 64, "b" * 64, "c" * 64
KEX = Function.KEY_ESTABLISHMENT
WEB = "tls://web.example:443"


@cache
def official_schema(version: str = "1.6") -> jsonschema_rs.Validator:
    """Return an official schema as a validator; what it refers to lies in the same folder of the package."""
    folder = files("cyclonedx.schema._res")

    def resource(uri: str) -> Any:
        return json.loads(folder.joinpath(uri.rpartition("/")[2]).read_text())

    schema = resource(f"bom-{version}.SNAPSHOT.schema.json")
    return jsonschema_rs.validator_for(schema, retriever=resource, validate_formats=True)


def an_inventory(*assets: Asset, **changes: Any) -> Inventory:
    """Return an inventory of `assets`."""
    plain = Inventory(
        format_version="1.0", tool_version="0.1.0", as_of=NOON.date(), created_at=NOON, made_from=(), seed=None,
        coverage=Coverage(unit="targets", looked_at=0, answered=0), assets=assets, systems=(), ownership_gaps=(),
    )  # fmt: skip
    return replace(plain, **changes)


def an_asset(fact: Fact, *places: str, name: str = "thing", identity: str = "", **changes: Any) -> Asset:
    """Return an asset that was negotiated at `places`."""
    occurrences = tuple(
        Occurrence(target="web", system="shop", place=place, probe="tls", strength=Strength.NEGOTIATED)
        for place in places
    )
    return replace(
        Asset(id=identity or f"asset:{name}", name=name, verdict=Verdict.UNKNOWN, strength=Strength.NEGOTIATED,
              fact=fact, occurrences=occurrences),
        **changes,
    )  # fmt: skip


CERTIFICATE = Certificate(
    sha256=A, spki_sha256=B, subject="CN=web", issuer="CN=ca", serial="0a", not_before=date(2026, 1, 2),
    not_after=date(2027, 3, 4), signature_algorithm="ML-DSA-65", key_algorithm="RSA", key_bits=3072,
    names=("web.example", "www.example"),
)  # fmt: skip
RICH = an_inventory(
    an_asset(Endpoint(protocol="tls", host="web.example", port=443, versions=("1.2", "1.3")), WEB, name="endpoint"),
    an_asset(AlgorithmUse(algorithm="X25519MLKEM768", function=KEX, code_point="0x11EC"), WEB, name="hybrid",
             verdict=Verdict.QUANTUM_SAFE),
    an_asset(CERTIFICATE, WEB, "file:web.pem#1", name="certificate", verdict=Verdict.QUANTUM_VULNERABLE,
             conflicts=("subject: kept a; b was also seen",)),
    an_asset(PublicKey(sha256=C, algorithm="ECDSA-P-256"), "ssh://h:22", name="host-key"),
    an_asset(Endpoint(protocol="MQTT", host="h", port=1), "mqtt://h:1", name="other-endpoint"),
    an_asset(AlgorithmUse(algorithm="mystery", function=KEX), "mqtt://h:2", name="mystery"),
    ownership_gaps=(
        OwnershipGap(noun="system", id="shop", layer=Layer.KEYS),
        OwnershipGap(noun="system", id="shop", layer=Layer.GOVERNANCE),
        OwnershipGap(noun="segment", id="shop", layer=Layer.LINK),
    ),
    coverage=Coverage(unit="targets", looked_at=2, answered=1,
                      gaps=(Gap(what="target b", outcome=Outcome.TIMED_OUT, reason="no answer"),)),
)  # fmt: skip


def document(inventory: Inventory, spec: Spec = Spec.V1_6) -> dict[str, Any]:
    """Return the CBOM of `inventory` as JSON values, once it has passed the official schema."""
    value: dict[str, Any] = json.loads(cbom(inventory, name="estate", spec=spec))
    official_schema(spec.value).validate(value)
    return value


def components(inventory: Inventory, spec: Spec = Spec.V1_6) -> dict[str, dict[str, Any]]:
    """Return the components by reference."""
    return {component["bom-ref"]: component for component in document(inventory, spec)["components"]}


def properties(component: dict[str, Any]) -> list[tuple[str, str]]:
    """Return name and value of a component's own properties."""
    return [(entry["name"].removeprefix("keystrand:asset:"), entry["value"]) for entry in component["properties"]]


# Text as it comes from the wire, control signs included.
texts = st.text(max_size=12)
algorithms = st.one_of(
    texts,
    st.sampled_from((
        "X25519MLKEM768", "SecP256r1Kyber768Draft00", "sntrup761x25519-sha512", "ML-KEM-1024", "HashSLH-DSA-SHA2-128s",
        "RSA", "RSA-2048", "RSA-KEX", "RSA-PSS-4096", "FFDH-2048", "DSA-1024", "X448", "Ed25519", "ECDH-P-384",
        "ECDSA-SHA256", "LMS", "AES-256-GCM", "SHA-256",
    )),
)  # fmt: skip
hashes = st.sampled_from((A, B, C))
sizes = st.one_of(st.none(), st.integers(1, 20_000))
days = st.dates()
facts: st.SearchStrategy[Fact] = st.one_of(
    st.builds(AlgorithmUse, algorithm=algorithms, function=st.sampled_from(Function),
              code_point=st.one_of(texts, st.sampled_from(("0x0804", "35", "0x11ec"))), library=texts,
              in_tests=st.booleans()),
    st.builds(Keystore, format=texts, entries=st.one_of(st.none(), st.integers(0, 9)), encrypted=st.booleans()),
    st.builds(Library, name=texts, version=texts, purl=texts),
    st.builds(ProtocolSettings, software=texts, protocol=st.one_of(texts, st.sampled_from(("ike", "tls"))),
              versions=st.lists(texts, max_size=2).map(tuple), listens=st.lists(texts, max_size=2).map(tuple)),
    st.builds(Flow, client=texts, server=texts, port=st.integers(1, 65535), protocol=texts, first=texts, last=texts,
              transport=st.sampled_from(("tcp", "udp", "other")), key_establishment=algorithms,
              octets_to_server=st.integers(0, 2**50), octets_to_client=st.integers(0, 2**50)),
    st.builds(PublicKey, sha256=hashes, algorithm=algorithms, bits=sizes, private_part_present=st.booleans()),
    st.builds(Endpoint, protocol=st.one_of(texts, st.sampled_from(("tls", "ike", "quic"))),
              host=texts, port=st.integers(1, 65535),
              versions=st.lists(texts, max_size=3).map(tuple), software=texts,
              prefers_post_quantum=st.sampled_from((None, True, False))),
    st.builds(Certificate, sha256=hashes, spki_sha256=hashes, subject=texts, issuer=texts, serial=texts,
              not_before=days, not_after=days, signature_algorithm=algorithms, key_algorithm=algorithms,
              key_bits=sizes, names=st.lists(texts, max_size=3).map(tuple), authority=st.booleans()),
)  # fmt: skip
occurrences = st.builds(
    Occurrence, target=st.just("t"), system=st.sampled_from(("shop", "bank")),
    place=st.one_of(st.just(WEB), texts, st.sampled_from(("file:a.py:12", "file:b.bin@0x40", "file:c:0", "file:d#1"))),
    probe=texts, rule=st.sampled_from(("", "by-network", "payments.1")), strength=st.sampled_from(Strength),
)  # fmt: skip
assets = st.builds(
    Asset,
    id=texts.map("asset:{}".format),
    name=texts,
    verdict=st.sampled_from(Verdict),
    strength=st.sampled_from(Strength),
    fact=facts,
    occurrences=st.lists(occurrences, min_size=1, max_size=3).map(tuple),
    conflicts=st.lists(texts, max_size=2).map(tuple),
)
gaps = st.builds(Gap, what=texts, outcome=st.sampled_from(Outcome), reason=texts)
inventories = st.builds(
    lambda found, missed: replace(
        an_inventory(*found), coverage=Coverage(unit="targets", looked_at=9, answered=1, gaps=missed)
    ),
    st.lists(assets, max_size=6, unique_by=lambda asset: asset.id),
    st.lists(gaps, max_size=2).map(tuple),
)


@given(inventories, st.sampled_from(Spec))
@settings(max_examples=200)
def test_every_cbom_passes_the_official_schema_and_refers_to_what_it_holds(inventory: Inventory, spec: Spec) -> None:
    """Valid for any inventory; references are unique and none leads nowhere; every asset is in it."""
    bom = document(inventory, spec)
    entries = [*bom["components"], *bom.get("services", [])]
    refs = [bom["metadata"]["component"]["bom-ref"], *(entry["bom-ref"] for entry in entries)]
    assert len(refs) == len(set(refs))
    assert {asset.id for asset in inventory.assets} <= set(refs)
    pattern = r'"(?:\w+Ref|ref|algorithm)": ("(?:[^"\\]|\\.)*")'
    pointed = [ref for c in bom["components"] for ref in re.findall(pattern, json.dumps(c.get("cryptoProperties", {})))]
    protocols = [c.get("cryptoProperties", {}).get("protocolProperties", {}) for c in bom["components"]]
    arrays = [p.get("cryptoRefArray", []) for p in protocols]
    arrays += [suite.get("algorithms", []) for p in protocols for suite in p.get("cipherSuites", [])]
    links = [d["ref"] for d in bom["dependencies"]] + [ref for d in bom["dependencies"] for ref in d["dependsOn"]]
    assert {*map(json.loads, pointed), *(ref for array in arrays for ref in array), *links} <= set(refs)


@given(inventories)
def test_equal_inventories_give_equal_bytes(inventory: Inventory) -> None:
    """Neither the hour nor the bytes of an input file change the CBOM; what it says, its name and its day do."""
    ref = InputRef(kind="observations", content_sha256=A, file_sha256=B)
    one = replace(inventory, made_from=(ref,))
    later = replace(one, created_at=NOON.replace(hour=13), made_from=(replace(ref, file_sha256=C),))
    assert cbom(one, name="estate") == cbom(later, name="estate")
    others = (
        cbom(one, name="other"),
        cbom(replace(one, as_of=date(1999, 1, 1)), name="estate"),
        cbom(replace(one, made_from=()), name="estate"),
    )
    serials = [json.loads(content)["serialNumber"] for content in (cbom(one, name="estate"), *others)]
    assert len(set(serials)) == len(serials)


def test_an_empty_inventory_is_a_valid_cbom() -> None:
    """Nothing found is a document too, and it says how much was looked at."""
    bom = document(an_inventory())
    assert (bom["components"], bom["dependencies"]) == ([], [{"ref": "estate", "dependsOn": []}])
    assert {"name": "keystrand:coverage:looked-at", "value": "0"} in bom["metadata"]["properties"]
    assert bom["metadata"]["timestamp"] == "2026-11-24T00:00:00Z"


def test_a_hybrid_is_a_combiner_of_its_parts() -> None:
    """X25519MLKEM768 depends on X25519 and ML-KEM-768, which are described too."""
    found = components(RICH)
    assert found["asset:hybrid"]["cryptoProperties"]["algorithmProperties"] == {
        "primitive": "combiner",
        "parameterSetIdentifier": "X25519+ML-KEM-768",
        "cryptoFunctions": ["encapsulate", "decapsulate"],
        "classicalSecurityLevel": 192,
        "nistQuantumSecurityLevel": 3,
    }
    links = {d["ref"]: d["dependsOn"] for d in document(RICH)["dependencies"]}
    assert links["asset:hybrid"] == ["algorithm:ML-KEM-768", "algorithm:X25519"]
    assert found["algorithm:X25519"]["cryptoProperties"]["algorithmProperties"]["curve"] == "Curve25519"


def test_a_certificate_leads_to_its_key_and_its_signature() -> None:
    """Names, validity and references; the key that no other asset shows is described by what the certificate says."""
    found = components(RICH)
    assert found["asset:certificate"]["cryptoProperties"] == {
        "assetType": "certificate",
        "certificateProperties": {
            "subjectName": "CN=web",
            "issuerName": "CN=ca",
            "notValidBefore": "2026-01-02T00:00:00Z",
            "notValidAfter": "2027-03-04T00:00:00Z",
            "signatureAlgorithmRef": "algorithm:ML-DSA-65",
            "subjectPublicKeyRef": f"public-key:{B}",
            "certificateFormat": "X.509",
        },
    }
    assert found[f"public-key:{B}"]["cryptoProperties"]["relatedCryptoMaterialProperties"] == {
        "type": "public-key",
        "id": B,
        "state": "active",
        "algorithmRef": "algorithm:RSA-3072",
        "size": 3072,
    }
    with_key = an_inventory(
        an_asset(CERTIFICATE, WEB, name="certificate"),
        an_asset(PublicKey(sha256=B, algorithm="RSA-3072"), WEB, name="key"),
    )
    linked = components(with_key)
    assert f"public-key:{B}" not in linked
    properties_ = linked["asset:certificate"]["cryptoProperties"]["certificateProperties"]
    assert properties_["subjectPublicKeyRef"] == "asset:key"


def test_an_endpoint_refers_to_what_was_seen_where_it_listens() -> None:
    """Its exchange and its certificate, and nothing from other places."""
    found = components(RICH)
    assert found["asset:endpoint"]["cryptoProperties"]["protocolProperties"] == {
        "type": "tls",
        "version": "1.2, 1.3",
        "cryptoRefArray": ["asset:certificate", "asset:hybrid"],
    }
    other = found["asset:other-endpoint"]["cryptoProperties"]["protocolProperties"]
    assert other == {"type": "other", "cryptoRefArray": []}


def test_evidence_and_what_cyclonedx_has_no_field_for() -> None:
    """Places are occurrences; strength, verdict, systems, layers without owner and conflicts are properties."""
    certificate = components(RICH)["asset:certificate"]
    assert [seen["location"] for seen in certificate["evidence"]["occurrences"]] == [WEB, "file:web.pem#1"]
    assert properties(certificate) == [
        ("strength", "negotiated"),
        ("verdict", "quantum-vulnerable"),
        ("system", "shop"),
        ("no-owner", "shop: keys, governance"),
        ("conflict", "subject: kept a; b was also seen"),
        ("serial", "0a"),
        ("authority", "no"),
        ("name", "web.example"),
        ("name", "www.example"),
        ("fact", msgspec.json.encode(CERTIFICATE).decode()),
    ]
    gaps = [p["value"] for p in document(RICH)["metadata"]["properties"] if p["name"] == "keystrand:coverage:gap"]
    assert gaps == ["target b: timed-out, no answer"]


def test_an_unknown_algorithm_claims_nothing() -> None:
    """No primitive, level or function is made up for a name that is not in the catalogue."""
    mystery = components(RICH)["asset:mystery"]
    assert mystery["cryptoProperties"]["algorithmProperties"] == {"primitive": "unknown"}
    assert ("verdict", "unknown") in properties(mystery)


@pytest.mark.parametrize(
    ("name", "function", "expected"),
    [
        ("ML-KEM-768", KEX, ("kem", "768", None, 192, 3)),
        ("HashML-DSA-44", Function.SIGNATURE, ("signature", "44", None, 128, 2)),
        ("SLH-DSA-SHA2-128s", Function.SIGNATURE, ("signature", "SHA2-128s", None, 128, 1)),
        ("sntrup761", KEX, ("kem", "sntrup761", None, None, None)),
        ("X25519Kyber768Draft00", KEX, ("combiner", None, None, None, None)),
        ("ECDH-P-521", KEX, ("key-agree", "521", "P-521", 256, 0)),
        ("ECDSA-P-224", Function.SIGNATURE, ("signature", "224", "P-224", 112, 0)),
        ("ECDSA-SHA256", Function.SIGNATURE, ("signature", None, None, None, 0)),
        ("Ed448", Function.SIGNATURE, ("signature", "448", "Ed448", 224, 0)),
        ("FFDH-3072", KEX, ("key-agree", "3072", None, 128, 0)),
        ("RSA-2048", Function.SIGNATURE, ("signature", "2048", None, 112, 0)),
        ("RSA-2048", KEX, ("pke", "2048", None, 112, 0)),
        ("RSA-KEX", KEX, ("pke", None, None, None, 0)),
        ("RSA-512", Function.SIGNATURE, ("signature", "512", None, None, 0)),
        ("AES-256-GCM", Function.ENCRYPTION, ("ae", "256", None, 256, 5)),
        ("AES-256-CBC", Function.ENCRYPTION, ("block-cipher", "256", None, 256, 5)),
        ("SHA-256", Function.DIGEST, ("hash", "256", None, 128, 2)),
    ],
)
def test_algorithms_in_the_words_of_cyclonedx(name: str, function: Function, expected: tuple[object, ...]) -> None:
    """Primitive, parameter set, curve and levels (SP 800-57 part 1 table 2; FIPS 203 appendix A; RFC 7748 and 8032)."""
    said = algorithm_properties(classify(name, function), function)
    fields = ("primitive", "parameterSetIdentifier", "curve", "classicalSecurityLevel", "nistQuantumSecurityLevel")
    assert tuple(said.get(field) for field in fields) == expected


@given(st.sampled_from(("RSA", "DSA", "ML-KEM-768", "ECDSA-P-256", "RSA-2048", "mystery")), sizes)
def test_a_size_never_changes_what_an_algorithm_is(name: str, bits: int | None) -> None:
    """A key's size completes a name that leaves it open, and touches no other name."""
    algorithm = sized(name, bits)
    assert algorithm.name == (f"{name}-{bits}" if name in ("RSA", "DSA") and bits else name)
    assert algorithm.verdict is classify(name).verdict


def test_an_independent_reader_understands_it() -> None:
    """The CycloneDX project's own Python library reads the same assets, algorithms, evidence and dependencies."""
    bom = Bom.from_json(json.loads(cbom(RICH, name="Example Bank")))  # type: ignore[attr-defined] # made at run time
    assert bom.validate()
    assert bom.metadata.component.name == "Example Bank"
    read = {str(component.bom_ref.value): component for component in bom.components}
    assert read.keys() == components(RICH).keys()
    kinds = {name: read[f"asset:{name}"].crypto_properties.asset_type for name in ("hybrid", "certificate", "endpoint")}
    assert kinds == {
        "hybrid": CryptoAssetType.ALGORITHM,
        "certificate": CryptoAssetType.CERTIFICATE,
        "endpoint": CryptoAssetType.PROTOCOL,
    }
    hybrid = read["asset:hybrid"].crypto_properties.algorithm_properties
    assert (hybrid.primitive, hybrid.nist_quantum_security_level) == (CryptoPrimitive.COMBINER, 3)
    certificate = read["asset:certificate"].crypto_properties.certificate_properties
    assert (certificate.subject_name, certificate.not_valid_after.date()) == ("CN=web", date(2027, 3, 4))
    assert {o.location for o in read["asset:certificate"].evidence.occurrences} == {WEB, "file:web.pem#1"}
    links = {str(d.ref.value): {str(to.ref.value) for to in d.dependencies} for d in bom.dependencies}
    assert links["asset:hybrid"] == {"algorithm:ML-KEM-768", "algorithm:X25519"}
    assert links["estate"] == {asset.id for asset in RICH.assets}


def test_stand_ins_are_named() -> None:
    """What was answered by something put in a server's place does not pass for the server."""
    bom = json.loads(cbom(replace(an_inventory(), stand_ins=("web",)), name="estate"))
    assert {"name": "keystrand:demonstration:stand-in", "value": "web"} in bom["metadata"]["properties"]
