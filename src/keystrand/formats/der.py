"""Distinguished Encoding Rules (ITU-T X.690), as much as it takes to walk a certificate that no library can parse."""

from collections.abc import Iterator
from typing import NamedTuple

SEQUENCE, SET, OBJECT_IDENTIFIER, OCTET_STRING, INTEGER, BIT_STRING = 0x30, 0x31, 0x06, 0x04, 0x02, 0x03

MAX_OID_OCTETS = 64
"""Longest object identifier that is read: registered ones take under 20 octets, and the work grows with the square."""


class Element(NamedTuple):
    """One tag-length-value: `raw` is the whole of it, `content` its value."""

    tag: int
    content: bytes
    raw: bytes


def header(octets: bytes, at: int = 0) -> tuple[int, int, int]:
    """Return tag, and begin and end of the content, of the element at `at`. Raises `ValueError` where it is not whole.

    Nothing is copied: a search over many places costs no more for long elements.
    """
    if at + 2 > len(octets):
        raise ValueError("the structure ends early")
    tag, length, start = octets[at], octets[at + 1], at + 2
    if tag & 0x1F == 0x1F:
        raise ValueError("a tag of several octets is not expected here")
    if length & 0x80:
        length_octets = length & 0x7F
        if not 1 <= length_octets <= 4 or start + length_octets > len(octets):
            raise ValueError("the length is not definite")
        length = int.from_bytes(octets[start : start + length_octets], "big")
        start += length_octets
    if start + length > len(octets):
        raise ValueError("the structure ends early")
    return tag, start, start + length


def element(octets: bytes, at: int = 0) -> Element:
    """Return the element that starts at `at`. Raises `ValueError` where there is none whole."""
    tag, start, end = header(octets, at)
    return Element(tag, octets[start:end], octets[at:end])


def children(content: bytes) -> Iterator[Element]:
    """Yield the elements of a constructed value. Raises `ValueError` as `element` does."""
    at = 0
    while at < len(content):
        found = element(content, at)
        yield found
        at += len(found.raw)


def sequence(octets: bytes) -> list[Element]:
    """Return the elements of the SEQUENCE that `octets` starts with. Raises `ValueError` where it is none."""
    outer = element(octets)
    if outer.tag != SEQUENCE:
        raise ValueError(f"a sequence was expected, not tag {outer.tag:#04x}")
    return list(children(outer.content))


def object_identifier(content: bytes) -> str:
    """Return an OBJECT IDENTIFIER's value in dotted form. Raises `ValueError` where it is cut off."""
    if len(content) > MAX_OID_OCTETS:
        raise ValueError("the object identifier is longer than any that is registered")
    if not content or content[-1] & 0x80:
        raise ValueError("the object identifier ends early")
    numbers, value = [], 0
    for octet in content:
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            numbers.append(value)
            value = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))


def algorithm_oid(algorithm_identifier: Element) -> str:
    """Return the object identifier of an AlgorithmIdentifier (RFC 5280, 4.1.1.2)."""
    parts = list(children(algorithm_identifier.content))
    if not parts or parts[0].tag != OBJECT_IDENTIFIER:
        raise ValueError("an algorithm identifier was expected")
    return object_identifier(parts[0].content)
