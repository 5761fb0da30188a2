"""Single objects in DER: certificates, requests, revocation lists, public and private keys. No private octet comes out.

Sources: RFC 5280 (certificates, lists), RFC 2986 (requests), RFC 5958 (PKCS#8), RFC 8017 (PKCS#1), RFC 5915 (SEC 1);
OpenSSH's PROTOCOL.key.
"""

import warnings

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)
from msgspec.structs import replace

from keystrand.formats.der import (
    BIT_STRING,
    INTEGER,
    OCTET_STRING,
    SEQUENCE,
    Element,
    algorithm_oid,
    children,
    sequence,
)
from keystrand.formats.key_costs import slow_private_key
from keystrand.formats.key_facts import ENCRYPTED, Found
from keystrand.formats.oids import name_of
from keystrand.formats.pbe import protection
from keystrand.formats.ssh_names import host_key_fact
from keystrand.formats.ssh_wire import read_string
from keystrand.formats.x509_facts import broken_digest, certificate_fact, hybrid_facts, public_key_fact, shortened
from keystrand.model.algorithm import Function, classify
from keystrand.model.errors import InvalidInput
from keystrand.model.observation import AlgorithmUse, Keystore, PublicKey

OPENSSH_MAGIC = b"openssh-key-v1\x00"
_CIPHERS = {"AES-128-CBC": "AES-128-CBC", "AES-192-CBC": "AES-192-CBC", "AES-256-CBC": "AES-256-CBC",
            "DES-EDE3-CBC": "3DES-168-CBC", "DES-CBC": "DES-CBC"}  # fmt: skip
_EXPONENTS = (3, 17, 65537)
_SECOND_PARTS = (b"\x55\x1d\x48", b"\x55\x1d\x49")


def certificate(der: bytes) -> tuple[Found, ...]:
    """Return a certificate, the second key and signature of a hybrid one, and a broken digest under its signature."""
    try:
        fact = certificate_fact(der)
    except InvalidInput as error:
        return (Found(gap=error.message),)
    hybrid = hybrid_facts(der) if any(part in der for part in _SECOND_PARTS) else ()
    return (Found((fact, *hybrid, *broken_digest(der)), gap=shortened(fact)),)


def public_key(der: bytes) -> tuple[Found, ...]:
    """Return a SubjectPublicKeyInfo."""
    try:
        return (Found((public_key_fact(der),)),)
    except InvalidInput as error:
        return (Found(gap=error.message),)


def pkcs1_public_key(der: bytes) -> tuple[Found, ...]:
    """Return an RSA public key in the form of its own."""
    try:
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        return (Found(gap="not an RSA public key"),)
    return public_key(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def rsa_numbers(der: bytes) -> tuple[Found, ...]:
    """Return a bare pair of modulus and exponent, where both are of a size and form that RSA has."""
    try:
        modulus, exponent = sequence(der)
    except ValueError:
        return (Found(gap="not two numbers"),)
    size, value = len(modulus.content), int.from_bytes(exponent.content[:9], "big")
    fits = (modulus.tag, exponent.tag) == (INTEGER, INTEGER) and 64 <= size <= 2049 and value in _EXPONENTS
    return pkcs1_public_key(der) if fits else (Found(gap="no RSA public key"),)


def request(der: bytes) -> tuple[Found, ...]:
    """Return the key that a certificate is asked for, and what the request is signed with (RFC 2986, 4)."""
    try:
        wanted, signature, _ = sequence(der)
        key = public_key_fact(list(children(wanted.content))[2].raw)
        return (Found((key, _signed_with(signature))),)
    except (ValueError, IndexError, InvalidInput):
        return (Found(gap="not a certificate request"),)


def revocations(der: bytes) -> tuple[Found, ...]:
    """Return what a list of revoked certificates is signed with (RFC 5280, 5.1)."""
    try:
        _, signature, _ = sequence(der)
        return (Found((_signed_with(signature),)),)
    except ValueError:
        return (Found(gap="not a list of revoked certificates"),)


def is_request(parts: list[Element]) -> bool:
    """Return whether the parts of a signed structure begin as a request: a version, a name, a key."""
    inner = [part.tag for part in _inside(parts)]
    return inner[:3] == [INTEGER, SEQUENCE, SEQUENCE] and (len(inner) == 3 or inner[3] == 0xA0)


def is_revocations(parts: list[Element]) -> bool:
    """Return whether the parts of a signed structure are those of a list of revoked certificates."""
    inner = [part.tag for part in _inside(parts)]
    inner = inner[1:] if inner[:1] == [INTEGER] else inner
    return len(inner) > 2 and inner[:2] == [SEQUENCE, SEQUENCE] and inner[2] in (0x17, 0x18)


def _inside(parts: list[Element]) -> list[Element]:
    if [part.tag for part in parts] != [SEQUENCE, SEQUENCE, BIT_STRING]:
        return []
    try:
        return list(children(parts[0].content))
    except ValueError:
        return []


def _signed_with(algorithm: Element) -> AlgorithmUse:
    name = name_of(algorithm_oid(algorithm))
    return AlgorithmUse(algorithm=name, function=classify(name, Function.SIGNATURE).function)


def group_parameters(der: bytes) -> tuple[Found, ...]:
    """Return the group that a server exchanges keys in (PKCS#3)."""
    try:
        bits = int.from_bytes(sequence(der)[0].content, "big").bit_length()
    except (ValueError, IndexError):
        return (Found(gap="no parameters of a group"),)
    return (Found((AlgorithmUse(algorithm=f"FFDH-{bits}", function=Function.KEY_ESTABLISHMENT),)),)


def private_key(der: bytes) -> tuple[Found, ...]:
    """Return the identity of a private key's public part; its algorithm alone where the library cannot derive it."""
    try:
        if slow_private_key(der):
            return _named_private_key(der)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of old algorithms; we read, we do not trust
            key = load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
        spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return (Found((public_key_fact(spki, private_part_present=True),)),)
    except TypeError:
        return encrypted_key(der)
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


def encrypted_key(der: bytes) -> tuple[Found, ...]:
    """Return that there is an encrypted private key, and what it is encrypted with (RFC 5958, 3)."""
    try:
        uses = protection(tuple(children(sequence(der)[0].content)))
    except (ValueError, IndexError):
        uses = ()
    return (Found((Keystore(format="PKCS#8", entries=1, encrypted=True), *uses), ENCRYPTED),)


def encrypted_pem(headers: bytes) -> Found:
    """Return that there is a private key in OpenSSL's old encrypted form, and its cipher (RFC 1421, 4.6.1.3)."""
    named = headers.partition(b"DEK-Info:")[2].strip().partition(b",")[0].decode("ascii", "replace")
    name = _CIPHERS.get(named)
    uses = (AlgorithmUse(algorithm=name, function=Function.ENCRYPTION),) if name else ()
    return Found((Keystore(format="PEM", entries=1, encrypted=True), *uses), ENCRYPTED)


def openssh_key(blob: bytes) -> tuple[Found, ...]:
    """Return the identity of an OpenSSH private key, encrypted or not: its public part stands in clear."""
    if not blob.startswith(OPENSSH_MAGIC):
        return (Found(gap="not an OpenSSH private key"),)
    try:
        at = len(OPENSSH_MAGIC)
        for _ in ("cipher", "key derivation", "its options"):
            _, at = read_string(blob, at)
        public, _ = read_string(blob, at + 4)
        return (Found((_with_private_part(host_key_fact(public)),)),)
    except InvalidInput:
        return (Found(gap="an OpenSSH private key that ends early"),)


def _with_private_part(key: PublicKey) -> PublicKey:
    return replace(key, private_part_present=True)
