"""Authentication key that is used once, and keys that are delivered once: files that only their owner may read.

An authentication file holds raw octets, the same at both ends. A session takes key from its front before it says a
word: who connects with the connection up, who listens once the first frame has come that this key recognises. What a
crash interrupts is lost, never used twice. Where a session ends at
one end and aborts at the other, the files differ and the next session's first words are refused: put new key into both.

Whoever changes the file gives it a second name first, which only one can do; then a new file takes the first name, and
what stands under the second is overwritten. So the key must have one name: another one, or a link to it, would keep it.
"""

import contextlib
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keystrand.crypto.secret import Secret
from keystrand.edge.files import shred, sync_folder, write_atomic
from keystrand.model.errors import InvalidInput, MissingInput, StoreFailure
from keystrand.qkd.authentication import KEY_OCTETS, AuthenticationKeyExhausted

PORTION_OCTETS = 2 * KEY_OCTETS
_PRIVATE = 0o600
_HINT = f"both ends need the same secret file, a multiple of {PORTION_OCTETS} random octets, mode 0600"
_TRIES, _PAUSE_S = 20, 0.1
"""To return key while another session takes some, which needs milliseconds."""


def check_authentication(path: Path) -> int:
    """Return how many octets of key `path` holds.

    Raises `MissingInput`; `InvalidInput` for a file that others own, read or know by another name, no file, or one of
    another length; `AuthenticationKeyExhausted` for an empty one; `StoreFailure` where another session has it.
    """
    try:
        facts = path.lstat()
    except OSError as error:
        raise MissingInput(f"{path} does not exist", hint=_HINT) from error
    if os.path.lexists(_claim_of(path)):
        raise _in_use(path)
    _check(path, facts, names=1)
    return facts.st_size


def see_authentication(path: Path, octets: int = 0) -> bytearray:
    """Return what `take_authentication` would, and take nothing; to recognise the peer by. Raises as it does."""
    _check_portion(octets)
    held = check_authentication(path)
    content = _content(path, path, names=1)
    _check_enough(path, held, octets)
    seen = content[: octets or held]
    content[:] = bytes(len(content))
    return seen


def take_authentication(path: Path, octets: int = 0) -> bytearray:
    """Return the first `octets` of the file (0: all), which no longer holds them when this returns.

    Raises as `check_authentication`, and `AuthenticationKeyExhausted` for more than there is. Of two sessions one is
    refused; where the rest cannot be written nothing is taken, and after a crash nobody finds what was.
    """
    _check_portion(octets)
    check_authentication(path)
    with _alone(path) as held:
        _check_enough(path, len(held), octets)
        taken = held[: octets or len(held)]
        if not any(taken):
            raise InvalidInput(f"{path} holds zeros: that is no key", hint=_HINT)
        write_atomic(path, bytes(held[len(taken) :]), mode=_PRIVATE)
    return taken


def return_authentication(path: Path, key: Secret) -> None:
    """Append key for later sessions: what one did not use, then the refill. Raises as `check_authentication`."""
    for left in reversed(range(_TRIES)):
        try:
            with _alone(path, empty=True) as held:
                write_atomic(path, bytes(held) + key.reveal(), mode=_PRIVATE)
        except _InUse:
            if not left:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


class _InUse(StoreFailure):
    """Another session has the file just now, or was killed while it had."""


@contextmanager
def _alone(path: Path, *, empty: bool = False) -> Iterator[bytearray]:
    """Yield the content, while nobody else can take or change it; the old content is gone where `path` has a new one.

    `empty`: the file may hold no key.
    """
    claim = _claim_of(path)
    try:
        os.link(path, claim, follow_symlinks=False)
    except FileExistsError as error:
        raise _in_use(path) from error
    except FileNotFoundError as error:
        raise MissingInput(f"{path} does not exist", hint=_HINT) from error
    except OSError as error:
        raise StoreFailure(f"key cannot be taken from {path}: {error.strerror}") from error
    content = bytearray()
    try:
        content = _content(claim, path, names=2, empty=empty)
        yield content
    finally:
        content[:] = bytes(len(content))
        with contextlib.suppress(OSError):
            if os.path.lexists(path) and os.path.samestat(path.lstat(), claim.lstat()):
                claim.unlink()  # nothing was changed: one name less
            else:
                shred(claim)


def _check_portion(octets: int) -> None:
    if octets % PORTION_OCTETS or octets < 0:
        raise InvalidInput(f"{octets} octets are no multiple of {PORTION_OCTETS}", hint=_HINT)


def _check_enough(path: Path, held: int, octets: int) -> None:
    if octets > held:
        raise AuthenticationKeyExhausted(f"{path} holds {held} octets of key, fewer than {octets}", hint=_HINT)


def _content(claim: Path, path: Path, *, names: int, empty: bool = False) -> bytearray:
    try:
        with os.fdopen(os.open(claim, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            _check(path, os.fstat(file.fileno()), names=names, empty=empty)
            return bytearray(file.read())
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read as a file of its own: {error.strerror}", hint=_HINT) from error


def _check(path: Path, facts: os.stat_result, *, names: int, empty: bool = False) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise InvalidInput(f"{path} is no file itself, but a link or something else", hint="give the file it leads to")
    if facts.st_uid != os.geteuid():
        raise InvalidInput(f"{path} belongs to another user, who knows what it holds", hint="make a new key")
    if facts.st_mode & 0o077:
        raise InvalidInput(f"{path} can be read by others than its owner", hint="chmod 600 it, or make a new key")
    if facts.st_nlink != names:
        raise InvalidInput(f"{path} has a second name, under which its key would stay", hint="make a new key")
    if facts.st_size % PORTION_OCTETS:
        raise InvalidInput(f"{path} has {facts.st_size} octets, no multiple of {PORTION_OCTETS}", hint=_HINT)
    if not facts.st_size and not empty:
        raise AuthenticationKeyExhausted(f"{path} is empty: there is no key to authenticate with", hint=_HINT)


def _claim_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.in-use")


def _in_use(path: Path) -> _InUse:
    return _InUse(
        f"another session takes key from {path} just now, or was killed while it did",
        hint=f"if no session runs, remove {_claim_of(path)}: what it holds is in {path} too, or used",
    )


def check_new(path: Path) -> None:
    """Raise `InvalidInput` where something is at `path`, or nothing can be: a key is never overwritten, nor lost."""
    if os.path.lexists(path):
        raise InvalidInput(f"{path} exists, and a key is never overwritten", hint="give --out another name")
    folder = next(one for one in path.absolute().parents if os.path.lexists(one))
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise InvalidInput(
            f"{path} cannot be written: nothing can be put into {folder}", hint="give --out another name"
        )


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
