"""ETSI GS QKD 014 V1.1.1, clause 6, one test for each statement; see test_014_clause_5.py for how they are written.

What clause 6.2 says of several slaves and of extensions is in test_014_multicast.py and test_014_extensions.py.
"""

import base64
import itertools
import re
from typing import Any

import pytest

pytestmark = pytest.mark.system

Network = Any
"""The class of that name in conftest.py."""
UUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
ABSENT = "bc490419-7d60-487f-adc1-4ddcc177c139"
NOT_FOUND = "one or more keys specified are not found on KME"
INTEGERS = ("key_size", "stored_key_count", "max_key_count", "max_key_per_request", "max_key_size", "min_key_size",
            "max_SAE_ID_count")  # fmt: skip


def status(network: Network) -> Any:
    """Return the status that the first SAE gets about keys for the second."""
    answer = network.get(network.a, network.b, "status")
    assert answer.status == 200
    return answer.json


def refusal(network: Network, body: object) -> str:
    """Return the message of the 400 for a Get key, after seeing that it consumed nothing."""
    before = network.stored(network.a, network.b)
    answer = network.post(network.a, network.b, "enc_keys", body)
    assert answer.status == 400
    assert network.stored(network.a, network.b) == before
    return str(answer.message)


def octets(key: str) -> bytes:
    """Return the bytes of a key, read by an independent and strict reader of base64."""
    return base64.b64decode(key, validate=True)


# 6.1, Table 9


def test_c6_1_1_source_kme_id(network: Network) -> None:
    """source_KME_ID is a string: the ID of the KME that answers."""
    assert status(network)["source_KME_ID"] == "kme-a"
    assert network.get(network.c, network.a, "status").json["source_KME_ID"] == "kme-c"


def test_c6_1_2_target_kme_id(network: Network) -> None:
    """target_KME_ID is a string: the ID of the KME that serves the slave SAE."""
    assert status(network)["target_KME_ID"] == "kme-b"
    assert network.get(network.a, network.c, "status").json["target_KME_ID"] == "kme-c"


def test_c6_1_3_master_sae_id(network: Network) -> None:
    """master_SAE_ID is a string: the ID of the calling SAE."""
    assert status(network)["master_SAE_ID"] == network.a


def test_c6_1_4_slave_sae_id(network: Network) -> None:
    """slave_SAE_ID is a string: the ID of the SAE named in the URL."""
    assert status(network)["slave_SAE_ID"] == network.b


def test_c6_1_5_key_size(network: Network) -> None:
    """key_size is an integer: the default size in bits, which keys have when no size is asked for."""
    network.fill(0, 1, 4096)
    (key,) = network.keys(network.a, network.b).values()
    assert 8 * len(octets(key)) == status(network)["key_size"]


def test_c6_1_6_stored_key_count(network: Network) -> None:
    """stored_key_count is an integer: how many keys the KME can deliver to the SAE, these and no more."""
    network.drain(network.a, network.c)
    network.fill(0, 2, 256 * 5 + 64)
    counts = [network.stored(network.a, network.c)]
    while network.get(network.a, network.c, "enc_keys").status == 200:
        counts.append(network.stored(network.a, network.c))
    assert counts[0] > 0
    assert counts == list(range(counts[0], -1, -1))


def test_c6_1_7_max_key_count(network: Network) -> None:
    """max_key_count is an integer: stored_key_count is never more, whatever the source delivers."""
    limit = status(network)["max_key_count"]
    for _ in range(limit // 64 + 2):
        network.fill(1, 2, 64 * 256)
        assert network.stored(network.b, network.c) <= limit
    assert network.stored(network.b, network.c) > limit // 2


def test_c6_1_8_max_key_per_request(network: Network) -> None:
    """max_key_per_request is an integer: so many keys can be had in one request, and one more is a bad request."""
    limit = status(network)["max_key_per_request"]
    network.fill(0, 1, limit * 64)
    keys = network.keys(network.a, network.b, number=limit, size=64)
    assert len(keys) == limit
    assert refusal(network, {"number": limit + 1, "size": 64}) == "bad request format"
    more = [*keys, ABSENT]
    assert network.fetch(network.b, network.a, more).message == "bad request format"
    assert len(network.fetch(network.b, network.a, keys).json["keys"]) == limit


@pytest.mark.parametrize(("name", "beyond"), [("max_key_size", 8), ("min_key_size", -8)])
def test_c6_1_9_max_and_min_key_size(network: Network, name: str, beyond: int) -> None:
    """max_key_size and min_key_size are integers: the sizes in bits between which the KME delivers, ends included."""
    limit = status(network)[name]
    network.fill(0, 1, 4096)
    (key,) = network.keys(network.a, network.b, size=limit).values()
    assert 8 * len(octets(key)) == limit
    assert refusal(network, {"size": limit + beyond}) == "bad request format"


def test_c6_1_10_status_is_complete(network: Network) -> None:
    """All items but status_extension are there, each of its type; status_extension is an object where it is there."""
    made = status(network)
    strings = ("source_KME_ID", "target_KME_ID", "master_SAE_ID", "slave_SAE_ID")
    assert {*strings, *INTEGERS} <= set(made) <= {*strings, *INTEGERS, "status_extension"}
    assert all(type(made[name]) is str for name in strings)
    assert all(type(made[name]) is int and made[name] >= 0 for name in INTEGERS)
    assert isinstance(made.get("status_extension", {}), dict)


# 6.2, Table 10


def test_c6_2_1_number(network: Network) -> None:
    """number is an integer: how many keys are asked for, 1 where it is left out."""
    network.fill(0, 1, 4096)
    assert len(network.keys(network.a, network.b)) == 1
    assert len(network.keys(network.a, network.b, number=1)) == 1
    assert len(network.keys(network.a, network.b, number=7)) == 7


def test_c6_2_2_size(network: Network) -> None:
    """size is an integer: the size of each key in bits, key_size of Status where it is left out."""
    network.fill(0, 1, 8192)
    for size in (64, 72, 80, 264, 1000):
        keys = network.keys(network.a, network.b, number=2, size=size)
        assert [8 * len(octets(key)) for key in keys.values()] == [size, size]
    (key,) = network.keys(network.a, network.b, number=1).values()
    assert 8 * len(octets(key)) == status(network)["key_size"]


def test_c6_2_7_everything_is_optional(network: Network) -> None:
    """All items are optional and the Key request may be empty."""
    network.fill(0, 1, 4096)
    for body in (b"{}", b" { } ", b""):
        answer = network.post(network.a, network.b, "enc_keys", body)
        assert (answer.status, len(answer.json["keys"])) == (200, 1)


def test_c6_2_8_an_empty_request_may_be_a_get(network: Network) -> None:
    """Where the Key request would be empty the SAE may use GET with no body."""
    network.fill(0, 1, 4096)
    answer = network.get(network.a, network.b, "enc_keys")
    assert (answer.status, len(answer.json["keys"])) == (200, 1)


@pytest.mark.parametrize(
    ("query", "number", "size"),
    [("number=3", 3, 256), ("size=1024", 1, 1024), ("number=3&size=1024", 3, 1024), ("size=64&number=2", 2, 64)],
)
def test_c6_2_9_number_and_size_may_be_a_get(network: Network, query: str, number: int, size: int) -> None:
    """Where number and size are the only items the SAE may use GET with them as URI parameters."""
    network.fill(0, 1, 4096)
    answer = network.get(network.a, network.b, "enc_keys", query)
    assert [8 * len(octets(entry["key"])) for entry in answer.json["keys"]] == [size] * number


@pytest.mark.parametrize(
    "query",
    ["additional_slave_SAE_IDs=sae-c", "extension_mandatory=%5B%5D", "extension_optional=%5B%7B%22a_b%22:1%7D%5D",
     "number=1&extension_optional=%5B%5D"],
)  # fmt: skip
def test_c6_2_10_all_else_is_a_post(network: Network, query: str) -> None:
    """In all other cases the SAE uses POST: other items in a URL are a bad request."""
    before = network.stored(network.a, network.b)
    answer = network.get(network.a, network.b, "enc_keys", query)
    assert (answer.status, answer.message) == (400, "bad request format")
    assert network.stored(network.a, network.b) == before


@pytest.mark.parametrize("size", [65, 257, 1023, 4095])
def test_c6_2_11_size_is_a_multiple_of_8(network: Network, size: int) -> None:
    """A KME that only has sizes that are multiples of 8 answers others 400 with the fixed message.

    By POST and by GET.
    """
    assert refusal(network, {"size": size}) == "size shall be a multiple of 8"
    assert network.get(network.a, network.b, "enc_keys", f"size={size}").message == "size shall be a multiple of 8"


# 6.3, Table 11


def test_c6_3_1_keys(network: Network) -> None:
    """keys, in lower case as in the example, is an array of as many objects as number says."""
    network.fill(0, 1, 4096)
    answer = network.post(network.a, network.b, "enc_keys", {"number": 3})
    assert isinstance(answer.json["keys"], list)
    assert set(answer.json) <= {"keys", "key_container_extension"}
    assert [isinstance(entry, dict) for entry in answer.json["keys"]] == [True] * 3


def test_c6_3_2_key_id(network: Network) -> None:
    """key_ID is a string in the format of a UUID, another one for each key."""
    network.fill(0, 1, 8192)
    key_ids = [key_id for _ in range(3) for key_id in network.keys(network.a, network.b, number=5)]
    assert all(re.fullmatch(UUID, key_id) for key_id in key_ids)
    assert len({key_id.lower() for key_id in key_ids}) == 15


@pytest.mark.parametrize("size", [*range(64, 128, 8), 4096])
def test_c6_3_3_key(network: Network, size: int) -> None:
    """key is a string: the key in base64 of RFC 4648 with padding, of exactly the size asked for."""
    network.fill(0, 1, 4096)
    (key,) = network.keys(network.a, network.b, size=size).values()
    assert len(key) == -(-size // 24) * 4
    assert base64.b64encode(octets(key)).decode() == key
    assert 8 * len(octets(key)) == size


def test_c6_3_4_the_extensions_are_objects(network: Network) -> None:
    """key_ID_extension, key_extension and key_container_extension are objects where they are there; nothing else is."""
    network.fill(0, 1, 4096)
    answer = network.post(network.a, network.b, "enc_keys", {"number": 2})
    assert isinstance(answer.json.get("key_container_extension", {}), dict)
    for entry in answer.json["keys"]:
        assert {"key_ID", "key"} <= set(entry) <= {"key_ID", "key", "key_ID_extension", "key_extension"}
        assert isinstance(entry.get("key_ID_extension", {}), dict)
        assert isinstance(entry.get("key_extension", {}), dict)


def test_c6_3_5_both_methods_answer_with_it(network: Network) -> None:
    """The Key container is the answer of Get key and of Get key with key IDs, with the same members."""
    network.fill(0, 1, 4096)
    made = network.post(network.a, network.b, "enc_keys", {"number": 2}).json
    got = network.fetch(network.b, network.a, [entry["key_ID"] for entry in made["keys"]]).json
    for one, other in zip(made["keys"], got["keys"], strict=True):
        assert (one["key_ID"], one["key"]) == (other["key_ID"], other["key"])


# 6.4, Table 12


def test_c6_4_1_key_ids(network: Network) -> None:
    """key_IDs is an array of objects with a key_ID each; the keys come in their order."""
    network.fill(0, 1, 8192)
    for permuted in itertools.permutations(range(3)):
        keys = network.keys(network.a, network.b, number=3)
        wanted = [list(keys)[at] for at in permuted]
        got = network.fetch(network.b, network.a, wanted).json["keys"]
        assert [(e["key_ID"], e["key"]) for e in got] == [(key_id, keys[key_id]) for key_id in wanted]


def test_c6_4_2_key_id_is_a_uuid(network: Network) -> None:
    """key_ID is a string in the format of a UUID, its letters of either case; anything else is a bad request."""
    network.fill(0, 1, 4096)
    one, two = network.keys(network.a, network.b, number=2)
    got = network.fetch(network.b, network.a, [one.upper()])
    assert [entry["key_ID"].lower() for entry in got.json["keys"]] == [one.lower()]
    for wrong in (f"{{{two}}}", f"urn:uuid:{two}", two.replace("-", ""), f" {two}", two[:-1], "", 1, None):
        assert network.fetch(network.b, network.a, [wrong]).message == "bad request format"
    assert network.fetch(network.b, network.a, [two]).status == 200


def test_c6_4_3_extensions_of_key_ids(network: Network) -> None:
    """key_ID_extension and key_IDs_extension are optional objects for future use, which are accepted."""
    network.fill(0, 1, 4096)
    (key_id,) = network.keys(network.a, network.b)
    for wrong in ({"key_IDs": [{"key_ID": key_id, "key_ID_extension": 1}]},
                  {"key_IDs": [{"key_ID": key_id}], "key_IDs_extension": []}):  # fmt: skip
        assert network.post(network.b, network.a, "dec_keys", wrong).message == "bad request format"
    body = {"key_IDs": [{"key_ID": key_id, "key_ID_extension": {"a_b": [1]}}], "key_IDs_extension": {"a_c": {}}}
    assert network.post(network.b, network.a, "dec_keys", body).status == 200


def test_c6_4_4_one_key_id_may_be_a_get(network: Network) -> None:
    """Where there is one key ID and no extension the SAE may use GET with no body."""
    network.fill(0, 1, 4096)
    ((key_id, key),) = network.keys(network.a, network.b).items()
    got = network.get(network.b, network.a, "dec_keys", f"key_ID={key_id}")
    assert [(entry["key_ID"], entry["key"]) for entry in got.json["keys"]] == [(key_id, key)]


def test_c6_4_5_several_key_ids_are_a_post(network: Network) -> None:
    """Where there are two key IDs or more, or an extension, POST is used: in a URL they are a bad request."""
    network.fill(0, 1, 4096)
    one, two = network.keys(network.a, network.b, number=2)
    for query in (f"key_ID={one}&key_ID={two}", f"key_ID={one},{two}", f"key_ID={one}&key_IDs_extension=%7B%7D", ""):
        assert network.get(network.b, network.a, "dec_keys", query).message == "bad request format"
    assert network.fetch(network.b, network.a, [one, two]).status == 200


def test_c6_4_6_a_missing_key_refuses_the_whole_request(network: Network) -> None:
    """Where one or more of the keys cannot be returned the KME answers 400 with the fixed message, and returns none.

    The others can still be fetched.
    """
    network.fill(0, 1, 4096)
    one, two, gone = network.keys(network.a, network.b, number=3)
    assert network.fetch(network.b, network.a, [gone]).status == 200
    for listed in ([ABSENT], [one, ABSENT], [ABSENT, one, two], [one, two, gone]):
        answer = network.fetch(network.b, network.a, listed)
        assert (answer.status, answer.message) == (400, NOT_FOUND)
    assert network.get(network.b, network.a, "dec_keys", f"key_ID={ABSENT}").message == NOT_FOUND
    assert network.fetch(network.b, network.a, [one, two]).status == 200


# 6.5, Table 13


def test_c6_5_1_message(network: Network) -> None:
    """message is a string in the Error that each of the three methods answers."""
    for method in ("status", "enc_keys", "dec_keys"):
        answer = network.get(network.a, network.b, method, "wish=1")
        assert isinstance(answer.json["message"], str)
        assert answer.message


def test_c6_5_2_details(network: Network) -> None:
    """details is an optional array of objects, name/value pairs with more about the error: here where the fault is."""
    answer = network.post(network.a, network.b, "enc_keys", {"number": 0})
    assert [list(detail) for detail in answer.json["details"]] == [["number"]]
    missing = network.fetch(network.b, network.a, [ABSENT])
    assert missing.json["details"] == [{"key_ID": ABSENT}]
