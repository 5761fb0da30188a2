"""100,000 systems: every part of exposure ends, in bounded memory, and says the same as for a few."""

from datetime import date
from typing import Any

import pytest

from keystrand.assess.authenticity import forgeables
from keystrand.assess.exposure import exposures
from keystrand.assess.exposure_sums import By, exposure_sums
from keystrand.assess.findings import findings
from keystrand.assess.ranks import rank_ranges
from keystrand.assess.sensitivity import sensitivity
from keystrand.edge.catalogue import curves
from keystrand.model.algorithm import Function
from keystrand.model.estate import Place, Sensitivity
from keystrand.model.horizon import horizons

SYSTEMS = 100_000
IN_A_TREE = 100
"""Each hundredth system is the anchor of the ones after it."""
BOTH = (Function.KEY_ESTABLISHMENT, Function.SIGNATURE)


@pytest.mark.slow
def test_a_hundred_thousand_systems(estate_of: Any, system_of: Any, inventory_of: Any, as_of: date) -> None:
    """One exposure and one rank for each, sums that agree, and every leaf held as long as its anchor."""
    curve = next(c for c in curves() if c.id == "gri-2025")
    systems = [
        system_of(
            f"s{n}", functions=BOTH, data_classes=(f"d{n % 7}",), migration_years=(1.0, 2.0 + n % 5),
            place=Place.WEB if n % IN_A_TREE else Place.IDENTITY,
            depends_on=(f"s{n - n % IN_A_TREE}",) if n % IN_A_TREE else (),
        )
        for n in range(SYSTEMS)
    ]  # fmt: skip
    estate = estate_of(*systems, classes=[(f"d{n}", 5.0 * n, Sensitivity.HIGH) for n in range(7)])
    judged = findings(estate, inventory_of({}))
    ends = horizons(curve, as_of)
    found = exposures(estate, judged, ends, as_of)
    assert len(found) == SYSTEMS
    assert len(rank_ranges(found, curve, as_of, draws=20)) == SYSTEMS
    by_class, by_owner = (exposure_sums(estate, found, by) for by in (By.DATA_CLASS, By.OWNER))
    assert sum(s.amounts.avoidable.high for s in by_class) == pytest.approx(by_owner[0].amounts.avoidable.high)
    assert sensitivity(found, curve, (), as_of)[0].most > SYSTEMS / 2
    held = {f.system: f.trusted_until_years.high for f in forgeables(estate, judged, ends, as_of)}
    assert all(held[f"s{n}"] >= held[f"s{n - n % IN_A_TREE}"] for n in range(0, SYSTEMS, 37))
