"""The load generator: a compiled client of ETSI GS QKD 014, built when it is needed, and what it reports."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from bench.measure import Failed, Missing

SOURCE = Path(__file__).parent / "loadgen"
_GO_PLACES = ("/usr/local/go/bin/go", "/usr/lib/go/bin/go")
_GO_AT_LEAST = (1, 25)
"""From this version on a client offers X25519MLKEM768 by itself and can say which group was agreed on."""
_ENDS_WITHIN_S = 120.0
"""How much longer than its plan a run may take: its last requests wait 20 s at most for a server that hangs."""


class Quantiles(Struct, frozen=True, kw_only=True):
    """Of the times of one kind of request, in milliseconds."""

    mean: float
    p50: float
    p95: float
    p99: float
    max: float


class Report(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the load generator saw in one run. A round is a pair (enc_keys and dec_keys) or one request, after `mode`.

    `errors` counts by HTTP status, "transport" (no whole answer) and "form" (not what was asked for); `cpu_seconds` is
    what the generator itself used.
    """

    mode: str
    clients: int
    number: int
    size_bits: int
    fresh: bool
    group: str
    seconds: float
    rounds: int
    keys: int
    errors: dict[str, int]
    first_error: str
    mismatches: int
    duplicates: int
    stored_key_count: int
    enc_ms: Quantiles
    dec_ms: Quantiles
    cpu_seconds: float


def _version(go: str) -> tuple[int, int]:
    told = subprocess.run([go, "env", "GOVERSION"], check=False, capture_output=True, text=True).stdout  # noqa: S603  # the compiler
    found = re.match(r"go(\d+)\.(\d+)", told)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def build(folder: Path) -> Path:
    """Compile the load generator into `folder` and return it. Raises `Missing` where there is no fitting Go."""
    go = shutil.which("go") or next((place for place in _GO_PLACES if Path(place).exists()), None)
    if go is None or _version(go) < _GO_AT_LEAST:
        raise Missing(f"no Go {'.'.join(map(str, _GO_AT_LEAST))} or later, which the load generator is compiled with")
    program = folder / "loadgen"
    environment = os.environ | {"GOTOOLCHAIN": "local", "GOFLAGS": "", "CGO_ENABLED": "0"}
    subprocess.run(  # noqa: S603  # the compiler and our own source
        [go, "build", "-trimpath", "-o", str(program), "."], cwd=SOURCE, check=True, env=environment
    )
    return program


def run(program: Path, lab: Path, arguments: Sequence[str], *, seconds: float) -> Report:
    """Run `program` on the lab of the file `lab` and return its report. Raises `Failed` where it cannot.

    `seconds` is how long the arguments let it run; they may name a number of rounds that takes up to ten times as long.
    """
    command = [str(program), "-lab", str(lab), "-duration", f"{seconds}s", *arguments]
    ended = subprocess.run(  # noqa: S603  # built above
        command, check=False, capture_output=True, timeout=10 * seconds + _ENDS_WITHIN_S
    )
    if ended.returncode:
        raise Failed(ended.stderr.decode(errors="replace").strip())
    return msgspec.json.decode(ended.stdout, type=Report)
