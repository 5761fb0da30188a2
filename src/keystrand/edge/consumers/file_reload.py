"""A consumer: any program that takes TLS-PSK keys from a file of lines `identity:hexadecimal` and reads it again.

stunnel and mosquitto do so when told; qemu-nbd and nbdkit do at each handshake. The identity is the `key_ID`, so a peer
names its key in band, and the key before serves beside the new one until it is retired. The file is replaced in one
step: a program reads the old content or the new.

The file is keystrand's alone. Without a key it holds one random line that nobody knows, for an empty file is refused by
some programs, which then go on with the keys they have. A connection that is open outlives its key: `cut` ends those
when the last key goes.
"""

import logging
import os
import pwd
import re
import secrets
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers.base import ConsumerFailure, NewKey, Proof, Role, Settings
from keystrand.edge.consumers.settings import read_settings, told
from keystrand.edge.files import replacing, shred, temporary_of
from keystrand.model.errors import InvalidInput, MissingInput, Problem, StoreFailure

_log = logging.getLogger(__name__)

READ, NONE = "read", "none"
_LINE = re.compile(rb"([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}):((?:[0-9a-f]{2}){16,256})\Z")
_NOBODY = "00000000-0000-0000-0000-"
"""How the name of nobody's key begins: a KME draws its IDs at random (RFC 9562, version 4), and none is so."""
_NOBODYS_OCTETS = 32
_MOST_OCTETS = 1 << 16
_VOLATILE = ("tmpfs", "ramfs")


class FileSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator writes.

    `reload`: a command that has the program read its file, or `pid_file`, for SIGHUP; neither where it reads at each
    handshake. `prove`: a command that ends with 0 where `{key_id}` is in use, or `read`: the program has read the file
    since. `cut`: a command that ends open connections when the last key goes, or `none`: they live on. `owner`: whose
    the file is, where the program is not root.
    """

    path: str
    prove: str
    cut: str
    reload: str = ""
    pid_file: str = ""
    owner: str = ""


class FileReload:
    """One file and the program that reads it."""

    def __init__(self, settings: FileSettings) -> None:
        self._settings, self._path = settings, Path(settings.path)
        self._installed = ""

    def prepare(self) -> None:
        """See that the file can be ours; where it is not there it is made, with nobody's key."""
        if not self._path.parent.is_dir():
            raise MissingInput(f"{self._path.parent} does not exist", hint="make the folder, best on a tmpfs")
        if not _is_volatile(self._path.parent):
            _log.warning("%s is not on a tmpfs: keys that were in it may stay on the disk", self._path)
        # what a kill may have left behind
        shred(temporary_of(self._path))
        if not self._path.exists():
            self._write([_nobodys()])
        _wipe(self._lines())

    def install(self, key: NewKey) -> None:
        """Put the key before those that are there, and have the file read. See `Consumer`."""
        new = _line(key.key_id, key.octets)
        if not _LINE.match(new):
            _wipe([new])
            raise ConsumerFailure(f"a key called {key.key_id!r} of {8 * len(key.octets)} bits fits no line of the file")
        before = self._lines()
        after = [new, *(line for line in _keys(before) if _id_of(line) != key.key_id)]
        try:
            self._write(after)
            try:
                self._reload(key.key_id)
            except ConsumerFailure:
                self._write(before)
                with suppress(ConsumerFailure):
                    self._reload(key.key_id)
                raise
        finally:
            _wipe([*before, *after])
        self._installed = key.key_id

    def prove(self, key_id: str) -> Proof:
        """Ask the operator's command, or see whether the file was read since it holds the key."""
        lines = self._lines()
        there = key_id in map(_id_of, lines)
        _wipe(lines)
        if not there:
            return Proof(key_id=key_id, in_use=False, shown_by="the file does not hold it")
        if self._settings.prove != READ:
            try:
                said = told(self._settings.prove, key_id)
            except ConsumerFailure as error:
                return Proof(key_id=key_id, in_use=False, shown_by=error.message)
            return Proof(key_id=key_id, in_use=True, shown_by=said or "the command of the operator ended with 0")
        # relatime moves the time of reading at the first reading after the writing; our own leaves it
        about = self._path.stat()
        was_read = about.st_atime_ns > about.st_mtime_ns
        shown = (
            "the program has read the file since; which key it uses is not visible" if was_read else "not read since"
        )
        return Proof(key_id=key_id, in_use=was_read, shown_by=shown)

    def retire(self, key_id: str) -> None:
        """Take the key out and have the file read; with the last one, end what is open. See `Consumer`."""
        lines = self._lines()
        kept = [line for line in _keys(lines) if _id_of(line) != key_id]
        try:
            if key_id in map(_id_of, lines):
                self._write(kept or [_nobodys()])
        finally:
            _wipe(lines)
        # also where the key is out already: a crash may have come before the program was told
        self._reload(key_id)
        if not kept and self._settings.cut != NONE:
            told(self._settings.cut, key_id)

    def _lines(self) -> list[bytearray]:
        """Return the lines, to be wiped by whoever asks. Raises `ConsumerFailure` where one is not ours."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NOATIME | os.O_CLOEXEC)
        except OSError as error:
            raise ConsumerFailure(f"{self._path} cannot be read: {error.strerror}") from error
        content = bytearray(_MOST_OCTETS)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            size = file.readinto(content) or 0
        lines = content[:size].splitlines()
        content[:] = bytes(len(content))
        if size == _MOST_OCTETS or not all(map(_LINE.match, lines)):
            _wipe(lines)
            raise ConsumerFailure(
                f"{self._path} holds lines that keystrand did not write; it was left as it is",
                hint="give keystrand a file of its own",
            )
        return lines

    def _write(self, lines: Sequence[bytearray]) -> None:
        shred(temporary_of(self._path))
        try:
            with replacing(self._path, mode=0o600, alone=True) as file:
                if self._settings.owner:
                    os.fchown(file.fileno(), pwd.getpwnam(self._settings.owner).pw_uid, -1)
                for line in lines:
                    file.write(line)
                    file.write(b"\n")
        except StoreFailure as error:
            raise ConsumerFailure(error.message) from error

    def _reload(self, key_id: str) -> None:
        if self._settings.reload:
            told(self._settings.reload, key_id)
        elif self._settings.pid_file:
            try:
                os.kill(int(Path(self._settings.pid_file).read_text()), signal.SIGHUP)
            except (OSError, ValueError) as error:
                raise ConsumerFailure(f"the program of {self._settings.pid_file} could not be told: {error}") from error


def make(settings: Settings, _role: Role) -> FileReload:
    """Return the consumer. Raises `InvalidInput` with the field."""
    given = read_settings(settings, FileSettings)
    if problems := tuple(_problems(given)):
        raise InvalidInput(f"the settings of this consumer are not right: {problems[0]}", problems=problems)
    return FileReload(given)


def _problems(given: FileSettings) -> list[Problem]:
    made = []
    if not Path(given.path).is_absolute():
        made.append(Problem(field="path", message="is not absolute", hint="write it from the root, /run/..."))
    if not given.prove:
        made.append(Problem(field="prove", message="says nothing", hint=f'name a command, or write "{READ}"'))
    if not given.cut:
        made.append(Problem(field="cut", message="says nothing", hint=f'name a command, or write "{NONE}"'))
    if given.reload and given.pid_file:
        made.append(
            Problem(field="pid_file", message="is one way too many beside reload", hint="leave one of them out")
        )
    if given.owner:
        try:
            pwd.getpwnam(given.owner)
        except KeyError:
            made.append(Problem(field="owner", message=f"there is no user {given.owner!r}", hint="see /etc/passwd"))
    return made


def _nobodys() -> bytearray:
    """Return a line with a name that no KME gave and a key that nobody knows."""
    with Secret(secrets.token_bytes(_NOBODYS_OCTETS)) as key:
        return _line(f"{_NOBODY}{secrets.token_hex(6)}", key)


def _line(key_id: str, key: Secret) -> bytearray:
    line = bytearray(f"{key_id}:", "utf-8")
    for octet in key.view():
        line += b"%02x" % octet
    return line


def _id_of(line: bytearray) -> str:
    return line.partition(b":")[0].decode("ascii")


def _keys(lines: Sequence[bytearray]) -> list[bytearray]:
    return [line for line in lines if not _id_of(line).startswith(_NOBODY)]


def _wipe(lines: Sequence[bytearray]) -> None:
    for line in lines:
        line[:] = bytes(len(line))


def _is_volatile(folder: Path) -> bool:
    """Return whether what is written there never comes to a disk: by the last mount above it (proc(5), mounts)."""
    best, kind = "", ""
    place = f"{folder.resolve()}/"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, this, *_ = line.split(" ")
        if place.startswith(mount.rstrip("/") + "/") and len(mount) >= len(best):
            best, kind = mount, this
    return kind in _VOLATILE
