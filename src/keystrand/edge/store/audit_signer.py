"""The key that signs the audit's checkpoints: ML-DSA-65 (FIPS 204), in PEM files."""

import stat
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey

from keystrand.edge.files import read_bytes, write_atomic
from keystrand.model.errors import InvalidInput
from keystrand.operate.audit import ALGORITHM

_PRIVATE = 0o600


class AuditSigner:
    """Signs checkpoints. The signature takes about 1 ms."""

    def __init__(self, key: MLDSA65PrivateKey) -> None:
        self._key = key
        self.public_key = key.public_key()
        self.public_bytes = self.public_key.public_bytes_raw()

    @property
    def public_pem(self) -> bytes:
        """The public half in PEM."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.public_key.public_bytes(serialization.Encoding.PEM, form)

    def sign(self, message: bytes) -> bytes:
        """Return the signature of `message`."""
        return self._key.sign(message)


def open_signer(key_file: Path, *, make: bool) -> AuditSigner:
    """Return the signer whose key is in `key_file`; with `make`, for a new audit, it is made if it is not there.

    Raises `MissingInput`, or `InvalidInput` where the file is no such key or others can reach it.
    """
    if make and not key_file.exists():
        content = MLDSA65PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_atomic(key_file, content, mode=_PRIVATE)
    content = read_bytes(
        key_file, hint="it signed the audit: put it back, or put a new one there and name the old public key"
    )
    if stat.S_IMODE(key_file.stat().st_mode) & 0o077:
        raise InvalidInput(f"{key_file} can be reached by others than its owner", hint=f"chmod 600 {key_file}")
    try:
        key = serialization.load_pem_private_key(content, None)
    except (ValueError, TypeError):
        raise InvalidInput(f"{key_file} is not a private key in PEM without a password") from None
    if not isinstance(key, MLDSA65PrivateKey):
        raise InvalidInput(f"{key_file} is not an {ALGORITHM} key")
    return AuditSigner(key)


def read_public_key(file: Path) -> MLDSA65PublicKey:
    """Return the public half of an audit's signing key. Raises `MissingInput`, or `InvalidInput` where it is none."""
    try:
        key = serialization.load_pem_public_key(read_bytes(file, hint="it stands beside the audit as audit.pub.pem"))
    except ValueError:
        raise InvalidInput(f"{file} is not a public key in PEM") from None
    if not isinstance(key, MLDSA65PublicKey):
        raise InvalidInput(f"{file} is not an {ALGORITHM} key")
    return key
