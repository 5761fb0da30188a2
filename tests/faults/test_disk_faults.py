"""A disk that is full or breaks: the KME says so, stops, and breaks no promise."""

import contextlib
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from keystrand.model.errors import NoKeyAvailable, PeerUnavailable

from .crash_load import Load
from .node import Node
from .plant import FILES, SAES, Plant
from .powercut import Style
from .shim import Action, Op, Rule

pytestmark = pytest.mark.system

SEED = 45
Lay = Callable[..., Plant]
_FAULTS = {
    "full": (Op.WRITE, Action.NO_SPACE),
    "write": (Op.WRITE, Action.IO_ERROR),
    "sync": (Op.SYNC, Action.IO_ERROR),
}


def _rule(file: str, fault: str, chance: random.Random) -> Rule:
    op, action = _FAULTS[fault]
    return Rule(ops=op, pattern=FILES[file], action=action, skip=chance.randrange(20), torn=fault == "full")


def _fail(node: Node, rule: Rule) -> None:
    """Let the disk fail for a while, and then be sound again."""
    node.rules.set(rule)
    for _ in range(1000):
        if node.rules.hits():
            break
        time.sleep(0.01)
    time.sleep(0.3)
    assert node.rules.disarm(), "no step met the fault"


def _serves(plant: Plant) -> bool:
    """Return whether the first KME gives a key to any of several requests; 503 and silence are the other answers."""
    for _ in range(5):
        with contextlib.suppress(NoKeyAvailable, PeerUnavailable), plant.client(0) as client:
            client.enc_keys(SAES[1])
            return True
    return False


@pytest.mark.parametrize("file", FILES)
def test_a_disk_fault_stops_the_kme_and_breaks_no_promise(plant: Lay, shim: Path, file: str) -> None:
    """Under load, after a full disk, a failed write, a failed sync: 503, a line in the log, no key though the disk is
    sound again; after a restart, on what such a disk may have kept, every promise holds.
    """
    two, chance = plant(shim=shim), random.Random(SEED)
    node = two.nodes[0]
    with two.source(), Load(two, SEED) as load:
        for fault in _FAULTS:
            load.wait_for(20)
            said = len(node.log.read_bytes())
            _fail(node, _rule(file, fault, chance))
            assert not _serves(two)
            assert b"CRITICAL" in node.log.read_bytes()[said:]
            node.lose_power(chance, chance.choice(list(Style)))
            node.start()
        load.wait_for(20)
    for one in two.nodes:
        one.stop()
    assert load.ledger.violations(two) == {}, f"seed {SEED}"


def test_the_harness_finds_a_kme_that_goes_on(plant: Lay, shim: Path) -> None:
    """A KME that forgets a failed sync of its store is seen to serve again."""
    two = plant(shim=shim, weakness="goes-on")
    with two.source(), Load(two, SEED) as load:
        load.wait_for(20)
        _fail(two.nodes[0], _rule("store", "sync", random.Random(SEED)))
        assert _serves(two)
