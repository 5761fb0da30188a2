"""Certificates and keys in files: PEM, DER, PKCS#7, PKCS#12. Only facts of public parts come out, never private octets.

Sources: RFC 7468 (PEM), 5652 (PKCS#7), 7292 (PKCS#12), 5958 (PKCS#8); OpenSSH's PROTOCOL.key.
"""

import warnings
from collections.abc import Callable
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
    pkcs12,
)
from msgspec.structs import replace

from keystrand.formats.der import (
    INTEGER,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    Element,
    algorithm_oid,
    children,
    element,
    object_identifier,
    sequence,
)
from keystrand.formats.key_costs import costly_store, slow_private_key
from keystrand.formats.oids import name_of
from keystrand.formats.pem import BEGIN, Block, blocks
from keystrand.formats.ssh_names import host_key_fact
from keystrand.formats.ssh_wire import read_string
from keystrand.formats.x509_facts import certificate_fact, public_key_fact, shortened
from keystrand.model.algorithm import Function, classify
from keystrand.model.errors import InvalidInput
from keystrand.model.observation import AlgorithmUse, Certificate, PublicKey
from keystrand.model.words import shown

ENCRYPTED = "encrypted"
PASSWORDS: tuple[bytes | None, ...] = (None, b"", b"changeit")
"""What is tried on a PKCS#12 store: no password, an empty one, and the one that Java's own stores come with."""

_SIGNED_OBJECTS, _OBJECTS = "1.2.840.113549.1.7.2", "1.2.840.113549.1.7.1"
_JAVA_STORES = (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")
_INDEFINITE = b"\x30\x80"
_CERTIFICATES_TAG = 0xA0
_OPENSSH_MAGIC = b"openssh-key-v1\x00"

KeyFact = Certificate | PublicKey | AlgorithmUse


class Found(NamedTuple):
    """One object in a file: its facts, and why there are none or not all. A gap is `ENCRYPTED` or a sentence."""

    facts: tuple[KeyFact, ...] = ()
    gap: str = ""


def objects_in(content: bytes) -> tuple[Found, ...]:
    """Return what `content` holds, in its order; empty where nothing in it is recognised. Never raises."""
    if content.startswith(_JAVA_STORES):
        return (Found(gap="a Java key store, which this release does not read"),)
    if BEGIN in content:
        return tuple(found for block in blocks(content) for found in pem_objects(block))
    return _der_objects(content)


def pem_objects(block: Block) -> tuple[Found, ...]:
    """Return what one PEM block holds; empty where it is quoted text of a kind that is not ours."""
    if not block.whole:
        return (Found(gap="a PEM block that does not end"),)
    if b"Proc-Type: 4,ENCRYPTED" in block.headers:
        return (Found(gap=ENCRYPTED),)
    if block.label not in _BY_LABEL:
        return (Found(gap=f"a PEM block of type {shown(block.label, 40)}, which this release does not read"),)
    if block.der is None:
        return (Found(gap="a PEM block that is not base64"),)
    return _guarded(_BY_LABEL[block.label], block.der)


def _guarded(read: Callable[[bytes], tuple[Found, ...]], der: bytes) -> tuple[Found, ...]:
    """Return what `read` finds; where it fails in a way that nobody foresaw, the gap names the error's type alone."""
    try:
        return read(der)
    # The library raises undocumented errors on damaged files: one object must not cost the others.
    except Exception as error:
        return (Found(gap=f"something that cannot be read ({type(error).__name__})"),)


def _der_objects(content: bytes) -> tuple[Found, ...]:
    """Return the objects in a DER file, one after the other. What follows them unread is said, never passed over."""
    if content.startswith(_INDEFINITE):
        return (Found(gap="a structure of indefinite length (BER), which this release does not read"),)
    objects: list[Found] = []
    at = 0
    while at < len(content):
        try:
            one = element(content, at)
        except ValueError:
            break
        if not (found := _guarded(_der_object, one.raw)):
            break
        objects += found
        at += len(one.raw)
        if _is_store(one.raw):
            break  # one to a file: opening a store is dear, and thousands fit into a file
    if objects and content[at:].strip():
        objects.append(Found(gap="something after the last object that is not recognised"))
    return tuple(objects)


def _der_object(content: bytes) -> tuple[Found, ...]:
    """Return what one DER structure holds, told by its shape; empty where it is not recognised."""
    try:
        parts = sequence(content)
    except ValueError:
        return ()
    shape = bytes(part.tag for part in parts)
    if shape[:1] == bytes([OBJECT_IDENTIFIER]) and _is_oid(parts[0], _SIGNED_OBJECTS):
        return _pkcs7(content)
    if _is_store(content):
        return _pkcs12(content)
    if shape == bytes([SEQUENCE, OCTET_STRING]):
        return (Found(gap=ENCRYPTED),)
    for read in (_certificate, _public_key, _private_key):
        found = read(content)
        if found[0].facts:
            return found
    return ()


def _is_oid(part: Element, oid: str) -> bool:
    try:
        return part.tag == OBJECT_IDENTIFIER and object_identifier(part.content) == oid
    except ValueError:
        return False


def _is_store(der: bytes) -> bool:
    """Return whether `der` has the shape of a PKCS#12 store, version 3 (RFC 7292, 4)."""
    try:
        version, held, *_ = sequence(der)
    except ValueError:
        return False
    three = (version.tag, version.content, held.tag) == (INTEGER, b"\x03", SEQUENCE)
    return three and _holds_objects(held)


def _holds_objects(part: Element) -> bool:
    try:
        kind = next(children(part.content))
    except (ValueError, StopIteration):
        return False
    return _is_oid(kind, _OBJECTS) or _is_oid(kind, _SIGNED_OBJECTS)


def _certificate(der: bytes) -> tuple[Found, ...]:
    try:
        fact = certificate_fact(der)
        return (Found((fact,), gap=shortened(fact)),)
    except InvalidInput as error:
        return (Found(gap=error.message),)


def _public_key(der: bytes) -> tuple[Found, ...]:
    try:
        return (Found((public_key_fact(der),)),)
    except InvalidInput as error:
        return (Found(gap=error.message),)


def _pkcs1_public_key(der: bytes) -> tuple[Found, ...]:
    try:
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        return (Found(gap="not an RSA public key"),)
    return _public_key(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _private_key(der: bytes) -> tuple[Found, ...]:
    """Return the identity of a private key's public part; its algorithm alone where the library cannot derive it."""
    try:
        if slow_private_key(der):
            return _named_private_key(der)
        key = load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
        spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return (Found((public_key_fact(spki, private_part_present=True),)),)
    except TypeError:
        return (Found(gap=ENCRYPTED),)
    except (ValueError, UnsupportedAlgorithm, InvalidInput):
        return _named_private_key(der)


def _named_private_key(der: bytes) -> tuple[Found, ...]:
    """Return the algorithm that a PKCS#8 structure names (RFC 5958, 2)."""
    try:
        version, algorithm, key, *_ = sequence(der)
        if (version.tag, algorithm.tag, key.tag) != (INTEGER, SEQUENCE, OCTET_STRING):
            return (Found(gap="not a private key"),)
        name = name_of(algorithm_oid(algorithm))
    except ValueError:
        return (Found(gap="not a private key"),)
    use = AlgorithmUse(algorithm=name, function=classify(name, Function.SIGNATURE).function)
    return (Found((use,), gap=f"a private key ({name}) whose public part could not be told"),)


def _openssh_key(blob: bytes) -> tuple[Found, ...]:
    """Return the identity of an OpenSSH private key, encrypted or not: its public part stands in clear."""
    if not blob.startswith(_OPENSSH_MAGIC):
        return (Found(gap="not an OpenSSH private key"),)
    try:
        at = len(_OPENSSH_MAGIC)
        for _ in ("cipher", "key derivation", "its options"):
            _, at = read_string(blob, at)
        public, _ = read_string(blob, at + 4)
        return (Found((_with_private_part(host_key_fact(public)),)),)
    except InvalidInput:
        return (Found(gap="an OpenSSH private key that ends early"),)


def _with_private_part(key: PublicKey) -> PublicKey:
    return replace(key, private_part_present=True)


def _pkcs7(der: bytes) -> tuple[Found, ...]:
    """Return the certificates of a SignedData structure (RFC 5652, 5.1), whether a library knows them or not."""
    try:
        wrapped = sequence(der)[1]
        fields = sequence(wrapped.content)
        certificates = [
            part.raw for field in fields[3:] if field.tag == _CERTIFICATES_TAG for part in children(field.content)
        ]
    except (ValueError, IndexError):
        return (Found(gap="a PKCS#7 structure that is not whole"),)
    found = tuple(found for one in certificates for found in _certificate(one))
    return found or (Found(gap="a PKCS#7 structure without a certificate"),)


def _pkcs12(der: bytes) -> tuple[Found, ...]:
    """Return what a PKCS#12 store holds, where one of `PASSWORDS` opens it and that does not cost too much."""
    if why := costly_store(der):
        return (Found(gap=why),)
    for password in PASSWORDS:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it warns of stores that are not quite to the letter
                store = pkcs12.load_pkcs12(der, password)
        except UnsupportedAlgorithm:
            return (Found(gap="a PKCS#12 store with encryption that this release does not know"),)
        except (ValueError, TypeError):
            continue
        return _stored(store)
    return (Found(gap=ENCRYPTED),)


def _stored(store: pkcs12.PKCS12KeyAndCertificates) -> tuple[Found, ...]:
    own = (store.cert,) if store.cert else ()
    ders = [one.certificate.public_bytes(Encoding.DER) for one in (*own, *store.additional_certs)]
    found = [found for der in ders for found in _certificate(der)]
    if store.key is not None:
        spki = store.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        found.append(Found((public_key_fact(spki, private_part_present=True),)))
    return tuple(found) or (Found(gap="a PKCS#12 store without a certificate or key"),)


_BY_LABEL: dict[str, Callable[[bytes], tuple[Found, ...]]] = {
    "CERTIFICATE": _certificate,
    "X509 CERTIFICATE": _certificate,
    "TRUSTED CERTIFICATE": _certificate,
    "PUBLIC KEY": _public_key,
    "RSA PUBLIC KEY": _pkcs1_public_key,
    "PRIVATE KEY": _private_key,
    "RSA PRIVATE KEY": _private_key,
    "EC PRIVATE KEY": _private_key,
    "DSA PRIVATE KEY": _private_key,
    "ENCRYPTED PRIVATE KEY": lambda _: (Found(gap=ENCRYPTED),),
    "OPENSSH PRIVATE KEY": _openssh_key,
    "PKCS7": _pkcs7,
    "CMS": _pkcs7,
}
