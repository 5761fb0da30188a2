"""ETSI GS QKD 014 V1.1.1, clause 6.2 and Annex B: identical keys for several slave SAEs, at several KMEs."""

from typing import Any

import pytest

pytestmark = pytest.mark.system

Network = Any
"""The class of that name in conftest.py."""
NETWORK = {"limits": {"max_additional_saes": 3}}
ABSENT = "bc490419-7d60-487f-adc1-4ddcc177c139"


@pytest.fixture(autouse=True)
def _stock(network: Network) -> None:
    """Put keys in the pools of both links of the first KME."""
    for slave in (1, 2):
        network.fill(0, slave, 8192)


def shared(network: Network, others: list[str], **asked: object) -> dict[str, str]:
    """Return keys of the first SAE for the second one and `others`."""
    made: dict[str, str] = network.keys(network.a, network.b, additional_slave_SAE_IDs=others, **asked)
    return made


def got(network: Network, slave: str, key_ids: Any) -> dict[str, str]:
    """Return the keys that `slave` gets."""
    answer = network.fetch(slave, network.a, key_ids)
    assert answer.status == 200, answer
    return {entry["key_ID"]: entry["key"] for entry in answer.json["keys"]}


def refused(network: Network, others: object) -> tuple[int, str]:
    """Return status and message of a refusal that left both pools as they were."""
    before = [network.stored(network.a, slave) for slave in (network.b, network.c)]
    body = {"additional_slave_SAE_IDs": others}
    answer = network.post(network.a, network.b, "enc_keys", body)
    assert [network.stored(network.a, slave) for slave in (network.b, network.c)] == before
    return answer.status, answer.message


def test_c6_2_3_additional_slaves_share_the_key(network: Network) -> None:
    """additional_slave_SAE_IDs is an array of strings: the IDs of further slave SAEs that share the identical keys."""
    keys = shared(network, [network.c], number=3, size=512)
    assert got(network, network.b, keys) == keys
    assert got(network, network.c, keys) == keys


def test_c6_2_4_their_number_is_limited(network: Network) -> None:
    """At most max_SAE_ID_count additional slaves may be named; one more is a bad request."""
    limit = network.get(network.a, network.b, "status").json["max_SAE_ID_count"]
    others = [network.b2, network.c, network.a2]
    assert limit == len(others)
    keys = shared(network, others)
    for slave in (network.b, *others):
        assert got(network, slave, keys) == keys
    assert refused(network, [*others, "one-more"]) == (400, "bad request format")
    assert refused(network, ["x"] * 4000) == (400, "bad request format")


def test_c6_2_12_the_key_is_shared_with_all_of_them(network: Network) -> None:
    """Where at least one SAE ID is listed the identical key is shared by master, slave and all SAEs listed.

    Whether their KMEs are the same or different ones.
    """
    for others in ([network.b2], [network.c], [network.b2, network.c], [network.c, network.b2]):
        keys = shared(network, others, number=2)
        for slave in (*others, network.b):
            assert got(network, slave, keys) == keys


def test_an_empty_list_names_nobody(network: Network) -> None:
    """An array without entries is as none."""
    keys = shared(network, [])
    assert network.fetch(network.c, network.a, keys).status in (400, 401)
    assert got(network, network.b, keys) == keys


def test_each_slave_gets_the_key_once(network: Network) -> None:
    """What one slave fetched is gone for it, and still there for the others, in any order."""
    one, two = shared(network, [network.b2, network.c], number=2)
    for slave in (network.c, network.b, network.b2):
        assert set(got(network, slave, [one])) == {one}
        assert network.fetch(slave, network.a, [one, two]).status == 400
        assert set(got(network, slave, [two])) == {two}


def test_who_is_not_listed_is_401(network: Network) -> None:
    """Another SAE at the KME of a slave that is listed gets nothing, nor does the master."""
    keys = shared(network, [network.c])
    assert network.fetch(network.b2, network.a, keys).status == 401
    assert network.fetch(network.a, network.b, keys).status == 401
    assert got(network, network.c, keys) == got(network, network.b, keys) == keys


def test_an_sae_of_the_masters_own_kme_can_be_listed(network: Network) -> None:
    """A slave that the master's KME serves itself fetches there."""
    keys = shared(network, [network.a2])
    assert got(network, network.a2, keys) == got(network, network.b, keys) == keys


@pytest.mark.parametrize("which", ["cc", "b", "a", "cac"])
def test_an_sae_named_twice_is_400(network: Network, which: str) -> None:
    """Twice in the list, the one of the URL again, or the master itself: a bad request."""
    assert refused(network, [getattr(network, name) for name in which]) == (400, "bad request format")


def test_an_unknown_sae_is_401(network: Network) -> None:
    """An SAE without an association with the caller is 401, alone or among others, whoever it may be."""
    told = {refused(network, others) for others in (["nobody"], [network.c, "nobody"], ["kme-c"], [""])}
    assert len(told) == 1
    assert told.pop()[0] == 401


def test_where_one_link_has_too_little_nobody_gets_the_key(network: Network) -> None:
    """503, and the other links keep what they have."""
    network.drain(network.a, network.c)
    before = network.stored(network.a, network.b)
    body = {"additional_slave_SAE_IDs": [network.c], "size": 4096}
    assert network.post(network.a, network.b, "enc_keys", body).status == 503
    assert network.stored(network.a, network.b) == before
    assert got(network, network.b, network.keys(network.a, network.b))


def test_the_client_asks_for_several_slaves(network: Network) -> None:
    """`Client014.enc_keys` names them, and each client gets the same secret."""
    with network.client(network.a) as a, network.client(network.b) as b, network.client(network.c) as c:
        (key,) = a.enc_keys(network.b, additional_slave_saes=[network.c])
        assert b.dec_keys(network.a, [key.key_id])[0].key == key.key
        assert c.dec_keys(network.a, [key.key_id])[0].key == key.key
