"""A million assets against every policy: wall time and memory, beside the same rules asked asset by asset.

Runs as a process of its own, so that its peak of memory is its own.
"""

import json
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from bench.measure import Missing, Row, peak_mb, row
from keystrand.app.assess_assets import asset_rows, state_rows, tally_rows
from keystrand.app.estate import OpenEstate
from keystrand.assess.assets import Alike, finding_of
from keystrand.assess.policy import facts_of, judge
from keystrand.edge.analytics.parquet import duck
from keystrand.edge.analytics.views import VIEWS
from keystrand.edge.catalogue import policies
from keystrand.model.algorithm import Function
from keystrand.model.document import InputRef
from keystrand.model.estate import (
    DataClass,
    Estate,
    Exposure,
    Organisation,
    Place,
    Region,
    Sensitivity,
    Site,
    SiteKind,
    System,
    TrustZone,
)

ASSETS, SYSTEMS, ONE_BY_ONE = 10**6, 5000, 2000
_AS_OF = date(2026, 11, 26)
_JURISDICTIONS = ("DE", "US", "GB", "CH")
_TABLES = {
    "certificates": """
SELECT i AS id, 'quantum-vulnerable' AS verdict, printf('%064x', i) AS sha256,
    ['RSA', 'ECDSA-P-256', 'RSA', 'ECDSA-P-384'][1 + i % 4] AS key_algorithm,
    [2048, NULL, 4096, NULL][1 + i % 4] AS key_bits FROM range({half}) t(i)""",
    "uses": """
SELECT i AS id, ['quantum-vulnerable', 'quantum-safe', 'quantum-vulnerable'][1 + i % 3] AS verdict,
    ['X25519', 'X25519MLKEM768', 'ECDH-P-256'][1 + i % 3] AS algorithm, 'key-establishment' AS function, 0 AS in_tests
FROM range({half}, {all}) t(i)""",
    "assets": "SELECT i AS id, 'asset-' || i AS identity FROM range({all}) t(i)",
    "sightings": """
SELECT i AS id, 'system-' || (hash(i) % {systems}) AS system, 'tls://h' || i || ':443' AS place
FROM range({all}) t(i)""",
}  # fmt: skip


def estate_of() -> Estate:
    """Return an estate of many systems, spread over places, jurisdictions and sensitivities."""
    places, levels = list(Place), list(Sensitivity)
    return Estate(
        format_version="1",
        organisation=Organisation(name="fleet", sector="banking", obligations=("eu-roadmap", "nist-ir-8547")),
        region=tuple(Region(id=code.lower(), name=code, jurisdiction=code) for code in _JURISDICTIONS),
        trust_zone=(TrustZone(id="core", name="Core"),),
        owner=(),
        site=tuple(
            Site(id=f"site-{code.lower()}", name=code, kind=SiteKind.OFFICE, latitude=0, longitude=0,
                 region=code.lower(), trust_zone="core") for code in _JURISDICTIONS
        ),
        data_class=tuple(
            DataClass(id=level.value, name=level.value, retention_years=10, sensitivity=level) for level in levels
        ),
        system=tuple(
            System(id=f"system-{n}", name=f"System {n}", place=places[n % len(places)], exposure=Exposure.INTERNAL,
                   site=f"site-{_JURISDICTIONS[n % 4].lower()}", functions=(Function.SIGNATURE,),
                   data_classes=(levels[n // 7 % 4].value,)) for n in range(SYSTEMS)
        ),
    )  # fmt: skip


def make_tables(folder: Path) -> None:
    """Write the tables of an inventory of `ASSETS` assets into `folder`."""
    sizes = {"all": ASSETS, "half": ASSETS // 2, "systems": SYSTEMS}
    with duck(folder) as db:
        for name, view in VIEWS.items():
            made = _TABLES.get(name, "SELECT 0 AS id WHERE false").format(**sizes)
            has = set(db.execute(f"DESCRIBE {made}").fetchnumpy()["column_name"])
            rest = "".join(
                f', NULL::{kind} AS "{column}"' for column, kind in view.columns.items() if column not in has
            )
            copy = f"COPY (SELECT *{rest} FROM ({made})) TO '{folder}/{name}.parquet' (FORMAT parquet)"  # noqa: S608 - texts from this file
            db.execute(copy)


def main(repeats: int) -> dict[str, list[float]]:
    """Return the samples: seconds for all assets, for listing one state, for one asset's reasons; peak memory."""
    ref = InputRef(kind="estate", content_sha256="0" * 64, file_sha256="0" * 64)
    found: dict[str, list[float]] = {"all": [], "one": [], "listed": [], "assets": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        opened = OpenEstate(estate_of(), folder, ref)
        make_tables(folder)
        for _ in range(repeats):
            begun = time.perf_counter()
            rows = tally_rows(opened, folder, as_of=_AS_OF, parquet=folder)
            found["all"].append(time.perf_counter() - begun)
            # every asset has one verdict under a rule without conditions
            found["assets"].append(
                sum(r["assets"] for r in rows if (r["policy"], r["rule"]) == ("nist-ir-8547", "signature"))
            )
            begun = time.perf_counter()
            asset_rows(opened, folder, "asset-77", as_of=_AS_OF, parquet=folder)
            found["one"].append(time.perf_counter() - begun)
            begun = time.perf_counter()
            state_rows(opened, folder, "due", as_of=_AS_OF, most=1000, parquet=folder)
            found["listed"].append(time.perf_counter() - begun)
    found["peak_mb"] = [peak_mb()]
    found["each"] = [_one_by_one(opened.estate) for _ in range(repeats)]
    return found


def _one_by_one(estate: Estate) -> float:
    """Return the seconds that one asset takes where each is judged by itself."""
    known, facts = policies(), {s.id: facts_of(estate, s, _AS_OF) for s in estate.system[:ONE_BY_ONE]}
    alike = [(Alike(name, "RSA", 2048, "", "quantum-vulnerable"), one) for name, one in facts.items()]
    begun = time.perf_counter()
    for kind, one in alike:
        if finding := finding_of(kind):
            judge(known, finding, one)
    return (time.perf_counter() - begun) / len(alike)


def rows() -> list[Row]:
    """Return the rows. Raises `Missing` where DuckDB is not installed."""
    command = [sys.executable, "-m", "bench.plan_assets"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - our own module
    if done.returncode:
        raise Missing(done.stderr.strip().rpartition("\n")[2])
    found = json.loads(done.stdout)
    each = [ASSETS * s for s in found["each"]]
    peer = "the same rules, asset by asset (2,000 of them)"
    return [
        row("10^6 assets against all policies", found["all"], "s", peer=peer, peer_samples=each, goal=10.0),
        row("10^6 assets against all policies: peak memory", found["peak_mb"], "MB", goal=2000.0),
        row("the reasons for one of 10^6 assets", found["one"], "s"),
        row("the first 1,000 of 10^6 assets in one state", found["listed"], "s"),
    ]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(5)) + "\n")
