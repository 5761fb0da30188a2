"""What ETSI GS QKD 014 V1.1.1 leaves open and bad input does not cover: one test for each decision of ours."""

import json
from typing import Any

import pytest

from keystrand.edge.pki import Kind

pytestmark = pytest.mark.system

Network = Any
"""The class of that name in conftest.py."""


def test_too_few_keys_are_503_and_consume_nothing(network: Network) -> None:
    """503, how many keys of that size there are, and when to ask again; what is there can still be had."""
    network.drain(network.c, network.b)
    network.fill(2, 1, 1024)
    there = network.stored(network.c, network.b)
    assert there > 0
    answer = network.post(network.c, network.b, "enc_keys", {"number": there + 1})
    assert (answer.status, answer.json["details"]) == (503, [{"stored_key_count": there}])
    assert int(answer.headers["retry-after"]) > 0
    assert network.stored(network.c, network.b) == there
    assert len(network.keys(network.c, network.b, number=there)) == there
    answer = network.get(network.c, network.b, "enc_keys")
    assert (answer.status, answer.json["details"]) == (503, [{"stored_key_count": 0}])


def test_a_503_counts_as_status_does(network: Network) -> None:
    """Whatever size was asked for, the 503 tells the stored_key_count of the status."""
    network.drain(network.b2, network.a)
    network.fill(1, 0, 2048)
    for asked in ({"number": 100}, {"number": 50, "size": 512}, {"number": 100, "size": 264}):
        answer = network.post(network.b2, network.a, "enc_keys", asked)
        assert (answer.status, answer.json["details"]) == (503, [{"stored_key_count": 8}])
    assert network.stored(network.b2, network.a) == 8


def test_nothing_is_stored_on_the_way(network: Network) -> None:
    """Every answer, of keys or of a refusal, says that no cache may keep it, and how long it is."""
    network.fill(0, 1, 4096)
    answers = [
        network.get(network.a, network.b, "status"),
        network.get(network.a, network.b, "enc_keys"),
        network.get(network.a, network.b, "enc_keys", "number=0"),
        network.get(network.a, "nobody", "status"),
        network.ask(0, Kind.SAE, network.a, "PUT", network.url(network.b, "status")),
        network.ask(0, Kind.SAE, network.a, "GET", "/"),
    ]
    assert [answer.status for answer in answers] == [200, 200, 400, 401, 405, 404]
    for answer in answers:
        assert answer.headers["cache-control"] == "no-store"
        assert int(answer.headers["content-length"]) == len(answer.body)


def test_a_401_carries_an_error(network: Network) -> None:
    """Tables 4, 6 and 8 give 401 no body; ours has an Error, since clients read one after every refusal."""
    for method in ("status", "enc_keys", "dec_keys"):
        answer = network.get(network.a, "nobody", method)
        assert answer.status == 401
        assert set(json.loads(answer.body)) == {"message"}


@pytest.mark.parametrize("fields", ["", "Host: a\r\nHost: b\r\n"])
def test_http_1_1_names_its_host_once(network: Network, fields: str) -> None:
    """A request of HTTP/1.1 with no Host, or with two, is 400 (RFC 7230, 5.4, to which clause 5.1 refers)."""
    network.fill(0, 1, 4096)
    before = network.stored(network.a, network.b)
    stream = network.connect(0, Kind.SAE, network.a)
    stream.sendall(f"GET {network.url(network.b, 'enc_keys')} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n".encode())
    assert stream.makefile("rb").readline().split()[1] == b"400"
    stream.close()
    assert network.stored(network.a, network.b) == before
