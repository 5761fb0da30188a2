"""How long `keystrand --help` takes, against the interpreter alone: the limit that no Python command can beat."""

import sys

from bench.measure import Row, interleaved, row, seconds_of

RUNS = 10


def rows() -> list[Row]:
    """Return the start-up time of the command and of the bare interpreter."""
    ours = (sys.executable, "-m", "keystrand.cli.main", "--help")
    bare = (sys.executable, "-c", "pass")
    command, interpreter = interleaved(RUNS, lambda: seconds_of(ours), lambda: seconds_of(bare))
    return [
        row("keystrand --help", command, "s", peer="python -c pass", peer_samples=interpreter, goal=0.25),
        row("python -c pass", interpreter, "s"),
    ]
