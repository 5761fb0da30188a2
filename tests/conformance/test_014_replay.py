"""The replay window: an answer that was lost can be had again, by the same caller, for a while, and by nobody else.

014 leaves it open what becomes of a key whose answer never came. Here the KMEs have the operational window.
"""

import time
from typing import Any

import pytest
from cryptography import x509

from keystrand.edge import tls
from keystrand.edge.kme.channel import InDoubt
from keystrand.model.errors import InvalidInput

pytestmark = pytest.mark.system

Network = Any
Lossy = Any
"""The classes of those names in conftest.py."""
NETWORK = {"replay": "operational"}
NOT_FOUND = "one or more keys specified are not found on KME"
_PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def _stock(network: Network) -> None:
    """Put keys in the pool."""
    network.fill(0, 1, 4096)


def gone(answer: Any) -> bool:
    """Return whether the answer is that the keys are not there."""
    return bool(answer.status == 400 and answer.message == NOT_FOUND)


def test_the_same_request_gets_the_same_keys_again(network: Network) -> None:
    """Same SAE, same certificate, same master and key IDs, over a new connection: the same keys."""
    keys = network.keys(network.a, network.b, number=3)
    first = network.fetch(network.b, network.a, keys)
    again = network.fetch(network.b, network.a, keys)
    assert first.status == again.status == 200
    assert {e["key_ID"]: e["key"] for e in first.json["keys"]} == keys
    assert {e["key_ID"]: e["key"] for e in again.json["keys"]} == keys


def test_what_arrived_is_not_repeated(network: Network) -> None:
    """Over the connection that carried the answer there is no second one: it is not lost."""
    keys = network.keys(network.a, network.b)
    with network.client(network.b) as client:
        client.dec_keys(network.a, list(keys))
        with pytest.raises(InvalidInput, match="not found on KME"):
            client.dec_keys(network.a, list(keys))


def test_by_get_as_by_post(network: Network) -> None:
    """The two forms of a request for one key ID are the same request."""
    ((key_id, key),) = network.keys(network.a, network.b).items()
    assert network.get(network.b, network.a, "dec_keys", f"key_ID={key_id}").status == 200
    assert network.fetch(network.b, network.a, [key_id]).json["keys"][0]["key"] == key
    assert network.get(network.b, network.a, "dec_keys", f"key_ID={key_id.upper()}").json["keys"][0]["key"] == key


def test_another_set_of_key_ids_is_another_request(network: Network) -> None:
    """Some of the keys, or more than them, are not there any more; the request as it was still works."""
    one, two, three = network.keys(network.a, network.b, number=3)
    assert network.fetch(network.b, network.a, [one, two]).status == 200
    for listed in ([one], [two], [one, two, three], [one, three]):
        assert gone(network.fetch(network.b, network.a, listed))
    assert network.fetch(network.b, network.a, [one, two]).status == 200
    assert network.fetch(network.b, network.a, [three]).status == 200


def test_another_master_is_another_request(network: Network) -> None:
    """Under another master SAE in the URL the keys are not there."""
    keys = network.keys(network.a, network.b)
    assert network.fetch(network.b, network.a, keys).status == 200
    assert gone(network.fetch(network.b, network.a2, keys))


def test_nobody_else_gets_them(network: Network) -> None:
    """Another SAE is 401, within the window as before."""
    keys = network.keys(network.a, network.b)
    assert network.fetch(network.b, network.a, keys).status == 200
    assert network.fetch(network.b2, network.a, keys).status == 401


def test_another_certificate_of_the_same_sae_gets_nothing(network: Network, tmp_path: Any) -> None:
    """What was delivered under one certificate is not repeated under another, whoever's name it bears."""
    keys = network.keys(network.a, network.b2, number=1)
    (key_id,) = keys
    files = network.signed(tmp_path, x509.UniformResourceIdentifier("urn:keystrand:sae:sae-b2"))
    assert network.fetch(network.b2, network.a, keys).status == 200
    stream = network.bare_connection(1, tls.client_context(files))
    stream.handshake()
    target = network.url(network.a, "dec_keys", f"key_ID={key_id}")
    stream.sendall(f"GET {target} HTTP/1.1\r\nHost: k\r\nConnection: close\r\n\r\n".encode())
    answer = stream.makefile("rb").read()
    stream.close()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert network.fetch(network.b2, network.a, keys).status == 200


def test_the_window_ends(network: Network) -> None:
    """After a while the keys are gone for good, whether they were asked for in between or not."""
    keys = network.keys(network.a, network.b)
    assert network.fetch(network.b, network.a, keys).status == 200
    until_s = time.monotonic() + _PATIENCE_S
    while not gone(network.fetch(network.b, network.a, keys)):
        assert time.monotonic() < until_s, "the window does not end"
        time.sleep(4)  # seldom enough that it is the window that ends, and not the number of repetitions
    assert gone(network.fetch(network.b, network.a, keys))


def test_get_key_is_never_repeated(network: Network) -> None:
    """The window is for key IDs: the same Get key twice is two keys."""
    answers = [network.get(network.a, network.b, "enc_keys").json["keys"][0] for _ in range(2)]
    assert answers[0]["key_ID"] != answers[1]["key_ID"]
    assert answers[0]["key"] != answers[1]["key"]


def test_a_client_gets_over_a_lost_answer(network: Network, lossy: Lossy) -> None:
    """With `retry` the client asks once more, over a new connection, and has its keys."""
    keys = network.keys(network.a, network.b, number=2)
    with network.client(network.b, port=lossy.port) as client:
        client.status(network.a)
        lossy.lose_next()
        fetched = client.dec_keys(network.a, list(keys), retry=True)
    assert lossy.lost == 1
    assert [key.key_id for key in fetched] == list(keys)


def test_without_retry_the_doubt_stays_with_the_caller(network: Network, lossy: Lossy) -> None:
    """The client repeats nothing by itself; the caller can, and gets the same keys."""
    keys = network.keys(network.a, network.b)
    with network.client(network.b, port=lossy.port) as client:
        client.status(network.a)
        lossy.lose_next()
        with pytest.raises(InDoubt):
            client.dec_keys(network.a, list(keys))
        assert len(client.dec_keys(network.a, list(keys))) == 1


def test_two_lost_answers_are_doubt(network: Network, lossy: Lossy) -> None:
    """The client repeats once and no more; that nothing came back either time is doubt."""
    keys = network.keys(network.a, network.b)
    with network.client(network.b, port=lossy.port) as client:
        client.status(network.a)
        lossy.lose_next(times=2)
        with pytest.raises(InDoubt, match="asked again"):
            client.dec_keys(network.a, list(keys), retry=True)
    assert lossy.lost == 2
