"""The file probe: walks what a target names and gives each file, bounded, to the readers of the target's kind.

Every file ends in exactly one outcome. Its private octets stay where they are: readers return facts alone.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from keystrand.edge.chunks.sweep import map_chunks
from keystrand.edge.chunks.task import Engine
from keystrand.edge.probes.contents import Result, read_file
from keystrand.edge.probes.readers import readers_of
from keystrand.edge.probes.walk import File, Missed, root, walk
from keystrand.model.estate import ProbeKind, Target
from keystrand.model.observation import Attempt, Observation, Outcome, Record
from keystrand.model.reading import Found

FILES_PER_CHUNK = 200
_REASONS_SHOWN = 5
_WORST_FIRST = (Outcome.TIMED_OUT, Outcome.UNREADABLE, Outcome.UNPARSABLE, Outcome.SEEN, Outcome.SKIPPED)
_SOUGHT = {ProbeKind.X509: "certificate or key", ProbeKind.CONFIG: "configuration", ProbeKind.SOURCE: "call",
           ProbeKind.BINARY: "library", ProbeKind.CAPTURE: "handshake", ProbeKind.REPORT: "report"}  # fmt: skip

Earlier = Callable[[File], Result | None]
"""Asked before a file is read: the result of an earlier scan, where it still holds. It is taken as if it were read."""
Seen = Callable[[File], None]
"""Told each file that was read to its end, whatever the outcome."""


class Chunk(NamedTuple):
    """Files for one worker: paths as octets, how they are shown, and what the target says of its readers."""

    kind: ProbeKind
    passwords: tuple[str, ...]
    rules: tuple[Path, ...]
    files: tuple[tuple[bytes, str], ...]


class TreeProbe:
    """Reads the files that a target of `kind` names. With an `engine`, in chunks by its workers."""

    def __init__(
        self,
        kind: ProbeKind,
        *,
        engine: Engine | None = None,
        earlier: Earlier = lambda _file: None,
        seen: Seen = lambda _file: None,
    ) -> None:
        self.kind, self._engine, self._earlier, self._seen = kind, engine, earlier, seen

    def read(self, target: Target, folder: Path) -> tuple[Record, ...]:
        """Return the facts of every file at the target's path; an attempt for each with facts or trouble; and theirs.

        The last record is the attempt on the whole target, with the tally of all outcomes. A file alone has no other.
        """
        start = root(folder, target.path or "")
        found = iter((start,)) if isinstance(start, Missed) else walk(start)
        tally = _Tally(target)
        for one, result in self._results(target, found, rules_at(target, folder)):
            tally.add(one.shown, result, link=isinstance(one, Missed) and one.link)
        return tally.records()

    def _results(
        self, target: Target, due: Iterator[File | Missed], rules: tuple[Path, ...]
    ) -> Iterator[tuple[File | Missed, Result]]:
        """Yield what became of each file. One with several names is read once and told at each of them."""
        kept: dict[int, Result] = {}
        if self._engine:
            everything = list(due)
            kept |= self._known(everything)
            unknown = [one for one in everything if isinstance(one, File) and one.identity not in kept]
            kept, due = kept | _by_workers(target, unknown, rules, self._engine), (one for one in everything)
        readers = readers_of(self.kind, target.passwords, rules)
        for one in due:
            if isinstance(one, Missed):
                yield one, Result(one.outcome, reason=one.reason)
                continue
            if one.identity not in kept:
                kept[one.identity] = self._earlier(one) or read_file(one.path, one.shown, readers)
            yield one, kept[one.identity]
            self._seen(one)

    def _known(self, found: list[File | Missed]) -> dict[int, Result]:
        """Return the earlier results that still hold, by the identity of the file."""
        asked = ((one.identity, self._earlier(one)) for one in found if isinstance(one, File))
        return {identity: result for identity, result in asked if result is not None}


def rules_at(target: Target, folder: Path) -> tuple[Path, ...]:
    """Return where the target's own rules for source code are, in an estate's `folder`."""
    return tuple(folder / rule for rule in target.rules)


def read_chunk(chunk: Chunk, seed: np.random.SeedSequence) -> list[Result]:  # noqa: ARG001 - no chance in it
    """Return what became of each file of `chunk`, in its order."""
    readers = readers_of(chunk.kind, chunk.passwords, chunk.rules)
    return [read_file(os.fsdecode(path), shown, readers) for path, shown in chunk.files]


def _by_workers(target: Target, found: list[File], rules: tuple[Path, ...], engine: Engine) -> dict[int, Result]:
    """Return what became of each file, by its identity, read by the workers of `engine`."""
    files = list({one.identity: one for one in found}.values())
    chunks = [
        Chunk(target.probe, target.passwords, rules, tuple((os.fsencode(one.path), one.shown) for one in part))
        for part in (files[at : at + FILES_PER_CHUNK] for at in range(0, len(files), FILES_PER_CHUNK))
    ]
    results = map_chunks(read_chunk, chunks, engine=engine, seed=0)
    return dict(zip((one.identity for one in files), (result for part in results for result in part), strict=True))


class _Tally:
    """The records of one target as they come, and what its own attempt says."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._records: list[Record] = []
        self._counts: Counter[Outcome] = Counter()
        self._reasons: dict[Outcome, list[str]] = {outcome: [] for outcome in _WORST_FIRST}
        self._troubles = 0

    def add(self, shown: str, result: Result, *, link: bool = False) -> None:
        """Take what became of the file that is shown as `shown`.

        A link that is not followed is no file: what it leads to is another's to read. It is a reason, and no more.
        """
        if not link or shown == self._target.path:
            self._counts[result.outcome] += 1
        self._records += (self._observation(shown, kind, found) for kind, found in result.found)
        if result.reason:
            self._troubles += 1
            if len(reasons := self._reasons[result.outcome]) < _REASONS_SHOWN:
                reasons.append(f"{shown}: {result.reason}")
        if result.outcome is not Outcome.NONE and not link and shown != self._target.path:
            self._records.append(self._attempt(shown, result.outcome, result.reason))

    def _observation(self, shown: str, kind: str, found: Found) -> Observation:
        place = f"file:{shown}{found.where}"
        return Observation(target=self._target.id, probe=kind, place=place, strength=found.strength, fact=found.fact)

    def _attempt(self, shown: str, outcome: Outcome, reason: str) -> Attempt:
        probe = self._target.probe.value
        return Attempt(target=self._target.id, probe=probe, place=f"file:{shown}", outcome=outcome, reason=reason)

    def records(self) -> tuple[Record, ...]:
        """Return all records, that of the whole target last."""
        counts = tuple((outcome, self._counts[outcome]) for outcome in Outcome if self._counts[outcome])
        whole = self._attempt(self._target.path or "", self._outcome(), self._reason())
        alone = self._counts.total() == 1 and all(record.place == whole.place for record in self._records
                                                  if isinstance(record, Attempt))  # fmt: skip
        return (*self._records, replace(whole, counts=() if alone else counts))

    def _outcome(self) -> Outcome:
        """Return seen where anything was; else the worst outcome."""
        if self._counts[Outcome.SEEN]:
            return Outcome.SEEN
        return next((one for one in _WORST_FIRST if self._counts[one] or self._reasons[one]), Outcome.NONE)

    def _reason(self) -> str:
        """Return the tally and the worst reasons where something is missing; else why nothing was seen, if so."""
        if not self._troubles:
            nothing = f"no {_SOUGHT.get(self._target.probe, 'cryptography')} was recognised"
            return "" if self._counts[Outcome.SEEN] else nothing
        reasons = [reason for outcome in _WORST_FIRST for reason in self._reasons[outcome]][:_REASONS_SHOWN]
        text = "; ".join(reasons)
        if self._troubles > len(reasons):
            text += f"; and {self._troubles - len(reasons)} more of which something was not read"
        if self._counts.total() == 1:
            return text
        tally = ", ".join(f"{self._counts[one]} {one.value}" for one in Outcome if self._counts[one])
        return f"of the files: {tally}; {text}"
