"""Where secrets come from: a file, a systemd credential or a command, never a value in a configuration.

The master key wraps the data keys of one store. With a PKCS#11 token there is none: the token holds what wraps them.
"""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from keystrand.crypto.secret import Secret
from keystrand.edge.files import read_bytes, write_atomic
from keystrand.edge.store.keyring import KEY_BYTES, FileKeyring, Keyring
from keystrand.model.errors import InvalidInput, MissingInput

_COMMAND_S = 30.0
"""How long a command may take: it may ask a vault over the network."""
_CREDENTIALS = "CREDENTIALS_DIRECTORY"


class SecretSource(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a secret comes from: exactly one of these is set.

    `file`: its owner alone can reach it (0600); `credential`: a name that the systemd unit loads (`LoadCredential=`);
    `command`: a program and its arguments, run without a shell, that prints the secret.
    """

    file: str = ""
    credential: Annotated[str, Meta(pattern="^[^/]*$")] = ""
    command: tuple[str, ...] = ()


class TokenSource(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A PKCS#11 token: the library that speaks to it, its label, and where its PIN comes from."""

    module: str
    token: str
    pin: SecretSource


class MasterKeySource(SecretSource, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the master key comes from, or the token that replaces it: exactly one is set.

    A master key is 32 random bytes, as they are or as 64 hexadecimal digits. A `file` is made for a new store where it
    is not there.
    """

    pkcs11: TokenSource | None = None


def faults(source: SecretSource) -> Iterator[str]:
    """Yield what is wrong with a source: not one place named, but none or several."""
    master = isinstance(source, MasterKeySource)
    token = source.pkcs11 if isinstance(source, MasterKeySource) else None
    if sum(map(bool, (source.file, source.credential, source.command, token))) != 1:
        yield f"name exactly one of file, credential, command{', pkcs11' if master else ''}"
    if token:
        yield from faults(token.pin)


def open_keyring(source: MasterKeySource, file: Path, store_id: str, *, home: Path, new: bool) -> Keyring:
    """Return the keyring in `file` of the store `store_id`; `new`: the store is, so what is missing is made.

    Relative paths of `source` start at `home`. Raises `MissingInput`, `InvalidInput` or `StoreFailure`.
    """
    if problems := list(faults(source)):
        raise InvalidInput(f"the master key's source is not clear: {problems[0]}")
    if source.pkcs11:
        return _token_keyring(source.pkcs11, file, store_id, home=home, new=new)
    if new and source.file and not (home / source.file).exists():
        write_atomic(home / source.file, os.urandom(KEY_BYTES), mode=0o600)
    with read_secret(source, home) as content, _master_key(content) as master:
        return FileKeyring(file, master, store_id, new=new)


def _token_keyring(source: TokenSource, file: Path, store_id: str, *, home: Path, new: bool) -> Keyring:
    try:
        from keystrand.edge.store.pkcs11 import Pkcs11Keyring  # noqa: PLC0415  # an extra that may be absent
    except ImportError as error:
        raise MissingInput("PKCS#11 tokens need python-pkcs11", hint="install keystrand with the extra hsm") from error
    with read_secret(source.pin, home) as content:
        pin = Secret(content.reveal().rstrip(b"\r\n"))
    return Pkcs11Keyring(home / source.module, source.token, pin, store_id, file=file, new=new)


def read_secret(source: SecretSource, home: Path) -> Secret:
    """Return the secret. Raises `MissingInput`, or `InvalidInput` where it cannot be had or others reach its file."""
    if source.command:
        return _printed_by(source.command)
    if source.credential:
        return _credential(source.credential)
    file = home / source.file
    content = read_bytes(file, hint="without this secret the key management entity cannot start; it is never made anew")
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise InvalidInput(f"{file} can be reached by others than its owner", hint=f"chmod 600 {file}")
    return Secret(content)


def _credential(name: str) -> Secret:
    """Return a credential of the unit. Its folder is the unit's alone; an ACL makes its modes say otherwise."""
    folder = os.environ.get(_CREDENTIALS)
    hint = f"write LoadCredential={name}:/path or LoadCredentialEncrypted={name}:/path into the unit"
    if not folder:
        raise MissingInput(f"there are no credentials: {_CREDENTIALS} is not set", hint=hint)
    return Secret(read_bytes(Path(folder) / name, hint=hint))


def _printed_by(command: tuple[str, ...]) -> Secret:
    """Return what a command prints. Only its exit code is told: what it says may be secret."""
    try:
        done = subprocess.run(  # noqa: S603  # the operator's own command, without a shell
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=_COMMAND_S, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise InvalidInput(f"{command[0]} gave no secret: {type(error).__name__}") from None
    if done.returncode or not done.stdout:
        raise InvalidInput(
            f"{command[0]} gave no secret: exit code {done.returncode}", hint="run it by hand as the same user"
        )
    return Secret(done.stdout)


def _master_key(content: Secret) -> Secret:
    """Return a master key from its bytes or its hexadecimal digits. Raises `InvalidInput`."""
    if len(content) == KEY_BYTES:
        return Secret(content.view())
    try:
        key = bytes.fromhex(content.reveal().decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise InvalidInput(
            f"the master key's source holds {len(content)} bytes, not {KEY_BYTES} (or twice as many digits)",
            hint="make one with: openssl rand 32",
        )
    return Secret(key)
