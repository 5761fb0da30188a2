"""Facts of X.509 certificates and public keys.

Our own walk comes first: algorithms are named even where no library knows them.

Structure after RFC 5280, section 4.1; names and extensions are read by `cryptography` where it can.
"""

import hashlib
import warnings
from calendar import monthrange
from datetime import date

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
from keystrand.formats.oids import BROKEN_DIGESTS, CURVES, name_of
from keystrand.formats.x509_names import alternative_names, extensions, may_issue, name_text
from keystrand.model.algorithm import Function, classify
from keystrand.model.errors import InvalidInput
from keystrand.model.observation import AlgorithmUse, Certificate, PublicKey

_VERSION_TAG = 0xA0
_UTC_TIME, _NULL = 0x17, 0x05
_SUBJECT_ALT_NAME, _BASIC_CONSTRAINTS = "2.5.29.17", "2.5.29.19"
_SECOND_KEY, _SECOND_SIGNATURE = "2.5.29.72", "2.5.29.73"
_MAX_TIME_OCTETS = 32
UNREADABLE_NAME = "(unreadable name)"
MAX_TEXT = 1024
"""Characters kept of a subject, an issuer, a serial number and an alternative name: DNS names have 253 at most."""
MAX_NAMES = 256
"""Alternative names kept of one certificate; public authorities allow about a hundred."""
_SHORTENED = " (shortened)"

_Described = tuple[str, str, tuple[str, ...], bool]
"""Subject, issuer, alternative names, and whether it may issue."""


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
    subject, issuer, names, authority = _by_library(der) or _by_walk(fields)
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
    """Return the day. Raises `ValueError` where there are no digits for one; one that no calendar has is moved.

    RFC 5280, 4.1.2.5 fixes the form; seconds, fractions and zones that some write all the same do not change the day.
    """
    if len(part.content) > _MAX_TIME_OCTETS:
        raise ValueError("a time is longer than any may be")
    text = part.content.decode("ascii")
    if part.tag == _UTC_TIME:
        # RFC 5280, 4.1.2.5.1: two digits below 50 are of this century
        text = ("20" if int(text[:2]) < 50 else "19") + text
    if not (len(text) >= 8 and text[:8].isdecimal()):
        raise ValueError("a time without a day")
    year, month, day = max(int(text[:4]), 1), min(max(int(text[4:6]), 1), 12), max(int(text[6:8]), 1)
    return date(year, month, min(day, monthrange(year, month)[1]))


def _key(spki: Element) -> tuple[str, int | None]:
    """Return the canonical name of the key's algorithm with its parameters, and its size in bits where that is open."""
    parts = list(children(spki.content))
    if spki.tag != SEQUENCE or len(parts) != 2 or parts[0].tag != SEQUENCE or parts[1].tag != BIT_STRING:
        raise ValueError("key information was expected")
    name = name_of(algorithm_oid(parts[0]))
    if name in ("ECDSA", "ECDH"):
        return f"{name}{_curve(parts[0])}", None
    if name in ("RSA", "RSA-PSS", "RSA-OAEP"):
        bits = _modulus_bits(parts[1].content[1:])
    else:
        bits = _prime_bits(parts[0]) if name in ("DSA", "FFDH", "ElGamal") else None
    return (f"{name}-{bits}", bits) if bits else (name, None)


def _modulus_bits(key: bytes) -> int | None:
    """Return the size of an RSA modulus; None where it stands in another form: the algorithm is named all the same."""
    try:
        modulus = sequence(key)[0]
    except (ValueError, IndexError):
        return None
    return int.from_bytes(modulus.content, "big").bit_length() if modulus.tag == INTEGER else None


def _curve(algorithm: Element) -> str:
    """Return a hyphen and the name of the curve; empty where the key does not say it."""
    parameters = next((part for part in list(children(algorithm.content))[1:]), None)
    if parameters is None or parameters.tag == _NULL:
        return ""
    if parameters.tag != OBJECT_IDENTIFIER:
        return "-explicit-parameters"
    oid = object_identifier(parameters.content)
    return f"-{CURVES.get(oid, oid)}"


def _prime_bits(algorithm: Element) -> int | None:
    parameters = list(children(algorithm.content))[1:]
    numbers = list(children(parameters[0].content)) if parameters and parameters[0].tag == SEQUENCE else []
    return int.from_bytes(numbers[0].content, "big").bit_length() if numbers else None


def _by_walk(fields: list[Element]) -> _Described:
    found = extensions(fields)
    subject, issuer = (name_text(fields[at]) or UNREADABLE_NAME for at in (4, 2))
    names = alternative_names(found.get(_SUBJECT_ALT_NAME, b""))
    return subject, issuer, names, may_issue(found.get(_BASIC_CONSTRAINTS, b""))


def hybrid_facts(der: bytes) -> tuple[PublicKey | AlgorithmUse, ...]:
    """Return the second key and the second signature of a hybrid certificate (ITU-T X.509 (10/2019), 9.8)."""
    try:
        found = extensions(_tbs_fields(sequence(der)[0]))
        key, signature = found.get(_SECOND_KEY), found.get(_SECOND_SIGNATURE)
        facts: list[PublicKey | AlgorithmUse] = [public_key_fact(key)] if key else []
        if signature:
            name = name_of(algorithm_oid(element(signature)))
            facts.append(AlgorithmUse(algorithm=name, function=classify(name, Function.SIGNATURE).function))
    except (ValueError, IndexError, InvalidInput):
        return ()
    return tuple(facts)


def broken_digest(der: bytes) -> tuple[AlgorithmUse, ...]:
    """Return the digest that an issuer signed, where it is broken: a certificate could be forged with it (RFC 6194).

    A signature of a certificate by its own key is left out: nobody relies on it.
    """
    try:
        outer = sequence(der)
        fields = _tbs_fields(outer[0])
        digest = BROKEN_DIGESTS.get(algorithm_oid(outer[1]))
    except (ValueError, IndexError):
        return ()
    own = fields[2].raw == fields[4].raw
    return (AlgorithmUse(algorithm=digest, function=Function.DIGEST),) if digest and not own else ()


def _by_library(der: bytes) -> _Described | None:
    """Return subject, issuer, alternative names and whether it may issue; None where `cryptography` refuses it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of every old habit it meets; we read, we do not trust
            certificate = x509.load_der_x509_certificate(element(der).raw)
            subject, issuer = certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
            return subject, issuer, _names(certificate), _may_issue(certificate)
    # Damaged names raise ValueError, TypeError, KeyError and more, none of them documented: what it cannot read
    # must not end a scan.
    except Exception:
        return None


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
