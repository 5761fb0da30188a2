"""The trials that are no tunnels, between two sites: what they send passes the carrier, and stops where it is cut."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.edge.consumers.corridor import needs
from tests.edge.pilot.grounds import declared, ground_of

from keystrand.edge.daemons import Daemons
from keystrand.edge.devices.twin_source import TwinSource
from keystrand.edge.kme.pair import Pair, start_pair
from keystrand.edge.pilot.age import AgeTrial
from keystrand.edge.pilot.carrier import NamespaceCarrier
from keystrand.edge.pilot.tls import TlsTrial
from keystrand.model.pilot import ConsumerKind

pytestmark = [pytest.mark.system, needs("tc", "age")]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two KMEs with keys in stock."""
    with start_pair(tmp_path_factory.mktemp("carried") / "run") as running:
        with TwinSource(running.link, running.source_ends, bits_per_s=2_000_000, qber=0.02, block_bits=65_536):
            running.wait_for_keys(200)
        yield running


@pytest.mark.parametrize(
    "trial",
    [
        TlsTrial(declared(ConsumerKind.TLS, 50)),
        pytest.param(AgeTrial(declared(ConsumerKind.AGE, 1)), marks=pytest.mark.slow),
    ],
)
def test_it_stands_on_the_carrier(trial: TlsTrial | AgeTrial, pair: Pair, tmp_path: Path) -> None:
    """Plain and keyed it passes, with all packets of its between the sites; cut it fails; mended it passes again."""
    with Daemons() as care:
        carrier = NamespaceCarrier(tmp_path, care)
        carrier.start()
        carrier.watch(f"{carrier.addresses[1]}/32")
        trial.set_up(ground_of(tmp_path / "ground", pair, care, carrier))
        trial.begin_plain()
        passes(trial, expected=True)
        trial.end_plain()
        before = carrier.in_clear(f"{carrier.addresses[1]}/32")
        trial.begin_keyed()
        passes(trial, expected=True)
        # TCP's own: opened, acknowledged, closed
        assert carrier.in_clear(f"{carrier.addresses[1]}/32") >= before + 6
        carrier.cut()
        passes(trial, expected=False)
        carrier.mend()
        passes(trial, expected=True)


def passes(trial: TlsTrial | AgeTrial, *, expected: bool) -> None:
    """Let traffic flow for a moment and see whether it passes."""
    begin = time.time()
    trial.begin_traffic()
    time.sleep(0.1)
    trial.end_traffic()
    made = trial.attempts(begin, time.time())
    assert made
    assert {bool(one.done) for one in made} == {expected}, [one.why for one in made]
