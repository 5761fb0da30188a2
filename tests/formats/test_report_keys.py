"""Keys that services and tokens hold, from their exports; and CycloneDX in XML."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats.test_cyclonedx_read import mutated

from keystrand.edge.probes.readers import readers_of
from keystrand.formats import cyclonedx_xml, report_key_services, report_pkcs11
from keystrand.formats.report_parts import UNFORESEEN
from keystrand.formats.x509_facts import public_key_fact
from keystrand.model.algorithm import Function
from keystrand.model.estate import ProbeKind
from keystrand.model.observation import AlgorithmUse, Keystore, Library, Outcome, PublicKey
from keystrand.model.reading import Reading

SIG, ENC, KEX, MAC = Function.SIGNATURE, Function.ENCRYPTION, Function.KEY_ESTABLISHMENT, Function.MAC
EC_KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
RSA_KEY = rsa.generate_private_key(65537, 2048).public_key()

EC_SPKI = EC_KEY.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
RSA_SPKI = RSA_KEY.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
EC_PEM = EC_KEY.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd"
RING = "projects/bank/locations/europe/keyRings/pay/cryptoKeys"


def _url(number: int, octets: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(octets, "big")).decode().rstrip("=")


AWS = {"KeyMetadata": {"Arn": ARN, "KeyId": "1234abcd", "KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"}}
AWS_PUBLIC = {"KeyId": ARN, "KeySpec": "ECC_NIST_P256", "KeyUsage": "KEY_AGREEMENT",
              "PublicKey": base64.b64encode(EC_SPKI).decode()}  # fmt: skip
GOOGLE = [
    {"name": f"{RING}/card", "purpose": "ENCRYPT_DECRYPT", "primary": {"algorithm": "GOOGLE_SYMMETRIC_ENCRYPTION"}},
    {"name": f"{RING}/sign", "purpose": "ASYMMETRIC_SIGN", "versionTemplate": {"algorithm": "PQ_SIGN_ML_DSA_65"}},
    {"name": f"{RING}/kem/cryptoKeyVersions/1", "algorithm": "ML_KEM_768", "pem": ""},
    {"name": f"{RING}/ec/cryptoKeyVersions/1", "algorithm": "EC_SIGN_P256_SHA256", "pem": EC_PEM},
]
AZURE = {
    "attributes": {"enabled": True},
    "key": {"kid": "https://bank.vault.azure.net/keys/web/1", "kty": "RSA-HSM", "keyOps": ["sign"],
            "n": _url(RSA_KEY.public_numbers().n, 256), "e": "AQAB"},
}  # fmt: skip
AZURE_EC = {"kid": "https://bank.vault.azure.net/keys/ec/1", "kty": "EC", "crv": "P-256",
            "x": _url(EC_KEY.public_numbers().x, 32), "y": _url(EC_KEY.public_numbers().y, 32)}  # fmt: skip
VAULT = {
    "request_id": "1",
    "data": {"name": "orders", "type": "ecdsa-p256", "latest_version": 2, "supports_signing": True,
             "keys": {"1": {"public_key": EC_PEM}, "2": {"public_key": EC_PEM}}},
}  # fmt: skip


def read(value: Any) -> Reading:
    """Return the reading of an export."""
    return report_key_services.read("x", json.dumps(value).encode())


def wanting(content: bytes) -> list[object]:
    """Return what reads a file, by its content alone."""
    return [reader.read for reader in readers_of(ProbeKind.REPORT).whole if reader.wants("x", content[:4096])]


def told(reading: Reading) -> list[tuple[str, object]]:
    """Return where and fact of all that was found."""
    return [(found.where, found.fact) for found in reading.found]


def use(algorithm: str, function: Function) -> AlgorithmUse:
    """Return a use."""
    return AlgorithmUse(algorithm=algorithm, function=function)


def held(spki: bytes) -> PublicKey:
    """Return a key whose private part the service has."""
    return public_key_fact(spki, private_part_present=True)


@pytest.mark.parametrize(
    ("export", "expected"),
    [
        (AWS, [(f"!{ARN}", use("RSA-2048", SIG))]),
        (AWS_PUBLIC, [(f"!{ARN}", use("ECDSA-P-256", SIG)), (f"!{ARN}", held(EC_SPKI))]),
        (
            GOOGLE,
            [
                (f"!{RING}/card", use("AES-256-GCM", ENC)),
                (f"!{RING}/sign", use("ML-DSA-65", SIG)),
                (f"!{RING}/kem/cryptoKeyVersions/1", use("ML-KEM-768", KEX)),
                (f"!{RING}/ec/cryptoKeyVersions/1", use("ECDSA-P-256", SIG)),
                (f"!{RING}/ec/cryptoKeyVersions/1", held(EC_SPKI)),
            ],
        ),
        (
            AZURE,
            [
                ("!https://bank.vault.azure.net/keys/web/1", held(RSA_SPKI)),
                ("!https://bank.vault.azure.net/keys/web/1", use("RSA-2048", SIG)),
            ],
        ),
        (
            [AZURE_EC],
            [
                ("!https://bank.vault.azure.net/keys/ec/1", held(EC_SPKI)),
                ("!https://bank.vault.azure.net/keys/ec/1", use("ECDSA-P-256", SIG)),
            ],
        ),
        (VAULT, [("!transit/keys/orders", use("ECDSA-P-256", SIG)), ("!transit/keys/orders", held(EC_SPKI))]),
    ],
)
def test_keys_of_services(export: Any, expected: list[tuple[str, object]]) -> None:
    """The algorithm at the key's own name; and the key itself where its public part is in the export."""
    assert told(read(export)) == expected
    content = json.dumps(export).encode()
    assert [r.read for r in readers_of(ProbeKind.REPORT).whole if r.wants("x", content[:4096])] == [
        report_key_services.read
    ]


def test_web_keys_of_anybody_are_no_keys_of_a_vault() -> None:
    """A set of keys that a login service publishes does not say that we hold their private parts."""
    published = {"keys": [{**AZURE_EC, "kid": "2026-01"}]}
    assert read(published).found == ()
    assert wanting(json.dumps(published).encode()) == []


@pytest.mark.parametrize("export", [{"Keys": [{"KeyId": "1", "KeyArn": ARN}]}, {"data": {"keys": ["orders"]}}, []])
def test_names_of_keys_alone_say_nothing(export: Any) -> None:
    """A listing is not a description: nothing is found, and what to export instead is told."""
    reading = read(export)
    assert (reading.found, reading.outcome) == ((), Outcome.NONE)
    assert "describe them one by one" in reading.reason


@pytest.mark.parametrize(
    "export",
    [
        {**AZURE["key"], "n": "!!"},  # type: ignore[dict-item]  # a table by construction
        {**AZURE_EC, "x": _url(7, 32)},
        {**AWS_PUBLIC, "PublicKey": "AAAA"},
        {**AZURE["key"], "n": "A" * 100_000},  # type: ignore[dict-item]  # as above
    ],
)
def test_keys_that_cannot_be_are_told(export: Any) -> None:
    """No base64, a point not on its curve, no key, a modulus beyond reason: each is a reason, none an exception."""
    reading = read(export)
    assert not any(isinstance(found.fact, PublicKey) for found in reading.found)
    assert reading.reason.startswith("key 0: ")


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Return an export with one value changed to any other."""
    return json.dumps(
        mutated(draw(st.sampled_from((AWS, AWS_PUBLIC, GOOGLE, AZURE, [AZURE_EC], VAULT))), draw)
    ).encode()


@given(damaged())
@settings(max_examples=200)
def test_no_damage_is_a_surprise(content: bytes) -> None:
    """Whatever value stands where, it was foreseen."""
    assert UNFORESEEN not in report_key_services.read("x", content).reason


POINT = EC_KEY.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
LISTING = f"""Using slot 0 with a present token (0x6f979db6)
Public Key Object; EC  EC_POINT 256 bits
  EC_POINT:   0441{POINT.hex()}
  EC_PARAMS:  06082a8648ce3d030107
  label:      sign-key
  Usage:      verify, derive
Secret Key Object; AES length 32
  label:      wrap
  Usage:      encrypt, decrypt, wrap, unwrap
Public Key Object; RSA 2048 bits
  label:      web-key
  Usage:      encrypt, verify, wrap
Private Key Object; RSA{" "}
  label:      web-key
  Usage:      decrypt, sign, unwrap
Certificate Object; type = X.509 cert
  label:      web
  subject:    DN: CN=web.example.org
"""


def test_a_listing_of_a_token() -> None:
    """The token is a keystore; a key on a curve is known by its point, of others only the algorithm."""
    reading = report_pkcs11.read("token.txt", LISTING.encode())
    assert told(reading) == [
        ("", Keystore(format="PKCS#11", entries=5)),
        ("#1", held(EC_SPKI)),
        ("#1", use("ECDSA-P-256", SIG)),
        ("#2", use("AES-256", ENC)),
        ("#3", use("RSA-2048", SIG)),
    ]
    assert reading.reason == "certificates are named without their content: read them from the token"
    assert report_pkcs11.READER.wants("x", LISTING.encode())


@given(st.one_of(st.binary(max_size=100), st.integers(0, len(LISTING)).map(lambda n: LISTING[:n].encode())))
def test_no_listing_is_a_surprise(content: bytes) -> None:
    """Cut off anywhere, or no listing at all."""
    assert UNFORESEEN not in report_pkcs11.read("x", content).reason


def test_a_line_of_blanks_does_not_hold_up_the_reader() -> None:
    """A pattern that tried every split of a million blanks would not come to an end."""
    reading = report_pkcs11.read("x", b"Data object 1\n" + b" " * 1_000_000 + b"\n" + b" a" * 500_000)
    assert [found.fact for found in reading.found] == [Keystore(format="PKCS#11", entries=1)]


XML = """<?xml version="1.0"?>
<bom xmlns="http://cyclonedx.org/schema/bom/1.6" version="1">
<metadata><tools><components><component type="application"><name>theia</name></component></components></tools>
</metadata>
<components>
 <component type="cryptographic-asset" bom-ref="a"><name>AES</name>
  <cryptoProperties><assetType>algorithm</assetType><algorithmProperties><primitive>ae</primitive>
   <parameterSetIdentifier>256</parameterSetIdentifier><mode>gcm</mode>
   <cryptoFunctions><cryptoFunction>encrypt</cryptoFunction></cryptoFunctions></algorithmProperties></cryptoProperties>
  <evidence><occurrences><occurrence><location>src/a.py</location><line>7</line></occurrence></occurrences></evidence>
 </component>
 <component type="library" bom-ref="b"><name>house-crypt</name><version>1</version></component>
</components>
<dependencies><dependency ref="b"><provides ref="a"/></dependency></dependencies>
</bom>"""


def test_cyclonedx_in_xml() -> None:
    """Says what the same document says in JSON."""
    reading = cyclonedx_xml.read("x", XML.encode())
    assert told(reading) == [
        ("!src/a.py:7", use("AES-256-GCM", ENC)),
        ("#2", Library(name="house-crypt", version="1")),
    ]
    assert [r.read for r in readers_of(ProbeKind.REPORT).whole if r.wants("x", XML.encode()[:4096])] == [
        cyclonedx_xml.read
    ]
    bad = cyclonedx_xml.read("x", XML.replace("</bom>", "").encode())
    assert (bad.outcome, "line" in bad.reason) == (Outcome.UNPARSABLE, True)
