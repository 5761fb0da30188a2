"""Password-based encryption as a structure names it: the cipher and the key derivation (RFC 8018, A; RFC 7292, C)."""

from keystrand.formats.der import OBJECT_IDENTIFIER, SEQUENCE, Element, algorithm_oid, children, object_identifier
from keystrand.model.algorithm import Function
from keystrand.model.observation import AlgorithmUse

PBES2 = "1.2.840.113549.1.5.13"
PBKDF2, SCRYPT = "1.2.840.113549.1.5.12", "1.3.6.1.4.1.11591.4.11"
_AES = "2.16.840.1.101.3.4.1."
_CIPHERS = {
    **{f"{_AES}{20 * n + at}": f"AES-{size}-{mode}" for n, size in enumerate((128, 192, 256))
       for at, mode in ((1, "ECB"), (2, "CBC"), (6, "GCM"), (7, "CCM"))},
    "1.2.840.113549.3.7": "3DES-168-CBC", "1.2.840.113549.3.2": "RC2-CBC", "1.2.840.113549.3.4": "RC4",
    "1.3.14.3.2.7": "DES-CBC", "1.2.392.200011.61.1.1.1.4": "Camellia-256-CBC",
}  # fmt: skip
_OLD = {  # the cipher that one identifier names together with its key derivation
    "1.2.840.113549.1.5.1": "DES-CBC", "1.2.840.113549.1.5.3": "DES-CBC", "1.2.840.113549.1.5.4": "RC2-CBC",
    "1.2.840.113549.1.5.6": "RC2-CBC", "1.2.840.113549.1.5.10": "DES-CBC", "1.2.840.113549.1.5.11": "RC2-CBC",
    "1.2.840.113549.1.12.1.1": "RC4", "1.2.840.113549.1.12.1.2": "RC4", "1.2.840.113549.1.12.1.3": "3DES-168-CBC",
    "1.2.840.113549.1.12.1.4": "3DES-112-CBC", "1.2.840.113549.1.12.1.5": "RC2-CBC",
    "1.2.840.113549.1.12.1.6": "RC2-CBC",
}  # fmt: skip
_PRFS = {f"1.2.840.113549.2.{n}": name for n, name in (
    (7, "SHA-1"), (8, "SHA-224"), (9, "SHA-256"), (10, "SHA-384"), (11, "SHA-512"))}  # fmt: skip


def cipher_name(algorithm: Element) -> str:
    """Return the canonical name of a cipher's AlgorithmIdentifier. Raises `ValueError` where it is none."""
    oid = algorithm_oid(algorithm)
    return _CIPHERS.get(oid, f"OID-{oid}")


def is_password_based(algorithm: Element) -> bool:
    """Return whether an AlgorithmIdentifier is of encryption with a password: PKCS#5's or PKCS#12's arc."""
    try:
        return algorithm_oid(algorithm).startswith(("1.2.840.113549.1.5.", "1.2.840.113549.1.12.1."))
    except ValueError:
        return False


def protection(group: tuple[Element, ...]) -> tuple[AlgorithmUse, ...]:
    """Return what the elements of an AlgorithmIdentifier say of a password's use; empty where they are of no such."""
    if not group or group[0].tag != OBJECT_IDENTIFIER:
        return ()
    try:
        oid = object_identifier(group[0].content)
        if oid in _OLD:
            return (_cipher(_OLD[oid]),)
        if oid != PBES2:
            return ()
        derivation, cipher = children(group[1].content)
        return (_cipher(cipher_name(cipher)), *_derivation(derivation))
    except (ValueError, IndexError):
        return ()


def _cipher(name: str) -> AlgorithmUse:
    return AlgorithmUse(algorithm=name, function=Function.ENCRYPTION)


def _derivation(derivation: Element) -> tuple[AlgorithmUse, ...]:
    oid = algorithm_oid(derivation)
    if oid == SCRYPT:
        return (AlgorithmUse(algorithm="scrypt", function=Function.KEY_DERIVATION),)
    if oid != PBKDF2:
        return ()
    parameters = list(children(list(children(derivation.content))[1].content))
    chosen = algorithm_oid(parameters[-1]) if parameters[-1].tag == SEQUENCE else "1.2.840.113549.2.7"
    name = _PRFS.get(chosen)
    return (AlgorithmUse(algorithm=f"PBKDF2-HMAC-{name}", function=Function.KEY_DERIVATION),) if name else ()
