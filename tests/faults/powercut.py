"""What a disk may hold after its power failed, from the log of what a process did to its files.

The model, pessimistic within what POSIX lets a file system do (ext4 with data=ordered does less harm):

- What a successful sync covered is there. Every later write to the file may be there or not, whole or in sectors of 512
  bytes. Bytes beside those of a write are never harmed (power-safe overwrite, as SQLite assumes of its disks).
- A file that grows over a lost write holds zeros there.
- A file cut shorter without a sync may be as it was; then what was written after the cut is lost with it.
- Names (create, rename, link, unlink) of a folder survive in their order: all up to its last sync, and some more. A
  synced file whose name was never synced may be gone.
- After a sync that failed, what it should have covered may be lost for good, whatever later syncs say: the system
  forgets that those pages were dirty.

Folders themselves are taken to be there always, and modes to be 0600.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from .shim import Op, Opened, Record

SECTOR = 512
_IGNORED = "-shm"
"""SQLite makes the index of its log anew after a crash."""

Files = Mapping[Path, bytes]


class Style(StrEnum):
    """What happens to the unsynced writes of a cut."""

    NOTHING = "nothing"
    """All are lost."""
    WRITES = "writes"
    """Each is there or not."""
    SECTORS = "sectors"
    """Each sector of each is there or not."""
    ALL = "all"
    """All are there: the same as a killed process."""


class _Write(Struct):
    """Bytes put at an offset."""

    seq: int
    at: int
    content: bytes

    def apply(self, to: bytearray) -> None:
        to.extend(bytes(max(0, self.at + len(self.content) - len(to))))
        to[self.at : self.at + len(self.content)] = self.content

    def sectors(self) -> Iterable["_Write"]:
        """Yield the parts that lie in one sector each."""
        start = 0
        while start < len(self.content):
            end = start + SECTOR - (self.at + start) % SECTOR
            yield _Write(self.seq, self.at + start, self.content[start:end])
            start = end


class _Resize(Struct):
    """A file cut or grown to a length; `at_least`: never cut."""

    seq: int
    length: int
    at_least: bool = False

    def apply(self, to: bytearray) -> None:
        if not self.at_least:
            del to[self.length :]
        to.extend(bytes(max(0, self.length - len(to))))


class _File:
    """One file's bytes on the disk, and the steps that may not have reached it."""

    def __init__(self, durable: bytes = b"") -> None:
        self.durable = bytearray(durable)
        self.pending: list[_Write | _Resize] = []

    def sync(self, covers: int) -> None:
        for step in self.pending:
            if step.seq < covers:
                step.apply(self.durable)
        self.pending = [step for step in self.pending if step.seq >= covers]

    def fail_sync(self, covers: int, chance: random.Random) -> None:
        self.pending = [step for step in self.pending if step.seq >= covers or chance.random() < 0.5]

    def survivor(self, chance: random.Random, style: Style) -> bytes:
        content = bytearray(self.durable)
        for step in self.pending:
            if isinstance(step, _Write):
                for part in step.sectors() if style is Style.SECTORS else (step,):
                    if _kept(chance, style):
                        part.apply(content)
            elif _kept(chance, style):
                step.apply(content)
            elif not step.at_least and step.length < len(content):
                break
        return bytes(content)


def _kept(chance: random.Random, style: Style) -> bool:
    return style is Style.ALL or (style is not Style.NOTHING and chance.random() < 0.5)


class _Name(Struct):
    """A change of one folder's names: `file` None takes `path` away; `gone` disappears in the same step."""

    seq: int
    path: Path
    file: _File | None
    gone: Path | None = None

    def apply(self, to: dict[Path, _File]) -> None:
        if self.gone:
            to.pop(self.gone, None)
        if self.file is None:
            to.pop(self.path, None)
        else:
            to[self.path] = self.file


class Disk:
    """The disk under some folders: what it held (`files`), then each record of the log."""

    def __init__(self, files: Files, chance: random.Random) -> None:
        self._chance = chance
        self._durable = {path: _File(content) for path, content in files.items()}
        self._names = dict(self._durable)
        self._pending: dict[Path, list[_Name]] = {}
        self._by_inode: dict[int, _File] = {}

    def apply(self, records: Iterable[Record]) -> None:
        """Take more steps. Raises `ValueError` for one that the model does not know."""
        for record in records:
            self._apply(record)

    def _apply(self, record: Record) -> None:
        path = Path(record.paths[0])
        if "" in record.paths:
            raise ValueError(f"a name came or went between the folders and elsewhere: {record.paths}")
        match record.op:
            case Op.OPEN:
                self._open(record, path)
            case Op.WRITE:
                self._by_inode[record.inode].pending.append(_Write(record.seq, record.place, record.content))
            case Op.TRUNCATE:
                self._by_inode[record.inode].pending.append(_Resize(record.seq, record.place))
            case Op.EXTEND:
                self._by_inode[record.inode].pending.append(_Resize(record.seq, record.place, at_least=True))
            case Op.SYNC:
                self._sync(record, path)
            case Op.RENAME | Op.LINK:
                new = Path(record.paths[1])
                self._name(_Name(record.seq, new, self._names[path], path if record.op is Op.RENAME else None))
            case Op.UNLINK:
                self._name(_Name(record.seq, path, None))
            case _:
                raise ValueError(f"the model of a disk does not know what was done to {path}")

    def _open(self, record: Record, path: Path) -> None:
        how = Opened(record.place)
        if how & Opened.CREATED:
            self._name(_Name(record.seq, path, _File()))
        file = self._by_inode[record.inode] = self._names[path]
        if how & Opened.EMPTIED and not how & Opened.CREATED:
            file.pending.append(_Resize(record.seq, 0))

    def _name(self, change: _Name) -> None:
        change.apply(self._names)
        self._pending.setdefault(change.path.parent, []).append(change)

    def _sync(self, record: Record, path: Path) -> None:
        if not record.place & Opened.FOLDER:
            file = self._by_inode[record.inode]
            file.fail_sync(record.covers, self._chance) if record.error else file.sync(record.covers)
        elif not record.error:
            changes = self._pending.pop(path, [])
            for change in changes:
                if change.seq < record.covers:
                    change.apply(self._durable)
            self._pending[path] = [change for change in changes if change.seq >= record.covers]

    def cut(self, style: Style) -> dict[Path, bytes]:
        """Return one state that the disk may be in when power fails now."""
        names = dict(self._durable)
        for changes in self._pending.values():
            for change in changes[: self._reached(len(changes), style)]:
                change.apply(names)
        return {path: file.survivor(self._chance, style) for path, file in names.items()}

    def _reached(self, changes: int, style: Style) -> int:
        if style in (Style.NOTHING, Style.ALL):
            return changes if style is Style.ALL else 0
        return self._chance.randint(0, changes)


def files_of(folders: Sequence[Path]) -> dict[Path, bytes]:
    """Return what the folders hold now, by absolute path."""
    found = (path for folder in folders for path in sorted(folder.resolve().rglob("*")))
    return {path: path.read_bytes() for path in found if path.is_file() and not path.name.endswith(_IGNORED)}


def put_back(folders: Sequence[Path], files: Files) -> None:
    """Make the folders hold exactly `files`."""
    for folder in folders:
        for path in folder.resolve().rglob("*"):
            if path.is_file():
                path.unlink()
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(content)
