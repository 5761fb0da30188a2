"""What a key file would have the library compute before it answers, told from the structure alone.

The library holds the interpreter's lock meanwhile, and a file may ask for hours: what costs too much is left unopened.
Sources: RFC 7292, 4 (PKCS#12); RFC 8018, A and B (password-based encryption); RFC 7914 (scrypt); RFC 5958 (PKCS#8).
"""

from collections.abc import Iterator
from itertools import pairwise

from keystrand.formats.der import INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, Element, children, element

MAX_ROUNDS = 1_000_000
"""Rounds of key derivation in one store at most, all together: a quarter of a second, and ten times what is usual."""
MAX_PRIME_BITS = 8192
"""Size of a DSA or DH prime up to which the public part is derived: the largest group in use (RFC 3526, 7)."""
MAX_KEY_OCTETS = 5120
"""Octets of an encrypted key in a store at most: RSA-8192 takes 4700. What is inside cannot be judged before."""
NOT_DER = "a PKCS#12 store that is not in DER, which this release does not open"
_MAX_DEPTH = 32
_CONSTRUCTED, _CHUNKED_STRING, _EXPLICIT = 0x20, 0x24, 0xA0
_OBJECTS = bytes.fromhex("2a864886f70d010701")
_SCRYPT = bytes.fromhex("2b06010401da47040b")


def slow_private_key(der: bytes) -> bool:
    """Return whether deriving the public part of a PKCS#8 key means a huge exponentiation: DSA and DH alone need one.

    Raises `ValueError` where the structure is not DER.
    """
    return _slow_key(tuple(children(element(der).content)))


def _slow_key(parts: tuple[Element, ...]) -> bool:
    if [part.tag for part in parts[:3]] != [INTEGER, SEQUENCE, OCTET_STRING]:
        return False
    parameters = tuple(children(parts[1].content))[1:]
    numbers = tuple(children(parameters[0].content)) if parameters and parameters[0].tag == SEQUENCE else ()
    if not numbers or any(number.tag != INTEGER for number in numbers):
        return False
    # the exponent is an INTEGER in the octet string; as large as it likes, whatever the prime
    return max(len(number.content) for number in (*numbers, element(parts[2].content))) > MAX_PRIME_BITS // 8 + 1


def costly_store(der: bytes) -> str:
    """Return why a PKCS#12 store is not opened; empty where it may be.

    Seen is what stands in clear: an encrypted part that hides another one is opened all the same.
    """
    try:
        found = tuple(groups(der))
        rounds = sum(map(_rounds, found))
        large = any(map(_large, found))
    except ValueError:
        return NOT_DER
    if any(part.tag == OBJECT_IDENTIFIER and part.content == _SCRYPT for group in found for part in group):
        return "a PKCS#12 store that uses scrypt, which this release does not open"
    if rounds > MAX_ROUNDS:
        return f"a PKCS#12 store that asks for {min(rounds, 1 << 64)} rounds of key derivation; at most {MAX_ROUNDS}"
    return "a PKCS#12 store with a key larger than this release opens" if large else ""


def groups(content: bytes, depth: int = 0) -> Iterator[tuple[Element, ...]]:
    """Yield the elements side by side at every level, also inside the octets that hold further objects."""
    if depth > _MAX_DEPTH:
        raise ValueError("the structure is too deep")
    group = tuple(children(content))
    yield group
    for part in group:
        if part.tag == _CHUNKED_STRING:
            raise ValueError("an octet string in chunks is not DER")
        if part.tag & _CONSTRUCTED:
            yield from groups(part.content, depth + 1)
    if [part.tag for part in group] == [OBJECT_IDENTIFIER, _EXPLICIT] and group[0].content == _OBJECTS:
        yield from groups(element(group[1].content).content, depth + 1)


def _rounds(group: tuple[Element, ...]) -> int:
    """Return the rounds that `group` asks for: the number after a salt, in MacData as in every parameter of a KDF."""
    counts = (b.content for a, b in pairwise(group) if (a.tag, b.tag) == (OCTET_STRING, INTEGER))
    return sum(int.from_bytes(count, "big") for count in counts)


def _large(group: tuple[Element, ...]) -> bool:
    encrypted = [part.tag for part in group] == [SEQUENCE, OCTET_STRING]
    return _slow_key(group) or (encrypted and len(group[1].content) > MAX_KEY_OCTETS)
