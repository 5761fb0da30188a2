"""The parts of a CycloneDX document that are read, of 1.6, 1.7 and the `1.4-cbom-1.0` that came before them.

Names are CycloneDX's own. What is not listed is passed over; what is listed with another type is a fault of the
component it stands in, not of the whole document.
"""

import re

import msgspec
from msgspec import Struct, field


class Text(Struct):
    """A property: name and value."""

    name: str = ""
    value: str | None = None


class Seen(Struct):
    """An occurrence."""

    location: str = ""
    line: int | None = None
    offset: int | None = None
    words: str | None = field(default=None, name="additionalContext")


class Evidence(Struct):
    """Where a component was seen."""

    occurrences: list[Seen] = []


class Hash(Struct):
    """A hash with its algorithm."""

    alg: str = ""
    content: str = ""


class Related(Struct):
    """A reference to another asset, and what that is."""

    type: str = ""
    ref: str = ""


class AlgorithmPart(Struct):
    """`algorithmProperties`; `variant` is of 1.4-cbom-1.0."""

    primitive: str | None = None
    family: str | None = field(default=None, name="algorithmFamily")
    parameters: str | None = field(default=None, name="parameterSetIdentifier")
    curve: str | None = None
    registry_curve: str | None = field(default=None, name="ellipticCurve")
    mode: str | None = None
    functions: list[str] | None = field(default=None, name="cryptoFunctions")
    variant: str | None = None


class CertificatePart(Struct):
    """`certificateProperties`."""

    serial: str | None = field(default=None, name="serialNumber")
    subject: str | None = field(default=None, name="subjectName")
    issuer: str | None = field(default=None, name="issuerName")
    not_before: str | None = field(default=None, name="notValidBefore")
    not_after: str | None = field(default=None, name="notValidAfter")
    signature_ref: str | None = field(default=None, name="signatureAlgorithmRef")
    key_ref: str | None = field(default=None, name="subjectPublicKeyRef")
    fingerprint: Hash | None = None
    related: list[Related] | None = field(default=None, name="relatedCryptographicAssets")

    def refs(self, kind: str, older: str | None) -> list[str]:
        """Return the references to a related asset of a kind: of 1.7, and that of the versions before."""
        return [*(one.ref for one in self.related or () if one.type == kind), *filter(None, (older,))]

    def untyped(self) -> list[str]:
        """Return the references of which nothing says what they lead to."""
        return [one.ref for one in self.related or () if not one.type]


class MaterialPart(Struct):
    """`relatedCryptoMaterialProperties`."""

    type: str | None = None
    id: str | None = None
    size: int | None = None
    algorithm_ref: str | None = field(default=None, name="algorithmRef")
    value: str | None = None
    fingerprint: Hash | None = None
    related: list[Related] | None = field(default=None, name="relatedCryptographicAssets")

    def algorithm(self) -> str:
        """Return the reference to the algorithm that the material is for."""
        return next((one.ref for one in self.related or () if one.type == "algorithm"), self.algorithm_ref or "")


class Suite(Struct):
    """A cipher suite, with the groups and schemes of 1.7."""

    name: str | None = None
    groups: list[str] | None = field(default=None, name="tlsGroups")
    schemes: list[str] | None = field(default=None, name="tlsSignatureSchemes")


class ProtocolPart(Struct):
    """`protocolProperties`; `older_suites` is of 1.4-cbom-1.0."""

    type: str | None = None
    version: str | None = None
    suites: list[Suite] | None = field(default=None, name="cipherSuites")
    older_suites: list[str] | None = field(default=None, name="tlsCipherSuites")


class OlderContext(Struct):
    """`detectionContext` of 1.4-cbom-1.0."""

    path: str = field(default="", name="filePath")
    lines: list[int] | None = field(default=None, name="lineNumbers")


class CryptoPart(Struct):
    """`cryptoProperties`."""

    kind: str = field(default="", name="assetType")
    algorithm: AlgorithmPart | None = field(default=None, name="algorithmProperties")
    certificate: CertificatePart | None = field(default=None, name="certificateProperties")
    material: MaterialPart | None = field(default=None, name="relatedCryptoMaterialProperties")
    protocol: ProtocolPart | None = field(default=None, name="protocolProperties")
    oid: str | None = None
    contexts: list[OlderContext] | None = field(default=None, name="detectionContext")


class Component(Struct):
    """A component, or a service, as far as it is read."""

    type: str = ""
    ref: str = field(default="", name="bom-ref")
    name: str = ""
    version: str | None = None
    purl: str | None = None
    hashes: list[Hash] | None = None
    evidence: Evidence | None = None
    properties: list[Text] | None = None
    crypto: CryptoPart | None = field(default=None, name="cryptoProperties")
    components: list[msgspec.Raw] | None = None

    def said(self, name: str) -> str:
        """Return the value of the first property whose name ends so; empty where there is none."""
        return next((p.value or "" for p in self.properties or () if p.name.endswith(name)), "")

    def sha256(self) -> str:
        """Return the SHA-256 that the component gives of itself, or an empty string."""
        return next((sha256_of(one) for one in self.hashes or () if sha256_of(one)), "")


class Depends(Struct):
    """A dependency; `provides` is what a library implements."""

    ref: str = ""
    provides: list[str] | None = None


class MetadataPart(Struct):
    """`metadata`, with its tools in any of the forms they had."""

    tools: msgspec.Raw = msgspec.Raw(b"null")
    component: msgspec.Raw = msgspec.Raw(b"null")


class Document(Struct):
    """A CycloneDX document, its components not yet read."""

    version: str = field(default="", name="specVersion")
    format: str = field(default="", name="bomFormat")
    metadata: MetadataPart | None = None
    components: list[msgspec.Raw] | None = None
    services: list[msgspec.Raw] | None = None
    dependencies: list[Depends] | None = None


def sha256_of(one: Hash | None) -> str:
    """Return the SHA-256 in lower case, or an empty string where the hash is another."""
    content = (one.content if one and one.alg == "SHA-256" else "").lower()
    return content if re.fullmatch("[0-9a-f]{64}", content) else ""
