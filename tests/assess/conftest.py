"""Small estates and inventories, built whole so that every test states only what it is about."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest

from keystrand.model.algorithm import Function, classify
from keystrand.model.document import FORMAT_VERSION, Coverage
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
from keystrand.model.observation import AlgorithmUse, Endpoint, Fact, Strength
from keystrand.model.stages import Asset, Inventory, Occurrence, SystemView

AS_OF = date(2026, 11, 24)
Seen = tuple[str, Fact, Strength]
"""A place, what was seen there, and how strong the evidence is."""


def _system(name: str = "web", **changes: Any) -> System:
    given: dict[str, Any] = {
        "id": name, "name": name, "place": Place.WEB, "site": "centre", "functions": (Function.KEY_ESTABLISHMENT,),
        "data_classes": ("ledger",), "exposure": Exposure.INTERNET, "migration_years": (2.0, 4.0),
    }  # fmt: skip
    return System(**(given | changes))


def _estate(
    *systems: System,
    jurisdiction: str = "DE",
    obligations: tuple[str, ...] = (),
    classes: Sequence[tuple[str, float, Sensitivity]] = (("ledger", 10.0, Sensitivity.HIGH),),
) -> Estate:
    return Estate(
        format_version="1.0",
        organisation=Organisation(name="Example", sector="finance", obligations=obligations),
        region=(Region(id="home", name="Home", jurisdiction=jurisdiction),),
        trust_zone=(TrustZone(id="own", name="Own"),),
        owner=(),
        site=(
            Site(
                id="centre", name="Centre", kind=SiteKind.DATA_CENTRE, latitude=50, longitude=8, region="home",
                trust_zone="own",
            ),
        ),
        data_class=tuple(DataClass(id=n, name=n, retention_years=x, sensitivity=s) for n, x, s in classes),
        system=systems,
    )  # fmt: skip


def _asset(number: int, system: str, place: str, fact: Fact, strength: Strength) -> Asset:
    name = fact.algorithm if isinstance(fact, AlgorithmUse) else str(number)
    verdict = classify(name).verdict
    probe = "report" if ".json!" in place else "tls"
    seen = Occurrence(target="t", system=system, place=place, probe=probe, strength=strength)
    return Asset(id=f"a{number}", name=name, verdict=verdict, strength=strength, fact=fact, occurrences=(seen,))


def _inventory(seen: dict[str, Sequence[Seen]], *, silent: int = 0) -> Inventory:
    flat = [(system, *what) for system, found in seen.items() for what in found]
    assets = tuple(_asset(n, *what) for n, what in enumerate(flat))
    return Inventory(
        format_version=FORMAT_VERSION, tool_version="0", as_of=AS_OF, created_at=datetime(2026, 11, 24, tzinfo=UTC),
        made_from=(), seed=None, coverage=Coverage(unit="targets", looked_at=1, answered=1), assets=assets,
        systems=tuple(
            SystemView(system=name, assets=(), targets=len(found) + silent, answered=len(found))
            for name, found in seen.items()
        ),
        ownership_gaps=(),
    )  # fmt: skip


def _kex(algorithm: str, strength: Strength = Strength.NEGOTIATED, place: str = "tls://web:443") -> Seen:
    return place, AlgorithmUse(algorithm=algorithm, function=Function.KEY_ESTABLISHMENT), strength


def _sig(algorithm: str, strength: Strength = Strength.NEGOTIATED, place: str = "tls://web:443") -> Seen:
    return place, AlgorithmUse(algorithm=algorithm, function=Function.SIGNATURE), strength


def _service(*, prefers: bool | None, place: str = "tls://web:443", protocol: str = "tls") -> Seen:
    return place, Endpoint(protocol=protocol, host="web", port=443, prefers_post_quantum=prefers), Strength.NEGOTIATED


@pytest.fixture(scope="session")
def as_of() -> date:
    """Return the day of every judgement in these tests."""
    return AS_OF


@pytest.fixture(scope="session")
def system_of() -> Callable[..., System]:
    """Return a maker of systems: an id, and the fields that differ from a plain web server."""
    return _system


@pytest.fixture(scope="session")
def estate_of() -> Callable[..., Estate]:
    """Return a maker of estates: systems, jurisdiction, obligations and data classes."""
    return _estate


@pytest.fixture(scope="session")
def inventory_of() -> Callable[..., Inventory]:
    """Return a maker of inventories: what was seen by system, and how many targets stayed silent."""
    return _inventory


@pytest.fixture(scope="session")
def kex() -> Callable[..., Seen]:
    """Return a maker of key-establishment evidence."""
    return _kex


@pytest.fixture(scope="session")
def sig() -> Callable[..., Seen]:
    """Return a maker of signature evidence."""
    return _sig


@pytest.fixture(scope="session")
def service() -> Callable[..., Seen]:
    """Return a maker of a service that answered."""
    return _service
