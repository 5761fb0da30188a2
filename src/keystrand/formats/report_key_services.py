"""Keys that a service holds, from its own exports: AWS, Google and Azure key management, Vault and OpenBao transit.

Sources: AWS KMS `describe-key`, `get-public-key`, `list-keys`; Google Cloud KMS `keys list`, `keys versions list`,
`get-public-key`; Azure Key Vault `az keyvault key show` (a JSON Web Key, RFC 7517); Vault `transit/keys/:name`. A key
with its public part in the export is known by it; of others only the algorithm is known, at the key's own name.
"""

import base64
import re
from collections.abc import Callable, Iterator
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from keystrand.formats.foreign_names import canonical, curve_name
from keystrand.formats.report_parts import REPORT, at, decoded, guarded, reading
from keystrand.formats.x509_facts import public_key_fact
from keystrand.model.algorithm import Function
from keystrand.model.errors import InvalidInput
from keystrand.model.observation import AlgorithmUse, Fact, Strength
from keystrand.model.reading import FileReader, Found, Reading
from keystrand.model.words import shown

_USES = {
    "ENCRYPT_DECRYPT": Function.ENCRYPTION, "SIGN_VERIFY": Function.SIGNATURE, "GENERATE_VERIFY_MAC": Function.MAC,
    "KEY_AGREEMENT": Function.KEY_ESTABLISHMENT, "ASYMMETRIC_SIGN": Function.SIGNATURE,
    "ASYMMETRIC_DECRYPT": Function.ENCRYPTION, "RAW_ENCRYPT_DECRYPT": Function.ENCRYPTION, "MAC": Function.MAC,
    "KEY_ENCAPSULATION": Function.KEY_ESTABLISHMENT,
}  # fmt: skip
LIBRARY_CURVES: dict[str, Callable[[], ec.EllipticCurve]] = {
    "P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1, "secp256k1": ec.SECP256K1,
}  # fmt: skip
"""The curves that the library can check a point on, by canonical name."""
_MAX_MODULUS = 2048
_AZURE_KEY = re.compile(r"https://[^/]+\.(?:vault|managedhsm)\.[^/]+/keys/")
"""A key of a vault; other JSON Web Keys are those of anybody, whose private part is not ours to see."""
Entry = dict[str, Any]


def _text(entry: Entry, *names: str) -> str:
    """Return the first of the members that is a text; empty where none is."""
    return next((entry[name] for name in names if isinstance(entry.get(name), str)), "")


def _table(entry: Entry, name: str) -> Entry:
    found = entry.get(name)
    return found if isinstance(found, dict) else {}


def _use(text: str, function: Function | None, bits: int | None = None) -> Iterator[Fact]:
    for algorithm, use in canonical(text, function=function, bits=bits):
        yield AlgorithmUse(algorithm=algorithm, function=use)


def _public(content: bytes) -> Iterator[Fact]:
    """Yield the public key in PEM or DER; the private part of a key in a service is there too."""
    if b"BEGIN PUBLIC KEY" in content:
        body = content.partition(b"-----BEGIN PUBLIC KEY-----")[2].partition(b"-----END")[0]
        content = _octets(b"".join(body.split()).decode("ascii", "replace"))
    yield public_key_fact(content, private_part_present=True)


def _octets(text: str, *, url: bool = False) -> bytes:
    """Return base64 as octets. Raises `InvalidInput`."""
    padded = text + "=" * (-len(text) % 4)
    try:
        return base64.urlsafe_b64decode(padded) if url else base64.b64decode(padded, validate=True)
    except ValueError as error:
        raise InvalidInput("a key is not base64") from error


def _aws(entry: Entry) -> Iterator[tuple[str, Fact]]:
    key = _table(entry, "KeyMetadata") or entry
    place = _text(key, "Arn", "KeyArn", "KeyId")
    spec = _text(key, "KeySpec", "CustomerMasterKeySpec")
    if not place or not spec:
        return
    for fact in _use(spec, _USES.get(_text(key, "KeyUsage"))):
        yield place, fact
    if public := _text(key, "PublicKey"):
        for fact in _public(_octets(public)):
            yield place, fact


def _google(entry: Entry) -> Iterator[tuple[str, Fact]]:
    place = _text(entry, "name")
    if "cryptoKeys/" not in place:
        return
    version = _table(entry, "primary") or _table(entry, "versionTemplate") or entry
    for fact in _use(_text(version, "algorithm"), _USES.get(_text(entry, "purpose"))):
        yield place, fact
    if pem := _text(entry, "pem"):
        for fact in _public(pem.encode()):
            yield place, fact


def _azure(entry: Entry) -> Iterator[tuple[str, Fact]]:
    key = _table(entry, "key") or entry
    place, kind = _text(key, "kid"), _text(key, "kty").removesuffix("-HSM")
    if not _AZURE_KEY.match(place) or not kind:
        return
    if kind == "RSA" and _text(key, "n"):
        modulus, exponent = (int.from_bytes(_octets(_text(key, name), url=True), "big") for name in ("n", "e"))
        if modulus.bit_length() > _MAX_MODULUS * 8:
            raise InvalidInput("an RSA modulus longer than any in use")
        numbers = rsa.RSAPublicNumbers(exponent, modulus)
        spki = numbers.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        yield place, public_key_fact(spki, private_part_present=True)
        yield from ((place, fact) for fact in _use("RSA", None, modulus.bit_length()))
    elif kind == "EC" and (curve := LIBRARY_CURVES.get(curve_name(_text(key, "crv")))):
        x, y = (int.from_bytes(_octets(_text(key, name), url=True), "big") for name in ("x", "y"))
        public = ec.EllipticCurvePublicNumbers(x, y, curve()).public_key()
        spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        yield place, public_key_fact(spki, private_part_present=True)
        yield from ((place, fact) for fact in _use(f"ECDSA-{curve_name(_text(key, 'crv'))}", None))
    else:
        yield from ((place, fact) for fact in _use("AES" if kind == "oct" else kind, None))


def _vault(entry: Entry) -> Iterator[tuple[str, Fact]]:
    key = _table(entry, "data") or entry
    place, kind = _text(key, "name"), _text(key, "type")
    if not place or not kind or "latest_version" not in key:
        return
    place = f"transit/keys/{place}"
    yield from ((place, fact) for fact in _use(kind, None))
    for version in _table(key, "keys").values():
        pem = _text(version, "public_key") if isinstance(version, dict) else ""
        if "BEGIN PUBLIC KEY" in pem:
            load_pem_public_key(pem.encode())
            yield from ((place, fact) for fact in _public(pem.encode()))


_SERVICES: tuple[Callable[[Entry], Iterator[tuple[str, Fact]]], ...] = (_aws, _google, _azure, _vault)


def _entries(value: object) -> list[Entry]:
    """Return the keys of an export: one, a list, or a list inside an object."""
    if isinstance(value, dict):
        inside = next((value[name] for name in ("Keys", "keys", "cryptoKeys", "cryptoKeyVersions", "value")
                       if isinstance(value.get(name), list)), None)  # fmt: skip
        return [value] if inside is None else _entries(inside)
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


@guarded
def read(_: str, content: bytes) -> Reading:
    """Return the keys of an export. A listing of names alone says nothing of algorithms, which is a reason."""
    found: list[Found] = []
    reasons: list[str] = []
    entries = _entries(decoded(content, object))
    for number, entry in enumerate(entries):
        try:
            facts = [fact for service in _SERVICES for fact in service(entry)]
        except (InvalidInput, ValueError) as error:
            reasons.append(f"key {number}: {shown(str(error), 80)}")
            continue
        found += [Found(at(place), Strength.CONFIGURED, fact) for place, fact in facts]
        reasons += [] if facts else ["keys without their algorithm: describe them one by one"]
    return reading(found, reasons if entries else ["names of keys without their algorithms: describe them one by one"])


def _wants(_: str, head: bytes) -> bool:
    aws = b'"KeyMetadata"' in head or b'"KeyArn"' in head or (b'"KeySpec"' in head and b'"PublicKey"' in head)
    google = b"/cryptoKeys/" in head and (b'"algorithm"' in head or b'"versionTemplate"' in head)
    azure = b'"kty"' in head and (b".vault." in head or b".managedhsm." in head)
    vault = b'"latest_version"' in head and b'"supports_signing"' in head
    return aws or google or azure or vault


READER = FileReader(REPORT, _wants, read)
