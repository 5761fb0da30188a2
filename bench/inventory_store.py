"""How the inventory scales: questions in DuckDB, a fleet merged on one machine, a scan of what has not changed.

What can be chosen, by environment:

- `KEYSTRAND_BENCH_STORE`: parts to run, of questions flows merge rescan (default: all)
- `KEYSTRAND_BENCH_STORE_SCALE` (1): share of the full size, above 0; a row of another size says so and has no goal
- `KEYSTRAND_BENCH_CACHE`: where the made-up flow records are kept, 1.1 GB at full size (see `bench.peers.packages`)
"""

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from bench.inventory_store_merge import estate_of
from bench.measure import Missing, Row, row
from bench.peers.packages import cache
from keystrand.app.estate import OpenEstate
from keystrand.app.inventory import scan_estate
from keystrand.edge.analytics.parquet import duck
from keystrand.model.document import InputRef
from keystrand.model.estate import ProbeKind, Target

CERTIFICATES, OBSERVATIONS, FLOWS, ENDPOINTS = 10**6, 5 * 10**6, 10**8, 10**5
_REPEATS = 3


def rows() -> list[Row]:
    """Return the rows of all chosen parts. Raises `Missing` for a part or a scale that there is not."""
    named = [name for name in os.environ.get("KEYSTRAND_BENCH_STORE", ",".join(_PARTS)).split(",") if name]
    if unknown := set(named).difference(_PARTS):
        raise Missing(f"no parts named {', '.join(sorted(unknown))}: there are {', '.join(_PARTS)}")
    share = scale()
    return [r for name in named for r in _PARTS[name](share)]


def scale() -> float:
    """Return the share of the full size to run. Raises `Missing` for none."""
    text = os.environ.get("KEYSTRAND_BENCH_STORE_SCALE", "1")
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise Missing(f"KEYSTRAND_BENCH_STORE_SCALE must be above 0 and at most 1, not {text}")
    return share


def _row(name: str, samples: list[float], unit: str, share: float, goal: float | None = None) -> Row:
    """Return a row; one of less than the full size says so, and reaches no goal."""
    if share == 1:
        return row(name, samples, unit, goal=goal)
    return row(f"{name}; at {share:g} of the size", samples, unit)


def _both(name: str, samples: list[tuple[float, float]], share: float, goal: float) -> list[Row]:
    """Return the rows of wall and processor time: the latter tells what other work on the machine did to the first."""
    walls, works = zip(*samples, strict=True)
    return [_row(name, list(walls), "s", share, goal=goal), _row(f"{name}: work", list(works), "CPU-s", share)]


def _timed(job: Callable[[], Any]) -> tuple[float, float]:
    """Return the wall time and the processor time of all threads that a job takes."""
    begun_s, worked_s = time.perf_counter(), time.process_time()
    job()
    return time.perf_counter() - begun_s, time.process_time() - worked_s


_MAKE_CERTIFICATES = """
COPY (SELECT i AS id, sha256(i::VARCHAR) AS sha256,
             ['RSA-2048', 'ECDSA-P-256', 'RSA-4096', 'ML-DSA-65'][1 + (hash(i) % 4)::INT] AS key_algorithm,
             'CN=host' || i AS subject FROM range({count}) t(i)) TO '{folder}/certificates.parquet'
"""
_MAKE_OBSERVATIONS = """
COPY (SELECT sha256((hash(i) % {certificates})::VARCHAR) AS sha256, 'h' || (hash(i * 3) % 20000) AS host
      FROM range({count}) t(i)) TO '{folder}/observations.parquet'
"""
_JOIN = """
WITH once AS (
  SELECT sha256, count(DISTINCT host) AS hosts FROM read_parquet('{folder}/observations.parquet') GROUP BY sha256)
SELECT c.key_algorithm, count(*) AS certificates, sum(hosts) AS places
FROM once JOIN read_parquet('{folder}/certificates.parquet') c USING (sha256) GROUP BY c.key_algorithm ORDER BY 1
"""


def question_rows(share: float) -> list[Row]:
    """Return how long it takes to deduplicate the observations and join them to the certificates."""
    with tempfile.TemporaryDirectory() as folder, duck(Path(folder)) as db:
        sizes = {"certificates": round(CERTIFICATES * share), "folder": folder}
        db.execute(_MAKE_CERTIFICATES.format(count=sizes["certificates"], **sizes))
        db.execute(_MAKE_OBSERVATIONS.format(count=round(OBSERVATIONS * share), **sizes))
        samples = [_timed(lambda: db.execute(_JOIN.format(**sizes)).fetchall()) for _ in range(_REPEATS + 1)][1:]
    return _both("10^6 certificates and 5x10^6 observations deduplicated and joined", samples, share, goal=3.0)


# two months of a network: a thousand flows a second between 50,000 clients and 20,000 servers
_MAKE_FLOWS = """
COPY (SELECT TIMESTAMP '2026-01-01' + to_seconds(i // 1000) AS first, (hash(i) % 50000)::UINTEGER AS client,
             (hash(i * 7) % 20000)::UINTEGER AS server,
             [443, 22, 993, 8443, 500, 5432][1 + (hash(i * 3) % 6)::INT]::USMALLINT AS port,
             ['X25519', 'ECDH-P-256', 'X25519MLKEM768', 'FFDH-2048', ''][1 + (hash(i * 17) % 5)::INT]
             AS key_establishment,
             (hash(i * 23) % 1000000)::UINTEGER AS octets
      FROM range({count}) t(i)) TO '{file}' (FORMAT parquet, ROW_GROUP_SIZE 1000000)
"""
_GROUP_FLOWS = """
SELECT count(*), sum(octets) FROM (
  SELECT server, port, key_establishment, count(*) AS flows, min(first) AS first, max(first) AS last,
         sum(octets) AS octets
  FROM read_parquet('{file}') GROUP BY server, port, key_establishment)
"""


def flow_rows(share: float) -> list[Row]:
    """Return how long it takes to group flow records by server, port and key establishment."""
    count = round(FLOWS * share)
    file = cache() / f"flows-{count}.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    with duck(file.parent) as db:
        if not file.exists():
            made = file.with_suffix(".part")
            db.execute(_MAKE_FLOWS.format(count=count, file=made))
            made.replace(file)
        samples = [_timed(lambda: db.execute(_GROUP_FLOWS.format(file=file)).fetchall()) for _ in range(_REPEATS)]
    return _both("10^8 flow records grouped", samples, share, goal=15.0)


def merge_rows(share: float) -> list[Row]:
    """Return what it costs to merge a fleet of 10^5 endpoints with 10^6 certificates, and one of a tenth of that."""
    full, tenth = (_merged(share * part) for part in (1.0, 0.1))
    name = "merge of 10^5 endpoints with 10^6 certificates"
    return [
        _row(f"{name}: records into the store", [full["take_s"]], "s", share),
        _row(f"{name}: inventory written", [full["merge_s"]], "s", share),
        _row(f"{name}: peak memory", [full["peak_mb"]], "MB", share),
        _row(
            f"{name}: memory beside that of a tenth (estate aside)",
            [(full["peak_mb"] - full["estate_mb"]) / (tenth["peak_mb"] - tenth["estate_mb"])],
            "ratio", share, goal=2.0,
        ),
    ]  # fmt: skip


def _merged(share: float) -> dict[str, float]:
    endpoints, certificates = round(ENDPOINTS * share), round(CERTIFICATES * share)
    command = [sys.executable, "-m", "bench.inventory_store_merge", str(endpoints), str(certificates)]
    done = subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - our own program
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def rescan_rows(_: float) -> list[Row]:
    """Return what a scan of unchanged source code, Python's own, costs as a share of the first, in processor time."""
    firsts, shares = zip(*(_rescanned() for _ in range(_REPEATS)), strict=True)
    name = "source tree unchanged since the last scan"
    return [
        row(f"{name}: first scan", list(firsts), "CPU-s"),
        row(f"{name}: scanned again, share of the first", list(shares), "ratio", goal=0.1),
    ]


def _rescanned() -> tuple[float, float]:
    """Return the processor time of a first scan, and that of the one after it as a share."""
    tree = Path(sysconfig.get_path("stdlib")) / "test"
    target = Target(id="tree", probe=ProbeKind.FILES, system="system-0", path=str(tree))
    with tempfile.TemporaryDirectory() as folder:
        ref = InputRef(kind="estate", content_sha256="0" * 64, file_sha256="0" * 64)
        opened = OpenEstate(replace(estate_of(0), target=(target,)), Path(folder), ref)
        times = []
        for _ in range(2):
            begun_s = time.process_time()
            scan_estate(opened, Path(folder) / "out", as_of=date(2026, 11, 24), max_age=timedelta(days=1))
            times.append(time.process_time() - begun_s)
    return times[0], times[1] / times[0]


_PARTS: dict[str, Callable[[float], list[Row]]] = {
    "questions": question_rows,
    "flows": flow_rows,
    "merge": merge_rows,
    "rescan": rescan_rows,
}
