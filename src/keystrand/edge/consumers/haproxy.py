"""A consumer: the session ticket keys of HAProxy, so that a session begun at one site is resumed at the other.

HAProxy keeps three keys in a row: one that opens old tickets, one that makes new ones, one that will. `set ssl tls-key`
moves the row up by one. A key is therefore set twice: it makes tickets at once, and the key before still opens its own.
Nothing of the QKD key itself goes there, but 80 octets derived from it (HKDF-SHA-512), of which the first 16 are the
name that stands in every ticket in clear: a ticket with that name is the proof.

Without a key each site makes tickets under random keys of its own: sessions are not resumed elsewhere, no request
fails, and nobody who has an old key opens a new ticket. Under TLS 1.2 a resumed session is as secret as these keys.
"""

import base64
import secrets
import socket
import threading
from pathlib import Path
from typing import Any

from cryptography.hazmat.bindings.openssl.binding import Binding
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Struct
from OpenSSL import SSL

from keystrand.crypto.labels import TICKET_KEY, bound
from keystrand.crypto.secret import Secret
from keystrand.edge.consumers.base import ConsumerFailure, NewKey, Proof, Role, Settings
from keystrand.edge.consumers.settings import read_settings
from keystrand.edge.files import write_atomic
from keystrand.edge.tls import BlockingTls, reason_of
from keystrand.model.errors import InvalidInput, Problem

_lib, _ffi = Binding.lib or Binding().lib, Binding.ffi

_KEY_OCTETS, _NAME_OCTETS = 80, 16
"""A name, a key for HMAC-SHA-256 and one for AES-256 (HAProxy configuration manual, `tls-ticket-keys`)."""
_ROW = 3
_TIMEOUT_S = 5.0
_ANSWER_MOST = 1 << 16
_UPDATED = "updated"


class HaproxySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator writes.

    `socket`: HAProxy's runtime API (`stats socket ... level admin`); `keys_file`: what `tls-ticket-keys` names, made
    here with random keys; `frontend`: HOST:PORT at which it takes TLS, `server_name`: what to ask it for.
    """

    socket: str
    keys_file: str
    frontend: str
    server_name: str = ""


class Haproxy:
    """One row of ticket keys of one HAProxy."""

    def __init__(self, settings: HaproxySettings) -> None:
        self._settings = settings
        self._key: tuple[str, Secret] | None = None
        self._names: dict[str, bytes] = {}
        self._turn = threading.Lock()

    def prepare(self) -> None:
        """Make the file that HAProxy starts with, where it is not there; else make the keys that it has random."""
        file = Path(self._settings.keys_file)
        if not file.exists():
            lines = b"".join(base64.b64encode(secrets.token_bytes(_KEY_OCTETS)) + b"\n" for _ in range(_ROW))
            write_atomic(file, lines, mode=0o600)
        elif self._key is None:
            self._forget_all()

    def install(self, key: NewKey) -> None:
        """Make tickets under what is derived from the key; those of the key before are still opened."""
        with self._turn:
            derived = _ticket_key(key)
            try:
                self._set(derived)
                self._set(derived)
            except ConsumerFailure:
                derived.zeroise()
                raise
            self._names[key.key_id] = bytes(derived.view()[:_NAME_OCTETS])
            if self._key:
                self._key[1].zeroise()
            self._key = key.key_id, derived

    def prove(self, key_id: str) -> Proof:
        """Take a ticket as a client does, and see whose name it bears."""
        name = self._names.get(key_id)
        if name is None:
            return Proof(key_id=key_id, in_use=False, shown_by="the key was not installed since we started")
        ticket = self._session()
        shown = "a ticket made now names the key" if name in ticket else "a ticket made now does not name the key"
        proof = Proof(key_id=key_id, in_use=name in ticket, shown_by=shown)
        ticket[:] = bytes(len(ticket))
        return proof

    def retire(self, key_id: str) -> None:
        """Have no ticket of the key opened any more. With the last one nothing is resumed at the other site."""
        with self._turn:
            self._names.pop(key_id, None)
            if self._key and self._key[0] != key_id:
                # the row is then three times the key in use
                self._set(self._key[1])
                return
            if self._key:
                self._key[1].zeroise()
            self._key = None
        self._forget_all()

    def _forget_all(self) -> None:
        for _ in range(_ROW):
            with Secret(secrets.token_bytes(_KEY_OCTETS)) as nobodys:
                self._set(nobodys)

    def _set(self, key: Secret) -> None:
        command = bytearray(f"set ssl tls-key {self._settings.keys_file} ".encode())
        command += base64.b64encode(key.view())
        command += b"\n"
        try:
            answer = self._asked(command)
        finally:
            command[:] = bytes(len(command))
        if _UPDATED not in answer:
            raise ConsumerFailure(f"HAProxy did not take the ticket key: {answer or 'no answer'}")

    def _asked(self, command: bytearray) -> str:
        answer = bytearray()
        try:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(_TIMEOUT_S)
                line.connect(self._settings.socket)
                line.sendall(command)
                while len(answer) < _ANSWER_MOST and (more := line.recv(4096)):
                    answer += more
        except OSError as error:
            raise ConsumerFailure(
                f"HAProxy is not reached at {self._settings.socket}: {error.strerror or error}",
                hint="is it running, with `stats socket ... level admin`, and may we write to that socket?",
            ) from error
        return answer.decode("ascii", "replace").strip()

    def _session(self) -> bytearray:
        """Return a new session of the frontend as OpenSSL writes it down, ticket and secrets included, to be wiped."""
        host, _, port = self._settings.frontend.rpartition(":")
        # whoever answers: what counts is a name in the ticket that only holders of the key know
        connection = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
        connection.set_connect_state()
        if self._settings.server_name:
            connection.set_tlsext_host_name(self._settings.server_name.encode("ascii"))
        try:
            stream = BlockingTls(connection, socket.create_connection((host.strip("[]"), int(port)), _TIMEOUT_S))
            stream.expire_in(_TIMEOUT_S)
            try:
                stream.handshake()
                # under TLS 1.3 tickets come after the handshake, before the answer (RFC 8446, 4.6.1)
                stream.sendall(b"OPTIONS * HTTP/1.0\r\n\r\n")
                stream.recv_into(memoryview(bytearray(1)))
                return _as_der(connection.get_session())
            finally:
                stream.close()
        except (SSL.Error, OSError) as error:
            raise ConsumerFailure(f"{self._settings.frontend} gives no session: {reason_of(error)}") from error


def make(settings: Settings, _role: Role) -> Haproxy:
    """Return the consumer. Raises `InvalidInput` with the field."""
    given = read_settings(settings, HaproxySettings)
    host, _, port = given.frontend.rpartition(":")
    problems = [
        Problem(field=field, message="is not absolute and without spaces", hint="write it from the root, /run/...")
        for field in ("socket", "keys_file")
        if not (path := str(getattr(given, field))).startswith("/") or any(c.isspace() or c in ";\\" for c in path)
    ]
    if not (host and port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
        problems.append(Problem(field="frontend", message="is not HOST:PORT", hint="write for example 127.0.0.1:443"))
    if problems:
        raise InvalidInput(f"the settings of this consumer are not right: {problems[0]}", problems=tuple(problems))
    return Haproxy(given)


def _ticket_key(key: NewKey) -> Secret:
    kdf = HKDF(algorithm=SHA512(), length=_KEY_OCTETS, salt=None, info=bound(TICKET_KEY, key.key_id))
    return Secret(kdf.derive(key.octets.view()))


def _as_der(session: Any) -> bytearray:
    """Return what OpenSSL keeps of a session (i2d_SSL_SESSION(3)); empty where there is none."""
    if session is None:
        return bytearray()
    inner = session._session  # noqa: SLF001 - no public way; a test sees to it that it is there
    size = _lib.i2d_SSL_SESSION(inner, _ffi.NULL)
    made = bytearray(max(size, 0))
    with _ffi.from_buffer("unsigned char[]", made, require_writable=True) as octets:
        _lib.i2d_SSL_SESSION(inner, _ffi.new("unsigned char **", octets))
    return made
