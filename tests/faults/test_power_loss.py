"""Power lost under load: what an SAE was answered stays true on the disk that is left."""

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .crash_load import Ledger, deliver, fill, strike_at_random
from .node import Node
from .plant import Plant
from .powercut import Disk, Style, files_of, put_back
from .shim import Action, Op, Rule

pytestmark = pytest.mark.system

SEED = 74
Lay = Callable[..., Plant]


def _loss(seed: int) -> Callable[[Node], None]:
    """Return a strike: the power of a killed KME was lost; of what was not synced nothing, something or all is left."""
    chance, styles = random.Random(seed), (*Style, Style.SECTORS, Style.SECTORS)
    return lambda node: node.lose_power(chance, chance.choice(styles))


@pytest.mark.parametrize("cuts", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_power_cuts_under_load(plant: Lay, shim: Path, cuts: int) -> None:
    """No key twice, none in two orders, both ends the same, none refused that was promised, all of it in the audit."""
    assert strike_at_random(plant(shim=shim), cuts, SEED, _loss(SEED), threads=16) == {}, f"seed {SEED}"


@pytest.mark.parametrize(
    "weakness", ["sync-normal+blind", "audit-unsynced", pytest.param("sync-normal", marks=pytest.mark.slow)]
)
def test_the_harness_finds_a_kme_that_does_not_sync(plant: Lay, shim: Path, weakness: str) -> None:
    """The same load and cuts find a KME that does not sync its store or audit, which kills alone do not find."""
    for seed in range(4):
        weak = plant(shim=shim, weakness=weakness)
        for node in weak.nodes:
            node.stop()  # so that there is something on the disk to go back to
        weak.start()
        if strike_at_random(weak, 3, seed, _loss(seed)):
            return
    pytest.fail("12 cuts found nothing")


def test_the_log_of_a_kme_is_complete(plant: Lay, shim: Path) -> None:
    """All steps in the log, taken on what was there before, give the very files that a killed KME left."""
    two = plant(shim=shim)
    fill(two, keys=20)
    for node in two.nodes:
        node.kill()
        left = files_of(node.folders)
        node.lose_power(random.Random(SEED), Style.ALL)
        assert files_of(node.folders) == left


def test_power_lost_at_the_first_start(plant: Lay, shim: Path) -> None:
    """Whatever is left of its first steps, a KME starts again."""
    node, chance = plant(shim=shim).nodes[0], random.Random(SEED)
    records = node.steps()
    for step in sorted(chance.sample(range(len(records)), 5)):
        node.kill()
        disk = Disk({}, chance)
        disk.apply(records[:step])
        put_back(node.folders, disk.cut(chance.choice(list(Style))))
        node.start()


@pytest.mark.parametrize("op", [Op.SYNC, pytest.param(Op.WRITE, marks=pytest.mark.slow)])
def test_every_step_of_a_delivery(plant: Lay, shim: Path, op: Op) -> None:
    """A KME that loses power before or after any step of a delivery, and all it had not synced, breaks no promise."""
    two, ledger = plant(shim=shim), Ledger()
    for node in two.nodes:
        for action in (Action.KILL_BEFORE, Action.KILL_AFTER):
            step = 0
            while _dies_at(two, node, Rule(ops=op, pattern="*", action=action, skip=step), ledger):
                step += 1
            assert 0 < step < 100
    for node in two.nodes:
        node.stop()
    assert ledger.violations(two) == {}


def _dies_at(two: Plant, node: Node, rule: Rule, ledger: Ledger) -> bool:
    """Deliver keys once with the rule and once without; return whether the rule met a step."""
    fill(two, keys=100)
    node.rules.set(rule)
    thread = threading.Thread(target=deliver, args=(two, 0, ledger))
    thread.start()
    while thread.is_alive() and not node.rules.hits():
        time.sleep(0.005)
    died = node.rules.disarm() > 0
    if died:
        node.lose_power(random.Random(SEED), Style.NOTHING)
        node.start()
    thread.join()
    assert deliver(two, 0, ledger, patience_s=20)
    return died
