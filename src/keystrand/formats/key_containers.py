"""Containers: PKCS#7 (CMS) and PKCS#12. What stands in clear is told even where the rest is encrypted.

Sources: RFC 5652 (CMS), RFC 7292 (PKCS#12).
"""

import warnings
from collections.abc import Iterator

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, pkcs12

from keystrand.formats.ber import to_der
from keystrand.formats.der import (
    INTEGER,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    SET,
    Element,
    algorithm_oid,
    children,
    element,
    object_identifier,
    sequence,
)
from keystrand.formats.key_costs import NOT_DER, costly_store, groups
from keystrand.formats.key_facts import ENCRYPTED, Found
from keystrand.formats.key_objects import certificate
from keystrand.formats.oids import name_of
from keystrand.formats.pbe import cipher_name, protection
from keystrand.formats.x509_facts import public_key_fact
from keystrand.model.algorithm import Function, classify
from keystrand.model.observation import AlgorithmUse, Keystore

PASSWORDS: tuple[bytes | None, ...] = (None, b"", b"changeit", b"changeme")
"""What is tried on a PKCS#12 store: none, an empty one, and those that Java's and others' own stores come with."""
MAX_PASSWORDS = 8
"""Passwords of a target that are tried on one store."""
SIGNED_OBJECTS, OBJECTS = "1.2.840.113549.1.7.2", "1.2.840.113549.1.7.1"
_ENVELOPED, _AUTHENTICATED = "1.2.840.113549.1.7.3", "1.2.840.113549.1.9.16.1.23"
_ENCAPSULATED = "1.2.840.113549.1.9.16.13.3"
_OTHER_RECIPIENT = 0xA4
_CERTIFICATES_TAG = 0xA0
_CERTIFICATE_BAG = bytes.fromhex("2a864886f70d010c0a0103")


def is_signed_objects(parts: list[Element]) -> bool:
    """Return whether the parts of a structure are those of SignedData (RFC 5652, 3)."""
    return bool(parts) and _is_oid(parts[0], SIGNED_OBJECTS)


def _is_oid(part: Element, oid: str) -> bool:
    try:
        return part.tag == OBJECT_IDENTIFIER and object_identifier(part.content) == oid
    except ValueError:
        return False


def signed_objects(der: bytes) -> tuple[Found, ...]:
    """Return the certificates of a SignedData structure (RFC 5652, 5.1), and what its signers sign with.

    A structure of another kind under the same name in PEM, a message in an envelope, tells what it is encrypted with.
    """
    try:
        if is_enveloped(sequence(der)):
            return enveloped(der)
        wrapped = sequence(der)[1]
        fields = sequence(wrapped.content)
        certificates = [
            part.raw for field in fields[3:] if field.tag == _CERTIFICATES_TAG for part in children(field.content)
        ]
        signers = tuple(_signers(fields[-1])) if fields[-1].tag == SET else ()
    except (ValueError, IndexError):
        return (Found(gap="a PKCS#7 structure that is not whole"),)
    found = tuple(found for one in certificates for found in certificate(one))
    found += (Found(signers),) if signers else ()
    return found or (Found(gap="a PKCS#7 structure without a certificate"),)


def _signers(signers: Element) -> Iterator[AlgorithmUse]:
    """Yield the signature algorithm of each signer (RFC 5652, 5.3), each once."""
    seen: set[str] = set()
    for signer in children(signers.content):
        parts = list(children(signer.content))
        at = next((n for n, part in enumerate(parts) if part.tag == OCTET_STRING), 0)
        name = name_of(algorithm_oid(parts[at - 1]))
        if name not in seen:
            seen.add(name)
            yield AlgorithmUse(algorithm=name, function=classify(name, Function.SIGNATURE).function)


def is_enveloped(parts: list[Element]) -> bool:
    """Return whether the parts of a structure are those of EnvelopedData or AuthEnvelopedData (RFC 5652, RFC 5083)."""
    return bool(parts) and (_is_oid(parts[0], _ENVELOPED) or _is_oid(parts[0], _AUTHENTICATED))


def enveloped(der: bytes) -> tuple[Found, ...]:
    """Return what a message is encrypted with, and how its key reaches each kind of recipient (RFC 5652, 6; RFC 9629).

    Empty for a recipient who agrees on a key, or knows it: what is agreed with stands in their certificates.
    """
    try:
        fields = sequence(sequence(der)[1].content)
        recipients = next(field for field in fields if field.tag == SET)
        content = fields[fields.index(recipients) + 1]
        names = [name for one in children(recipients.content) if (name := _key_transport(one))]
        cipher = cipher_name(list(children(content.content))[1])
    except (ValueError, IndexError, StopIteration):
        return (Found(gap="an enveloped message that is not whole"),)
    uses = [AlgorithmUse(algorithm=name, function=Function.KEY_ESTABLISHMENT) for name in dict.fromkeys(names)]
    return (Found((*uses, AlgorithmUse(algorithm=cipher, function=Function.ENCRYPTION))),)


def _key_transport(recipient: Element) -> str:
    """Return the name of what one recipient's key is sent with: RSA, or a key encapsulation (RFC 9629, 3)."""
    parts = list(children(recipient.content))
    if recipient.tag == SEQUENCE:
        name = name_of(algorithm_oid(parts[2]))
        return {"RSA": "RSA-KEX"}.get(name, name)
    if recipient.tag == _OTHER_RECIPIENT and _is_oid(parts[0], _ENCAPSULATED):
        return name_of(algorithm_oid(list(children(parts[1].content))[2]))
    return ""


def is_store(der: bytes) -> bool:
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
    return _is_oid(kind, OBJECTS) or _is_oid(kind, SIGNED_OBJECTS)


def store(der: bytes, passwords: tuple[str, ...] = ()) -> tuple[Found, ...]:
    """Return what a PKCS#12 store holds, where a well-known password or one of `passwords` opens it at a fair cost."""
    if (why := costly_store(der)) == NOT_DER:
        try:
            der = to_der(der)
        except ValueError:
            return _locked(der, why)
        why = costly_store(der)
    if why:
        return _locked(der, why)
    own = tuple(password.encode() for password in passwords[:MAX_PASSWORDS])
    for password in (*PASSWORDS, *own):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it warns of stores that are not quite to the letter
                opened = pkcs12.load_pkcs12(der, password)
        except UnsupportedAlgorithm:
            return _locked(der, "a PKCS#12 store with encryption that this release does not know")
        except (ValueError, TypeError):
            continue
        return _opened(opened, locked=password is not None)
    return _locked(der, ENCRYPTED)


def _opened(held: pkcs12.PKCS12KeyAndCertificates, *, locked: bool) -> tuple[Found, ...]:
    own = (held.cert,) if held.cert else ()
    ders = [one.certificate.public_bytes(Encoding.DER) for one in (*own, *held.additional_certs)]
    found = [found for der in ders for found in certificate(der)]
    if held.key is not None:
        spki = held.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        found.append(Found((public_key_fact(spki, private_part_present=True),)))
    if not found:
        return (Found(gap="a PKCS#12 store without a certificate or key"),)
    return (*found, Found((Keystore(format="PKCS#12", entries=len(found), encrypted=locked),)))


def _locked(der: bytes, why: str) -> tuple[Found, ...]:
    """Return that there is a store, what it is encrypted with, and the certificates in it that are not encrypted."""
    uses: dict[AlgorithmUse, None] = {}
    clear: list[Found] = []
    try:
        for group in groups(der):
            uses |= dict.fromkeys(protection(group))
            if len(group) > 1 and group[0].content == _CERTIFICATE_BAG:
                clear += _in_clear(group[1])
    except ValueError:  # what is not DER has been named as such
        clear.clear()
    return (Found((Keystore(format="PKCS#12", entries=None, encrypted=True), *uses), why), *clear)


def _in_clear(bag: Element) -> tuple[Found, ...]:
    _, value = children(element(bag.content).content)
    return certificate(element(value.content).content)
