"""What a PKCS#11 token holds, from the listing of OpenSC's `pkcs11-tool --list-objects`."""

import re
from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keystrand.formats.der import element, object_identifier
from keystrand.formats.foreign_names import canonical
from keystrand.formats.oids import CURVES
from keystrand.formats.report_key_services import LIBRARY_CURVES
from keystrand.formats.report_parts import REPORT, guarded, reading
from keystrand.formats.x509_facts import public_key_fact
from keystrand.model.algorithm import Function
from keystrand.model.errors import InvalidInput
from keystrand.model.observation import AlgorithmUse, Fact, Keystore, PublicKey, Strength
from keystrand.model.reading import FileReader, Found, Reading

_OBJECT = re.compile(r"(Public Key|Private Key|Secret Key|Certificate|Data|Profile)[ _]?[Oo]bject[;:]?\s*(.*)")
_FIELD = re.compile(r"\s+([A-Za-z_][A-Za-z_ ]*?):\s+(.*)")
_USES = (("sign", Function.SIGNATURE), ("verify", Function.SIGNATURE), ("derive", Function.KEY_ESTABLISHMENT),
         ("encrypt", Function.ENCRYPTION), ("decrypt", Function.ENCRYPTION), ("wrap", Function.ENCRYPTION))  # fmt: skip


class _Object:
    """One object of the listing: its kind, what stands behind it, and its fields."""

    def __init__(self, number: int, kind: str, told: str) -> None:
        self.number, self.kind, self.told = number, kind, told
        self.fields: dict[str, str] = {}


def _objects(text: str) -> Iterator[_Object]:
    current: _Object | None = None
    number = 0
    for line in text.splitlines():
        if match := _OBJECT.match(line):
            if current:
                yield current
            number += 1
            current = _Object(number, match[1], match[2].strip())
        elif current and (found := _FIELD.fullmatch(line)):
            current.fields[found[1].strip()] = found[2].strip()
    if current:
        yield current


def _point_key(fields: dict[str, str]) -> PublicKey:
    """Return the key of an EC point: an OCTET STRING around the point, and a curve by its identifier (PKCS#11, 6.3)."""
    try:
        parameters, point = bytes.fromhex(fields["EC_PARAMS"]), bytes.fromhex(fields["EC_POINT"])
        curve = LIBRARY_CURVES[CURVES[object_identifier(element(parameters).content)]]
        public = ec.EllipticCurvePublicKey.from_encoded_point(curve(), element(point).content)
    except (ValueError, KeyError, IndexError) as error:
        raise InvalidInput("a point of a curve that cannot be read") from error
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return public_key_fact(spki, private_part_present=True)


def _facts(one: _Object) -> Iterator[Fact]:
    if one.kind == "Public Key" and "EC_POINT" in one.fields:
        key = _point_key(one.fields)
        yield key
        yield AlgorithmUse(algorithm=key.algorithm, function=Function.SIGNATURE)
        return
    match = re.match(r"(?P<name>[A-Za-z0-9-]+)\s*(?:length (?P<octets>\d{1,4})|(?P<bits>\d{1,5}) bits)?",
                     one.told)  # fmt: skip
    if not match or one.kind in ("Certificate", "Data", "Profile", "Private Key"):
        return
    bits = int(match["octets"]) * 8 if match["octets"] else int(match["bits"]) if match["bits"] else None
    usage = one.fields.get("Usage", "")
    function = next((use for word, use in _USES if word in usage), None)
    name = "ECDSA" if match["name"] == "EC" else match["name"]
    for algorithm, use in canonical(name, bits=bits, function=function):
        yield AlgorithmUse(algorithm=algorithm, function=use)


@guarded
def read(_: str, content: bytes) -> Reading:
    """Return the token as a keystore, its keys' algorithms, and those public keys that the listing shows whole."""
    found: list[Found] = []
    reasons: list[str] = []
    count = 0
    for one in _objects(content.decode("utf-8", "replace")):
        count += 1
        try:
            found += [Found(f"#{one.number}", Strength.CONFIGURED, fact) for fact in _facts(one)]
        except InvalidInput as error:
            reasons.append(f"#{one.number}: {error}")
        if one.kind == "Certificate":
            reasons.append("certificates are named without their content: read them from the token")
    if count:
        found.insert(0, Found("", Strength.CONFIGURED, Keystore(format="PKCS#11", entries=count)))
    return reading(found, reasons)


def _wants(_: str, head: bytes) -> bool:
    return bool(re.search(rb"(?:Public Key|Private Key|Secret Key|Certificate) Object; ", head))


READER = FileReader(REPORT, _wants, read)
