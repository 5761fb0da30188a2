"""`python -m bench.kme_profile [LOAD]`: where the KMEs' time goes under a load of `./dev bench kme`.

Needs `py-spy`, which this project does not depend on (`pip install py-spy`), and the right to trace processes. Threads
that wait for work are left out, so shares are of busy time: at work on a processor, or in a call such as fsync. What
compiled code does counts for the Python function that called it.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bench import kme, kme_load
from bench.kme_lab import Lab, running
from bench.kme_rows import LOADS, OURS, Load
from bench.measure import Failed, Missing

_RATE_PER_S = 200
_SHOWN = 25
_SETTLE_S = 0.5
_OWN = re.compile(r"\(keystrand/(?P<module>[\w/]+)\.py(:\d+)?\)$")
_LINE = re.compile(r":\d+\)$")
_WAITING = re.compile(
    r"\((selectors|concurrent/futures/thread|queue)\.py\)$|^(Condition|Event)\.\w*wait\w* |^(wait|_wait\w*) \(threading"
)
"""Innermost frames of threads that have nothing to do."""

Stacks = Sequence[tuple[tuple[str, ...], int]]
"""Call stacks, outermost frame first, each with how often it was seen."""


def parse(text: str) -> Stacks:
    """Return those stacks of py-spy's raw format (frames with semicolons between, a space, the count) that are busy."""
    lines = (line.rpartition(" ") for line in text.splitlines() if line.strip())
    stacks = [(tuple(_LINE.sub(")", f) for f in stack.split(";")), int(count)) for stack, _, count in lines]
    return [(stack, count) for stack, count in stacks if not _WAITING.search(stack[-1])]


def shares(stacks: Stacks, names_of: Callable[[tuple[str, ...]], Iterable[str]]) -> list[tuple[str, float]]:
    """Return for each name the share of all samples whose stack has it, greatest first."""
    seen: Counter[str] = Counter()
    for stack, count in stacks:
        for name in set(names_of(stack)):
            seen[name] += count
    total = sum(count for _, count in stacks)
    return [(name, count / total) for name, count in seen.most_common()]


def innermost_module(stack: tuple[str, ...]) -> tuple[str]:
    """Return the module of ours that is nearest to where the time went, with all that it calls elsewhere."""
    for frame in reversed(stack):
        if found := _OWN.search(frame):
            return (found["module"].replace("/", "."),)
    return ("(none of ours: event loop, threads, interpreter)",)


def own_functions(stack: tuple[str, ...]) -> tuple[str, ...]:
    """Return every function of ours in the stack: its time with all that it calls."""
    return tuple(frame for frame in stack if _OWN.search(frame))


def leaf(stack: tuple[str, ...]) -> tuple[str]:
    """Return the frame in which the time went."""
    return (stack[-1],)


def _table(title: str, rows: Sequence[tuple[str, float]]) -> str:
    lines = [f"  {share:6.1%}  {name}" for name, share in rows[:_SHOWN]]
    return "\n".join([f"{title}:", *lines, ""])


def report(stacks: Stacks) -> str:
    """Return the three tables of one process."""
    return "\n".join(
        (
            _table("modules of ours, each with what it calls elsewhere", shares(stacks, innermost_module)),
            _table("functions of ours, each with all that it calls", shares(stacks, own_functions)),
            _table("innermost frames", shares(stacks, leaf)),
        )
    )


def _spy() -> str:
    found = shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if found is None:
        raise Missing("no py-spy (pip install py-spy)")
    return found


def _record(spy: str, pid: int, seconds: float, file: Path) -> "subprocess.Popen[bytes]":
    command = [spy, "record", "--nonblocking", "--threads", "-f", "raw", "-r", str(_RATE_PER_S)]
    command += ["-d", str(round(seconds)), "-o", str(file), "-p", str(pid)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603  # found above


def _times(pid: int) -> tuple[int, int]:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]), int(fields[12])


def profile(lab: Lab, load: Load, program: Path, seconds: float, folder: Path) -> None:
    """Put `lab` under `load` for `seconds`, and print where the time of each of its KMEs went."""
    spy, pids = _spy(), {kme.id: kme.pid for kme in lab.parties.kmes}
    reports: list[kme_load.Report] = []
    generator = threading.Thread(
        target=lambda: reports.append(kme_load.run(program, lab.file, load.arguments, seconds=seconds + 2))
    )
    generator.start()
    time.sleep(_SETTLE_S)
    before = {name: _times(pid) for name, pid in pids.items()}
    spies = [_record(spy, pid, seconds, folder / name) for name, pid in pids.items()]
    for child in spies:
        child.wait()
    after = {name: _times(pid) for name, pid in pids.items()}
    generator.join()
    if reports:
        print(f"{load.title}: {reports[0].rounds / reports[0].seconds:.0f} rounds/s while being watched\n")
    ticks = os.sysconf("SC_CLK_TCK") * seconds
    for name in pids:
        user, system = ((b - a) / ticks for a, b in zip(before[name], after[name], strict=True))
        print(f"== {name}: {user:.0%} of a processor at work, {system:.0%} in the system\n")
        print(report(parse((folder / name).read_text())) if (folder / name).exists() else "py-spy saw nothing\n")


def main() -> int:
    """Profile the load that the arguments name. Returns 2 where something is missing."""
    parser = argparse.ArgumentParser(prog="python -m bench.kme_profile", description=__doc__.partition("\n")[0])
    parser.add_argument("load", nargs="?", default="c64", choices=[load.name for load in LOADS])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--stock", type=int, default=1_000_000, help="keys that the lab has at first")
    options = parser.parse_args()
    load = next(load for load in LOADS if load.name == options.load)
    try:
        with tempfile.TemporaryDirectory(prefix="bench-profile-") as name:
            folder = Path(name)
            program, command = kme_load.build(folder), (*kme.chosen().lab, "--stock", str(options.stock))
            with running(OURS, command, folder / "lab") as lab:
                profile(lab, load, program, options.seconds, folder)
    except (Missing, Failed) as error:
        sys.stderr.write(f"no profile: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
