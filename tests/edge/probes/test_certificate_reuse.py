"""The same certificate on several hosts is one thing in the inventory, with every place where it is shown."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.edge.probes.test_scheduler import estate_of
from tests.edge.probes.test_tls_probe import by_pyopenssl, listening, probe
from tests.inventory.test_inventory_merge import merged

from keystrand.model.estate import Target
from keystrand.model.observation import Certificate, Endpoint, Record

pytestmark = pytest.mark.system


def test_a_certificate_on_three_hosts_is_one_asset(tmp_path: Path) -> None:
    """Two hosts share one, the third has its own: two assets, and the shared one says where it is."""
    for name in ("shared", "own"):
        (tmp_path / name).mkdir()
    shared = by_pyopenssl(tmp_path / "shared", ec.generate_private_key(ec.SECP256R1()))
    own = by_pyopenssl(tmp_path / "own", ec.generate_private_key(ec.SECP256R1()))
    targets: list[Target] = []
    records: list[Record] = []
    for number, serve in enumerate((shared, shared, own)):
        with listening(serve) as found:
            target = Target(id=f"t{number}", probe=found.probe, system="core-ledger", host=found.host, port=found.port)
            seen, attempt = probe(target)
        targets.append(target)
        records += [*seen, attempt]
    inventory = merged(records, estate_of(*targets))
    places = [{o.target for o in one.occurrences} for one in inventory.assets if isinstance(one.fact, Certificate)]
    assert sorted(places, key=len) == [{"t2"}, {"t0", "t1"}]
    assert sum(isinstance(one.fact, Endpoint) for one in inventory.assets) == 3
