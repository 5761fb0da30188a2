"""How fast source code is read for the cryptography it uses, and how right, beside semgrep on the same tree.

Rates are of one core: octets of all files of a tree, by seconds of processor time. `KEYSTRAND_BENCH_SOURCE_TREE` names
the tree (default: /usr/lib/python3); see `bench.source_gold` for suites of others. Semgrep is asked for Python alone,
by rules of ours (`peers/semgrep_rules.yaml`): it says that a call is there, not which algorithm it uses.
"""

import json
import os
import resource
import subprocess
import time
from functools import partial
from pathlib import Path

from bench.measure import Failed, Missing, Row, interleaved, row
from bench.peers.packages import interpreter, last_line
from bench.source_gold import gold_rows, trap_rows
from keystrand.edge.source_rules import source_reader

READER = source_reader()
_RUNS, _PEER_RUN_S, _LEAST_MB_S = 3, 900.0, 35.0
_RULES = Path(__file__).parent / "peers" / "semgrep_rules.yaml"
_NAME = "source: a tree, all languages"


def rows() -> list[Row]:
    """Return the rate beside the peer's, and the rows of the suites that the environment names."""
    tree = Path(os.environ.get("KEYSTRAND_BENCH_SOURCE_TREE") or "/usr/lib/python3")
    return [_speed_row(tree), *gold_rows(), *trap_rows()]


def _speed_row(tree: Path) -> Row:
    ours = partial(_rate, tree)
    try:
        python = interpreter("semgrep")
        own, peer = interleaved(_RUNS, ours, lambda: _peer_rate(tree, python))
    except (Missing, Failed) as error:
        return row(_NAME, interleaved(_RUNS, ours)[0], "MB/s", peer=f"semgrep: {error}", at_least=_LEAST_MB_S)
    return row(_NAME, own, "MB/s", peer="semgrep, Python only", peer_samples=peer, at_least=_LEAST_MB_S)


def _files(tree: Path) -> list[Path]:
    return [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()]


def _rate(tree: Path) -> float:
    """Return the MB a second that our reader takes, every file opened and shown to it."""
    octets, begin = 0, time.process_time()
    for path in _files(tree):
        content = path.read_bytes()
        octets += len(content)
        if READER.wants(str(path), content[:4096]):
            READER.read(str(path), content)
    return octets / 1e6 / (time.process_time() - begin)


def _peer_rate(tree: Path, python: Path) -> float:
    """Return semgrep's rate on the same tree, by the processor time of its processes. Raises `Failed`."""
    command = [str(python.parent / "semgrep"), "scan", "--config", str(_RULES), "--metrics", "off", "--jobs", "1",
               "--disable-version-check", "--no-git-ignore", "--json", "--quiet", str(tree)]  # fmt: skip
    octets = sum(path.stat().st_size for path in _files(tree))
    path = os.environ["PATH"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        done = subprocess.run(  # noqa: S603  # our own words
            command, check=True, capture_output=True, timeout=_PEER_RUN_S,
            env=os.environ | {"PATH": f"{python.parent}{os.pathsep}{path}"},
        )  # fmt: skip
        json.loads(done.stdout)
    except subprocess.CalledProcessError as error:
        raise Failed(f"ended with status {error.returncode}: {last_line(error.stderr)}") from error
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise Failed(str(error)) from error
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return octets / 1e6 / (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
