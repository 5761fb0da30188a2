"""An application that uses keys in a PKCS#11 token, as a process of its own: a library serves one token a process.

It finds the keys of a label by their CKA_ID, seals and unseals with them inside the token (AES-GCM), and never reads
one. The pilot asks it over a Unix socket that its own user alone can open, one question a connection.

`python -m keystrand.edge.pilot.token_user SETTINGS SOCKET`; SETTINGS is `Pkcs11Settings` in JSON.
"""

import os
import secrets
import socket
import sys
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct

from keystrand.crypto.secret import Secret
from keystrand.edge.agent.frames import framed, receive
from keystrand.edge.consumers.pkcs11 import Pkcs11Settings
from keystrand.edge.store.master_key import SecretSource, read_secret
from keystrand.model.errors import KeystrandError, NoKeyAvailable, PeerUnavailable, PolicyDenied
from keystrand.model.taken_apart import take_apart
from keystrand.model.words import shown

_NONCE_OCTETS, _TAG_BITS = 12, 128
_BLOCK = bytes(16)
_WAITING = 64


class HeldKey(Struct, frozen=True, kw_only=True):
    """A key in the token: its key_ID, and a block of zeros encrypted with it, which no other key gives."""

    key_id: str
    check: bytes


class Question(Struct, frozen=True, kw_only=True):
    """`held`: which keys are there. `seal` `content` with the newest of `key_ids` that is there; `unseal` with it."""

    verb: Literal["held", "seal", "unseal"]
    key_ids: tuple[str, ...] = ()
    content: bytes = b""


class Reply(Struct, frozen=True, kw_only=True):
    """What came of it. `no_key`: none of those asked for is in the token."""

    held: tuple[HeldKey, ...] = ()
    key_id: str = ""
    content: bytes = b""
    failed: str = ""
    no_key: bool = False


take_apart(Question, Reply)


class TokenUser:
    """The application. Keys are as new as the order in which it saw them first.

    It logs in once and stays: with each login SoftHSM2 writes to the token's own file, and another program that reads
    it meanwhile takes the token for broken. Where the token fails it begins anew, with the next question.
    """

    def __init__(self, settings: Pkcs11Settings) -> None:
        from keystrand.edge.pkcs11_token import Token  # noqa: PLC0415 - an extra that may be absent

        with read_secret(SecretSource(file=settings.pin_file, credential=settings.pin_credential), Path("/")) as pin:
            self._token = Token(Path(settings.module), settings.token, Secret(pin.reveal().rstrip(b"\r\n")))
        self._label = settings.label
        self._open = ExitStack()
        self._session: Any = None
        self._seen: dict[str, HeldKey] = {}

    def answer(self, question: Question) -> Reply:
        """Return what is asked for. Raises `NoKeyAvailable`, and what `Token.session` does."""
        from pkcs11.exceptions import PKCS11Error  # noqa: PLC0415 - as above

        try:
            return self._answer(question)
        except PKCS11Error:
            self._session = None
            # it goes through the session's end, which says what it means
            with self._open.pop_all():
                raise

    def _answer(self, question: Question) -> Reply:
        if self._session is None:
            self._session = self._open.enter_context(self._token.session())
        keys = self._keys(self._session)
        if question.verb == "held":
            return Reply(held=tuple(self._seen[key_id] for key_id in keys))
        key_id = next((one for one in reversed(keys) if one in question.key_ids), "")
        if not key_id:
            raise NoKeyAvailable("no such key is in the token")
        done = (_sealed if question.verb == "seal" else _unsealed)(keys[key_id], question.content)
        return Reply(key_id=key_id, content=done)

    def _keys(self, session: Any) -> dict[str, Any]:
        """Return the keys by key_ID, the newest last."""
        from pkcs11 import Attribute, Mechanism, ObjectClass  # noqa: PLC0415 - as above

        wanted = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.LABEL: self._label}
        found = {str(uuid.UUID(bytes=key[Attribute.ID])): key for key in list(session.get_objects(wanted))}
        for key_id in found.keys() - self._seen.keys():
            check = bytes(found[key_id].encrypt(_BLOCK, mechanism=Mechanism.AES_ECB))
            self._seen[key_id] = HeldKey(key_id=key_id, check=check)
        return {key_id: found[key_id] for key_id in self._seen if key_id in found}


def _sealed(key: Any, content: bytes) -> bytes:
    from pkcs11 import GCMParams, Mechanism  # noqa: PLC0415 - as above

    nonce = secrets.token_bytes(_NONCE_OCTETS)
    parameters = GCMParams(nonce, b"", _TAG_BITS)
    return nonce + bytes(key.encrypt(content, mechanism=Mechanism.AES_GCM, mechanism_param=parameters))


def _unsealed(key: Any, content: bytes) -> bytes:
    from pkcs11 import GCMParams, Mechanism  # noqa: PLC0415 - as above

    nonce, sealed = content[:_NONCE_OCTETS], content[_NONCE_OCTETS:]
    parameters = GCMParams(nonce, b"", _TAG_BITS)
    return bytes(key.decrypt(sealed, mechanism=Mechanism.AES_GCM, mechanism_param=parameters))


def serve(user: TokenUser, path: Path) -> None:
    """Answer questions at the new socket `path` until killed."""
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(_WAITING)
    while True:
        stream, _ = listener.accept()
        with stream:
            try:
                _serve_one(user, stream)
            except (OSError, PolicyDenied) as error:
                sys.stderr.write(f"a caller was cut off: {shown(str(error))}\n")


def _serve_one(user: TokenUser, stream: socket.socket) -> None:
    stream.settimeout(_WITHIN_S)
    question = receive(stream, Question)
    if question is None:
        return
    try:
        reply = user.answer(question)
    except KeystrandError as error:
        reply = Reply(failed=shown(error.message), no_key=isinstance(error, NoKeyAvailable))
    stream.sendall(framed(reply))


class TokenApplication(NamedTuple):
    """The way to an application that listens at `path`."""

    path: Path

    def ask(self, question: Question) -> Reply:
        """Return its answer. Raises `NoKeyAvailable`, `PeerUnavailable` where it fails or is not reached."""
        try:
            with socket.socket(socket.AF_UNIX) as stream:
                stream.settimeout(_WITHIN_S)
                stream.connect(str(self.path))
                stream.sendall(framed(question))
                reply: Reply | None = receive(stream, Reply)
        except (OSError, PolicyDenied) as error:
            raise PeerUnavailable(f"the application at {self.path} is not reached: {error}") from error
        if reply is None:
            raise PeerUnavailable(f"the application at {self.path} did not answer")
        if reply.no_key:
            raise NoKeyAvailable(reply.failed)
        if reply.failed:
            raise PeerUnavailable(f"the application at {self.path} failed: {reply.failed}")
        return reply


_WITHIN_S = 5.0


def main(words: Sequence[str]) -> None:
    """Run as a process."""
    settings, path = map(Path, words)
    serve(TokenUser(msgspec.json.decode(settings.read_bytes(), type=Pkcs11Settings)), path)


if __name__ == "__main__":
    main(sys.argv[1:])
