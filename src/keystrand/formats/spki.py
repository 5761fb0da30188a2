"""Public keys of other formats in the one form that gives them their identity: SubjectPublicKeyInfo in DER.

Sources: RFC 3279 (RSA, DSA), RFC 5480 (curves), RFC 8410 (Edwards and Montgomery curves).
"""

from keystrand.formats.der import BIT_STRING, INTEGER, OBJECT_IDENTIFIER, SEQUENCE
from keystrand.formats.oids import CURVES

CURVE_OIDS = {name: oid for oid, name in CURVES.items()}
_RSA, _DSA, _EC = "1.2.840.113549.1.1.1", "1.2.840.10040.4.1", "1.2.840.10045.2.1"
_RAW = {"X25519": "1.3.101.110", "X448": "1.3.101.111", "Ed25519": "1.3.101.112", "Ed448": "1.3.101.113",
        **{f"ML-DSA-{size}": f"2.16.840.1.101.3.4.3.{17 + n}" for n, size in enumerate((44, 65, 87))},
        **{f"ML-KEM-{size}": f"2.16.840.1.101.3.4.4.{1 + n}" for n, size in enumerate((512, 768, 1024))}}  # fmt: skip
_NULL = b"\x05\x00"


def encoded(tag: int, *parts: bytes) -> bytes:
    """Return one element with `parts` as its content."""
    content = b"".join(parts)
    size = len(content)
    octets = b"" if size < 128 else size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets) if octets else size]) + octets + content


def oid_element(dotted: str) -> bytes:
    """Return the OBJECT IDENTIFIER that `dotted` writes."""
    first, second, *rest = map(int, dotted.split("."))
    return encoded(OBJECT_IDENTIFIER, b"".join(_base_128(number) for number in (40 * first + second, *rest)))


def _base_128(number: int) -> bytes:
    octets = [number & 0x7F]
    while number := number >> 7:
        octets.append(number & 0x7F | 0x80)
    return bytes(reversed(octets))


def _integer(number: bytes) -> bytes:
    """Return an INTEGER of the unsigned `number`."""
    digits = number.lstrip(b"\0") or b"\0"
    return encoded(INTEGER, b"\0" + digits if digits[0] & 0x80 else digits)


def _information(algorithm: bytes, key: bytes) -> bytes:
    return encoded(SEQUENCE, encoded(SEQUENCE, algorithm), encoded(BIT_STRING, b"\0", key))


def rsa(modulus: bytes, exponent: bytes) -> bytes:
    """Return the key with these numbers, each in octets, the most significant first."""
    return _information(oid_element(_RSA) + _NULL, encoded(SEQUENCE, _integer(modulus), _integer(exponent)))


def dsa(prime: bytes, order: bytes, generator: bytes, public: bytes) -> bytes:
    """Return the key with these numbers."""
    parameters = encoded(SEQUENCE, _integer(prime), _integer(order), _integer(generator))
    return _information(oid_element(_DSA) + parameters, _integer(public))


def on_curve(curve_oid: str, point: bytes) -> bytes:
    """Return the key with this point, in the form of SEC 1, on a curve of Weierstrass."""
    return _information(oid_element(_EC) + oid_element(curve_oid), point)


def raw(name: str, key: bytes) -> bytes:
    """Return the key whose octets stand as they are: Edwards and Montgomery curves, ML-DSA and ML-KEM by their name.

    Raises `KeyError` where `name` is none of them.
    """
    return _information(oid_element(_RAW[name]), key)
