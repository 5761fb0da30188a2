"""The network between the KMEs, or between an SAE and its KME, fails at a chosen moment."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from keystrand.edge.kme.client import Client014
from keystrand.model.errors import InvalidInput, KeystrandError, NoKeyAvailable

from .crash_load import Ledger, deliver, fill, order_of
from .plant import SAES, lay
from .wire import Fault, Wire

pytestmark = pytest.mark.system

_OUTAGES = [Fault.LOSE_REQUEST, Fault.LOSE_ANSWER, Fault.CUT_ANSWER, Fault.HALF_OPEN, Fault.DEAD]


class Wired:
    """A plant whose KMEs reach each other over wires: `wires[n]` leads to KME n."""

    def __init__(self, folder: Path, ends: contextlib.ExitStack) -> None:
        self.wires: list[Wire] = []

        def reroute(port: int) -> int:
            self.wires.append(ends.enter_context(Wire(port)))
            return self.wires[-1].port

        self.plant = lay(folder, reroute=reroute)
        ends.callback(self.plant.close)
        # the first KME's configuration is written first: its wire leads to the second
        self.wires.reverse()
        self.plant.start()
        fill(self.plant, keys=200)
        self.ledger = Ledger()

    def deliver(self, master: int) -> bool:
        """Get two keys and fetch them; return whether they were given within a time."""
        return deliver(self.plant, master, self.ledger, patience_s=10)

    def give(self, client: Client014, master: int) -> None:
        """Get two keys."""
        self.ledger.add(order_of(master, client.enc_keys(SAES[1 - master], number=2)))


@pytest.fixture(scope="module")
def wired(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wired]:
    """Return a plant with wires."""
    with contextlib.ExitStack() as ends:
        one = Wired(tmp_path_factory.mktemp("wired") / "plant", ends)
        yield one
        for node in one.plant.nodes:
            node.stop()
        assert one.ledger.violations(one.plant) == {}


@pytest.mark.parametrize("fault", _OUTAGES)
def test_an_outage_between_the_kmes_costs_an_error_and_what_is_in_doubt(wired: Wired, fault: Fault) -> None:
    """Get key is refused with 503 while it lasts and works when it has passed; nothing in doubt is ever given out."""
    assert wired.deliver(0)
    wired.wires[1].set(fault)
    with wired.plant.client(0, timeout_s=20) as master, pytest.raises(NoKeyAvailable):
        wired.give(master, 0)
    assert wired.wires[1].met
    wired.wires[1].set(Fault.NONE)
    for _ in range(3):
        assert wired.deliver(0)


def test_keys_of_the_other_direction_flow_during_an_outage(wired: Wired) -> None:
    """While one KME cannot reach the other as a master, what it serves as a slave goes on."""
    assert wired.deliver(0)
    wired.wires[1].set(Fault.DEAD)
    for _ in range(3):
        assert wired.deliver(1)
    wired.wires[1].set(Fault.NONE)


def test_a_slow_peer_costs_time_only(wired: Wired) -> None:
    """Keys are given and fetched though every byte between the KMEs comes late."""
    wired.wires[1].set(Fault.SLOW)
    assert wired.deliver(0)
    assert wired.wires[1].met
    wired.wires[1].set(Fault.NONE)


def test_an_answer_lost_on_the_way_to_the_slave(wired: Wired) -> None:
    """The same request repeated gets the same keys within the replay window, and is refused without one; a part of
    it is refused always.
    """
    plant = wired.plant
    with plant.client(0) as master:
        wired.give(master, 0)
    order = wired.ledger.given[-1]
    port = int(plant.nodes[1].url.rpartition(":")[2])
    with Wire(port) as wire, plant.client(1, url=wire.url) as slave:
        slave.status(SAES[0])
        wire.set(Fault.CUT_ANSWER)
        with pytest.raises(KeystrandError, match="no answer"):
            slave.dec_keys(SAES[0], order.key_ids)
        wire.set(Fault.NONE)
        with pytest.raises(InvalidInput):
            slave.dec_keys(SAES[0], order.key_ids[:1])
        if plant.replay_window:
            assert tuple(key.key.reveal() for key in slave.dec_keys(SAES[0], order.key_ids)) == order.keys
        else:
            with pytest.raises(InvalidInput):
                slave.dec_keys(SAES[0], order.key_ids)
