"""SIGKILL of either KME under load: what an SAE was answered stays true."""

import threading
from collections import Counter
from collections.abc import Callable

import pytest

from keystrand.crypto.secret import Secret
from keystrand.model.errors import InvalidInput

from .crash_load import fill, strike_at_random
from .plant import SAES, Plant

pytestmark = pytest.mark.system

SEED = 14
Lay = Callable[..., Plant]


@pytest.mark.parametrize("kills", [30, pytest.param(500, marks=pytest.mark.slow)])
def test_kills_under_load(plant: Lay, kills: int) -> None:
    """No key twice, none in two orders, both ends the same, none refused that was promised, all of it in the audit."""
    assert strike_at_random(plant(), kills, SEED) == {}, f"seed {SEED}"


@pytest.mark.parametrize("weakness", ["answer-before-commit", "slave-before-commit"])
def test_the_harness_finds_a_weak_kme(plant: Lay, weakness: str) -> None:
    """The same load and kills find a KME that answers before it commits, if not at once then soon."""
    assert any(strike_at_random(plant(weakness=weakness), 5, seed) for seed in range(4)), "20 kills found nothing"


def test_of_32_clients_at_once_one_gets_the_key(plant: Lay) -> None:
    """32 connections of the slave ask for the same key at the same moment: exactly one gets it, 31 are refused."""
    two = plant(strict=True)
    fill(two, keys=8)
    with two.client(0) as master:
        orders = [master.enc_keys(SAES[1])[0] for _ in range(3)]
    outcomes: Counter[tuple[str, bool]] = Counter()
    barrier = threading.Barrier(32)

    def ask() -> None:
        with two.client(1, timeout_s=30) as slave:
            for order in orders:
                barrier.wait()
                outcomes[order.key_id, _got(slave.dec_keys, order.key_id, order.key)] += 1

    threads = [threading.Thread(target=ask) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == {(one.key_id, got): 1 if got else 31 for one in orders for got in (True, False)}


def _got(ask: Callable[[str, list[str]], tuple[object, ...]], key_id: str, key: Secret) -> bool:
    try:
        (answer,) = ask(SAES[0], [key_id])
    except InvalidInput:
        return False
    assert getattr(answer, "key", None) == key
    return True
