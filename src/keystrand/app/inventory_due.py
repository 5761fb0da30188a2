"""What of an estate a scan must look at, and what it need not: done before an interruption, or known and unchanged."""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from keystrand.app.documents import now
from keystrand.edge.chunks.task import Engine
from keystrand.edge.partial import Partial, Signature, closing_of
from keystrand.edge.probes.base import place_of
from keystrand.edge.probes.tree import TreeProbe, rules_at
from keystrand.edge.probes.walk import File
from keystrand.edge.source_rules import ruleset_of
from keystrand.edge.store.earlier import Earlier, definition_of, reusable, settled, signature
from keystrand.edge.store.observations import opened
from keystrand.model.estate import Estate, Target
from keystrand.model.observation import Record


@contextmanager
def earlier_at(path: Path, max_age: timedelta | None) -> Iterator[Earlier | None]:
    """Yield what the store at `path` knows of the run before; None where it is not asked for, or there is none."""
    if max_age is None or not path.is_file():
        yield None
        return
    with opened(path) as store:
        yield Earlier(store, now() - max_age)


class Due:
    """One scan under way: says what is due, and puts what comes, and what is taken over, into its partial file."""

    def __init__(
        self,
        estate: Estate,
        partial: Partial,
        earlier: Earlier | None,
        connect_to: Mapping[tuple[str, int], tuple[str, int]],
        folder: Path,
        engine: Engine | None = None,
    ) -> None:
        self._folder, self._engine = folder, engine
        self._mode, self._partial, self._earlier, self._connect_to = estate.scan.mode, partial, earlier, connect_to
        self._begun_ns = time.time_ns()
        self._asked: dict[tuple[str, str], str] = {}
        self._files: dict[str, list[Signature]] = defaultdict(list)

    def is_due(self, target: Target) -> bool:
        """Return whether an endpoint must be asked, or the files of a target walked through."""
        at = target.id, place_of(target)
        if at in self._partial.done:
            return False
        if target.probe.reads_files:
            return True
        definition = self._definition(target)
        known = self._earlier.endpoint(target, definition) if self._earlier else None
        if known is None:
            self._asked[at] = definition
            return True
        records, asked = known
        self._partial.add(records, definition=definition, asked=asked)
        return False

    def _definition(self, target: Target) -> str:
        answered_by = self._connect_to.get((target.host or "", target.port or 0))
        rules = ruleset_of(rules_at(target, self._folder))
        return definition_of(target, self._mode, answered_by, rules)

    def reader(self, target: Target) -> TreeProbe:
        """Return the probe that reads the files of `target`, but those of which the result is known."""
        ruleset, earlier = self._definition(target), self._earlier

        def seen(file: File) -> None:
            if settled(file, self._begun_ns):
                self._files[target.id].append(signature(target.id, file, ruleset))

        if earlier is None:
            return TreeProbe(target.probe, engine=self._engine, seen=seen)
        return TreeProbe(
            target.probe,
            engine=self._engine,
            seen=seen,
            earlier=lambda file: earlier.file(target, file, ruleset),
        )

    def deliver(self, records: tuple[Record, ...]) -> None:
        """Take the records of one endpoint, or of the files of one target."""
        closing = closing_of(records)
        files = self._files.pop(closing.target, ())
        definition = self._asked.pop((closing.target, closing.place), "")
        if not reusable(records):
            definition = ""
        self._partial.add(records, files=files, definition=definition, asked=now().isoformat())
