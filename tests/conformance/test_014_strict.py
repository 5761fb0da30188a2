"""Without a replay window every key leaves once at each end, whatever becomes of the answer."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from keystrand.edge.kme.channel import InDoubt

pytestmark = pytest.mark.system

Network = Any
Lossy = Any
"""The classes of those names in conftest.py."""
NETWORK = {"replay": "strict"}
NOT_FOUND = "one or more keys specified are not found on KME"
_CALLERS = 32


@pytest.fixture(autouse=True)
def _stock(network: Network) -> None:
    """Put keys in the pool."""
    network.fill(0, 1, 4096)


def test_the_same_request_finds_nothing(network: Network) -> None:
    """A key that was fetched is as one that was never there."""
    keys = network.keys(network.a, network.b, number=2)
    assert network.fetch(network.b, network.a, keys).status == 200
    for _ in range(2):
        answer = network.fetch(network.b, network.a, keys)
        assert (answer.status, answer.message) == (400, NOT_FOUND)
        assert answer.json["details"] == [{"key_ID": key_id} for key_id in keys]


def test_of_many_callers_at_once_one_gets_the_key(network: Network) -> None:
    """However many connections of the slave ask for one key together, exactly one of them gets it."""
    ((key_id, key),) = network.keys(network.a, network.b).items()
    with ThreadPoolExecutor(_CALLERS) as callers:
        answers = list(callers.map(lambda _: network.fetch(network.b, network.a, [key_id]), range(_CALLERS)))
    assert sorted(answer.status for answer in answers) == [200] + [400] * (_CALLERS - 1)
    (got,) = [answer for answer in answers if answer.status == 200]
    assert got.json["keys"][0]["key"] == key


def test_a_client_is_told_that_a_lost_answer_stays_lost(network: Network, lossy: Lossy) -> None:
    """With `retry` the refusal of the repetition is doubt about the first answer, with the next step in the hint."""
    keys = network.keys(network.a, network.b)
    with network.client(network.b, port=lossy.port) as client:
        client.status(network.a)
        lossy.lose_next()
        with pytest.raises(InDoubt, match="not found on KME") as caught:
            client.dec_keys(network.a, list(keys), retry=True)
    assert lossy.lost == 1
    assert "let the master SAE get others" in caught.value.hint
