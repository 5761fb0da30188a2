"""SIGKILL of either KME under load: what an SAE was answered stays true."""

import threading
from collections import Counter
from collections.abc import Callable

import pytest

from keystrand.edge.kme.client import Client014
from keystrand.edge.kme.wire import SecretKey
from keystrand.model.errors import KeystrandError

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
    assert any(strike_at_random(plant(weakness=weakness), 4, seed) for seed in range(5)), "20 kills found nothing"


def test_of_32_clients_at_once_one_gets_the_key(plant: Lay) -> None:
    """32 connections of the slave ask for the same key at the same moment: exactly one gets it, 31 are refused."""
    two = plant(strict=True)
    fill(two, keys=8)
    with two.client(0) as master:
        keys = [master.enc_keys(SAES[1])[0] for _ in range(3)]
    outcomes: Counter[tuple[str, str]] = Counter()
    barrier = threading.Barrier(32, timeout=30)

    def ask() -> None:
        with two.client(1, timeout_s=30) as slave:
            for key in keys:
                barrier.wait()
                outcomes[key.key_id, _outcome(slave, key)] += 1

    threads = [threading.Thread(target=ask) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == {(key.key_id, word): n for key in keys for word, n in (("the key", 1), ("InvalidInput", 31))}


def _outcome(slave: Client014, key: SecretKey) -> str:
    try:
        (answer,) = slave.dec_keys(SAES[0], [key.key_id])
    except KeystrandError as error:
        return type(error).__name__
    return "the key" if answer.key == key.key else "another key"
