"""What CycloneDX 1.7 added, and the facts that are no classical asset: libraries, keystores, settings, flows."""

import io
import json
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import ComponentType
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.formats.test_cyclonedx import (
    CERTIFICATE,
    WEB,
    A,
    B,
    C,
    algorithms,
    an_asset,
    an_inventory,
    components,
    document,
)

from keystrand.formats.cyclonedx import Head, cbom, head_of, write_cbom
from keystrand.formats.cyclonedx_algorithm import Spec, algorithm_properties
from keystrand.model.algorithm import Function, Verdict, classify
from keystrand.model.document import Coverage
from keystrand.model.observation import (
    AlgorithmUse,
    Certificate,
    Endpoint,
    Fact,
    Flow,
    Keystore,
    Library,
    ProtocolSettings,
    PublicKey,
    Strength,
)
from keystrand.model.stages import Asset, Inventory, Occurrence

KEX, SIG, ENC = Function.KEY_ESTABLISHMENT, Function.SIGNATURE, Function.ENCRYPTION
IKE = "ike://gw.example:500"
OTHERS = an_inventory(
    an_asset(Library(name="OpenSSL", version="3.0.19", purl="pkg:deb/debian/openssl@3.0.19"), "file:usr/lib/x.so",
             identity="library:pkg:deb/debian/openssl@3.0.19"),
    an_asset(Keystore(format="PKCS#12", entries=None, encrypted=True), "file:store.p12", name="store"),
    an_asset(ProtocolSettings(software="nginx", protocol="tls", versions=("TLSv1.2",), listens=("0.0.0.0:443",)),
             "file:nginx.conf", name="settings"),
    an_asset(AlgorithmUse(algorithm="AES-128-GCM", function=ENC, library="openssl", in_tests=True), "file:nginx.conf",
             name="cipher"),
    an_asset(Flow(client="192.0.2.1", server="192.0.2.7", port=443, transport="tcp", protocol="tls",
                  key_establishment="X25519MLKEM768", octets_to_server=7), "file:x.pcap@0x18", name="flow"),
)  # fmt: skip


def properties(entry: dict[str, Any]) -> dict[str, str]:
    """Return an entry's own properties by name."""
    return {p["name"].removeprefix("keystrand:asset:"): p["value"] for p in entry["properties"]}


@pytest.mark.parametrize("spec", Spec)
def test_facts_that_are_no_classical_assets(spec: Spec) -> None:
    """A library is a component of its kind, a keystore material, settings a protocol, a flow a service."""
    found = components(OTHERS, spec)
    library = found["library:pkg:deb/debian/openssl@3.0.19"]
    assert (library["type"], library["version"], library["purl"]) == (
        "library", "3.0.19", "pkg:deb/debian/openssl@3.0.19",
    )  # fmt: skip
    assert "cryptoProperties" not in library
    material = found["asset:store"]["cryptoProperties"]["relatedCryptoMaterialProperties"]
    assert material == {"type": "other", "format": "PKCS#12", "securedBy": {"mechanism": "password"}}
    assert properties(found["asset:store"])["entries"] == "unknown"
    settings = found["asset:settings"]["cryptoProperties"]["protocolProperties"]
    assert (settings["type"], settings["version"]) == ("tls", "TLSv1.2")
    assert (properties(found["asset:settings"])["listens"], properties(found["asset:cipher"])["in-tests"]) == (
        "0.0.0.0:443", "yes",
    )  # fmt: skip
    bom = document(OTHERS, spec)
    (service,) = bom["services"]
    assert (service["bom-ref"], properties(service)["octets-to-server"]) == ("asset:flow", "7")
    links = {link["ref"]: link["dependsOn"] for link in bom["dependencies"]}
    assert links["asset:flow"] == ["algorithm:X25519MLKEM768"]
    assert links["algorithm:X25519MLKEM768"] == ["algorithm:ML-KEM-768", "algorithm:X25519"]
    assert links["asset:settings"] == ["asset:cipher"]


def test_an_independent_reader_understands_these_too() -> None:
    """The CycloneDX project's own Python library reads libraries, services and where things were seen."""
    bom = Bom.from_json(json.loads(cbom(OTHERS, name="Example Bank")))  # type: ignore[attr-defined] # made at run time
    assert bom.validate()
    library = next(c for c in bom.components if c.type is ComponentType.LIBRARY)
    assert (library.name, library.version) == ("thing", "3.0.19")
    assert [str(service.bom_ref.value) for service in bom.services] == ["asset:flow"]


def test_lines_and_octets_of_files_are_evidence() -> None:
    """A place in a file is taken apart; what only looks like one is left as it is."""
    places = ("file:src/a.py:12", "file:b.bin@0x40", "file:c.pem#1", "tls://h:443", "file:d:0", "file:e:007")
    (asset,) = components(
        an_inventory(an_asset(AlgorithmUse(algorithm="MD5", function=Function.DIGEST), *places))
    ).values()
    seen = [{k: v for k, v in o.items() if k != "additionalContext"} for o in asset["evidence"]["occurrences"]]
    assert seen == [
        {"location": "file:src/a.py", "line": 12},
        {"location": "file:b.bin", "offset": 64},
        *({"location": place} for place in places[2:]),
    ]


@pytest.mark.parametrize(
    ("day", "state", "key_state"),
    [(date(2026, 1, 1), "pre-activation", "pre-activation"), (date(2026, 1, 2), "active", "active"),
     (date(2027, 3, 4), "active", "active"), (date(2027, 3, 5), "deactivated", "deactivated")],
)  # fmt: skip
def test_states_come_from_validity(day: date, state: str, key_state: str) -> None:
    """For the day that the inventory judges for; that revocation was not looked at is said."""
    inventory = replace(an_inventory(an_asset(CERTIFICATE, WEB, name="certificate")), as_of=day)
    found = components(inventory, Spec.V1_7)
    described = found["asset:certificate"]["cryptoProperties"]["certificateProperties"]
    assert [entry["state"] for entry in described["certificateState"]] == [state]
    assert "revocation" in described["certificateState"][0]["reason"] or state == "deactivated"
    key = found[f"public-key:{B}"]["cryptoProperties"]["relatedCryptoMaterialProperties"]
    assert key["state"] == key_state


def test_a_certificate_in_1_7() -> None:
    """Serial number, fingerprint, extensions, and related assets in the place of the older references."""
    inventory = an_inventory(an_asset(replace(CERTIFICATE, authority=True), WEB, name="certificate"))
    described = components(inventory, Spec.V1_7)["asset:certificate"]["cryptoProperties"]["certificateProperties"]
    assert described == {
        "subjectName": "CN=web",
        "issuerName": "CN=ca",
        "notValidBefore": "2026-01-02T00:00:00Z",
        "notValidAfter": "2027-03-04T00:00:00Z",
        "serialNumber": "0a",
        "fingerprint": {"alg": "SHA-256", "content": A},
        "certificateState": [{"state": "active", "reason": "by its validity; revocation was not looked at"}],
        "certificateExtensions": [
            {"commonExtensionName": "basicConstraints", "commonExtensionValue": "CA:TRUE"},
            {"commonExtensionName": "subjectAlternativeName", "commonExtensionValue": "web.example, www.example"},
        ],
        "relatedCryptographicAssets": [
            {"type": "algorithm", "ref": "algorithm:ML-DSA-65"},
            {"type": "publicKey", "ref": f"public-key:{B}"},
        ],
        "certificateFormat": "X.509",
    }


def test_a_key_that_two_certificates_share_has_the_better_state() -> None:
    """One key: active while any certificate with it is; a key that no certificate has tells no state."""
    old = replace(CERTIFICATE, sha256=C, not_after=date(2026, 2, 1))
    inventory = an_inventory(
        an_asset(old, WEB, name="old"),
        an_asset(CERTIFICATE, WEB, name="new"),
        an_asset(PublicKey(sha256=B, algorithm="RSA-3072"), WEB, name="key"),
        an_asset(PublicKey(sha256=A, algorithm="RSA-3072"), WEB, name="other"),
    )
    for spec in Spec:
        found = components(inventory, spec)
        states = [found[ref]["cryptoProperties"]["relatedCryptoMaterialProperties"].get("state") for ref in
                  ("asset:key", "asset:other")]  # fmt: skip
        assert states == ["active", None]
        assert f"public-key:{B}" not in found


def _ike(*uses: tuple[str, Function, str]) -> Inventory:
    found = [an_asset(AlgorithmUse(algorithm=n, function=f, code_point=c), IKE, name=n) for n, f, c in uses]
    return an_inventory(an_asset(Endpoint(protocol="ike", host="gw.example", port=500), IKE, name="gateway"), *found)


def test_transforms_of_ikev2() -> None:
    """Structured in 1.7, references in 1.6; the group is the value on the wire."""
    inventory = _ike(
        ("AES-256-GCM", ENC, "20"), ("HMAC-SHA-256", Function.MAC, "12"), ("ML-KEM-768", KEX, "36"),
        ("PPK (RFC 8784)", KEX, ""), ("RSA-3072", SIG, ""),
    )  # fmt: skip
    newer = components(inventory, Spec.V1_7)["asset:gateway"]["cryptoProperties"]["protocolProperties"]
    assert newer["ikev2TransformTypes"] == {
        "encr": [{"name": "AES-256-GCM", "keyLength": 256, "algorithm": "asset:AES-256-GCM"}],
        "integ": [{"name": "HMAC-SHA-256", "algorithm": "asset:HMAC-SHA-256"}],
        "ke": [{"group": 36, "algorithm": "asset:ML-KEM-768"}, {"algorithm": "asset:PPK (RFC 8784)"}],
        "auth": [{"name": "RSA-3072", "algorithm": "asset:RSA-3072"}],
    }
    older = components(inventory, Spec.V1_6)["asset:gateway"]["cryptoProperties"]["protocolProperties"]
    assert older["ikev2TransformTypes"]["ke"] == ["asset:ML-KEM-768", "asset:PPK (RFC 8784)"]


def test_groups_and_schemes_of_tls() -> None:
    """By IANA's names; `quic` and `dtls` are protocols of their own since 1.7 and something else before."""
    uses = [
        an_asset(AlgorithmUse(algorithm="X25519MLKEM768", function=KEX, code_point="0x11ec"), WEB, name="hybrid"),
        an_asset(AlgorithmUse(algorithm="ECDH-P-256", function=KEX), WEB, name="curve"),
        an_asset(AlgorithmUse(algorithm="FFDH-2048", function=KEX), WEB, name="field"),
        an_asset(AlgorithmUse(algorithm="RSA-2048", function=SIG, code_point="0x0804"), WEB, name="signature"),
    ]
    inventory = an_inventory(*uses, an_asset(Endpoint(protocol="quic", host="h", port=443), WEB, name="endpoint"))
    newer = components(inventory, Spec.V1_7)["asset:endpoint"]["cryptoProperties"]["protocolProperties"]
    assert newer["type"] == "quic"
    (suite,) = newer["cipherSuites"]
    assert suite["tlsGroups"] == ["X25519MLKEM768", "secp256r1", "ffdhe2048"]
    assert suite["tlsSignatureSchemes"] == ["rsa_pss_rsae_sha256"]
    assert {"type": "asset", "ref": "asset:curve"} in newer["relatedCryptographicAssets"]
    older = components(inventory, Spec.V1_6)["asset:endpoint"]["cryptoProperties"]["protocolProperties"]
    assert (older["type"], "cipherSuites" in older) == ("other", False)


@cache
def registry() -> dict[str, set[str]]:
    """Return the families and curves of the official cryptography registry."""
    text = files("cyclonedx.schema._res").joinpath("cryptography-defs.SNAPSHOT.schema.json").read_text()
    definitions = json.loads(text)["definitions"]
    return {name: set(definitions[name]["enum"]) for name in ("algorithmFamiliesEnum", "ellipticCurvesEnum")}


NAMES = (
    "RSA-PSS-2048", "RSA-OAEP", "RSA-PKCS1", "RSA-2048", "ECDH-P-521", "ECDSA-secp256k1", "ECDSA-brainpoolP512r1",
    "ECDH-SM2", "X448", "Ed25519", "FFDH-4096", "DSA-1024", "ElGamal-2048", "ML-KEM-512", "HashML-DSA-87",
    "SLH-DSA-SHAKE-256f", "LMS", "HSS", "XMSS", "AES-128-CBC", "3DES-168-CBC", "Camellia-256-CBC", "ChaCha20-Poly1305",
    "Salsa20", "RC4", "SHA-1", "SHA-512/256", "SHA3-256", "SHAKE128", "MD5", "RIPEMD-160", "BLAKE2b-512", "SM4-CBC",
    "HMAC-SHA-256", "CMAC", "Poly1305", "UMAC-64", "HKDF-SHA-256", "PBKDF2-HMAC-SHA-256", "scrypt", "Argon2id",
    "CTR_DRBG", "KBKDF", "SM3", "X25519MLKEM768", "sntrup761", "FN-DSA-512", "HQC-128", "mystery", "",
)  # fmt: skip


@given(st.one_of(algorithms, st.sampled_from(NAMES)), st.sampled_from((None, *Function)))
def test_families_and_curves_are_those_of_the_registry(name: str, function: Function | None) -> None:
    """Whatever the algorithm: a family or a curve that is said is one that the registry has."""
    said = algorithm_properties(classify(name), function, Spec.V1_7)
    assert said.get("algorithmFamily", "AES") in registry()["algorithmFamiliesEnum"]
    assert said.get("ellipticCurve", "nist/P-256") in registry()["ellipticCurvesEnum"]


@pytest.mark.parametrize(
    ("name", "family", "curve", "mode", "padding"),
    [
        ("ML-KEM-768", "ML-KEM", None, None, None),
        ("ECDSA-P-384", "ECDSA", "nist/P-384", None, None),
        ("X25519", "ECDH", "other/Curve25519", None, None),
        ("Ed448", "EdDSA", "other/Ed448", None, None),
        ("ECDH-brainpoolP256r1", "ECDH", "brainpool/brainpoolP256r1", None, None),
        ("AES-256-GCM", "AES", None, "gcm", None),
        ("AES-128-CBC-PKCS7", "AES", None, "cbc", "pkcs7"),
        ("AES-256-XTS", "AES", None, "other", None),
        ("RSA-OAEP-2048", "RSAES-OAEP", None, None, "oaep"),
        ("RSA-PSS-3072", "RSASSA-PSS", None, None, None),
        ("RSA-2048", None, None, None, None),
        ("RSA-KEX-2048", None, None, None, None),
        ("X25519MLKEM768", None, None, None, None),
        ("sntrup761", None, None, None, None),
        ("HSS", "LMS", None, None, None),
    ],
)
def test_families_curves_modes_and_paddings(
    name: str, family: str | None, curve: str | None, mode: str | None, padding: str | None
) -> None:
    """RSA whose padding is not known, hybrids and what the registry does not list name no family."""
    said = algorithm_properties(classify(name), spec=Spec.V1_7)
    assert tuple(said.get(field) for field in ("algorithmFamily", "ellipticCurve", "mode", "padding")) == (
        family, curve, mode, padding,
    )  # fmt: skip


class Many:
    """A view of many assets that makes each when it is asked for, as a store does."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Any:
        for number in range(self.count):
            fact: Fact = AlgorithmUse(algorithm="X25519", function=KEX)
            if number % 2:
                fact = Certificate(
                    sha256=f"{number:064x}", spki_sha256=f"{number // 4:064x}", subject="CN=x", issuer="CN=y",
                    serial="1", not_before=date(2026, 1, 1), not_after=date(2027, 1, 1), signature_algorithm="RSA",
                    key_algorithm="RSA-2048",
                )  # fmt: skip
            place = f"tls://h{number}.example:443"
            seen = Occurrence(target="t", system="s", place=place, probe="tls", strength=Strength.OFFERED)
            yield Asset(
                id=f"asset:{number:06}", name="x", verdict=Verdict.UNKNOWN, strength=Strength.OFFERED, fact=fact,
                occurrences=(seen,),
            )  # fmt: skip


class Counting(io.RawIOBase):
    """A stream that keeps nothing but the size of the largest piece."""

    largest = total = 0

    def writable(self) -> bool:
        """It can be written to."""
        return True

    def write(self, content: Any) -> int:
        """Count what is written."""
        self.largest, self.total = max(self.largest, len(content)), self.total + len(content)
        return len(content)


def test_assets_are_written_one_by_one() -> None:
    """From a view that holds none of them to a stream that keeps none: no piece grows."""
    head = Head("x", "0", date(2026, 6, 1), Coverage(unit="targets", looked_at=1, answered=1))
    few, many = Counting(), Counting()
    write_cbom(few, head, Many(2000))  # type: ignore[arg-type]  # a raw stream is enough
    write_cbom(many, head, Many(4000))  # type: ignore[arg-type]  # as above
    assert many.total > 1.9 * few.total > 1_000_000
    assert many.largest == few.largest
    whole = io.BytesIO()
    write_cbom(whole, head, Many(200))
    again = io.BytesIO()
    write_cbom(again, head, tuple(Many(200)))
    assert whole.getvalue() == again.getvalue()


def test_the_head_of_an_inventory() -> None:
    """Says what the document is made from, and whose it is."""
    assert head_of(OTHERS, "Example Bank").name == "Example Bank"
