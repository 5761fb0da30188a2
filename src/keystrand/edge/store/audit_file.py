"""The audit file: the one place where a record must be durable before an answer leaves.

A folder of segments `audit-NNNNNN.jsonl` that are one chain (`operate/audit.py`), and `audit.pub.pem`, the public half
of the key that signs checkpoints. A batch of records is one `write` and one `fdatasync`. Whatever fails poisons the
object for ever: it stops, says so, and never goes on. What a start finds unsigned stays so until it is judged
(`audit_tail`).
"""

import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from msgspec import Raw, Struct

from keystrand.edge.files import write_atomic
from keystrand.edge.store.audit_segment import Segment, lock, segment_path, segments, whole_lines
from keystrand.edge.store.audit_signer import AuditSigner
from keystrand.edge.store.audit_tail import APART, NOWHERE, AuditEnd, Remembered, Tail
from keystrand.model.errors import KeystrandError, StoreFailure
from keystrand.operate.audit import (
    ALGORITHM,
    AUDITOR,
    FORMAT,
    START,
    AuditRecord,
    Entry,
    Genesis,
    Own,
    checkpoint_message,
    checkpoint_record,
    detail_of,
    entry_of,
    genesis_record,
    line_of,
    own_record,
    timestamp,
)
from keystrand.operate.audit_verify import AuditBroken, Verified, verify

PUBLIC_KEY = "audit.pub.pem"
_NOTES = 256
"""How many notes wait at most; they come from sinks that are behind, each at most once in a while."""
_EVIDENCE = "keep the folder as evidence; `keystrand audit verify` on it tells what is wrong"


class AuditLimits(Struct, frozen=True, kw_only=True):
    """When a segment ends (bytes), and when a checkpoint is due (lines, or seconds since the latest, if any line came).

    A checkpoint takes 1 ms and 4.7 kB: one in 4096 lines costs 0.3 % of a core at 10,000 records a second.
    """

    segment_bytes: int = 64 << 20
    checkpoint_lines: int = 4096
    checkpoint_s: float = 60.0


_LIMITS = AuditLimits()


class _Page:
    """Lines that are written in one go."""

    def __init__(self, seq: int, head: str) -> None:
        self.seq, self.head = seq, head
        self.lines: list[bytes] = []

    def add(self, record: AuditRecord, generation: int) -> None:
        line, self.head = line_of(record, self.seq, generation, self.head)
        self.lines.append(line)
        self.seq += 1


class AuditFile:
    """The audit in `folder` of the store `store_id`. Every method blocks, and may be called from any thread.

    `tell` gets the lines of every write once they are durable, for sinks; it must not block. `former`: public halves of
    keys that signed before the present one. Opening raises `StoreFailure` for an audit that is another store's, that
    another process writes, or whose latest segment has any fault but an unfinished write at its end; that is set aside
    in a file of its own, and the audit says so. To open and close it signs nothing that was there.
    """

    def __init__(
        self,
        folder: Path,
        signer: AuditSigner,
        *,
        store_id: str,
        limits: AuditLimits = _LIMITS,
        former: Sequence[MLDSA65PublicKey] = (),
        clock: Callable[[], float] = time.time,
        tell: Callable[[Sequence[bytes]], None] | None = None,
    ) -> None:
        self._folder, self._signer, self._store_id = folder, signer, store_id
        self._limits, self._clock, self._tell = limits, clock, tell
        self._keys = (signer.public_key, *former)
        self._turn = threading.Lock()
        self._notes: deque[tuple[Own, Raw]] = deque(maxlen=_NOTES)
        self._failure: KeystrandError | None = None
        self._segment: Segment | None = None
        self._number = self._generation = 0
        self._end = NOWHERE
        self._unsigned, self._signed_at = 0, clock()
        self._found: Tail | None = Tail()
        """What stood there at the start, as long as it is not judged."""
        self._renew = False
        """Whether the signing key is new, so that a new segment must begin."""
        self._lock = lock(folder)
        try:
            with self._writing():
                self._open()
        except BaseException:
            self._release()
            raise

    @property
    def last_generation(self) -> int:
        """The generation of the last line."""
        return self._generation

    @property
    def head(self) -> str:
        """The hash of the last line. Kept elsewhere, it shows later that nothing was cut off."""
        return self._end.head

    @property
    def end(self) -> AuditEnd:
        """Where it ends now. Safe to ask from any thread."""
        return self._end

    def free_bytes(self) -> int:
        """Return how much the file system can still take."""
        space = os.fstatvfs(self._lock)
        return space.f_bavail * space.f_frsize

    def append(self, records: Sequence[AuditRecord], generation: int) -> None:
        """Write the records of the store's commit number `generation`; durable on return.

        Raises `StoreFailure`; from then on every call does, and only a restart can tell what the disk holds.
        """
        with self._writing():
            if generation <= self._generation:
                raise StoreFailure(f"the audit is at generation {self._generation} and cannot go back to {generation}")
            if any(record.actor == AUDITOR or record.action.startswith(f"{AUDITOR}.") for record in records):
                raise ValueError("only the audit speaks of itself")
            if records:
                self._settle()
                if self._segment and self._segment.size >= self._limits.segment_bytes:
                    self._sign_end()
                    self._begin(self._number + 1)
                self._write(records, generation)

    def note(self, action: Own, detail: Raw) -> None:
        """Have the audit say something of itself with the next write. Never blocks."""
        self._notes.append((action, detail))

    def checkpoint(self) -> None:
        """Sign what is not signed yet and write the notes that wait. For idle times: `append` signs when it is due."""
        with self._writing():
            self._settle()
            self._sign_end()

    def recover(self, told: Remembered) -> None:
        """Make the audit tell what the store committed: once after each start, before anything else is written.

        What a crash kept from this file is written now; what it kept from the store is voided. Raises `StoreFailure`
        where the two differ by more than a crash explains: then nothing of what was found here is ever signed.
        """
        with self._writing():
            committed = told.generation
            if self._generation > committed + 1:
                raise StoreFailure(
                    f"the store is at generation {committed}, its audit at {self._generation}: the store is older",
                    hint=APART,
                )
            missing = self._found.missing(told) if self._found else ()
            if self._generation > committed:
                self._void(committed)
            elif missing:
                self._restate(missing, told.audited)
            self._settle()

    def close(self) -> None:
        """Sign the end and let go of the folder. What was found there and not judged stays unsigned."""
        try:
            if not self._failure and self._found is None:
                with self._writing():
                    self._sign_end()
        finally:
            self._release()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._turn:
            if self._failure:
                raise StoreFailure(f"the audit failed earlier: {self._failure.message}", hint=self._failure.hint)
            try:
                yield
            except KeystrandError as error:
                self._failure = error
                raise
            except OSError as error:
                self._failure = StoreFailure(f"the audit in {self._folder} failed: {error.strerror}")
                raise self._failure from error
            except BaseException as error:
                self._failure = StoreFailure(f"the audit in {self._folder} was interrupted: {error}")
                raise

    def _open(self) -> None:
        self._publish_key()
        files = segments(self._folder)
        if files and next(whole_lines(files[-1]), None) is None:
            files.pop().unlink()  # a crash in the very first write of a segment: nothing hangs on it
        if not files:
            self._begin(1)
            return
        self._renew = self._resume(files[-1]).public_key != self._signer.public_bytes

    def _publish_key(self) -> None:
        file, pem = self._folder / PUBLIC_KEY, self._signer.public_pem
        if not file.exists() or file.read_bytes() != pem:
            write_atomic(file, pem)

    def _resume(self, path: Path) -> Verified:
        """Go on after the last whole line of a segment."""
        self._found = tail = Tail()
        judged = verify(tail.of(path), self._keys)
        if isinstance(judged, AuditBroken):
            raise StoreFailure(f"{path}:{judged.line}: {judged.message}", hint=_EVIDENCE)
        if judged.store != self._store_id:
            raise StoreFailure(f"the audit in {self._folder} is that of store {judged.store}, not of {self._store_id}")
        self._number, self._generation, self._unsigned = judged.segment, judged.generation, judged.unsigned
        self._end = AuditEnd(judged.last_seq, judged.head)
        self._segment = Segment(path)
        if self._segment.size > tail.size:
            self._set_aside(self._segment, tail.size)
        return judged

    def _settle(self) -> None:
        """Take what was found at the start for ours: sign it, and begin a segment where the signing key is new."""
        found, self._found = self._found, None
        if found and found.size:
            self._sign_end()
            if self._renew:
                self._begin(self._number + 1)

    def _set_aside(self, segment: Segment, size: int) -> None:
        """Move an unfinished write into a file of its own.

        Power loss may keep a later part of one write and lose an earlier one: whole lines may follow, of that one
        commit. What it held is written again from the store's memory. Lines of several commits no crash explains.
        """
        with segment.path.open("rb") as file:
            file.seek(size)
            torn = file.read()
        later = [entry for entry in map(_line, torn.split(b"\n")[1:]) if entry]
        commits = {entry.generation for entry in later} - {self._generation}
        if len(commits) > 1 or any(one < self._generation for one in commits):
            raise StoreFailure(
                f"{segment.path}: line {self._end.seq + 1} was overwritten: lines follow it", hint=_EVIDENCE
            )
        digest = hashlib.sha256(torn).hexdigest()
        kept = segment.path.with_suffix(f".torn-{digest[:16]}")
        write_atomic(kept, torn, mode=0o600)
        segment.cut(size)
        self.note(Own.TORN, detail_of(bytes=len(torn), sha256=digest, kept=kept.name))

    def _begin(self, number: int) -> None:
        """Begin a segment, with its genesis and a checkpoint."""
        if self._segment:
            self._segment.close()
        self._segment, self._number = Segment(segment_path(self._folder, number), new=True), number
        genesis = Genesis(
            format=FORMAT,
            store=self._store_id,
            segment=number,
            algorithm=ALGORITHM,
            public_key=self._signer.public_bytes,
        )
        page = self._empty_page()
        page.add(genesis_record(genesis, self._clock()), self._generation)
        self._commit(page, self._generation, sign=True)
        os.fsync(self._lock)

    def _empty_page(self) -> _Page:
        return _Page(self._end.seq + 1, self._end.head or START)

    def _page(self) -> _Page:
        """Return a page to write on, with the notes that wait."""
        page, now = self._empty_page(), self._clock()
        while self._notes:
            action, detail = self._notes.popleft()
            page.add(own_record(action, now, detail), self._generation)
        return page

    def _write(self, records: Sequence[AuditRecord], generation: int) -> None:
        page = self._page()
        for record in records:
            page.add(record, generation)
        self._commit(page, generation)

    def _sign_end(self) -> None:
        if self._unsigned or self._notes:
            self._commit(self._page(), self._generation, sign=True)

    def _void(self, generation: int) -> None:
        page = self._page()
        detail = detail_of(generation=self._generation, reason="the store did not commit it")
        page.add(own_record(Own.VOID, self._clock(), detail), generation)
        self._commit(page, generation, sign=True)

    def _restate(self, records: Sequence[AuditRecord], generation: int) -> None:
        # in the same segment: a batch is whole in one of them
        self.note(Own.RECOVERED, detail_of(records=len(records), generation=generation))
        self._write(records, generation)

    def _commit(self, page: _Page, generation: int, *, sign: bool = False) -> None:
        """Make a page durable, signed where asked or due."""
        if self._segment is None:
            raise StoreFailure("the audit is closed")
        now, lines = self._clock(), self._unsigned + len(page.lines)
        late = abs(now - self._signed_at) >= self._limits.checkpoint_s  # a clock may be set back
        if sign or late or lines >= self._limits.checkpoint_lines:
            message = checkpoint_message(self._store_id, page.seq, generation, timestamp(now), page.head)
            page.add(checkpoint_record(self._store_id, now, self._signer.sign(message)), generation)
            lines, self._signed_at = 0, now
        self._segment.append(b"".join(page.lines))
        self._end = AuditEnd(page.seq - 1, page.head)  # in one step: another thread may ask for it
        self._generation, self._unsigned = generation, lines
        if self._tell:
            self._tell(page.lines)

    def _release(self) -> None:
        if self._segment:
            self._segment.close()
            self._segment = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _line(content: bytes) -> Entry | None:
    try:
        return entry_of(content + b"\n")
    except ValueError:
        return None
