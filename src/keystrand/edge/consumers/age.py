"""A consumer: files for age, each under a key of its own from the KMEs, whose `key_ID` stands in the file.

Whoever writes a file takes a key that it shares with the reader's SAE; the reader fetches it from its own KME by the
`key_ID` in the file's header. The key wraps the file key of age; no other file, and no second recipient, is wrapped
with it. Without a key there is no file. A KME gives a key once, so a file can be opened once: what is to last is
wrapped anew, for another recipient, when it has arrived.
"""

from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keystrand.crypto.labels import AGE_FILE_KEY, bound
from keystrand.crypto.secret import Secret
from keystrand.edge.kme.client import Client014
from keystrand.formats import bech32
from keystrand.formats.age_stanza import Stanza, from_base64, to_base64
from keystrand.model.errors import InvalidInput, PolicyDenied

TAG = "keystrand"
VARIABLE = "KEYSTRAND_AGE"
"""What names the plug-in's configuration in the environment."""
_RECIPIENT, _IDENTITY = "age1keystrand", "age-plugin-keystrand-"
_KEY_BITS = 256
_FILE_KEY_OCTETS = 16
"""Of age (C2SP age, `File key`)."""
_TAG_OCTETS = 16
_NONCE = bytes(12)
"""A fixed nonce is safe here as in age's own recipients: the wrapping key is used for one message."""


class Addressed(NamedTuple):
    """What a stanza says: who took the key, who may fetch it, and its name."""

    master_sae: str
    slave_sae: str
    key_id: str


def recipient_of(sae: str) -> str:
    """Return the recipient by which files are made that `sae` alone can open."""
    return bech32.encode(_RECIPIENT, sae.encode())


def identity_of(sae: str) -> str:
    """Return the identity by which `sae` opens its files. It is no secret: the certificate of the SAE is."""
    return bech32.encode(_IDENTITY, sae.encode()).upper()


def sae_of(text: str) -> str:
    """Return the SAE of a recipient or an identity. Raises `InvalidInput`."""
    prefix = _IDENTITY if text.lower().startswith(_IDENTITY) else _RECIPIENT
    try:
        sae = bech32.decode(prefix, text).decode()
    except UnicodeDecodeError:
        sae = ""
    if not sae:
        raise InvalidInput("this names no SAE")
    return sae


def wrapped(kme: Client014, ours: str, reader: str, file_key: bytes) -> Stanza:
    """Return the stanza for one file and one reader, under a fresh key. Raises as `Client014.enc_keys` does."""
    (key,) = kme.enc_keys(reader, size=_KEY_BITS)
    with key.key:
        to = Addressed(ours, reader, key.key_id)
        sealed = _cipher(key.key, to).encrypt(_NONCE, file_key, None)
    return Stanza(TAG, (to_base64(ours.encode()), to_base64(reader.encode()), key.key_id), sealed)


def addressed(stanza: Stanza) -> Addressed:
    """Return what one of our stanzas says. Raises `InvalidInput` where it is not as `wrapped` makes them."""
    if len(stanza.arguments) != 3 or len(stanza.body) != _FILE_KEY_OCTETS + _TAG_OCTETS:
        raise InvalidInput("a stanza of keystrand has three arguments and 32 octets")
    master, slave, key_id = stanza.arguments
    try:
        return Addressed(from_base64(master).decode(), from_base64(slave).decode(), key_id)
    except UnicodeDecodeError:
        raise InvalidInput("a stanza of keystrand names an SAE that is no text") from None


def unwrapped(kme: Client014, to: Addressed, body: bytes) -> bytes:
    """Return the file key. The key is used up by it. Raises `PolicyDenied` where the key does not open it, and as
    `Client014.dec_keys` does.
    """
    (key,) = kme.dec_keys(to.master_sae, (to.key_id,), retry=True)
    with key.key:
        return opened_by(key.key, to, body)


def opened_by(key: Secret, to: Addressed, body: bytes) -> bytes:
    """Return the file key that `key` opens. Raises `PolicyDenied` where it is another key's."""
    try:
        return _cipher(key, to).decrypt(_NONCE, body, None)
    except InvalidTag:
        raise PolicyDenied(f"the key {to.key_id} does not open this file: its header was altered") from None


def _cipher(key: Secret, to: Addressed) -> ChaCha20Poly1305:
    info = bound(AGE_FILE_KEY, *to)
    return ChaCha20Poly1305(HKDF(algorithm=SHA512(), length=32, salt=None, info=info).derive(key.view()))
