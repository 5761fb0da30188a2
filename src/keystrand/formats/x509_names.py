"""Names and extensions of a certificate by our own walk, for what the library refuses to read (RFC 5280, 4.1 and 4.2).

A damaged part gives an empty answer, never an error: one field must not cost the certificate.
"""

import ipaddress
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

from keystrand.formats.der import OBJECT_IDENTIFIER, OCTET_STRING, Element, children, element, object_identifier

_SHORT_NAMES = {
    "2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST",
    "2.5.4.9": "STREET", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title", "2.5.4.42": "GN",
    "0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.1": "UID",
}  # fmt: skip
_CHARACTERS = {0x0C: "utf-8", 0x1E: "utf-16-be", 0x1C: "utf-32-be", 0x14: "latin-1", 0x13: "ascii", 0x16: "ascii",
               0x12: "ascii", 0x1A: "ascii"}  # fmt: skip
_EXTENSIONS_TAG = 0xA3
_DNS, _MAIL, _URI, _ADDRESS = 0x82, 0x81, 0x86, 0x87
_TRUE = 0x01
MAX_ATTRIBUTES = 100
"""Attributes of a name that are read."""


def name_text(name: Element) -> str:
    """Return a Name as text, its last part first (RFC 4514); empty where it is not text throughout."""
    try:
        relatives = list(islice(children(name.content), MAX_ATTRIBUTES))
        parts = ["+".join(_attribute(one) for one in children(relative.content)) for relative in relatives]
    except (ValueError, KeyError):
        return ""
    return ",".join(reversed(parts))


def _attribute(attribute: Element) -> str:
    kind, value = list(children(attribute.content))[:2]
    oid = object_identifier(kind.content)
    return f"{_SHORT_NAMES.get(oid, oid)}={value.content.decode(_CHARACTERS[value.tag], 'backslashreplace')}"


def extensions(fields: list[Element]) -> dict[str, bytes]:
    """Return the values of a certificate's extensions by object identifier, as far as they can be read."""
    found: dict[str, bytes] = {}
    held = next((field for field in fields if field.tag == _EXTENSIONS_TAG), None)
    with suppress(ValueError, IndexError):
        for extension in children(element(held.content).content) if held else ():
            parts = list(children(extension.content))
            if parts[0].tag == OBJECT_IDENTIFIER and parts[-1].tag == OCTET_STRING:
                found[object_identifier(parts[0].content)] = parts[-1].content
    return found


def alternative_names(value: bytes) -> tuple[str, ...]:
    """Return the host names, addresses, mail addresses and URIs of a subjectAltName, sorted."""
    found: list[str] = []
    with suppress(ValueError):
        found.extend(_general_names(element(value)))
    return tuple(sorted(found))


def _general_names(names: Element) -> Iterator[str]:
    for name in children(names.content):
        if name.tag in (_DNS, _MAIL, _URI):
            yield name.content.decode("ascii", "backslashreplace")
        elif name.tag == _ADDRESS and len(name.content) in (4, 16):
            yield str(ipaddress.ip_address(name.content))


def may_issue(value: bytes) -> bool:
    """Return whether basicConstraints say that the subject is an authority."""
    try:
        first = next(children(element(value).content), None)
    except ValueError:
        return False
    return first is not None and first.tag == _TRUE and first.content not in (b"", b"\0")
