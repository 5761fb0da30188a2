"""The whole inventory at once: live servers, an estate's files and captures, a real source tree; then three changes."""

import json
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.edge.probes.bed.cases import CASES, Case
from tests.edge.probes.bed.programs import HOST
from tests.edge.probes.bed.start import missing, served

from keystrand.app.drift import change_rows, changes_between
from keystrand.app.estate import OpenEstate, open_estate
from keystrand.app.inventory import scan_estate
from keystrand.edge.cbom_schema import faults
from keystrand.model.estate import ProbeKind, Scan, Target
from keystrand.model.observation import Outcome
from keystrand.model.stages import Inventory

pytestmark = pytest.mark.system
BANK = Path(__file__).parents[2] / "examples" / "regional-bank"
SOURCE = Path(__file__).parents[2] / "src" / "keystrand" / "crypto"
DAY = date(2026, 11, 26)
PORT = 443


class Bed:
    """The estate of the show: the bank's files, every live server by a name of its own, and a tree of source code."""

    def __init__(self, folder: Path, cases: list[Case], ports: dict[str, int]) -> None:
        shutil.copytree(BANK, folder, symlinks=False)
        opened = open_estate(folder)
        files = tuple(target for target in opened.estate.target if target.probe.reads_files)
        servers = tuple(
            Target(id=f"server-{n}", probe=case.probe, system="core-ledger", host=case.host, port=PORT,
                   starttls=case.server.starttls)
            for n, case in enumerate(cases)
        )  # fmt: skip
        source = Target(id="source-tree", probe=ProbeKind.SOURCE, system="build-signing", path=str(SOURCE))
        estate = replace(
            opened.estate,
            target=(*files, *servers, source),
            scan=Scan(connections_per_s=10_000, connections_per_host=8, timeout_s=20),
        )
        self.folder, self.opened = folder, OpenEstate(estate, folder, opened.ref)
        self.at = {(case.host, PORT): (HOST, ports[case.name]) for case in cases}

    def scan(self, out: Path) -> Inventory:
        """Scan everything into `out`."""
        return scan_estate(self.opened, out, as_of=DAY, connect_to=self.at).inventory


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """Start every server that can be one here."""
    # strongSwan blocks a peer with five handshakes half open, for half a minute: not for three scans in a row
    cases = [case for case in CASES if case.server.program not in {*missing(), "charon-systemd"}]
    if len(cases) < 24:
        pytest.skip(f"only {len(cases)} of the servers can be started here: {dict(missing())}")
    with served(cases) as ports:
        yield Bed(tmp_path_factory.mktemp("show") / "bank", cases, ports)


@pytest.fixture(scope="module")
def first(bed: Bed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the first scan."""
    out = tmp_path_factory.mktemp("first")
    bed.scan(out)
    return out


def test_one_inventory_and_one_valid_cbom_of_all_of_it(first: Path) -> None:
    """Every server and every file was seen; what the bank did not declare is a named gap, and nothing is unknown."""
    inventory = json.loads((first / "inventory.json").read_bytes())
    ended = {one["outcome"]: one["count"] for one in inventory["coverage"]["outcomes"]}
    assert ended.get(Outcome.SEEN.value, 0) >= 24 + 12
    assert not {outcome.value for outcome in Outcome} - {"seen", "none"} & ended.keys()
    assert len({line["place"] for line in inventory["places"]}) == len(inventory["places"]) >= 15
    kinds = {asset["fact"]["type"] for asset in inventory["assets"]}
    assert {"certificate", "endpoint", "algorithm-use", "protocol-settings", "flow", "library"} <= kinds
    assert faults((first / "cbom.json").read_bytes()) == ()


def test_the_same_bed_scanned_again_has_not_changed(bed: Bed, first: Path, tmp_path: Path) -> None:
    """Handshakes are new each time; what they show is the same."""
    bed.scan(tmp_path)
    assert change_rows(changes_between(first, tmp_path)) == []


def test_three_changes_are_exactly_three_lines(bed: Bed, first: Path, tmp_path: Path) -> None:
    """A tunnel that loses its post-quantum exchange, a server that gains one, a program that drops MD5."""
    tunnel = bed.folder / "collected" / "branch-vpn" / "swanctl.conf"
    tunnel.write_text(
        tunnel.read_text().replace("aes256gcm16-prfsha384-ecp384-ke1_mlkem768", "aes256gcm16-prfsha384-ecp384")
    )
    program = bed.folder / "collected" / "backup-vault" / "catalogue.py"
    was = "hashlib.md5(content, usedforsecurity=False)"
    program.write_text(program.read_text().replace(was, "hashlib.sha256(content)"))
    by_name = {case.name: (case.host, PORT) for case in CASES}
    before = bed.at
    bed.at = {**before, by_name["classical groups"]: before[by_name["hybrid above classical"]]}
    bed.scan(tmp_path)
    rows = {json.dumps(row["where"]): row["change"] for row in change_rows(changes_between(first, tmp_path))}
    assert len(rows) == 3, rows
    assert next(kind for where, kind in rows.items() if "swanctl.conf" in where) == "weakened"
    assert next(kind for where, kind in rows.items() if "classical-groups" in where) == "improved"
    assert next(kind for where, kind in rows.items() if "catalogue.py" in where) == "improved"
