"""Certificates and keys in files of every form. Only facts of public parts come out, never private octets.

What a file is, is told by its octets alone. Sources: RFC 7468 (PEM); those of each form stand in its own module.
"""

import base64
import re
from collections.abc import Callable
from itertools import islice

from keystrand.formats import (
    java_stores,
    jwk,
    key_containers,
    key_objects,
    openpgp,
    rpm_header,
    small_keys,
    ssh_files,
)
from keystrand.formats.ber import is_indefinite, to_der
from keystrand.formats.der import OCTET_STRING, SEQUENCE, element, sequence
from keystrand.formats.key_facts import Found
from keystrand.formats.line_numbers import LineNumbers
from keystrand.formats.pbe import is_password_based
from keystrand.formats.pem import BEGIN, Block, blocks
from keystrand.model.words import shown

MAX_BER = 16 * 1024**2
"""Octets of a structure of open length that is read."""
MAX_BLOCKS = 100_000
"""PEM blocks of one file that are read."""
_WRAPPED = b"LS0tLS1CRUdJTi"
"""The begin of a PEM block in base64."""
_WRAPPED_PEM = re.compile(_WRAPPED + rb"[A-Za-z0-9+/]{40,}={0,2}")
_MAIL = b"pkcs7-"
_MAIL_PART = re.compile(
    rb"^content-type:[ \t]*application/(?:x-)?pkcs7-(?:mime|signature)\b[^\0]{0,500}?\r?\n\r?\n"
    rb"((?:[A-Za-z0-9+/=]+\r?\n)+)",
    re.IGNORECASE | re.MULTILINE,
)
_PEM_ENCRYPTED = b"Proc-Type: 4,ENCRYPTED"


def objects_in(content: bytes, passwords: tuple[str, ...] = ()) -> tuple[Found, ...]:
    """Return what `content` holds, in its order; empty where nothing in it is recognised. Never raises.

    `passwords` are tried on keystores, beside the well-known ones.
    """
    found = (*_in_text(content), *_in_lines(content))
    return found or _guarded(lambda octets: _binary(octets, passwords), content)


def _in_text(content: bytes) -> tuple[Found, ...]:
    if BEGIN not in content:
        return ()
    every = blocks(content)
    found = tuple(found for block in islice(every, MAX_BLOCKS) for found in pem_objects(block))
    more = (Found(gap=f"more than {MAX_BLOCKS} PEM blocks; the rest was not read"),) if next(every, None) else ()
    return found + more


def _in_lines(content: bytes) -> tuple[Found, ...]:
    found: tuple[Found, ...] = ()
    if any(mark in content for mark in ssh_files.MARKS):
        found += _guarded(ssh_files.text_keys, content)
    if any(mark in content for mark in small_keys.MARKS):
        found += _guarded(small_keys.small_keys, content)
    if jwk.MARK in content:
        found += _guarded(jwk.web_keys, content)
    if _WRAPPED in content:
        found += _guarded(_in_base64, content)
    if _MAIL in content:
        found += _guarded(_in_mail, content)
    return found


def _in_base64(content: bytes) -> tuple[Found, ...]:
    """Return what stands in PEM that is itself in base64, as Kubernetes' secrets and configurations have it."""
    lines = LineNumbers(content)
    found: list[Found] = []
    for match in islice(_WRAPPED_PEM.finditer(content), MAX_BLOCKS):
        where = f":{lines.of(match.start())}"
        text = base64.b64decode(match[0] + b"=" * (-len(match[0]) % 4))
        found += (one._replace(where=where) for one in _in_text(text))
    return tuple(found)


def _in_mail(content: bytes) -> tuple[Found, ...]:
    """Return what the parts of mail with signatures or envelopes hold (RFC 8551, 3): PKCS#7 in base64 lines."""
    parts = (base64.b64decode(b"".join(part[1].split())) for part in islice(_MAIL_PART.finditer(content), MAX_BLOCKS))
    return tuple(found for der in parts for found in _der_objects(der, ()))


def pem_objects(block: Block) -> tuple[Found, ...]:
    """Return what one PEM block holds; empty where it is quoted text of a kind that is not ours."""
    if not block.whole:
        return (Found(gap="a PEM block that does not end"),)
    if _PEM_ENCRYPTED in block.headers:
        return (key_objects.encrypted_pem(block.headers),)
    if (read := _reader(block.label)) is None:
        if not block.alone:
            return ()
        return (Found(gap=f"a PEM block of type {shown(block.label, 40)}, which this release does not read"),)
    if block.der is None:
        return (Found(gap="a PEM block that is not base64"),)
    return _guarded(read, block.der)


def _reader(label: str) -> Callable[[bytes], tuple[Found, ...]] | None:
    if label.endswith(("PRIVATE KEY", "TESTING KEY")):  # the second as Go's own tests write it
        return _BY_LABEL.get(label, key_objects.private_key)
    return _BY_LABEL.get(label)


def _guarded(read: Callable[[bytes], tuple[Found, ...]], der: bytes) -> tuple[Found, ...]:
    """Return what `read` finds; where it fails in a way that nobody foresaw, the gap names the error's type alone."""
    try:
        return read(der)
    # The library raises undocumented errors on damaged files: one object must not cost the others.
    except Exception as error:
        return (Found(gap=f"something that cannot be read ({type(error).__name__})"),)


def _rpm(content: bytes) -> tuple[Found, ...]:
    return tuple(one for packet in rpm_header.signatures(content) for one in openpgp.keys_in(packet))


_Told = tuple[Callable[[bytes], bool], Callable[[bytes], tuple[Found, ...]]]
_BY_BEGIN: tuple[_Told, ...] = (
    (lambda content: content.startswith((java_stores.JKS, java_stores.JCEKS)), java_stores.java_store),
    (lambda content: content.startswith(key_objects.OPENSSH_MAGIC), key_objects.openssh_key),
    (lambda content: content.startswith(rpm_header.LEAD), _rpm),
    (openpgp.is_keybox, openpgp.keybox),
    (java_stores.is_bks, java_stores.bks_store),
    (openpgp.begins_with_key, openpgp.keys_in),
)
"""What tells a form by its first octets, and what reads it."""


def _binary(content: bytes, passwords: tuple[str, ...]) -> tuple[Found, ...]:
    """Return what a file that is no text holds, told by its first octets."""
    read = next((read for begins, read in _BY_BEGIN if begins(content)), None)
    return read(content) if read else _der_objects(content, passwords)


def _der_objects(content: bytes, passwords: tuple[str, ...]) -> tuple[Found, ...]:
    """Return the objects in a DER file, one after the other. What follows them unread is said, never passed over."""
    if is_indefinite(content):
        return _open_length(content, passwords)
    objects: list[Found] = []
    at = 0
    while at < len(content):
        try:
            one = element(content, at)
        except ValueError:
            break
        if not (found := _guarded(lambda octets: _der_object(octets, passwords), one.raw)):
            break
        objects += found
        at += len(one.raw)
        if key_containers.is_store(one.raw):
            break  # one to a file: opening a store is dear, and thousands fit into a file
    if objects and content[at:].strip():
        objects.append(Found(gap="something after the last object that is not recognised"))
    return tuple(objects)


def _open_length(content: bytes, passwords: tuple[str, ...]) -> tuple[Found, ...]:
    """Return what a structure of indefinite length (BER) holds, made definite; empty where it is none of ours."""
    if len(content) > MAX_BER:
        return ()
    try:
        der = to_der(content)
    except ValueError:
        return ()
    return _der_object(der, passwords)


def _der_object(content: bytes, passwords: tuple[str, ...]) -> tuple[Found, ...]:
    """Return what one DER structure holds, told by its shape; empty where it is not recognised."""
    try:
        parts = sequence(content)
    except ValueError:
        return ()
    found: tuple[Found, ...] = ()
    if key_containers.is_signed_objects(parts):
        found = key_containers.signed_objects(content)
    elif key_containers.is_enveloped(parts):
        found = key_containers.enveloped(content)
    elif key_containers.is_store(content):
        found = key_containers.store(content, passwords)
    elif java_stores.is_bcfks(content):
        found = java_stores.bcfks_store()
    elif [part.tag for part in parts] == [SEQUENCE, OCTET_STRING] and is_password_based(parts[0]):
        found = key_objects.encrypted_key(content)
    elif key_objects.is_request(parts):
        found = key_objects.request(content)
    elif key_objects.is_revocations(parts):
        found = key_objects.revocations(content)
    return found or _single(content)


def _single(content: bytes) -> tuple[Found, ...]:
    for read in (key_objects.certificate, key_objects.public_key, key_objects.private_key, key_objects.rsa_numbers):
        found = read(content)
        if found[0].facts:
            return found
    return ()


_BY_LABEL: dict[str, Callable[[bytes], tuple[Found, ...]]] = {
    "CERTIFICATE": key_objects.certificate,
    "X509 CERTIFICATE": key_objects.certificate,
    "TRUSTED CERTIFICATE": key_objects.certificate,
    "CERTIFICATE REQUEST": key_objects.request,
    "NEW CERTIFICATE REQUEST": key_objects.request,
    "X509 CRL": key_objects.revocations,
    "PUBLIC KEY": key_objects.public_key,
    "RSA PUBLIC KEY": key_objects.pkcs1_public_key,
    "ENCRYPTED PRIVATE KEY": key_objects.encrypted_key,
    "OPENSSH PRIVATE KEY": key_objects.openssh_key,
    "DH PARAMETERS": key_objects.group_parameters,
    "X9.42 DH PARAMETERS": key_objects.group_parameters,
    "DSA PARAMETERS": lambda _: (),
    "EC PARAMETERS": lambda _: (),
    "PKCS7": key_containers.signed_objects,
    "PKCS #7 SIGNED DATA": key_containers.signed_objects,
    "CMS": key_containers.signed_objects,
    "PGP PUBLIC KEY BLOCK": openpgp.keys_in,
    "PGP PRIVATE KEY BLOCK": openpgp.keys_in,
    "PGP SIGNATURE": openpgp.keys_in,
    "PGP MESSAGE": lambda _: (),
}
