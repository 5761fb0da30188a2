"""A consumer: HashiCorp Vault or OpenBao, as a transit key (imported, BYOK) or as a secret in a KV store, version 2.

Transit: each key is a version of one named key. It is wrapped as their key wrapping guide says (an ephemeral AES key
under RSA-4096 with OAEP, and the key under that with AES-KWP). RSA keeps nothing from a quantum computer, so the
connection has to: a post-quantum group is demanded, as for the KV store, where nothing else wraps the key.

Tested against a server of the tests that unwraps what we send and keeps the rules of the published interface; no Vault
and no OpenBao has been run with it.
"""

import base64
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import quote

import msgspec
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from msgspec import Struct

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers.base import Consumer, ConsumerFailure, NewKey, Proof, Role, Settings
from keystrand.edge.consumers.settings import read_settings
from keystrand.edge.kme.channel import Channel, InDoubt, NotSent
from keystrand.edge.pki import Credentials
from keystrand.edge.store.master_key import SecretSource, read_secret
from keystrand.model.errors import InvalidInput, Problem
from keystrand.model.words import shown

_KEY_OCTETS = 32
_NONCE_OCTETS = 12
_NOT_FOUND = 404


class VaultSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator writes.

    `ca`, `certificate` and `key` are files: Vault's authority, and what we show if we are asked. `name` is that of the
    transit key, or the path of the secret. `require_post_quantum = false` lets keys go over a connection that a
    recorder with a quantum computer opens later.
    """

    url: str
    ca: str
    certificate: str
    key: str
    engine: Literal["transit", "kv"]
    mount: str
    name: str
    token_file: str = ""
    token_credential: str = ""
    require_post_quantum: bool = True


class Asking(Protocol):
    """Carries one question to Vault and its answer back."""

    def exchange(
        self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """See `Channel`."""

    def close(self) -> None:
        """End the connection."""


class Vault:
    """The interface of Vault, so much of it as we need, for one key or secret."""

    def __init__(self, channel: Asking, token: Secret, mount: str, name: str) -> None:
        self._channel, self._token = channel, token
        self._mount, self._name = quote(mount.strip("/")), quote(name.strip("/"))

    def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any] | None:
        """Return the `data` of the answer; None where there is nothing at this path. `{name}` is put in for us.

        Raises `ConsumerFailure` with Vault's own words, never with what was sent.
        """
        target = f"/v1/{self._mount}/{path.format(name=self._name)}"
        sent = b"" if body is None else msgspec.json.encode(body)
        headers = {"X-Vault-Token": self._token.reveal().decode("ascii")}
        try:
            status, answer = self._channel.exchange(method, target, sent, headers)
        except (NotSent, InDoubt) as error:
            raise ConsumerFailure(f"Vault: {error.message}") from error
        finally:
            # questions are rare: no connection waits for the next one
            self._channel.close()
        if status == _NOT_FOUND:
            return None
        try:
            told = msgspec.json.decode(answer, type=dict[str, Any]) if answer else {}
        except msgspec.DecodeError:
            told = {"errors": ["its answer is no JSON"]}
        if not 200 <= status < 300 or told.get("errors"):
            why = shown("; ".join(map(str, told.get("errors") or ["no reason given"])))
            raise ConsumerFailure(
                f"Vault answered {status} to {method} {target}: {why}", hint="see the policy of our token, and its life"
            )
        return told.get("data") or {}

    def must(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Do as `ask` does, where there must be something. Raises `ConsumerFailure`."""
        data = self.ask(method, path, body)
        if data is None:
            raise ConsumerFailure(
                f"Vault has nothing at {self._mount}/{path.format(name=self._name)}",
                hint="is the engine mounted there?",
            )
        return data


class TransitKey:
    """A named transit key, of which each of our keys is a version."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._versions: dict[str, int] = {}
        self._checks: dict[str, tuple[bytes, str]] = {}

    def prepare(self) -> None:
        """See that Vault is there and lets us import."""
        self._wrapping_key()

    def install(self, key: NewKey) -> None:
        """Import the key as the newest version: Vault encrypts under it from now on, and still opens older ones."""
        if len(key.octets) != _KEY_OCTETS:
            raise ConsumerFailure(f"aes256-gcm96 takes keys of 256 bits, not {8 * len(key.octets)}")
        if key.key_id in self._versions:
            return
        version = self._imported(key.octets)
        self._versions[key.key_id] = version
        self._checks[key.key_id] = _check(key.octets, version)

    def prove(self, key_id: str) -> Proof:
        """Have Vault open what we sealed under the key, and see that it seals under the same version now."""
        if key_id not in self._checks:
            return Proof(key_id=key_id, in_use=False, shown_by="the key was not imported since we started")
        version, (block, sealed) = self._versions[key_id], self._checks[key_id]
        opened = self._vault.must("POST", "decrypt/{name}", {"ciphertext": sealed}).get("plaintext")
        made = self._vault.must("POST", "encrypt/{name}", {"plaintext": _text(block)}).get("ciphertext", "")
        if opened != _text(block) or not str(made).startswith(f"vault:v{version}:"):
            return Proof(key_id=key_id, in_use=False, shown_by="Vault encrypts under another key")
        return Proof(key_id=key_id, in_use=True, shown_by=f"Vault encrypts under version {version}, which is the key")

    def retire(self, key_id: str) -> None:
        """Have nothing opened any more that is older than the key in use; where that is retired, than a random one."""
        newest = max(self._versions, key=lambda known: self._versions[known], default=key_id)
        if newest == key_id:
            # Vault encrypts under its newest version: an older key of ours cannot take the place back
            with Secret(secrets.token_bytes(_KEY_OCTETS)) as nobodys:
                floor = self._imported(nobodys)
        else:
            floor = self._versions[newest]
        lowest = {"min_decryption_version": floor, "min_encryption_version": floor}
        self._vault.must("POST", "keys/{name}/config", lowest)
        self._vault.must("POST", "keys/{name}/trim", {"min_available_version": floor})
        self._versions = {known: version for known, version in self._versions.items() if version >= floor}
        self._checks = {known: check for known, check in self._checks.items() if known in self._versions}

    def _imported(self, key: Secret) -> int:
        told = {"ciphertext": _wrapped(key, self._wrapping_key()), "hash_function": "SHA256"}
        if self._vault.ask("GET", "keys/{name}") is None:
            fixed = {"type": "aes256-gcm96", "allow_rotation": False, "exportable": False}
            self._vault.must("POST", "keys/{name}/import", told | fixed)
        else:
            self._vault.must("POST", "keys/{name}/import_version", told)
        return int(self._vault.must("GET", "keys/{name}").get("latest_version", 0))

    def _wrapping_key(self) -> RSAPublicKey:
        told = str(self._vault.must("GET", "wrapping_key").get("public_key", ""))
        try:
            key = serialization.load_pem_public_key(told.encode())
        except ValueError:
            key = None
        if not isinstance(key, RSAPublicKey):
            raise ConsumerFailure("Vault gives no RSA key to wrap ours with", hint="is this a transit engine?")
        return key


class KvSecret:
    """A secret in a KV store, of which each of our keys is a version: fields `key_id`, `label`, `key` (base64)."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._versions: dict[str, int] = {}

    def prepare(self) -> None:
        """See that the store is there and lets us read."""
        self._vault.ask("GET", "metadata/{name}")

    def install(self, key: NewKey) -> None:
        """Write the key as the newest version; older ones stay until they are retired."""
        if key.key_id in self._versions:
            return
        data = {"key_id": key.key_id, "label": key.label, "key": _text(key.octets.view())}
        told = self._vault.must("POST", "data/{name}", {"data": data})
        self._versions[key.key_id] = int(told.get("version", 0))

    def prove(self, key_id: str) -> Proof:
        """See that the newest version is this key's: who reads it is not visible."""
        told = self._vault.ask("GET", "data/{name}") or {}
        newest = (told.get("data") or {}).get("key_id") == key_id
        shown = "the newest version names the key; who reads it is not visible" if newest else "it names another key"
        return Proof(key_id=key_id, in_use=newest, shown_by=shown)

    def retire(self, key_id: str) -> None:
        """Destroy every version but those of our other keys."""
        self._versions.pop(key_id, None)
        about = self._vault.ask("GET", "metadata/{name}") or {}
        held = {int(number) for number, one in (about.get("versions") or {}).items() if not one.get("destroyed")}
        if gone := sorted(held - set(self._versions.values())):
            self._vault.must("PUT", "destroy/{name}", {"versions": gone})


def make(settings: Settings, _role: Role) -> Consumer:
    """Return the consumer. Raises `InvalidInput` with the field."""
    given = read_settings(settings, VaultSettings)
    if bool(given.token_file) == bool(given.token_credential):
        problem = Problem(field="token_file", message="name it or token_credential, not both", hint="never the token")
        raise InvalidInput(f"the settings of this consumer are not right: {problem}", problems=(problem,))
    with read_secret(SecretSource(file=given.token_file, credential=given.token_credential), Path("/")) as content:
        token = Secret(content.reveal().strip())
    files = Credentials(ca=Path(given.ca), certificate=Path(given.certificate), key=Path(given.key))
    channel = Channel(given.url, files, foreign=True, require_post_quantum=given.require_post_quantum)
    vault = Vault(channel, token, given.mount, given.name)
    return TransitKey(vault) if given.engine == "transit" else KvSecret(vault)


def _wrapped(key: Secret, under: RSAPublicKey) -> str:
    """Return the key as the import takes it (key wrapping guide: RSA-OAEP with SHA-256, then RFC 5649)."""
    with Secret(secrets.token_bytes(_KEY_OCTETS)) as ephemeral:
        sha256 = hashes.SHA256()
        outer = under.encrypt(ephemeral.reveal(), OAEP(mgf=MGF1(algorithm=sha256), algorithm=sha256, label=None))
        return _text(outer + aes_key_wrap_with_padding(ephemeral.reveal(), key.reveal()))


def _check(key: Secret, version: int) -> tuple[bytes, str]:
    """Return a random block, and what Vault would say that it is encrypted to under this version."""
    block, nonce = secrets.token_bytes(16), secrets.token_bytes(_NONCE_OCTETS)
    return block, f"vault:v{version}:{_text(nonce + AESGCM(key.view()).encrypt(nonce, block, None))}"


def _text(content: bytes | memoryview) -> str:
    return base64.b64encode(content).decode()
