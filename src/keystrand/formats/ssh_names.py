"""Names of SSH key exchanges and host keys, canonical; and host keys as facts.

Sources: RFC 4253, 4419, 4432, 5656, 6187, 8268, 8332, 8709, 8731, 8732; the drafts on sntrup761 and ML-KEM for SSH;
OpenSSH's PROTOCOL files. A name that is not known stays as it is and is never taken for something safe.
"""

import base64
import hashlib
import re
import warnings
from collections.abc import Callable
from functools import lru_cache

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHPublicKeyTypes,
    load_ssh_public_key,
)

from keystrand.formats.oids import CURVES
from keystrand.formats.ssh_wire import is_name, read_string, read_strings
from keystrand.model.algorithm import Verdict, classify
from keystrand.model.errors import InvalidInput
from keystrand.model.observation import PublicKey

_PSEUDO = re.compile(r"kex-strict-[cs](-.*)?|ext-info-[cs](@.*)?|kexguess2@.*")
_NIST = {"nistp256": "P-256", "nistp384": "P-384", "nistp521": "P-521"}
_GROUP_BITS = {"1": 1024, "14": 2048, "15": 3072, "16": 4096, "17": 6144, "18": 8192}
"""Size of the prime of each numbered group (RFC 2409, 6.2; RFC 3526)."""

_FIXED_KEX = {
    "mlkem768x25519-sha256": "mlkem768x25519-sha256",
    "mlkem768nistp256-sha256": "mlkem768nistp256-sha256",
    "mlkem1024nistp384-sha384": "mlkem1024nistp384-sha384",
    "sntrup761x25519-sha512": "sntrup761x25519-sha512",
    "sntrup761x25519-sha512@openssh.com": "sntrup761x25519-sha512",
    "curve25519-sha256": "X25519",
    "curve25519-sha256@libssh.org": "X25519",
    "curve448-sha512": "X448",
    "rsa1024-sha1": "RSA-KEX-1024",
    "rsa2048-sha256": "RSA-KEX-2048",
}

_Patterns = tuple[tuple[str, Callable[[re.Match[str]], str]], ...]
# The bare forms without "diffie-hellman-" and "ecdh-sha2-" are what Kerberos names hold (RFC 4462, RFC 8732).
_KEX_PATTERNS: _Patterns = (
    (r"(?:diffie-hellman-)?group(1|14|15|16|17|18)-sha\d+(?:@.+)?", lambda m: f"FFDH-{_GROUP_BITS[m[1]]}"),
    (r"(?:diffie-hellman-group-exchange|gex)-sha\d+(?:@.+)?", lambda _: "FFDH"),
    (r"ecdh-sha2-(nistp256|nistp384|nistp521)", lambda m: f"ECDH-{_NIST[m[1]]}"),
    (r"(nistp256|nistp384|nistp521)-sha\d+", lambda m: f"ECDH-{_NIST[m[1]]}"),
    (r"ecdh-sha2-(\d+(?:\.\d+)+)", lambda m: f"ECDH-{CURVES.get(m[1], m[1])}"),
    (r"curve25519-sha256", lambda _: "X25519"),
    (r"curve448-sha512", lambda _: "X448"),
)
_HOST_KEY_PATTERNS: _Patterns = (
    (r"(?:ssh-rsa|sign-rsa|rsa-sha2-256|rsa-sha2-512|rsa2048-sha256)(?:-sha\d+@ssh\.com)?", lambda _: "RSA"),
    (r"(?:ssh-dss|sign-dss)", lambda _: "DSA"),
    (r"ssh-ed(25519|448)", lambda m: f"Ed{m[1]}"),
    (r"ecdsa-sha2-(nistp256|nistp384|nistp521)", lambda m: f"ECDSA-{_NIST[m[1]]}"),
    (r"ecdsa-sha2-(\d+(?:\.\d+)+)", lambda m: f"ECDSA-{CURVES.get(m[1], m[1])}"),
)

MODERN_KEX = (
    "mlkem768x25519-sha256",
    "sntrup761x25519-sha512",
    "sntrup761x25519-sha512@openssh.com",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512",
    "diffie-hellman-group14-sha256",
)
"""What a present-day client asks for, best first: OpenSSH's order since release 10.0, ssh_config(5)."""

MODERN_HOST_KEYS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
"""Host keys that a present-day client accepts, best first (ssh_config(5)); certificates of host keys are left out."""


@lru_cache(maxsize=1024)
def is_pseudo(name: str) -> bool:
    """Return whether `name` only signals an extension (RFC 8308; strict key exchange) and is no algorithm."""
    return _PSEUDO.fullmatch(name) is not None


def _unmapped(name: str) -> str:
    """Return an SSH name that we do not know, marked where it would read as one that we do."""
    return name if classify(name).verdict is Verdict.UNKNOWN else f"ssh:{name}"


@lru_cache(maxsize=1024)
def key_exchange_name(name: str) -> str:
    """Return the canonical name of the key exchange that SSH calls `name`, or `name` where it is not known."""
    if name in _FIXED_KEX:
        return _FIXED_KEX[name]
    gss = re.fullmatch(r"gss-((?:group|gex|nistp|curve).*-sha\d+)-.+", name)
    return _by_pattern(gss[1] if gss else name, _KEX_PATTERNS) or _unmapped(name)


@lru_cache(maxsize=1024)
def host_key_name(name: str) -> str:
    """Return the canonical name of the host key algorithm that SSH calls `name`; RSA and DSA without their size."""
    # RFC 6187 (X.509), OpenSSH's certificates and its keys held by a token: the same algorithm in another wrapping
    plain = re.sub(r"^(?:x509v3-|webauthn-|sk-)+|(?:-cert-v0[01])?@openssh\.com$", "", name)
    return _by_pattern(plain, _HOST_KEY_PATTERNS) or _unmapped(name)


def _by_pattern(name: str, patterns: _Patterns) -> str:
    for pattern, canonical in patterns:
        if match := re.fullmatch(pattern, name):
            return canonical(match)
    return ""


def host_key_fact(blob: bytes) -> PublicKey:
    """Return the facts of a public key as SSH writes it (RFC 4253, 6.6). Raises `InvalidInput` where it is none.

    The identity is that of the SubjectPublicKeyInfo, so that the same key in a file is the same key; where the library
    does not know the type it is the hash of the blob.
    """
    kind, at = read_string(blob)
    try:
        name = host_key_name(kind.decode("ascii"))
    except UnicodeDecodeError as error:
        raise InvalidInput("the type of the SSH key is not ASCII") from error
    if not is_name(kind.decode("ascii")):
        raise InvalidInput("the type of the SSH key is not a name")
    _check_length(name, kind, blob, at)
    bits = _bits(kind, blob, at)
    digest = hashlib.sha256(_key_information(blob) or blob).hexdigest()
    return PublicKey(sha256=digest, algorithm=f"{name}-{bits}" if bits else name, bits=bits)


_EDWARDS_OCTETS = {"Ed25519": 32, "Ed448": 57}


def _check_length(name: str, kind: bytes, blob: bytes, at: int) -> None:
    """Raise `InvalidInput` where an Edwards key has not the length that its name says (RFC 8709, 4)."""
    if name not in _EDWARDS_OCTETS:
        return
    # in OpenSSH's certificates a nonce comes before the key, and more after it
    *_, key = read_strings(blob, 2 if b"-cert-" in kind else 1, at)
    whole = at + 4 + len(key) == len(blob) or not kind.startswith(b"ssh-ed") or b"-cert-" in kind
    if len(key) != _EDWARDS_OCTETS[name] or not whole:
        raise InvalidInput(f"an {name} key of the wrong length")


def _bits(kind: bytes, blob: bytes, at: int) -> int | None:
    """Return the size of an RSA modulus or a DSA prime; None where the name fixes the size or the layout is another."""
    if kind == b"ssh-rsa":
        _, number = read_strings(blob, 2, at)
    elif kind == b"ssh-dss":
        number, *_ = read_strings(blob, 4, at)
    else:
        return None
    return int.from_bytes(number, "big").bit_length() or None


@lru_cache(maxsize=256)
def library_key(blob: bytes) -> SSHPublicKeyTypes | None:
    """Return the public key in `blob` as the library holds it; None where it does not know it or refuses it."""
    line = read_string(blob)[0] + b" " + base64.b64encode(blob)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of old algorithms; we read, we do not trust
            return load_ssh_public_key(line)
    except (ValueError, TypeError, NotImplementedError, UnsupportedAlgorithm):  # a compressed point is the third
        return None


def _key_information(blob: bytes) -> bytes | None:
    key = library_key(blob)
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) if key else None
