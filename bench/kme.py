"""How fast the key manager is: two KMEs, both durable, with audit, policy and metrics on, under a compiled load.

Load generator, KMEs and peers share this machine. Each sample of ours stands between samples of the peers, so that a
busy moment hits all; processor time a pair is what such moments change least. What can be chosen, by environment:

- `KEYSTRAND_BENCH_KME`: loads to run, of c64 c16 c1 bulk fresh million, with commas between (default: all)
- `KEYSTRAND_BENCH_REPEATS` (5) samples of each load, each of `KEYSTRAND_BENCH_SECONDS` (2)
- `KEYSTRAND_BENCH_KEYS` (1000000): keys stored, and keys delivered, in the load `million`
- `KEYSTRAND_BENCH_PEERS`: a folder of prepared peers (see `bench.peers`)
- `KEYSTRAND_BENCH_LAB`: a lab program to measure in place of this tree's `keystrand kme lab`
"""

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from msgspec import Struct

from bench import kme_load
from bench.kme_lab import Lab, running
from bench.kme_rows import (
    LOADS,
    OURS,
    Load,
    Sample,
    Stock,
    flat_rows,
    rows_of,
    safety_rows,
    spent_rows,
    stock_rows,
)
from bench.measure import Failed, Missing, Row, interleaved
from bench.peers import nginx

CEILING = "nginx, a fixed answer"
_MILLION = "million"
_FIRST_KEYS = 10_000
_PAUSE_S = 1.0
"""A lab just started, or just drained, comes to rest first."""


class Choice(Struct, frozen=True, kw_only=True):
    """What the environment chose."""

    loads: tuple[str, ...]
    repeats: int
    seconds: float
    keys: int
    peers: Path | None
    lab: tuple[str, ...]


def chosen() -> Choice:
    """Return what is to be measured. Raises `Missing` for a load that there is not."""
    known = (*(load.name for load in LOADS), _MILLION)
    loads = tuple(name for name in os.environ.get("KEYSTRAND_BENCH_KME", ",".join(known)).split(",") if name)
    if unknown := set(loads).difference(known):
        raise Missing(f"no loads named {', '.join(sorted(unknown))}: there are {', '.join(known)}")
    peers, lab = os.environ.get("KEYSTRAND_BENCH_PEERS"), os.environ.get("KEYSTRAND_BENCH_LAB")
    return Choice(
        loads=loads,
        repeats=int(os.environ.get("KEYSTRAND_BENCH_REPEATS", "5")),
        seconds=float(os.environ.get("KEYSTRAND_BENCH_SECONDS", "2")),
        keys=int(os.environ.get("KEYSTRAND_BENCH_KEYS", "1000000")),
        peers=Path(peers) if peers else None,
        lab=(lab,) if lab else (sys.executable, "-m", "keystrand.cli.main", "kme", "lab"),
    )


def say(text: str) -> None:
    """Tell how far it is, beside the rows."""
    sys.stderr.write(f"bench kme: {text}\n")


def rows() -> list[Row]:
    """Return all rows. Raises `Missing` where there is no Go to build with, `Failed` where a KME does not run."""
    choice = chosen()
    with tempfile.TemporaryDirectory(prefix="bench-kme-") as name:
        return _Bench(choice, Path(name)).rows()


class _Bench:
    """One measurement, in the folder `folder`."""

    def __init__(self, choice: Choice, folder: Path) -> None:
        self._choice, self._folder = choice, folder
        self._program = kme_load.build(folder)
        self._ours: list[Sample] = []
        self._started = 0

    def rows(self) -> list[Row]:
        """Measure what was chosen."""
        made = [r for load in LOADS if load.name in self._choice.loads for r in self._load_rows(load)]
        if _MILLION in self._choice.loads:
            made += self._million_rows()
        return [*made, *safety_rows(self._ours)]

    # Labs

    @contextlib.contextmanager
    def _lab(self, name: str, *command: str) -> Iterator[Lab]:
        self._started += 1
        with running(name, command, self._folder / f"lab-{self._started}") as lab:
            yield lab

    def _own_lab(self, stock: int) -> contextlib.AbstractContextManager[Lab]:
        return self._lab(OURS, *self._choice.lab, "--stock", str(stock))

    def _peer_commands(self, load: Load) -> dict[str, tuple[str, ...]]:
        commands: dict[str, tuple[str, ...]] = {}
        if self._choice.peers is None:
            say("no peer KME: KEYSTRAND_BENCH_PEERS names no folder of prepared ones")
        else:
            commands |= {start.parent.name: (str(start),) for start in sorted(self._choice.peers.glob("*/start"))}
        if load.ceiling:
            try:
                nginx.program()
            except Missing as missing:
                say(f"left out: {missing}")
            else:
                commands[CEILING] = (sys.executable, "-m", "bench.peers.nginx")
        return commands

    # Loads

    def _load_rows(self, load: Load) -> list[Row]:
        say(load.title)
        jobs: dict[str, Callable[[], Sample]] = {}
        with contextlib.ExitStack() as labs:
            own = labs.enter_context(self._own_lab(self._stock_for(load)))
            jobs[OURS] = partial(self._sample, own, load)
            for name, command in self._peer_commands(load).items():
                try:
                    job = self._peer_job(labs, load, name, command)
                    # what a peer cannot do at all is seen once, and told
                    if job().report.rounds:
                        jobs[name] = job
                except Failed as error:
                    say(f"left out: {error}")
            time.sleep(_PAUSE_S)
            taken = interleaved(self._choice.repeats, *jobs.values())
        return rows_of(load, dict(zip(jobs, taken, strict=True)))

    def _peer_job(
        self, labs: contextlib.ExitStack, load: Load, name: str, command: tuple[str, ...]
    ) -> Callable[[], Sample]:
        def anew() -> Sample:
            with self._lab(name, *command) as lab:
                return self._sample(lab, load)

        return anew if load.uses_up else partial(self._sample, labs.enter_context(self._lab(name, *command)), load)

    def _stock_for(self, load: Load) -> int:
        """Return more keys than the load can use up: six times its goal."""
        goals = [figure.at_least for figure in load.figures if figure.at_least]
        per_s = max(goals, default=1000.0)
        return int(6 * per_s * self._choice.seconds * (self._choice.repeats + 1))

    def _sample(self, lab: Lab, load: Load, *more: str) -> Sample:
        """Put `lab` under `load` once. What went wrong is told; of ours it is counted too."""
        extra = ("-unchecked",) if lab.name == CEILING else ()
        cpu_s = lab.cpu_s()
        report = kme_load.run(
            self._program, lab.file, (*load.arguments, *extra, *more), seconds=self._choice.seconds
        )  # fmt: skip
        sample = Sample(report=report, kme_cpu_s=lab.cpu_s() - cpu_s)
        if lab.name == OURS:
            self._ours.append(sample)
        if report.first_error or (lab.name != CEILING and (report.duplicates or report.mismatches)):
            say(f"{lab.name}: errors {report.errors}, first {report.first_error!r}; {report.duplicates} twice, "
                f"{report.mismatches} different")  # fmt: skip
        return sample

    # A million keys

    def _million_rows(self) -> list[Row]:
        keys, repeats = self._choice.keys, self._choice.repeats
        say(f"{keys:,} keys stored, then delivered")
        status = Load(name="status", title="", arguments=("-mode", "status", "-c", "4"), figures=())
        one = Load(name="one", title="", arguments=("-c", "64"), figures=())
        many = Load(name="many", title="", arguments=("-c", "8", "-n", "128"), figures=())
        rounds = ("-count", str(_FIRST_KEYS // repeats))
        with self._own_lab(0) as empty:
            empty_bytes = empty.size_bytes()
        begin_s = time.monotonic()
        with self._own_lab(keys + 4 * _FIRST_KEYS) as lab:
            filled_s = time.monotonic() - begin_s
            time.sleep(_PAUSE_S)
            asked = tuple(self._sample(lab, status) for _ in range(repeats))
            stock = Stock(
                keys=asked[-1].report.stored_key_count, filled_s=filled_s, rss_bytes=lab.largest_rss_bytes(),
                empty_bytes=empty_bytes, full_bytes=lab.size_bytes(), status=asked,
            )  # fmt: skip
            first = [self._sample(lab, one, *rounds) for _ in range(repeats)]
            delivered, before_bytes = 0, lab.size_bytes()
            while delivered < keys:
                wanted = min((keys - delivered + 127) // 128, 400)
                got = self._sample(lab, many, "-count", str(wanted)).report.keys
                delivered += got
                if not got:
                    raise Failed(f"the lab gave no more keys after {delivered:,}")
            time.sleep(_PAUSE_S)
            after_bytes = lab.size_bytes()
            later = [self._sample(lab, one, *rounds) for _ in range(repeats)]
            kmes = len(lab.parties.kmes)
        return [
            *stock_rows(stock, kmes),
            *flat_rows(first, later, delivered),
            *spent_rows(delivered, before_bytes, after_bytes, kmes),
        ]
