"""Vault by its published interface: against a server of ours that really unwraps keys, over post-quantum TLS.

This is a contract test: no Vault and no OpenBao can be had where the tests run.
"""

import base64
import json
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.bindings.openssl.binding import Binding
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap_with_padding
from OpenSSL import SSL
from tests.edge.consumers.test_file_consumer import Wanted, some_key

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers.base import Consumer, ConsumerFailure, NewKey, Role
from keystrand.edge.consumers.vault import make
from keystrand.edge.pki import Credentials, Kind, issue_pki
from keystrand.edge.tls import BlockingTls
from keystrand.model.errors import InvalidInput

pytestmark = pytest.mark.system

TOKEN = "s.not-a-secret"  # noqa: S105 - of the test's own server
Answer = tuple[int, dict[str, Any]]


@cache
def wrapping_key() -> rsa.RSAPrivateKey:
    """Return the key that everything is wrapped with: making one takes seconds."""
    return rsa.generate_private_key(65537, 4096)


class FakeVault:
    """The rules of transit and KV version 2 that concern us, kept as their documentation states them."""

    def __init__(self) -> None:
        self._private = wrapping_key()
        self.keys: dict[int, bytes] = {}
        self.low = {"min_decryption_version": 1, "min_encryption_version": 0}
        self.secrets: dict[int, dict[str, Any] | None] = {}

    def answer(self, method: str, path: str, token: str, body: dict[str, Any]) -> Answer:
        """Return status and JSON."""
        if token != TOKEN:
            return 403, {"errors": ["permission denied"]}
        name = f"{method} {path}".replace("/v1/transit/", "").replace("/v1/secret/", "kv ")
        rules: dict[str, Callable[[dict[str, Any]], Answer]] = {
            "GET wrapping_key": self._wrapping_key,
            "GET keys/link": self._about,
            "POST keys/link/import": self._import,
            "POST keys/link/import_version": self._import_version,
            "POST keys/link/config": self._config,
            "POST keys/link/trim": self._trim,
            "POST encrypt/link": self._encrypt,
            "POST decrypt/link": self._decrypt,
            "GET kv metadata/a/link": self._metadata,
            "GET kv data/a/link": self._read,
            "POST kv data/a/link": self._write,
            "PUT kv destroy/a/link": self._destroy,
        }
        rule = rules.get(name)
        return rule(body) if rule else (404, {"errors": []})

    def _wrapping_key(self, _body: dict[str, Any]) -> Answer:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        pem = self._private.public_key().public_bytes(serialization.Encoding.PEM, form)
        return 200, {"data": {"public_key": pem.decode()}}

    def _about(self, _body: dict[str, Any]) -> Answer:
        return (200, {"data": {"latest_version": max(self.keys), **self.low}}) if self.keys else (404, {"errors": []})

    def _import(self, body: dict[str, Any]) -> Answer:
        if self.keys:
            return 400, {"errors": ["the import path cannot be used with an existing key; use import-version"]}
        return self._unwrap(body, 1) if body.get("type") == "aes256-gcm96" else (400, {"errors": ["unknown key type"]})

    def _import_version(self, body: dict[str, Any]) -> Answer:
        return self._unwrap(body, max(self.keys) + 1) if self.keys else (400, {"errors": ["no key found"]})

    def _unwrap(self, body: dict[str, Any], version: int) -> Answer:
        blob, sha = base64.b64decode(body["ciphertext"]), hashes.SHA256()
        if body.get("hash_function") != "SHA256":
            return 400, {"errors": ["the hash function is another"]}
        outer, inner = blob[:512], blob[512:]
        wrapping = self._private.decrypt(outer, padding.OAEP(padding.MGF1(sha), sha, None))
        self.keys[version] = aes_key_unwrap_with_padding(wrapping, inner)
        return 204, {}

    def _config(self, body: dict[str, Any]) -> Answer:
        if max(body.values()) > max(self.keys):
            return 400, {"errors": ["cannot set above the latest version"]}
        self.low.update(body)
        return 200, {"data": {}}

    def _trim(self, body: dict[str, Any]) -> Answer:
        floor = body["min_available_version"]
        if floor > min(value for value in self.low.values() if value):
            return 400, {"errors": ["cannot trim what may still be used"]}
        self.keys = {version: key for version, key in self.keys.items() if version >= floor}
        return 200, {"data": {}}

    def _encrypt(self, body: dict[str, Any]) -> Answer:
        version, nonce = max(self.keys), os.urandom(12)
        sealed = AESGCM(self.keys[version]).encrypt(nonce, base64.b64decode(body["plaintext"]), None)
        return 200, {"data": {"ciphertext": f"vault:v{version}:{base64.b64encode(nonce + sealed).decode()}"}}

    def _decrypt(self, body: dict[str, Any]) -> Answer:
        _, number, text = body["ciphertext"].split(":")
        version, blob = int(number[1:]), base64.b64decode(text)
        if version < self.low["min_decryption_version"]:
            return 400, {"errors": ["ciphertext or signature version is disallowed by policy (too old)"]}
        try:
            opened = AESGCM(self.keys[version]).decrypt(blob[:12], blob[12:], None)
        except (InvalidTag, KeyError):
            return 400, {"errors": ["cipher: message authentication failed"]}
        return 200, {"data": {"plaintext": base64.b64encode(opened).decode()}}

    def _metadata(self, _body: dict[str, Any]) -> Answer:
        if not self.secrets:
            return 404, {"errors": []}
        versions = {str(number): {"destroyed": held is None} for number, held in self.secrets.items()}
        return 200, {"data": {"current_version": max(self.secrets), "versions": versions}}

    def _read(self, _body: dict[str, Any]) -> Answer:
        held = self.secrets.get(max(self.secrets, default=0))
        return (200, {"data": {"data": held, "metadata": {}}}) if held else (404, {"data": {"data": None}})

    def _write(self, body: dict[str, Any]) -> Answer:
        version = max(self.secrets, default=0) + 1
        self.secrets[version] = body["data"]
        return 200, {"data": {"version": version, "destroyed": False}}

    def _destroy(self, body: dict[str, Any]) -> Answer:
        self.secrets.update(dict.fromkeys(body["versions"]))
        return 204, {}


class Running:
    """The fake behind TLS at a port."""

    def __init__(self, vault: FakeVault, files: Credentials, groups: bytes = b"") -> None:
        self.vault = vault
        self._context = SSL.Context(SSL.TLS_SERVER_METHOD)
        self._context.use_certificate_chain_file(str(files.certificate))
        self._context.use_privatekey_file(str(files.key))
        if groups:
            assert Binding().lib.SSL_CTX_set1_curves_list(self._context._context, groups) == 1
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                line, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        connection = SSL.Connection(self._context, None)
        connection.set_accept_state()
        stream = BlockingTls(connection, line)
        with suppress(SSL.Error, OSError):
            stream.handshake()
            _Handler(stream, self.vault)
        stream.close()

    def close(self) -> None:
        """Take no more connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class _Out:
    def __init__(self, stream: BlockingTls) -> None:
        self.write = stream.sendall

    def flush(self) -> None:
        """Nothing is kept back."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, stream: BlockingTls, vault: FakeVault) -> None:
        self.rfile, self.wfile, self._vault = stream.makefile("rb"), _Out(stream), vault  # type: ignore[assignment]  # enough of a file
        self.client_address = ("127.0.0.1", 0)
        self.handle()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else {}
        status, told = self._vault.answer(self.command, self.path, self.headers.get("X-Vault-Token", ""), body)
        text = json.dumps(told).encode() if status != 204 else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = _answer  # noqa: N815 - the names of http.server


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Credentials, Credentials]:
    """What the server shows, and what our end has; the token lies beside."""
    pki = issue_pki(
        tmp_path_factory.mktemp("vault") / "p", kmes=["k"], saes=["s"], modules=[], days=1, now=datetime.now(UTC)
    )
    token = pki.of(Kind.SAE, "s").ca.parent / "token"
    token.write_text(TOKEN + "\n")
    token.chmod(0o600)
    return pki.of(Kind.KME, "k"), pki.of(Kind.SAE, "s")


@pytest.fixture
def running(files: tuple[Credentials, Credentials]) -> Iterator[Running]:
    """A fresh Vault."""
    made = Running(FakeVault(), files[0])
    yield made
    made.close()


def wanted(port: int, files: tuple[Credentials, Credentials], engine: str, **further: object) -> Wanted:
    """Return the settings."""
    ours = files[1]
    where = {"transit": ("transit", "link"), "kv": ("secret", "a/link")}[engine]
    told: dict[str, Any] = {
        "url": f"https://127.0.0.1:{port}", "ca": str(ours.ca), "certificate": str(ours.certificate),
        "key": str(ours.key), "engine": engine, "mount": where[0], "name": where[1],
        "token_file": str(ours.ca.parent / "token"),
    }  # fmt: skip
    return {**told, **further}


def prepared(running: Running, files: tuple[Credentials, Credentials], engine: str) -> Consumer:
    """Return a prepared consumer."""
    made = make(wanted(running.port, files, engine), Role.RESPONDER)
    made.prepare()
    return made


def test_transit_encrypts_under_the_newest_key(running: Running, files: tuple[Credentials, Credentials]) -> None:
    """The very key arrives; it is proven by what Vault seals; the one before opens until it is retired."""
    made, vault = prepared(running, files, "transit"), running.vault
    one, two = some_key(), some_key()
    for key in (one, one, two):
        made.install(key.new)
    assert vault.keys == {1: one.octets, 2: two.octets}
    assert made.prove(two.key_id).shown_by == "Vault encrypts under version 2, which is the key"
    assert not made.prove(one.key_id).in_use
    made.retire(one.key_id)
    assert vault.keys == {2: two.octets}
    assert made.prove(two.key_id).in_use


def test_transit_without_a_key_has_a_random_one(running: Running, files: tuple[Credentials, Credentials]) -> None:
    """With the last key gone Vault seals under what no other site has; after a restart of ours just so."""
    made, vault = prepared(running, files, "transit"), running.vault
    key = some_key()
    made.install(key.new)
    for consumer in (made, prepared(running, files, "transit")):
        consumer.retire(key.key_id)
        assert key.octets not in vault.keys.values()
        assert len(vault.keys) == 1
        assert not consumer.prove(key.key_id).in_use
    new = some_key()
    made.install(new.new)
    assert made.prove(new.key_id).in_use


def test_the_newest_transit_key_leaves_none_behind_that_vault_would_encrypt_under(
    running: Running, files: tuple[Credentials, Credentials]
) -> None:
    """A new key that is destroyed while the one before is there: neither encrypts any more, until the next."""
    made, vault = prepared(running, files, "transit"), running.vault
    one, two = some_key(), some_key()
    made.install(one.new)
    made.install(two.new)
    made.retire(two.key_id)
    assert len(vault.keys) == 1
    assert not {one.octets, two.octets} & set(vault.keys.values())
    assert not made.prove(one.key_id).in_use


def test_a_transit_key_that_was_changed_by_another_is_no_proof(
    running: Running, files: tuple[Credentials, Credentials]
) -> None:
    """Another's newer version, or another key under our version: not proven, or told."""
    made, vault, key = prepared(running, files, "transit"), running.vault, some_key()
    made.install(key.new)
    vault.keys[2] = bytes(32)
    assert not made.prove(key.key_id).in_use
    vault.keys = {1: bytes(32)}
    with pytest.raises(ConsumerFailure, match="message authentication failed"):
        made.prove(key.key_id)


def test_kv_holds_each_key_as_a_version(running: Running, files: tuple[Credentials, Credentials]) -> None:
    """Name, label and key are there; retired versions are destroyed, also ones of before a restart."""
    made, vault = prepared(running, files, "kv"), running.vault
    one, two = some_key(), some_key()
    for key in (one, one, two):
        made.install(key.new)
    held = vault.secrets[2]
    assert held == {"key_id": two.key_id, "label": "qkd", "key": base64.b64encode(two.octets).decode()}
    assert made.prove(two.key_id).in_use
    assert not made.prove(one.key_id).in_use
    made.retire(one.key_id)
    assert vault.secrets == {1: None, 2: held}
    prepared(running, files, "kv").retire(two.key_id)
    assert vault.secrets == {1: None, 2: None}
    assert not made.prove(two.key_id).in_use


@pytest.mark.parametrize("engine", ["transit", "kv"])
def test_refusals_are_told_with_vaults_words_and_no_secret(
    running: Running, files: tuple[Credentials, Credentials], tmp_path: Path, engine: str
) -> None:
    """A token that is refused, a mount that is not there, and a key of another size."""
    (tmp_path / "token").write_text("s.wrong")
    (tmp_path / "token").chmod(0o600)
    made = make(wanted(running.port, files, engine, token_file=str(tmp_path / "token")), Role.RESPONDER)
    with pytest.raises(ConsumerFailure, match=r"403 .*permission denied") as caught:
        made.prepare()
    assert "s.wrong" not in caught.value.message + caught.value.hint
    key = some_key()
    lost = make(wanted(running.port, files, engine, mount="elsewhere"), Role.RESPONDER)
    with pytest.raises(ConsumerFailure, match="nothing at elsewhere") as caught:
        lost.install(key.new)
    assert key.octets.hex() not in caught.value.message
    assert base64.b64encode(key.octets).decode() not in caught.value.message


def test_a_key_of_another_size_is_refused(running: Running, files: tuple[Credentials, Credentials]) -> None:
    """Before anything is sent."""
    made = prepared(running, files, "transit")
    with pytest.raises(ConsumerFailure, match="not 128"):
        made.install(NewKey(str(uuid.uuid4()), "qkd", Secret(bytes(16))))
    assert running.vault.keys == {}


def test_a_classical_connection_is_refused(files: tuple[Credentials, Credentials]) -> None:
    """No key goes over a group that a quantum computer opens, unless the operator has said so."""
    running = Running(FakeVault(), files[0], b"X25519")
    key = some_key()
    with pytest.raises(ConsumerFailure, match="not post-quantum"):
        prepared(running, files, "kv").install(key.new)
    assert running.vault.secrets == {}
    allowed = make(wanted(running.port, files, "kv", require_post_quantum=False), Role.RESPONDER)
    allowed.install(key.new)
    assert allowed.prove(key.key_id).in_use
    running.close()


def test_a_vault_that_is_away_is_told(running: Running, files: tuple[Credentials, Credentials]) -> None:
    """As a failure of the consumer, with the place."""
    running.close()
    with pytest.raises(ConsumerFailure, match=f"127.0.0.1:{running.port}"):
        make(wanted(running.port, files, "kv"), Role.RESPONDER).prepare()


@pytest.mark.parametrize(
    ("further", "field"),
    [
        ({"engine": "pki"}, "engine"),
        ({"token_file": ""}, "token_file"),
        ({"token_credential": "x"}, "token_file"),
        ({"token": TOKEN}, "token"),
    ],
)
def test_settings_that_are_wrong_are_told_by_their_field(
    files: tuple[Credentials, Credentials], further: dict[str, str], field: str
) -> None:
    """A token has no place in a configuration."""
    with pytest.raises(InvalidInput) as caught:
        make({**wanted(1, files, "kv"), **further}, Role.INITIATOR)
    assert [problem.field for problem in caught.value.problems] == [field]
    assert caught.value.problems[0].hint


def test_a_url_that_is_none_is_told(files: tuple[Credentials, Credentials]) -> None:
    """Plain HTTP would show every key."""
    with pytest.raises(InvalidInput, match="is not the URL") as caught:
        make(wanted(1, files, "kv", url="http://127.0.0.1:8200"), Role.INITIATOR)
    assert "https" in caught.value.hint
