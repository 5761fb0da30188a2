"""Authenticity apart from confidentiality: trust ends with the last anchor and the last verifier, not with the leaf."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystrand.assess.authenticity import forgeables
from keystrand.assess.findings import findings
from keystrand.edge.catalogue import curves
from keystrand.model.algorithm import Function
from keystrand.model.estate import Place
from keystrand.model.horizon import forgeable, horizons
from keystrand.model.stages import Forgeable, Trusted

SIGNS = (Function.SIGNATURE,)
Forge = Callable[..., dict[str, Forgeable]]


@pytest.fixture(scope="session")
def forge(estate_of: Any, inventory_of: Any, sig: Any, as_of: date) -> Forge:
    """Return a function from systems (and what they were seen to sign with) to what can be forged, by system."""
    ends = horizons(next(c for c in curves() if c.id == "gri-2025"), as_of)

    def run(*systems: Any, seen: dict[str, str] | None = None) -> dict[str, Forgeable]:
        names = {s.id: "RSA-2048" for s in systems} | (seen or {})
        inventory = inventory_of({name: [sig(algorithm)] for name, algorithm in names.items()})
        estate = estate_of(*systems)
        return {f.system: f for f in forgeables(estate, findings(estate, inventory), ends, as_of)}

    return run


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 8), st.floats(0, 8), st.floats(0, 8), st.floats(0, 8))
def test_a_leaf_that_moves_before_its_root_gains_exactly_nothing(
    forge: Forge, system_of: Any, root: float, leaf: float, slow: float, sooner: float
) -> None:
    """Whatever a leaf does within the time its anchors need, what can be forged stays the same to the last digit."""

    def with_leaf(years: float) -> Forgeable:
        ca = system_of("ca", functions=SIGNS, place=Place.IDENTITY, migration_years=(root, root + slow))
        issuing = system_of(
            "issuing", functions=SIGNS, place=Place.IDENTITY, depends_on=("ca",), migration_years=(0.0, 0.0)
        )
        web = system_of("web", functions=SIGNS, depends_on=("issuing",), migration_years=(years, years))
        return forge(ca, issuing, web)["web"]

    late, early = min(leaf, root), min(sooner, leaf, root)
    assert with_leaf(early).service_years == with_leaf(late).service_years
    assert with_leaf(early).trusted_until_years == with_leaf(late).trusted_until_years
    assert "ca" in with_leaf(early).held_by


def test_the_root_is_what_reduces_it(forge: Forge, system_of: Any) -> None:
    """The same chain with an earlier root can be forged for less; after the root, the leaf counts."""

    def leaf(root: float, own: float) -> float:
        ca = system_of("ca", functions=SIGNS, place=Place.IDENTITY, migration_years=(root, root))
        web = system_of("web", functions=SIGNS, depends_on=("ca",), migration_years=(own, own))
        return forge(ca, web)["web"].service_years.high

    assert leaf(2, 1) < leaf(6, 1) == leaf(6, 3)
    assert leaf(2, 5) < leaf(2, 6)


def test_devices_that_cannot_be_changed_hold_the_trust(forge: Forge, system_of: Any, as_of: date) -> None:
    """Firmware that the field trusts for 15 years can be forged for as long, however soon the signing changes."""
    until = as_of + timedelta(days=15 * 365)
    system = system_of("atm", functions=SIGNS, place=Place.FIRMWARE, verifiers_until=until, migration_years=(1.0, 2.0))
    found = forge(system)["atm"]
    assert found.trusted_for is Trusted.FIRMWARE
    assert found.own_change_years.high == 2
    assert found.trusted_until_years.low == found.trusted_until_years.high == pytest.approx(15, abs=0.02)
    assert found.held_by == ("verifiers of atm",)


def test_a_safe_signer_is_trusted_no_longer_and_an_unknown_one_from_0(forge: Forge, system_of: Any) -> None:
    """ML-DSA negotiated and nothing else accepted: nothing to forge; not known: from nothing to all."""
    names = {"known": "RSA-2048", "unknown": "never-heard-of"}
    found = forge(*(system_of(n, functions=SIGNS) for n in names), seen=names)
    assert found["unknown"].service_years.low == 0 < found["unknown"].service_years.high
    assert found["unknown"].service_years.high == found["known"].service_years.high
    assert found["known"].service_years.low > 0


def test_the_figure_is_the_closed_form_at_both_ends(forge: Forge, system_of: Any, as_of: date) -> None:
    """A(M) = G(M): the shortest time on the low curve, the longest on the high one."""
    low, high = horizons(next(c for c in curves() if c.id == "gri-2025"), as_of)
    found = forge(system_of("web", functions=SIGNS, migration_years=(2.0, 7.0)))["web"]
    assert found.service_years.low == pytest.approx(float(forgeable(low, 2.0)), abs=1e-6)
    assert found.service_years.high == pytest.approx(float(forgeable(high, 7.0)), abs=1e-6)


def test_what_only_establishes_keys_signs_nothing(
    estate_of: Any, system_of: Any, inventory_of: Any, kex: Any, as_of: date
) -> None:
    """Confidentiality has no part in it: a system without a signature is not listed."""
    estate = estate_of(system_of("vault"))
    judged = findings(estate, inventory_of({"vault": [kex("X25519")]}))
    ends = horizons(next(c for c in curves() if c.id == "gri-2025"), as_of)
    assert forgeables(estate, judged, ends, as_of) == ()
