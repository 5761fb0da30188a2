"""CycloneDX in XML, as the JSON that says the same: components, their cryptography, evidence, properties and links."""

from typing import Any

import msgspec

from keystrand.formats import cyclonedx_read
from keystrand.formats.report_parts import REPORT, guarded
from keystrand.formats.safe_xml import XmlElement, parsed_xml
from keystrand.model.errors import InvalidInput
from keystrand.model.reading import FileReader, Reading

_LISTS = {
    "components": "component", "services": "service", "properties": "property", "occurrences": "occurrence",
    "hashes": "hash", "cipherSuites": "cipherSuite", "tlsGroups": "tlsGroup",
    "tlsSignatureSchemes": "tlsSignatureScheme", "cryptoFunctions": "cryptoFunction",
    "relatedCryptographicAssets": "relatedCryptographicAsset", "dependencies": "dependency",
}  # fmt: skip
"""Elements that are arrays in JSON, by the name of what they hold."""
_NUMBERS = ("line", "offset", "size", "classicalSecurityLevel", "nistQuantumSecurityLevel")


def _value(element: XmlElement) -> Any:
    if element.name in _LISTS:
        return [_value(child) for child in element.children]
    if element.name == "property":
        return {"name": element.attributes.get("name", ""), "value": element.text}
    if element.name in ("hash", "fingerprint"):
        return {"alg": element.attributes.get("alg", ""), "content": element.text.strip()}
    if not element.children and not (element.attributes.keys() & {"type", "bom-ref", "ref"}):
        text = element.text.strip()
        return int(text) if element.name in _NUMBERS and text.isdecimal() and len(text) < 10 else text
    return _members(element)


def _members(element: XmlElement) -> dict[str, Any]:
    found: dict[str, Any] = dict(element.attributes)
    for child in element.children:
        if child.name == "cryptoFunctions" and not child.children:
            found.setdefault("cryptoFunctions", []).append(child.text.strip())
        elif child.name == "provides":
            found.setdefault("provides", []).append(child.attributes.get("ref", ""))
        elif child.name != "dependency" or element.name == "dependencies":
            found[child.name] = _value(child)
    return found


def as_json(content: bytes) -> bytes:
    """Return the JSON of a CycloneDX document in XML. Raises `InvalidInput` where it is none."""
    root = parsed_xml(content)
    if root.name != "bom":
        raise InvalidInput("not a CycloneDX document in XML")
    namespace = content[:4096].partition(b"cyclonedx.org/schema/bom/")[2][:3].decode("ascii", "replace")
    document = {"bomFormat": "CycloneDX", "specVersion": namespace or "unknown", **_members(root)}
    document.pop("version", None)
    return msgspec.json.encode(document)


@guarded
def read(path: str, content: bytes) -> Reading:
    """Return a CBOM's facts as the reader of JSON does."""
    return cyclonedx_read.read(path, as_json(content))


READER = FileReader(REPORT, lambda _, head: b"cyclonedx.org/schema/bom/1." in head and b"<bom" in head, read)
