"""What a server signs with its host key: the exchange hash; and whether the signature is by the key it shows.

Sources: RFC 4253, 8; RFC 5656, 4 and 6.2.1; RFC 8332; RFC 8709; RFC 8731; draft-ietf-sshm-mlkem-hybrid-kex, 2.4.
"""

import hashlib
import warnings
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from keystrand.formats.ssh_names import MODERN_HOST_KEYS, library_key
from keystrand.formats.ssh_wire import mpint, read_string, read_strings, string
from keystrand.formats.tls_key_share import SharePart, joint_secret
from keystrand.formats.tls_wire import TlsUnreadable
from keystrand.model.errors import InvalidInput


class Opening(NamedTuple):
    """What opens a key exchange: our public octets. Without `parts` we do not hold the private half of them."""

    public: bytes
    hash_name: str = ""
    parts: tuple[SharePart, ...] = ()


class Transcript(NamedTuple):
    """What both sides said before the server signs, ours first: identifications without line end, list messages."""

    client: bytes
    server: bytes
    client_lists: bytes
    server_lists: bytes


def opening(hash_name: str, *parts: SharePart) -> Opening:
    """Return the opening whose public octets are those of `parts`, one after the other."""
    return Opening(b"".join(part.public for part in parts), hash_name, parts)


def exchange_hash(said: Transcript, host_key: bytes, ours: Opening, answer: bytes) -> bytes:
    """Return what the server signs, given its `answer` to `ours`. Raises `InvalidInput` where that is no answer."""
    try:
        secret = joint_secret(ours.parts, answer)
    except TlsUnreadable as error:
        raise InvalidInput(str(error)) from error
    hybrid = len(ours.parts) > 1
    shared = string(hashlib.new(ours.hash_name, secret).digest()) if hybrid else mpint(secret)
    strings = b"".join(map(string, (*said, host_key, ours.public, answer)))
    return hashlib.new(ours.hash_name, strings + shared).digest()


def doubt_of_signature(host_key: bytes, algorithm: str, signature: bytes, signed: bytes) -> str:
    """Return why the signature cannot be checked; empty where it is by `host_key`. Raises `InvalidInput` if not."""
    if algorithm not in _CHECKED:  # tokens and certificates sign in other forms
        return f"signatures by {algorithm} are not checked"
    kind, at = read_string(signature)
    if kind != algorithm.encode():
        raise InvalidInput(f"the server signs with another algorithm than {algorithm}")
    key, value = library_key(host_key), read_string(signature, at)[0]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of old algorithms; we read, we do not trust
            if isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(value, signed)
            elif isinstance(key, ec.EllipticCurvePublicKey):
                r, s = (int.from_bytes(part, "big") for part in read_strings(value, 2))
                key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(_curve_hash(key)))
            elif isinstance(key, rsa.RSAPublicKey) and algorithm in _RSA_HASHES:
                # some servers leave out leading zeros
                value = value.rjust((key.key_size + 7) // 8, b"\0")
                key.verify(value, signed, padding.PKCS1v15(), _RSA_HASHES[algorithm]())
            else:
                return "the library refuses the key"
    except InvalidSignature as error:
        raise InvalidInput("the server's signature is not by the host key it shows") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        return f"its signature cannot be checked: {type(error).__name__}"
    return ""


_RSA_HASHES: dict[str, type[hashes.HashAlgorithm]] = {
    "ssh-rsa": hashes.SHA1,
    "rsa-sha2-256": hashes.SHA256,
    "rsa-sha2-512": hashes.SHA512,
}
_CHECKED = (*_RSA_HASHES, *(name for name in MODERN_HOST_KEYS if name not in _RSA_HASHES))


def _curve_hash(key: ec.EllipticCurvePublicKey) -> hashes.HashAlgorithm:
    if key.key_size <= 256:
        return hashes.SHA256()
    return hashes.SHA384() if key.key_size <= 384 else hashes.SHA512()
