"""Facts of X.509 certificates and public keys.

Our own walk comes first: algorithms are named even where no library knows them.

Structure after RFC 5280, section 4.1; names and extensions are read by `cryptography` where it can.
"""

import hashlib
import warnings
from datetime import UTC, date, datetime

from cryptography import x509

from keystrand.formats.der import (
    BIT_STRING,
    INTEGER,
    OBJECT_IDENTIFIER,
    SEQUENCE,
    Element,
    algorithm_oid,
    children,
    element,
    object_identifier,
    sequence,
)
from keystrand.formats.oids import CURVES, name_of
from keystrand.model.errors import InvalidInput
from keystrand.model.observation import Certificate, PublicKey

_VERSION_TAG = 0xA0
_UTC_TIME = 0x17
_MAX_TIME_OCTETS = 15
UNREADABLE_NAME = "(unreadable name)"
MAX_TEXT = 1024
"""Characters kept of a subject, an issuer, a serial number and an alternative name: DNS names have 253 at most."""
MAX_NAMES = 256
"""Alternative names kept of one certificate; public authorities allow about a hundred."""
_SHORTENED = " (shortened)"


def certificate_fact(der: bytes) -> Certificate:
    """Return the facts of the certificate in `der`. Raises `InvalidInput` where it is none."""
    try:
        outer = sequence(der)
        fields = _tbs_fields(outer[0])
        serial, _, _, validity, _, spki = fields[:6]
        begin, end = (_time(part) for part in children(validity.content))
        key_algorithm, bits = _key(spki)
        signature = name_of(algorithm_oid(outer[1]))
    except (ValueError, IndexError, OverflowError) as error:
        raise InvalidInput(f"not an X.509 certificate: {error}") from error
    subject, issuer, names, authority = _by_library(der)
    return Certificate(
        sha256=hashlib.sha256(element(der).raw).hexdigest(),
        spki_sha256=hashlib.sha256(spki.raw).hexdigest(),
        subject=_short(subject),
        issuer=_short(issuer),
        serial=_short(serial.content.hex()),
        not_before=begin,
        not_after=end,
        signature_algorithm=signature,
        key_algorithm=key_algorithm,
        key_bits=bits,
        names=_few(names),
        authority=authority,
    )


def shortened(certificate: Certificate) -> str:
    """Return the remark that some text of `certificate` was too long to be kept whole; empty where all of it was."""
    texts = (certificate.subject, certificate.issuer, certificate.serial, *certificate.names)
    return "a certificate with names too long or too many to keep" if any(t.endswith(_SHORTENED) for t in texts) else ""


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + _SHORTENED


def _few(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names, each of bounded length; of too many the first, and how many more there are."""
    more = (f"and {len(names) - MAX_NAMES} more names{_SHORTENED}",) if len(names) > MAX_NAMES else ()
    return (*map(_short, names[:MAX_NAMES]), *more)


def public_key_fact(spki: bytes, *, private_part_present: bool = False) -> PublicKey:
    """Return the facts of a SubjectPublicKeyInfo in DER. Raises `InvalidInput` where it is none."""
    try:
        name, bits = _key(element(spki))
    except (ValueError, IndexError) as error:
        raise InvalidInput(f"not a public key: {error}") from error
    digest = hashlib.sha256(element(spki).raw).hexdigest()
    return PublicKey(sha256=digest, algorithm=name, bits=bits, private_part_present=private_part_present)


def _tbs_fields(tbs: Element) -> list[Element]:
    """Return serial, signature, issuer, validity, subject, key information: the version is optional and left out."""
    fields = list(children(tbs.content))
    fields = fields[1:] if fields[0].tag == _VERSION_TAG else fields
    if fields[0].tag != INTEGER or fields[3].tag != SEQUENCE:
        raise ValueError("serial number or validity is not where it belongs")
    return fields


def _time(part: Element) -> date:
    if len(part.content) > _MAX_TIME_OCTETS:
        raise ValueError("a time is longer than any may be")
    text = part.content.decode("ascii")
    if part.tag == _UTC_TIME:
        # RFC 5280, 4.1.2.5.1: two digits below 50 are of this century
        text = ("20" if int(text[:2]) < 50 else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).date()


def _key(spki: Element) -> tuple[str, int | None]:
    """Return the canonical name of the key's algorithm with its parameters, and its size in bits where that is open."""
    parts = list(children(spki.content))
    if spki.tag != SEQUENCE or len(parts) != 2 or parts[0].tag != SEQUENCE or parts[1].tag != BIT_STRING:
        raise ValueError("key information was expected")
    name = name_of(algorithm_oid(parts[0]))
    if name in ("RSA", "RSA-PSS"):
        bits = _modulus_bits(parts[1].content[1:])
        return f"{name}-{bits}", bits
    if name == "ECDSA":
        return f"ECDSA-{_curve(parts[0])}", None
    if name in ("DSA", "FFDH"):
        prime_bits = _prime_bits(parts[0])
        return (f"{name}-{prime_bits}", prime_bits) if prime_bits else (name, None)
    return name, None


def _modulus_bits(key: bytes) -> int:
    modulus = sequence(key)[0]
    if modulus.tag != INTEGER:
        raise ValueError("an RSA modulus was expected")
    return int.from_bytes(modulus.content, "big").bit_length()


def _curve(algorithm: Element) -> str:
    parameters = list(children(algorithm.content))[1]
    if parameters.tag != OBJECT_IDENTIFIER:
        return "explicit-parameters"
    oid = object_identifier(parameters.content)
    return CURVES.get(oid, oid)


def _prime_bits(algorithm: Element) -> int | None:
    parameters = list(children(algorithm.content))[1:]
    numbers = list(children(parameters[0].content)) if parameters and parameters[0].tag == SEQUENCE else []
    return int.from_bytes(numbers[0].content, "big").bit_length() if numbers else None


def _by_library(der: bytes) -> tuple[str, str, tuple[str, ...], bool]:
    """Return subject, issuer, alternative names and whether it may issue, as far as `cryptography` can read them."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of every old habit it meets; we read, we do not trust
            certificate = x509.load_der_x509_certificate(element(der).raw)
            subject, issuer = certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
            return subject, issuer, _names(certificate), _may_issue(certificate)
    # Damaged names raise ValueError, TypeError, KeyError and more, none of them documented: what it cannot read
    # must not end a scan.
    except Exception:
        return UNREADABLE_NAME, UNREADABLE_NAME, (), False


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    except Exception:  # as in `_by_library`: one damaged extension must not cost the subject
        return (UNREADABLE_NAME,)
    plain = (x509.DNSName, x509.IPAddress, x509.RFC822Name, x509.UniformResourceIdentifier)
    return tuple(sorted(str(name.value) for name in found if isinstance(name, plain)))


def _may_issue(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except Exception:  # as in `_by_library`; most certificates simply have no such extension
        return False
