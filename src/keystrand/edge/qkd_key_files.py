"""Authentication key that is used once, and keys that are delivered once: files that only their owner may read.

An authentication file holds raw octets, the same at both ends. A session takes key from its front before it says a
word, with the connection up at both ends; what a crash interrupts is lost, never used twice. Where a session ends at
one end and aborts at the other, the files differ and the next session's first words are refused: put new key into both.
"""

import contextlib
import os
import tempfile
from pathlib import Path

from keystrand.crypto.secret import Secret
from keystrand.edge.files import overwrite, read_bytes, shred, sync_folder, write_atomic
from keystrand.model.errors import InvalidInput, MissingInput, StoreFailure
from keystrand.qkd.authentication import KEY_OCTETS, AuthenticationKeyExhausted

PORTION_OCTETS = 2 * KEY_OCTETS
_PRIVATE = 0o600
_HINT = f"both ends need the same secret file, a multiple of {PORTION_OCTETS} random octets, mode 0600"


def check_authentication(path: Path) -> int:
    """Return how many octets of key `path` holds.

    Raises `MissingInput`; `InvalidInput` for a file that others may read or of another length;
    `AuthenticationKeyExhausted` for an empty one.
    """
    try:
        facts = path.stat()
    except OSError as error:
        raise MissingInput(f"{path} does not exist, or another session has it", hint=_HINT) from error
    if facts.st_mode & 0o077:
        raise InvalidInput(f"{path} can be read by others than its owner", hint="chmod 600 it, or make a new key")
    if facts.st_size % PORTION_OCTETS:
        raise InvalidInput(f"{path} has {facts.st_size} octets, no multiple of {PORTION_OCTETS}", hint=_HINT)
    if not facts.st_size:
        raise AuthenticationKeyExhausted(f"{path} is empty: there is no key to authenticate with", hint=_HINT)
    return facts.st_size


def take_authentication(path: Path, octets: int = 0) -> bytearray:
    """Return the first `octets` of the file (0: all), which no longer holds them when this returns.

    Raises as `check_authentication`, and `AuthenticationKeyExhausted` for more than there is. The file is renamed
    first: of two sessions one finds nothing, and after a crash nobody does.
    """
    held = check_authentication(path)
    if octets % PORTION_OCTETS or octets < 0:
        raise InvalidInput(f"{octets} octets are no multiple of {PORTION_OCTETS}", hint=_HINT)
    if octets > held:
        raise AuthenticationKeyExhausted(f"{path} holds {held} octets of key, fewer than {octets}", hint=_HINT)
    claimed = path.with_name(f".{path.name}.in-use")
    if claimed.exists():
        raise StoreFailure(f"{claimed} is left of a session that was killed", hint="its key is lost: remove the file")
    try:
        path.rename(claimed)
    except OSError as error:
        raise MissingInput(f"{path} was taken by another session", hint=_HINT) from error
    content = bytearray(read_bytes(claimed))
    taken = content[: octets or held]
    write_atomic(path, bytes(content[len(taken) :]), mode=_PRIVATE)
    shred(claimed)
    content[:] = bytes(len(content))
    return taken


def return_authentication(path: Path, key: Secret) -> None:
    """Append key for later sessions: what one did not use, then the refill. Raises `StoreFailure`."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            before = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            stack.callback(os.close, before)
            stack.callback(overwrite, before)
        write_atomic(path, read_bytes(path) + key.reveal(), mode=_PRIVATE)


def check_new(path: Path) -> None:
    """Raise `InvalidInput` where there is something at `path` already: a key is never overwritten."""
    if path.is_symlink() or path.exists():
        raise InvalidInput(f"{path} exists, and a key is never overwritten", hint="give --out another name")


def write_new_key(path: Path, key: Secret) -> None:
    """Write raw octets to a new file, or nothing. Raises `InvalidInput` where one exists, else `StoreFailure`."""
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
        with os.fdopen(descriptor, "wb") as file:
            file.write(key.view())
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
        linked, temporary = temporary, ""  # from here on it is the key's own file: never shredded
        Path(linked).unlink()
        sync_folder(path.parent)
    except OSError as error:
        if temporary:
            shred(Path(temporary))
        if temporary and isinstance(error, FileExistsError):
            check_new(path)
        raise StoreFailure(f"{path} could not be written: {error.strerror}") from error
