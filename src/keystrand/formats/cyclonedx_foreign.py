"""The components of other generators' CBOMs as facts: cbomkit and sonar, theia, CBOM-Lens, CipherIQ, cdxgen and others.

What has an identity (a hash of a certificate and of its key, or the certificate itself) becomes that thing; what has
none still says which algorithms are in use, and where. What says neither is counted and told.
"""

import base64
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import date
from typing import NamedTuple

from keystrand.formats.certificate_names import name_hash
from keystrand.formats.cyclonedx_asset import place_of
from keystrand.formats.cyclonedx_parts import AlgorithmPart, CertificatePart, Component, MaterialPart, sha256_of
from keystrand.formats.foreign_names import Named, canonical, oid_names
from keystrand.formats.report_parts import at, certificate_of
from keystrand.formats.suite_names import suite_uses
from keystrand.formats.x509_facts import public_key_fact
from keystrand.model.algorithm import Function, classify
from keystrand.model.errors import InvalidInput
from keystrand.model.observation import (
    AlgorithmUse,
    Certificate,
    Endpoint,
    Fact,
    Library,
    ProtocolSettings,
    PublicKey,
    Strength,
)
from keystrand.model.reading import Found
from keystrand.model.words import shown

_PRIMITIVES = {
    "signature": Function.SIGNATURE, "hash": Function.DIGEST, "xof": Function.DIGEST, "mac": Function.MAC,
    "kdf": Function.KEY_DERIVATION, "keyagree": Function.KEY_ESTABLISHMENT, "kem": Function.KEY_ESTABLISHMENT,
    "combiner": Function.KEY_ESTABLISHMENT, "ae": Function.ENCRYPTION, "blockcipher": Function.ENCRYPTION,
    "streamcipher": Function.ENCRYPTION, "keywrap": Function.ENCRYPTION, "drbg": Function.RANDOM,
}  # fmt: skip
_MODES = ("cbc", "ecb", "ccm", "gcm", "cfb", "ofb", "ctr")
_LEAST_MODULUS = 512
_LIBRARIES = re.compile(
    r"openssl|boringssl|libressl|bouncycastle|bcprov|bcpkix|bc-fips|(py)?cryptography|pycryptodomex?|pynacl|libsodium|"
    r"mbedtls|wolfssl|libgcrypt|gnutls|nettle|nss|liboqs|botan|cryptopp|conscrypt|tink|node-forge|crypto-js|tweetnacl|"
    r"rustls|ring|golang\.org/x/crypto|x/crypto|paramiko|jsch|libssh2?|jose4j|pyjwt|python-jose|jsonwebtoken|oqs"
)
_SERVICE = re.compile(r"(?:(?P<scheme>[a-z][a-z0-9+.-]*)://)?(?P<host>\[[0-9a-fA-F:.]+\]|[\w.-]+):(?P<port>\d{1,5})/?")


class _Key(NamedTuple):
    """What is told of a certificate's key; without `sha256` it is not known which key it is."""

    sha256: str
    algorithm: str
    bits: int | None


class ForeignReader:
    """Turns components into facts, and counts what could not be used."""

    def __init__(self, components: list[Component], providers: set[str]) -> None:
        self._components, self._providers = components, providers
        self._by_ref = {component.ref: component for component in components}
        self._lost: Counter[str] = Counter()

    def reasons(self) -> Iterator[str]:
        """Yield what could not be used, in words, once all was found."""
        for what, count in sorted(self._lost.items()):
            yield f"{count} {what}"

    def found(self) -> Iterator[Found]:
        """Yield every fact at every place of its component; `#n` is the n-th component where it names no place."""
        for number, component in enumerate(self._components, start=1):
            facts = list(self._facts(component))
            for where, location in self._places(component, number):
                for strength, fact in facts:
                    yield Found(where, _strength(strength, location), fact)
            if component.crypto and component.crypto.protocol:
                yield from self._services(component)

    def _places(self, component: Component, number: int) -> list[tuple[str, str]]:
        """Return where a component was seen: as its evidence says, or older and other fields do, or by its number."""
        seen = component.evidence.occurrences if component.evidence else []
        places = [(place_of(one.location, one.line, None), one.location) for one in seen if one.location]
        older = (component.crypto.contexts if component.crypto else None) or ()
        places += [(place_of(o.path, next(iter(o.lines or ()), None), None), o.path) for o in older if o.path]
        if not places and (path := component.said("SrcFile")):
            places = [(path, path)]
        return [(at(place), location) for place, location in places] or [(f"#{number}", "")]

    def _facts(self, component: Component) -> Iterator[tuple[Strength, Fact]]:
        crypto = component.crypto
        kind = crypto.kind if crypto else ""
        if component.type in ("library", "framework"):
            if component.ref in self._providers or _LIBRARIES.fullmatch(component.name.lower()):
                purl = component.purl or ""
                yield Strength.LINKED, Library(name=component.name, version=component.version or "", purl=purl)
        elif kind == "algorithm":
            yield from ((Strength.REFERENCED, use) for use in self._uses(component))
        elif kind == "certificate":
            yield from self._certificate(component)
        elif kind in ("related-crypto-material", "relatedCryptoMaterial"):
            yield from self._material(component)
        elif kind == "protocol":
            yield from self._protocol(component)

    def _uses(self, component: Component) -> list[AlgorithmUse]:
        named = algorithm_names(component)
        if not named:
            self._lost["algorithms without a use that is known"] += 1
        return [AlgorithmUse(algorithm=name, function=function) for name, function in named]

    def _certificate(self, component: Component) -> Iterator[tuple[Strength, Fact]]:
        try:
            if content := component.said("certificate:base64_content"):
                yield Strength.CONFIGURED, certificate_of(content)
                return
        except InvalidInput:
            self._lost["certificates that cannot be read"] += 1
        part = (component.crypto and component.crypto.certificate) or CertificatePart()
        signature = self._first_names([*part.refs("algorithm", part.signature_ref), *part.untyped()])
        key = self._key_of(component, part)
        if known := _whole_certificate(component, part, key, signature):
            yield Strength.CONFIGURED, known
            return
        key_names = canonical(key.algorithm, function=classify(key.algorithm).function) if key.algorithm else ()
        self._lost["certificates without the hash of their key: only their algorithms are kept"] += 1
        for named in dict.fromkeys((*signature[:1], *key_names[:1])):
            yield Strength.CONFIGURED, AlgorithmUse(algorithm=named.algorithm, function=named.function)

    def _names_at(self, ref: str) -> tuple[Named, ...]:
        """Return what the algorithm component with this reference names."""
        component = self._by_ref.get(ref)
        is_algorithm = component and component.crypto and component.crypto.kind == "algorithm"
        return algorithm_names(component) if component and is_algorithm else ()

    def _first_names(self, refs: list[str]) -> tuple[Named, ...]:
        return next((named for ref in refs if (named := self._names_at(ref))), ())

    def _key_of(self, component: Component, part: CertificatePart) -> _Key:
        """Return what is told of a certificate's key: by its component, its algorithm, or properties of CipherIQ."""
        refs = part.refs("publicKey", part.key_ref)
        material = next((m for ref in (*refs, *part.untyped()) if (m := self._material_at(ref))), None)
        if material and (key := self._key(material)):
            return _Key(key.sha256, key.algorithm, key.bits)
        names = self._names_at(material.algorithm()) if material else self._first_names(refs)
        told, size = component.said("public_key_algorithm"), component.said("public_key_size")
        bits = int(size) if size.isdecimal() and len(size) < 6 else None
        names = names or canonical(told, bits=bits, curve=component.said("ec_curve_name"))
        return _Key("", next((n.algorithm for n in names), ""), material.size if material else bits)

    def _material_at(self, ref: str) -> MaterialPart | None:
        component = self._by_ref.get(ref)
        return component.crypto.material if component and component.crypto else None

    def _key(self, part: MaterialPart) -> PublicKey | None:
        """Return a public key by its own octets or by its hash; None where neither is told. No other value is read."""
        if part.type != "public-key":
            return None
        with suppress(InvalidInput, ValueError):
            return public_key_fact(base64.b64decode(part.value or "", validate=True))
        digest = sha256_of(part.fingerprint)
        names = self._names_at(part.algorithm())
        algorithm = names[0].algorithm if names else ""
        return PublicKey(sha256=digest, algorithm=algorithm, bits=part.size) if digest else None

    def _material(self, component: Component) -> Iterator[tuple[Strength, Fact]]:
        part = component.crypto.material if component.crypto else None
        names = self._names_at(part.algorithm()) if part else ()
        if part and (key := self._key(part)):
            yield Strength.CONFIGURED, key
        elif names and component.evidence:
            yield from ((Strength.CONFIGURED, AlgorithmUse(algorithm=n, function=f)) for n, f in names)
        else:
            self._lost["keys and secrets without a hash that tells them apart"] += 1

    def _protocol(self, component: Component) -> Iterator[tuple[Strength, Fact]]:
        part = component.crypto.protocol if component.crypto else None
        if part is None:
            return
        protocol = (part.type or component.name or "unknown").lower()
        version = (part.version or "",) if part.version else ()
        yield Strength.CONFIGURED, ProtocolSettings(software="", protocol=shown(protocol, 40), versions=version)
        suites = [suite.name or "" for suite in part.suites or ()]
        suites += [text.partition(" ")[0] for text in part.older_suites or ()]
        groups = [group for suite in part.suites or () for group in suite.groups or ()]
        named = [Named(use.algorithm, use.function) for suite in suites for use in suite_uses(suite)]
        named += [n for group in groups for n in canonical(group, function=Function.KEY_ESTABLISHMENT)]
        for algorithm, function in dict.fromkeys(named):
            yield Strength.OFFERED, AlgorithmUse(algorithm=algorithm, function=function)

    def _services(self, component: Component) -> Iterator[Found]:
        """Yield an endpoint for each place that names one."""
        part = component.crypto.protocol if component.crypto else None
        for where, location in self._places(component, 0):
            match = _SERVICE.fullmatch(location)
            if part and match and 1 <= int(match["port"]) <= 65535:
                versions = (part.version,) if part.version else ()
                protocol = (part.type or match["scheme"] or "unknown").lower()
                host = match["host"].strip("[]")
                fact = Endpoint(protocol=protocol, host=host, port=int(match["port"]), versions=versions)
                yield Found(where, Strength.OFFERED, fact)


def _strength(strength: Strength, location: str) -> Strength:
    """Return the evidence: what was met on the network is an offer, what is in a file is what the fact says."""
    return Strength.OFFERED if "://" in location and not location.startswith("file:") else strength


def _function(part: AlgorithmPart) -> Function | None:
    """Return what the algorithm is for; public-key encryption by its functions, for many tools say it of all RSA."""
    primitive = re.sub("[^a-z]", "", (part.primitive or "").lower())
    if primitive != "pke":
        return _PRIMITIVES.get(primitive)
    functions = part.functions or ()
    if "sign" in functions or "verify" in functions:
        return Function.SIGNATURE
    if "encapsulate" in functions or "decapsulate" in functions:
        return Function.KEY_ESTABLISHMENT
    return Function.ENCRYPTION if "encrypt" in functions or "decrypt" in functions else None


def _bits(part: AlgorithmPart, name: str) -> int | None:
    """Return the size in the parameters; beside RSA and its like a small number is the size of a hash."""
    text = part.parameters or ""
    bits = int(text) if text.isdecimal() and len(text) < 6 else None
    modulus = re.search(r"RSA|(?<!EC)DSA|(?<!EC)DH|DIFFIE", name.upper())
    return None if bits is None or (modulus and bits <= _LEAST_MODULUS) else bits


def algorithm_names(component: Component) -> tuple[Named, ...]:
    """Return the canonical names of an algorithm component, from its name, its object identifier or its family."""
    crypto = component.crypto
    part = (crypto.algorithm if crypto else None) or AlgorithmPart()
    function = _function(part)
    curve = part.registry_curve or part.curve or ""
    texts = [part.variant or "", component.name, part.family or ""]
    for text in filter(None, texts):
        bits = _bits(part, text)
        full = f"{text}-{part.mode}" if part.mode in _MODES and part.mode not in text.lower() else text
        if named := canonical(full, bits=bits, curve=curve) or canonical(text, bits=bits, curve=curve):
            return (
                named
                if len(named) > 1 or function is None
                else canonical(
                    full if canonical(full, bits=bits, curve=curve) else text, bits=bits, curve=curve, function=function
                )
            )
    if named := oid_names((crypto.oid or "").removeprefix("oid:") if crypto else ""):
        return named
    return canonical(component.name, function=function) if function and component.name.upper() != "UNKNOWN" else ()


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat((text or "")[:10])
    except ValueError:
        return None


def _whole_certificate(
    component: Component, part: CertificatePart, key: _Key, signature: Iterable[Named]
) -> Certificate | None:
    """Return the certificate, where its own hash or what names it, the hash of its key, and its days are told."""
    begin, end = _day(part.not_before), _day(part.not_after)
    sha256 = sha256_of(part.fingerprint) or component.sha256()
    if not sha256 and key.sha256 and part.issuer and part.serial:
        sha256 = name_hash(shown(part.issuer, 1024), part.serial, key.sha256)
    if not sha256 or not key.sha256 or begin is None or end is None:
        return None
    return Certificate(
        sha256=sha256, spki_sha256=key.sha256,
        subject=shown(part.subject or "", 1024), issuer=shown(part.issuer or "", 1024),
        serial=re.sub("[^0-9a-f]", "", (part.serial or "").lower()), not_before=begin, not_after=end,
        signature_algorithm=next((n.algorithm for n in signature), ""),
        key_algorithm=key.algorithm, key_bits=key.bits,
    )  # fmt: skip
