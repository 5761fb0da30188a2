"""Blocks that come as files: raw key that somebody puts into a folder at both ends, `<UUID>.key`, the same bytes each.

A file is taken once nobody has changed it for a second, and removed once its block is durable: overwritten, cut to
nothing, unlinked. That is best effort, as on every disk that moves its blocks about. What cannot be taken stays where
it is, and the log says why, once.
"""

import asyncio
import contextlib
import logging
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from keystrand.crypto.secret import Secret
from keystrand.edge.devices.source import WAIT_S, Feed
from keystrand.edge.kme.config import FileSource
from keystrand.edge.kme.messages import NO_QBER, Block
from keystrand.edge.store.pools import LEAST_BLOCK_OCTETS
from keystrand.model.errors import KeystrandError, MissingInput

_log = logging.getLogger(__name__)

MOST_OCTETS = 1 << 16
"""Longer files are split by whoever makes them, with a name each."""
SETTLED_S = 1.0
"""How long a file must have stayed the same: one that is still being written is not taken half."""
_NAME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.key")


class Seen(NamedTuple):
    """What a file was when it was looked at: where any of it changes it is another file."""

    inode: int
    size: int
    changed_ns: int


class KeyFile(NamedTuple):
    """A file that was read: its block's name, its bytes, and what it was."""

    block_id: str
    content: Secret
    seen: Seen


class NotRemoved(KeystrandError):
    """A file whose block is in the store could not be removed."""

    default_hint = "remove it by hand: its key must not stay where it is"


class KeyFolder:
    """The folder of one source. Only who runs this KME may read and write the files in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._since: dict[str, tuple[Seen, float]] = {}
        self._refused: dict[str, Seen] = {}

    def settled(self) -> list[str]:
        """Return the names of files that have stayed the same for a while and were not refused, in order.

        Raises `MissingInput` where the folder cannot be read.
        """
        now, found = time.monotonic(), dict[str, tuple[Seen, float]]()
        for name, seen in self._look():
            before = self._since.get(name)
            found[name] = before if before and before[0] == seen else (seen, now)
        self._since = found
        self._refused = {name: seen for name, seen in self._refused.items() if name in found}
        names = sorted(name for name, (_, since) in found.items() if now - since >= SETTLED_S)
        return [name for name in names if self._refused.get(name) != found[name][0]]

    def _look(self) -> Iterator[tuple[str, Seen]]:
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    # what begins with a dot is somebody's work in progress
                    if not entry.name.startswith("."):
                        with contextlib.suppress(FileNotFoundError):
                            yield entry.name, _seen(entry.stat(follow_symlinks=False))
        except OSError as error:
            raise MissingInput(f"the folder {self._folder} cannot be read: {error.strerror}") from None

    def read(self, name: str) -> KeyFile | None:
        """Return a file's content where it may be taken; None where it may not, which the log says once."""
        if not _NAME.fullmatch(name):
            self._refuse(name, "its name is not <UUID>.key in lower case")
            return None
        if not os.access(self._folder, os.W_OK):
            self._refuse(name, "its folder cannot be written, so the file could not be removed")
            return None
        try:
            # open for writing too: what cannot be overwritten is not taken
            with _opened(self._folder / name) as descriptor:
                status = os.fstat(descriptor)
                if fault := _fault(status):
                    self._refuse(name, fault)
                    return None
                content = bytearray(status.st_size)
                length = os.preadv(descriptor, [content], 0)
        except OSError as error:
            self._refuse(name, f"it cannot be opened for reading and overwriting: {error.strerror}")
            return None
        made = KeyFile(name.removesuffix(".key"), Secret(memoryview(content)[:length]), _seen(status))
        content[:] = bytes(len(content))
        return made

    def _refuse(self, name: str, why: str) -> None:
        _log.warning("%s is not taken: %s", self._folder / name, why)
        if name in self._since:
            self._refused[name] = self._since[name][0]

    def remove(self, file: KeyFile) -> None:
        """Overwrite and unlink a file that was read, unless another has taken its place. Raises `NotRemoved`."""
        path = self._folder / f"{file.block_id}.key"
        try:
            with _opened(path) as descriptor:
                if _seen(os.fstat(descriptor)) != file.seen:
                    return
                # by chance and not by zeros: what is left of it is never the same as anybody else's
                os.pwrite(descriptor, os.urandom(file.seen.size), 0)
                os.fsync(descriptor)
                os.ftruncate(descriptor, 0)
            path.unlink()
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise NotRemoved(f"{path} could not be removed: {error.strerror}") from error


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _seen(status: os.stat_result) -> Seen:
    return Seen(status.st_ino, status.st_size, status.st_mtime_ns)


def _fault(status: os.stat_result) -> str:
    """Return why a file may not be taken; empty where it may."""
    if not stat.S_ISREG(status.st_mode):
        return "it is no plain file"
    if status.st_mode & 0o077 or status.st_uid != os.geteuid():
        return "others may read it, or it belongs to another user: chown it, chmod 600 it, and ask who has seen it"
    if not LEAST_BLOCK_OCTETS <= status.st_size <= MOST_OCTETS:
        return f"it has {status.st_size} bytes, and a block has {LEAST_BLOCK_OCTETS} to {MOST_OCTETS}"
    return ""


class FolderSource:
    """Takes the files of one folder, one after the other, as blocks of one link."""

    def __init__(self, feed: Feed, config: FileSource) -> None:
        self._feed, self._config = feed, config
        self._folder = KeyFolder(Path(config.folder))
        # blocks whose file is still there: stored once, whatever becomes of the file
        self._stored: set[str] = set()
        self.name = f"files of link {feed.link}"

    async def step(self) -> float:
        """Take what has settled. Raises `MissingInput` where there is no such folder, `NotRemoved`."""
        for name in await asyncio.to_thread(self._folder.settled):
            file = await asyncio.to_thread(self._folder.read, name)
            if file and not await self._take(file):
                break
        return WAIT_S

    async def _take(self, file: KeyFile) -> bool:
        """Store the block of a file, then remove the file; return false where the pool is full."""
        if file.block_id not in self._stored and not await self._add(file):
            return False
        self._stored.add(file.block_id)
        file.content.zeroise()
        await asyncio.to_thread(self._folder.remove, file)
        self._stored.discard(file.block_id)
        return True

    async def _add(self, file: KeyFile) -> bool:
        config = self._config
        block = Block(
            link=config.link, block_id=file.block_id, master_kme=config.master_kme, key_bits=file.content,
            qber=NO_QBER if config.qber is None else config.qber, label=config.label,
        )  # fmt: skip
        # the same file may reach the other end by hand, days later
        return await self._feed.add(block, confirm_s=None)

    def close(self) -> None:
        """Let go of the connection."""
        self._feed.close()
