"""The rules over every asset of a run: from the store, from Parquet, and one by one through the command."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.app.test_inventory_pipeline import DAY
from tests.edge.analytics.test_inventory_questions import RECORDS, merged_into
from tests.inventory.test_inventory_drift import TARGETS
from tests.inventory.test_inventory_merge import an_estate

from keystrand.app.assess_assets import asset_rows, state_rows, tally_rows
from keystrand.app.estate import OpenEstate
from keystrand.app.query import export_parquet
from keystrand.model.document import InputRef
from keystrand.model.errors import InvalidInput, MissingInput
from keystrand.model.estate import Estate, Organisation, Region, Site, SiteKind


def _estate() -> Estate:
    site = Site(id="x", name="X", kind=SiteKind.OFFICE, latitude=48, longitude=10, region="de", trust_zone="core")
    estate = an_estate(target=TARGETS)
    return replace(
        estate,
        organisation=Organisation(name="o", sector="banking", obligations=("eu-roadmap",)),
        region=(Region(id="de", name="DE", jurisdiction="DE"),),
        site=tuple(replace(site, id=name) for name in {system.site for system in estate.system}),
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[OpenEstate, Path, Path]:
    """Return an estate, the folder of its run, and one with the tables as Parquet."""
    estate, out = _estate(), tmp_path_factory.mktemp("run")
    merged_into(out, RECORDS, estate)
    export_parquet(out, out / "tables")
    ref = InputRef(kind="estate", content_sha256="c" * 64, file_sha256="d" * 64)
    return OpenEstate(estate, out, ref), out, out / "tables"


def _states(rows: list[dict[str, Any]], rule: str) -> dict[str, int]:
    return {row["state"]: row["assets"] for row in rows if row["rule"] == rule}


def test_the_store_and_parquet_say_the_same(run: tuple[OpenEstate, Path, Path]) -> None:
    """Both databases group alike, and what is listed in a state is what was counted in it."""
    opened, out, tables = run
    rows = tally_rows(opened, out, as_of=DAY)
    assert rows == tally_rows(opened, out, as_of=DAY, parquet=tables)
    listed = state_rows(opened, out, "due", as_of=DAY, policy="eu-roadmap", most=1000)
    assert listed == state_rows(opened, out, "due", as_of=DAY, policy="eu-roadmap", most=1000, parquet=tables)
    assert len(listed) == max(row["assets"] for row in rows if row["state"] == "due") > 0
    assert len(state_rows(opened, out, "due", as_of=DAY, most=2)) == 2


def test_test_code_and_ciphers_count_for_nothing(run: tuple[OpenEstate, Path, Path]) -> None:
    """A digest in a test and what a client offered are no use that a rule could speak of."""
    opened, out, _ = run
    names = {row["algorithm"] for row in state_rows(opened, out, "due", as_of=DAY, most=1000)}
    assert names
    assert not names & {"SHA-1", "MD5", "AES-128-GCM"}


def test_one_asset_says_why(run: tuple[OpenEstate, Path, Path]) -> None:
    """Every rule with its reason, in each system that has the asset; a name that is none has a next step."""
    opened, out, _ = run
    name = state_rows(opened, out, "due", as_of=DAY, most=1)[0]["asset"]
    rows = asset_rows(opened, out, name, as_of=DAY)
    assert {row["state"] for row in rows} >= {"due"}
    assert all(row["why"] for row in rows)
    with pytest.raises(InvalidInput, match="no system has an asset 'nothing'"):
        asset_rows(opened, out, "nothing", as_of=DAY)


def test_mistakes_are_told(run: tuple[OpenEstate, Path, Path], tmp_path: Path) -> None:
    """A policy that there is not, a folder without a run."""
    opened, out, _ = run
    with pytest.raises(InvalidInput, match="no policy is called 'dore'"):
        state_rows(opened, out, "due", as_of=DAY, policy="dore", most=1)
    with pytest.raises(MissingInput):
        tally_rows(opened, tmp_path, as_of=DAY)
    with pytest.raises(MissingInput):
        tally_rows(opened, out, as_of=DAY, parquet=tmp_path)
