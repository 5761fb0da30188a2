"""Seals one backup set: a fresh key for the content, wrapped for the vault's RSA key."""

import os

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BITS = 256


def seal(content: bytes, vault: RSAPublicKey) -> tuple[bytes, bytes, bytes]:
    """Return the wrapped key, the nonce and the sealed content."""
    key = AESGCM.generate_key(bit_length=KEY_BITS)
    nonce = os.urandom(12)
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
    return vault.encrypt(key, oaep), nonce, AESGCM(key).encrypt(nonce, content, None)
