"""CBOMs read back: our own without loss in both versions, those of other generators as findings with their places."""

import base64
import json
from datetime import date
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats.test_cyclonedx import RICH, A, B, inventories

from keystrand.formats.cyclonedx import cbom
from keystrand.formats.cyclonedx_algorithm import Spec
from keystrand.formats.cyclonedx_read import READER, read, read_cbom
from keystrand.formats.report_parts import UNFORESEEN
from keystrand.formats.x509_facts import public_key_fact
from keystrand.model.algorithm import Function
from keystrand.model.observation import AlgorithmUse, Certificate, Endpoint, Library, Outcome, PublicKey, Strength
from keystrand.model.reading import Reading
from keystrand.model.stages import Asset, Inventory, Occurrence

SPKI = (
    ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
)
SIG, ENC, DIGEST = Function.SIGNATURE, Function.ENCRYPTION, Function.DIGEST


@given(inventories, st.sampled_from(Spec))
@settings(max_examples=200)
def test_our_own_cbom_comes_back_without_loss(inventory: Inventory, spec: Spec) -> None:
    """Every asset with its fact, verdict, strength, conflicts, occurrences; and written again it is the same."""
    content = cbom(inventory, name="estate", spec=spec)
    read_back = read_cbom(content)
    by_id = {asset.id: asset for asset in read_back.assets}
    assert by_id == {asset.id: asset for asset in inventory.assets}
    assert (read_back.generator, read_back.found, read_back.reasons) == ("keystrand", (), ())
    again = msgspec.structs.replace(inventory, assets=tuple(by_id[asset.id] for asset in inventory.assets))
    assert cbom(again, name="estate", spec=spec) == content


def test_no_field_of_an_occurrence_is_forgotten() -> None:
    """The words of an occurrence hold all that it has: whoever adds a field must write and read it too."""
    assert set(Occurrence.__struct_fields__) == {"target", "system", "place", "probe", "strength", "rule"}
    assert set(Asset.__struct_fields__) == {"id", "name", "verdict", "strength", "fact", "occurrences", "conflicts"}


@pytest.mark.parametrize("spec", Spec)
def test_as_a_report_our_cbom_says_each_fact_at_each_place(spec: Spec) -> None:
    """The same document read twice says the same: an import changes nothing the second time."""
    content = cbom(RICH, name="estate", spec=spec)
    first = read("cbom.json", content)
    assert first == read("cbom.json", content)
    assert (first.outcome, first.reason) == (Outcome.SEEN, "")
    told = {(found.where, found.strength, found.fact) for found in first.found}
    assert told == {(f"!{o.place}", o.strength, asset.fact) for asset in RICH.assets for o in asset.occurrences}


def document(*components: dict[str, Any], **more: Any) -> bytes:
    """Return a CBOM of another generator."""
    tools = {"components": [], "services": [{"name": "CBOMkit", "provider": {"name": "PQCA"}}]}
    return json.dumps(
        {"bomFormat": "CycloneDX", "specVersion": "1.6", "metadata": {"tools": tools}, "components": components, **more}
    ).encode()


def algorithm(name: str, primitive: str | None = None, *, line: int | None = None, **more: Any) -> dict[str, Any]:
    """Return an algorithm component, seen in a line of a source file where one is given."""
    seen = {"evidence": {"occurrences": [{"location": "src/Encryption.java", "line": line, "offset": 18}]}}
    properties = {"primitive": primitive} if primitive else {}
    crypto = {"assetType": "algorithm", "algorithmProperties": {**properties, **more}}
    return {"type": "cryptographic-asset", "bom-ref": name, "name": name, "cryptoProperties": crypto,
            **(seen if line else {})}  # fmt: skip


def facts(reading: Reading) -> list[tuple[str, str, object]]:
    """Return where, strength and fact of all that was found."""
    return [(found.where, found.strength.value, found.fact) for found in reading.found]


@pytest.mark.parametrize(
    ("component", "expected"),
    [
        (algorithm("AES128-ECB", "block-cipher"), [("AES-128-ECB", ENC)]),
        (algorithm("SHA256withRSA", "signature", parameterSetIdentifier="256"), [("RSA", SIG), ("SHA-256", DIGEST)]),
        (algorithm("RSA-2048", "pke", cryptoFunctions=["keygen"]), [("RSA-2048", SIG)]),
        (algorithm("RSA", "pke", parameterSetIdentifier="3072", cryptoFunctions=["encrypt"]), [("RSA-3072", ENC)]),
        (algorithm("ECDH", "key-agree", ellipticCurve="nist/P-384"), [("ECDH-P-384", Function.KEY_ESTABLISHMENT)]),
        (algorithm("ECDH", "key-agree", curve="curve25519"), [("X25519", Function.KEY_ESTABLISHMENT)]),
        (algorithm("AES", "ae", parameterSetIdentifier="256", mode="gcm"), [("AES-256-GCM", ENC)]),
        (algorithm("AES", "ae", variant="AES-128-GCM"), [("AES-128-GCM", ENC)]),
        (algorithm("ML-KEM-768", "kem"), [("ML-KEM-768", Function.KEY_ESTABLISHMENT)]),
        (algorithm("our-own", "signature"), [("our-own", SIG)]),
        (algorithm("ML-DSA-65", "hash"), [("ML-DSA-65", SIG)]),
    ],
)
def test_names_of_other_generators(component: dict[str, Any], expected: list[tuple[str, Function]]) -> None:
    """Each is the algorithm that it means, with what it is used for; a name that nobody knows stays as it is."""
    uses = [found.fact for found in read("x", document(component)).found]
    assert uses == [AlgorithmUse(algorithm=name, function=function) for name, function in expected]


def test_occurrences_are_kept_and_the_generator_is_named() -> None:
    """A place in a source file is file and line; what could not be used is counted, with the generator's name."""
    secret = {"assetType": "related-crypto-material", "relatedCryptoMaterialProperties": {"type": "secret-key"}}
    reading = read(
        "x",
        document(
            algorithm("SHA512", "hash", line=14),
            algorithm("MGF1", "other"),
            {"type": "cryptographic-asset", "name": "secret-key@1", "cryptoProperties": secret},
        ),
    )
    assert facts(reading) == [
        ("!src/Encryption.java:14", "referenced", AlgorithmUse(algorithm="SHA-512", function=DIGEST))
    ]
    assert reading.reason == (
        "CBOMkit: 1 algorithms without a use that is known; CBOMkit: 1 keys and secrets without a hash that tells them"
        " apart"
    )


CERTIFICATE: dict[str, Any] = {
    "type": "cryptographic-asset",
    "bom-ref": "certificate",
    "name": "web.example",
    "hashes": [{"alg": "SHA-1", "content": "c" * 40}, {"alg": "SHA-256", "content": A}],
    "evidence": {"occurrences": [{"location": "/etc/ssl/web.pem"}]},
    "cryptoProperties": {
        "assetType": "certificate",
        "certificateProperties": {
            "serialNumber": "0B:35:82",
            "subjectName": "CN=web.example",
            "issuerName": "CN=ca",
            "notValidBefore": "2026-01-02T03:04:05.000Z",
            "notValidAfter": "2027-01-02T03:04:05Z",
            "relatedCryptographicAssets": [
                {"type": "algorithm", "ref": "SHA256-RSA"},
                {"type": "publicKey", "ref": "key"},
            ],
        },
    },
}


def key(**properties: Any) -> dict[str, Any]:
    """Return a public key component."""
    related = [{"type": "algorithm", "ref": "RSA-2048"}]
    crypto = {"type": "public-key", "size": 2048, "relatedCryptographicAssets": related, **properties}
    return {"type": "cryptographic-asset", "bom-ref": "key", "name": "key", "cryptoProperties":
            {"assetType": "related-crypto-material", "relatedCryptoMaterialProperties": crypto}}  # fmt: skip


def test_a_certificate_with_its_hashes_is_that_certificate() -> None:
    """By the hash of the certificate and of its key: the same thing that any other collector sees."""
    parts = (algorithm("SHA256-RSA", "signature"), algorithm("RSA-2048", "pke"))
    whole = document(CERTIFICATE, key(fingerprint={"alg": "SHA-256", "content": B}), *parts, specVersion="1.7")
    found = [found for found in read("x", whole).found if not isinstance(found.fact, AlgorithmUse)]
    assert [(one.where, one.strength, one.fact) for one in found] == [
        (
            "!/etc/ssl/web.pem",
            Strength.CONFIGURED,
            Certificate(
                sha256=A, spki_sha256=B, subject="CN=web.example", issuer="CN=ca", serial="0b3582",
                not_before=date(2026, 1, 2), not_after=date(2027, 1, 2), signature_algorithm="RSA",
                key_algorithm="RSA-2048", key_bits=2048,
            ),
        ),
        ("#2", Strength.CONFIGURED, PublicKey(sha256=B, algorithm="RSA-2048", bits=2048)),
    ]  # fmt: skip


def test_a_certificate_without_the_hash_of_its_key_keeps_its_algorithms() -> None:
    """No identity is made up: what it is signed with and what its key is are told, and that it is not whole."""
    reading = read(
        "x", document(CERTIFICATE, key(), algorithm("SHA256-RSA", "signature"), algorithm("RSA-2048", "pke"))
    )
    at_the_file = [fact for where, _, fact in facts(reading) if where == "!/etc/ssl/web.pem"]
    assert at_the_file == [
        AlgorithmUse(algorithm="RSA", function=SIG),
        AlgorithmUse(algorithm="RSA-2048", function=SIG),
    ]
    assert "1 certificates without the hash of their key" in reading.reason


def test_a_key_by_its_own_octets() -> None:
    """CBOM-Lens writes the public key itself: it is that key, and the certificate with it that certificate."""
    value = base64.b64encode(SPKI).decode()
    parts = (algorithm("SHA256-RSA", "signature"), algorithm("RSA-2048", "pke"))
    reading = read("x", document(CERTIFICATE, key(value=value), *parts))
    expected = public_key_fact(SPKI)
    assert [f for _, _, f in facts(reading) if isinstance(f, PublicKey)] == [expected]
    (certificate,) = [f for _, _, f in facts(reading) if isinstance(f, Certificate)]
    assert (certificate.spki_sha256, certificate.key_algorithm) == (expected.sha256, "ECDSA-P-256")
    secret = read("x", document(key(value=value, type="private-key"), *parts))
    assert not [f for _, _, f in facts(secret) if isinstance(f, PublicKey)]


def test_untyped_references_and_properties() -> None:
    """CipherIQ names related assets without a type, and the key in properties: its algorithm is told."""
    properties = [
        {"name": "cbom:cert:public_key_algorithm", "value": "ECDSA"},
        {"name": "cbom:cert:public_key_size", "value": "384"},
        {"name": "cbom:cert:ec_curve_name", "value": "secp384r1"},
    ]
    described = CERTIFICATE["cryptoProperties"]["certificateProperties"]
    related = [{"ref": "algo:ecdsa-with-SHA256"}, {"ref": "public-key-3417"}]
    crypto = {"assetType": "certificate", "certificateProperties": {**described, "relatedCryptographicAssets": related}}
    signature = {**algorithm("ecdsa-with-SHA256", "signature"), "bom-ref": "algo:ecdsa-with-SHA256"}
    reading = read("x", document({**CERTIFICATE, "cryptoProperties": crypto, "properties": properties}, signature))
    assert [fact for where, _, fact in facts(reading) if where == "!/etc/ssl/web.pem"] == [
        AlgorithmUse(algorithm="ECDSA", function=SIG),
        AlgorithmUse(algorithm="ECDSA-P-384", function=SIG),
    ]


def test_a_protocol_at_an_address_is_an_endpoint() -> None:
    """With the algorithms of its suites and groups, all as offers."""
    protocol = {
        "type": "tls",
        "version": "1.3",
        "cipherSuites": [{"name": "TLS_AES_256_GCM_SHA384", "tlsGroups": ["X25519MLKEM768", "secp256r1"]}],
    }
    component = {
        "type": "cryptographic-asset",
        "name": "TLSv1.3",
        "evidence": {"occurrences": [{"location": "tcp://web.example:443"}]},
        "cryptoProperties": {"assetType": "protocol", "protocolProperties": protocol},
    }
    reading = read("x", document(component))
    assert {found.where for found in reading.found} == {"!tcp://web.example:443"}
    assert {found.strength for found in reading.found} == {Strength.OFFERED}
    uses = [found.fact.algorithm for found in reading.found if isinstance(found.fact, AlgorithmUse)]
    assert uses == ["AES-256-GCM", "X25519MLKEM768", "ECDH-P-256"]
    (endpoint,) = [found.fact for found in reading.found if isinstance(found.fact, Endpoint)]
    assert endpoint == Endpoint(protocol="tls", host="web.example", port=443, versions=("1.3",))


def test_only_libraries_of_cryptography_are_libraries() -> None:
    """By what a document says they provide, or by a well-known name; all other packages of a bill are passed over."""
    reading = read(
        "x",
        document(
            {"type": "library", "bom-ref": "a", "name": "left-pad", "version": "1.3"},
            {"type": "library", "bom-ref": "b", "name": "OpenSSL", "version": "3.0.19", "purl": "pkg:deb/openssl@3"},
            {"type": "library", "bom-ref": "c", "name": "house-crypt"},
            algorithm("AES-128-GCM", "ae"),
            dependencies=[{"ref": "c", "provides": ["AES-128-GCM"]}, {"ref": "a", "dependsOn": ["b"]}],
        ),
    )
    libraries = [found.fact for found in reading.found if isinstance(found.fact, Library)]
    assert libraries == [
        Library(name="OpenSSL", version="3.0.19", purl="pkg:deb/openssl@3"),
        Library(name="house-crypt"),
    ]


def test_the_older_form_of_ibm() -> None:
    """`1.4-cbom-1.0`: variants, suites in words, and detection contexts with lines."""
    content = json.dumps(
        {
            "bomFormat": "CBOM",
            "specVersion": "1.4-cbom-1.0",
            "metadata": {"tools": [{"vendor": "CycloneDX", "name": "cyclonedx-python-lib"}, {"name": "CodeQL"}]},
            "components": [
                {
                    "type": "crypto-asset",
                    "bom-ref": "oid:1",
                    "name": "AES",
                    "cryptoProperties": {
                        "assetType": "algorithm",
                        "algorithmProperties": {"variant": "AES-128-GCM", "primitive": "ae"},
                        "detectionContext": [{"filePath": "app/crypt.py", "lineNumbers": [24, 25]}],
                    },
                },
                {
                    "type": "crypto-asset",
                    "name": "tlsv12",
                    "cryptoProperties": {
                        "assetType": "protocol",
                        "protocolProperties": {"tlsCipherSuites": ["TLS_RSA_WITH_AES_256_GCM_SHA384 (rsa 2048)"]},
                    },
                },
            ],
        }
    ).encode()
    assert read_cbom(content).generator == "CodeQL"
    uses = [(where, fact) for where, _, fact in facts(read("x", content)) if isinstance(fact, AlgorithmUse)]
    assert uses == [
        ("!app/crypt.py:24", AlgorithmUse(algorithm="AES-128-GCM", function=ENC)),
        ("#2", AlgorithmUse(algorithm="RSA-KEX", function=Function.KEY_ESTABLISHMENT)),
        ("#2", AlgorithmUse(algorithm="AES-256-GCM", function=ENC)),
    ]


def test_one_faulty_component_costs_no_other() -> None:
    """A wrong type has its place in the reason; the rest is read."""
    faulty = {"type": "cryptographic-asset", "name": 7, "cryptoProperties": {"assetType": "algorithm"}}
    reading = read("x", document(faulty, algorithm("MD5", "hash")))
    assert [fact for _, _, fact in facts(reading)] == [AlgorithmUse(algorithm="MD5", function=DIGEST)]
    assert reading.reason == "CBOMkit: $.components[0]: Expected `str`, got `int` - at `$.name`"


def test_a_changed_fact_of_ours_is_told() -> None:
    """Where somebody made a fact unreadable, the component is read as anybody's."""
    content = cbom(RICH, name="estate").replace(b'\\"key_bits\\":3072', b'\\"key_bits\\":\\"x\\"')
    read_back = read_cbom(content)
    assert len(read_back.assets) == len(RICH.assets) - 1
    assert any("asset:certificate" in reason for reason in read_back.reasons)


def test_a_property_of_ours_that_is_gone_costs_one_component() -> None:
    """A document whose editor took the verdicts away is still read."""
    content = cbom(RICH, name="estate").replace(b"keystrand:asset:verdict", b"keystrand:asset:x")
    read_back = read_cbom(content)
    assert read_back.assets == ()
    assert len(read_back.reasons) >= len(RICH.assets)
    assert read("cbom.json", content).outcome is Outcome.SEEN


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b'{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [', "truncated"),
        (b'{"bomFormat": "CycloneDX", "specVersion": 1.6}', "$.specVersion"),
        (b'{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": {}}', "$.components"),
        (b'{"bomFormat": "SPDX", "specVersion": "1.6"}', "not a CycloneDX document"),
        (b'{"components":' + b"[" * 200_000, "deeply"),
        (b'{"bomFormat": "CycloneDX", "specVersion": "1.6", "x": 1e999999}', ""),
        (b"\xff\xfe{}", "byte 0"),
    ],
)
def test_what_is_no_cbom_says_where(content: bytes, words: str) -> None:
    """Truncated, of wrong types, too deep, not JSON: each has its reason, and none is an exception."""
    reading = read("x", content)
    assert reading.outcome in (Outcome.UNPARSABLE, Outcome.NONE)
    assert words in reading.reason


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)


def mutated(value: Any, draw: st.DrawFn) -> Any:
    """Return a document with one value somewhere in it changed to any other."""
    if isinstance(value, dict) and value and draw(st.booleans()):
        name = draw(st.sampled_from(sorted(value)))
        return {**value, name: mutated(value[name], draw)}
    if isinstance(value, list) and value and draw(st.booleans()):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], mutated(value[at], draw), *value[at + 1 :]]
    return draw(JSON)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Return a CBOM with one value changed, or cut off somewhere."""
    parts = (CERTIFICATE, key(fingerprint={"alg": "SHA-256", "content": B}), algorithm("RSA-2048", "pke", line=3))
    content = json.dumps(mutated(json.loads(document(*parts)), draw)).encode()
    return content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content


@given(st.one_of(damaged(), st.binary(max_size=200)))
@settings(max_examples=300)
def test_no_document_is_a_surprise(content: bytes) -> None:
    """Whatever stands where: a reading, with a reason that was foreseen."""
    reading = read("x", content)
    assert UNFORESEEN not in reading.reason
    assert reading.outcome in (Outcome.SEEN, Outcome.NONE, Outcome.UNPARSABLE)


def test_is_recognised_by_content() -> None:
    """By what stands at the beginning, not by the name of the file."""
    assert READER.wants("any.txt", cbom(RICH, name="x")[:4096])
    assert READER.wants("any.txt", document()[:4096])
    assert not READER.wants("package.json", b'{"name": "x", "version": "1"}')
