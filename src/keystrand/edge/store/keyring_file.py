"""The file of a keyring: a data key in wrapped form for each epoch, and nothing else.

It stands outside the store's folder and in no backup, snapshot or copy: that a data key destroyed here is gone
everywhere is what makes old copies of the store worthless.
"""

import contextlib
import fcntl
import glob
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from keystrand.edge.files import overwrite, read_bytes, shred, write_atomic
from keystrand.model.errors import InvalidInput, StoreFailure

_FORMAT = 1
_PRIVATE = 0o600


class Wrapped(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The data key of an epoch, sealed."""

    epoch: int
    key: bytes


class Sheet(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file holds. `wrapped_by` names what opens it; `tag` authenticates the rest where that can."""

    format: int = _FORMAT
    store: str
    wrapped_by: str
    keys: tuple[Wrapped, ...] = ()
    tag: bytes = b""

    def by_epoch(self) -> dict[int, bytes]:
        """Return the wrapped keys by their epoch."""
        return {one.epoch: one.key for one in self.keys}


def wrapped_keys(keys: Mapping[int, bytes]) -> tuple[Wrapped, ...]:
    """Return wrapped keys as a sheet holds them."""
    return tuple(Wrapped(epoch=epoch, key=key) for epoch, key in sorted(keys.items()))


@contextmanager
def alone_with(file: Path) -> Iterator[None]:
    """Hold off every other thread and process that would change `file`. Raises `StoreFailure`.

    What a process that was killed left half written holds wrapped keys: it is overwritten and removed first.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE)
    except OSError as error:
        raise StoreFailure(f"{file} cannot hold a keyring: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for left in file.parent.glob(f".{glob.escape(file.name)}.*"):
            shred(left)
        yield
    finally:
        os.close(descriptor)


def read_sheet(file: Path, store_id: str, wrapped_by: str) -> Sheet:
    """Return the sheet of the store `store_id`.

    Raises `MissingInput`, `InvalidInput` where others can reach it, `StoreFailure` where it is another's or altered.
    """
    content = read_bytes(file, hint="without its keyring a store is worthless: make a new store, at its peers too")
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise InvalidInput(f"{file} can be reached by others than its owner", hint=f"chmod 600 {file}")
    try:
        sheet = msgspec.json.decode(content, type=Sheet)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StoreFailure(f"{file} is not a keyring, or was altered: {error}", hint=_ALTERED) from None
    if sheet.format != _FORMAT:
        raise StoreFailure(f"{file} is of format {sheet.format}, this release writes {_FORMAT}", hint=_ALTERED)
    if sheet.store != store_id:
        raise StoreFailure(f"{file} is the keyring of store {sheet.store}, not of {store_id}", hint=_ALTERED)
    if sheet.wrapped_by != wrapped_by:
        raise StoreFailure(f"the keys in {file} are wrapped by {sheet.wrapped_by}, not by {wrapped_by}", hint=_ALTERED)
    if len(sheet.by_epoch()) != len(sheet.keys) or msgspec.json.encode(sheet) != content:
        raise StoreFailure(f"{file} was altered: it is not in the form that is written", hint=_ALTERED)
    return sheet


_ALTERED = "name the keyring that was made with this store; it cannot be put back from a copy"


def write_sheet(file: Path, sheet: Sheet) -> None:
    """Put `sheet` at `file`, durable on return; then overwrite what stood there. Raises `StoreFailure`.

    The overwriting is best effort: a file system that copies on write, a journal, a solid-state disk or a snapshot may
    keep the old blocks. They hold keys wrapped under the master key; a token leaves nothing to open them with.
    """
    old = None
    with contextlib.suppress(OSError):
        old = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        write_atomic(file, msgspec.json.encode(sheet), mode=_PRIVATE, alone=True)
        if old is not None:
            overwrite(old)
    finally:
        if old is not None:
            os.close(old)
