"""The end of an audit as a start finds it, and whether it is the one that the store remembers.

Lines behind the latest checkpoint are held together by hashes alone, which anybody can make. The database lies apart:
with each commit that has records it keeps where the audit ended before them. Behind that place there may be those
records, one commit that the store does not have, and what the audit says of itself; nothing of it is signed before.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from keystrand.edge.store.audit_segment import whole_lines
from keystrand.model.errors import StoreFailure
from keystrand.operate.audit import AuditRecord, Entry, Own, entry_of, timestamp

APART = "one of the two was put back from a copy, cut or altered; keep both and make a new store with a new audit"
_HASH_BYTES = hashlib.sha256().digest_size


class AuditEnd(NamedTuple):
    """Where an audit ends: number and hash of its last line."""

    seq: int
    head: str


NOWHERE = AuditEnd(-1, "")
"""Before the first line of all."""


class Remembered(NamedTuple):
    """What a store at `generation` knows of its audit: the records of its latest commit that had any, that commit's
    number (`audited`), and where the audit ended before them.
    """

    generation: int
    audited: int
    records: Sequence[AuditRecord]
    after: AuditEnd


class Tail:
    """The latest segment. Its lines go through `of`, then its end can be judged."""

    def __init__(self) -> None:
        self.size = 0
        """In bytes, without an unfinished line."""
        self._first: Entry | None = None
        self._digests = bytearray()
        # the records of the latest two commits that have any and are not void, and the last line of those before
        self._batches: list[list[Entry]] = []
        self._passed = -1

    def of(self, path: Path) -> Iterator[bytes]:
        """Yield the whole lines of a segment and remember its end."""
        for line in whole_lines(path):
            yield line  # judged by who asked, before the next is asked for
            entry = entry_of(line)
            self._first = self._first or entry
            self._digests += hashlib.sha256(line).digest()
            self.size += len(line)
            self._take(entry)

    def _take(self, entry: Entry) -> None:
        if entry.action == Own.VOID and self._batches and self._batches[-1][-1].generation > entry.generation:
            self._batches.pop()
        if entry.own:
            return
        if self._batches and self._batches[-1][-1].generation == entry.generation:
            self._batches[-1].append(entry)
        else:
            self._batches.append([entry])
        if len(self._batches) > 2:
            self._passed = self._batches.pop(0)[-1].seq

    def missing(self, told: Remembered) -> Sequence[AuditRecord]:
        """Return those of the store's latest records that are not here: the end of a batch, written in its order.

        Raises `StoreFailure` where anything behind the place that the store remembers is other than it must be.
        """
        if not self._has(told.after):
            raise StoreFailure("records that the store remembers are not in its audit: it was cut", hint=APART)
        late = [one for batch in self._batches for one in batch if one.seq > told.after.seq]
        here = [one for one in late if one.generation <= told.generation]
        expected = () if self._began_behind(told) else told.records
        if (
            self._passed > told.after.seq
            or any(one.generation != told.audited for one in here)
            or not _begin(here, expected)
        ):
            raise StoreFailure(
                f"the records behind line {told.after.seq} of the audit are not those of the store", hint=APART
            )
        missing = expected[len(here) :]
        # whatever came behind them, here or in the store, came when they were complete
        if missing and (len(late) > len(here) or told.audited != told.generation):
            raise StoreFailure("records that the store committed are not in its audit: it was cut", hint=APART)
        return missing

    def _has(self, end: AuditEnd) -> bool:
        """Return whether the audit once ended there: at a line of this segment, or in one before it."""
        at = end.seq - self._first.seq if self._first else end.seq
        return at < 0 or self._digests[at * _HASH_BYTES : (at + 1) * _HASH_BYTES] == bytes.fromhex(end.head)

    def _began_behind(self, told: Remembered) -> bool:
        """Return whether the records are whole in the segment before: its end was judged, and signed, before this."""
        first = self._first
        return first is not None and first.seq > told.after.seq and first.generation >= told.audited


def _begin(here: Sequence[Entry], records: Sequence[AuditRecord]) -> bool:
    """Return whether the lines are the first of `records`."""
    lines = [(one.at, one.actor, one.group, one.action, bytes(one.detail)) for one in here]
    told = [(timestamp(one.at), one.actor, one.group, one.action, bytes(one.detail)) for one in records]
    return lines == told[: len(lines)]
