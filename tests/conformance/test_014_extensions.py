"""ETSI GS QKD 014 V1.1.1, clauses 6.2 and 6.3: what our KME knows to demand of a key, and to tell of one."""

import json
import time
from typing import Any

import pytest
from msgspec import UNSET

from keystrand.formats.etsi014_extensions import parse_demands, provenance_in, unmet
from keystrand.model.errors import InvalidInput
from keystrand.model.key import RouteType, SourceKind, Strength

pytestmark = pytest.mark.system

Network = Any
"""The class of that name in conftest.py."""
UNSUPPORTED = "not all extension_mandatory parameters are supported"
UNMET = "not all extension_mandatory request options could be met"
FORMAT = "bad request format"
VALUES: tuple[object, ...] = ({"a": [1]}, [], None, 1.5, True, "x")


@pytest.fixture(autouse=True)
def _stock(network: Network) -> None:
    """Put simulated key in the pool."""
    network.fill(0, 1, 8192, label="simulated")


def ask(network: Network, mandatory: object = (), optional: object = (), **asked: object) -> Any:
    """Ask for a key with these extensions."""
    body = {**asked, "extension_mandatory": mandatory, "extension_optional": optional}
    return network.post(network.a, network.b, "enc_keys", body)


def refused(network: Network, *mandatory: object, **asked: object) -> tuple[str, list[dict[str, str]]]:
    """Return message and details of a 400 that consumed nothing."""
    before = network.stored(network.a, network.b)
    answer = ask(network, mandatory, **asked)
    assert answer.status == 400, answer
    assert network.stored(network.a, network.b) == before
    return answer.message, answer.json.get("details", [])


def label_of(answer: Any) -> str:
    """Return the label of the one key in `answer`."""
    (entry,) = answer.json["keys"]
    return str(entry["key_extension"]["keystrand_label"])


def test_c6_2_5_extension_mandatory_is_an_array_of_objects(network: Network) -> None:
    """extension_mandatory is an array of objects with name/value pairs, the values of any type."""
    assert ask(network, []).status == ask(network, [{}]).status == 200
    assert ask(network, [{"keystrand_label": "simulated"}, {"keystrand_max_age_s": 3600}]).status == 200
    assert ask(network, [{"keystrand_label": "simulated", "keystrand_max_age_s": 3600}]).status == 200
    for value in VALUES:
        assert refused(network, {"abc_x": value})[0] == UNSUPPORTED


def test_c6_2_6_extension_optional_is_an_array_of_objects(network: Network) -> None:
    """extension_optional is an array of objects with name/value pairs, the values of any type."""
    for value in VALUES:
        assert ask(network, optional=[{"abc_x": value}, {}, {"abc_y": 1, "abc_z": value}]).status == 200


def test_c6_2_13_mandatory_parameters_are_supported_or_refused(network: Network) -> None:
    """A mandatory parameter that the KME does not support makes the request 400 with the fixed message.

    The details name each, as in the example of clause 6.5.
    """
    message, details = refused(
        network, {"abc_route_type": "direct", "keystrand_label": "simulated"}, {"keystrand_wish": 1}
    )
    assert message == UNSUPPORTED
    assert details == [
        {"extension_mandatory_unsupported": "abc_route_type is not supported"},
        {"extension_mandatory_unsupported": "keystrand_wish is not supported"},
    ]


@pytest.mark.parametrize(
    "demands",
    [
        {"keystrand_label": "information-theoretic"},
        {"keystrand_min_label": "classical"},
        {"keystrand_min_label": "information-theoretic"},
        {"keystrand_route_type": "indirect"},
        {"keystrand_profile": "no-such-profile"},
        {"keystrand_label": "simulated", "keystrand_min_label": "post-quantum"},
        {"keystrand_label": "simulated", "keystrand_route_type": "indirect"},
        {"keystrand_max_age_s": 3600, "keystrand_label": "classical"},
    ],
    ids=json.dumps,
)
def test_c6_2_14_demands_are_met_or_refused(network: Network, demands: dict[str, object]) -> None:
    """Where the KME supports all mandatory parameters but no keys meet them all it answers 400 with the fixed message.

    No key is consumed, and it is never 503: asking again later is not what would help.
    """
    message, details = refused(network, demands)
    assert message == UNMET
    assert {name for detail in details for name in detail} <= set(demands)


def test_too_few_keys_that_meet_a_demand_are_refused_in_the_same_words(network: Network) -> None:
    """400 and not 503, by the letter of clause 6.2, where keys meet the demands but are not as many as asked for."""
    there = network.stored(network.a, network.b)
    limit = network.get(network.a, network.b, "status").json["max_key_per_request"]
    size = 4096 if there >= limit else 256
    message, _ = refused(network, {"keystrand_label": "simulated"}, number=limit, size=size)
    assert message == UNMET


def test_c6_2_15_optional_parameters_may_be_ignored(network: Network) -> None:
    """Optional parameters that the KME does not know, cannot read or cannot meet are ignored: it answers as without."""
    wishes = [
        {"abc_max_age": 30_000}, {"keystrand_label": "information-theoretic"}, {"keystrand_max_age_s": "soon"},
        {"keystrand_min_label": "classical"}, {"keystrand_route_type": "indirect"}, {"keystrand_profile": "none-such"},
        {"keystrand_label": "simulated"},
    ]  # fmt: skip
    assert label_of(ask(network, optional=wishes)) == "simulated"
    for wish in wishes:
        assert label_of(ask(network, optional=[wish])) == "simulated"
        assert label_of(ask(network, [{"keystrand_label": "simulated"}], [wish])) == "simulated"


def test_c6_2_16_parameters_may_have_any_name(network: Network) -> None:
    """Parameters may have any name and any type, as long as it is valid JSON."""
    for name in ("", "x" * 2000, "a b", "é", "\u0000", '"', "key_IDs", "__class__", "\U0001f511"):
        assert ask(network, optional=[{name: {name: [name]}}]).status == 200
        assert refused(network, {name: {name: [name]}})[0] == UNSUPPORTED


def test_c6_2_17_our_parameters_have_our_prefix(network: Network) -> None:
    """Names of a vendor's own parameters begin with its prefix and an underscore: all of ours with keystrand_."""
    status = network.get(network.a, network.b, "status").json
    container = ask(network, number=2).json
    extensions = [status.get("status_extension", {}), container.get("key_container_extension", {})]
    extensions += [entry.get(name, {}) for entry in container["keys"] for name in ("key_extension", "key_ID_extension")]
    names = {name for extension in extensions for name in extension}
    assert names
    assert all(name.startswith("keystrand_") for name in names)


def test_c6_3_6_extensions_of_a_key_answer_those_of_the_request(network: Network) -> None:
    """key_extension may tell of the parameters that the Key request had: each demand can be checked by it."""
    for demands in (
        {"keystrand_label": "simulated"}, {"keystrand_min_label": "simulated"}, {"keystrand_route_type": "direct"},
        {"keystrand_max_age_s": 3600, "keystrand_label": "simulated", "keystrand_route_type": "direct"},
    ):  # fmt: skip
        answer = ask(network, [demands], number=2)
        assert answer.status == 200, answer
        for entry in answer.json["keys"]:
            assert unmet(parse_demands([demands]), provenance_in(entry["key_extension"])) == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [("keystrand_max_age_s", "30"), ("keystrand_max_age_s", -1), ("keystrand_max_age_s", 1.5),
     ("keystrand_max_age_s", True), ("keystrand_max_age_s", None), ("keystrand_min_label", "strong"),
     ("keystrand_label", 1), ("keystrand_label", ""), ("keystrand_route_type", "short"), ("keystrand_profile", "A B")],
)  # fmt: skip
def test_a_malformed_demand_is_400_at_its_name(network: Network, name: str, value: object) -> None:
    """A value that our parameter does not take is told with its place, under our own message."""
    message, details = refused(network, {name: value})
    assert message == FORMAT
    assert [list(detail) for detail in details] == [[name]]


def test_a_demand_said_twice_is_400(network: Network) -> None:
    """Which of two counts is not guessed."""
    assert refused(network, {"keystrand_max_age_s": 9}, {"keystrand_max_age_s": 9})[0] == FORMAT


def test_a_key_is_no_older_than_was_demanded(network: Network) -> None:
    """Material that this KME received longer ago is not used; fresh material behind it is, and says its age."""
    limit_s = 4
    network.drain(network.c, network.b)
    network.fill(2, 1, 2048)
    body = {"extension_mandatory": [{"keystrand_max_age_s": limit_s}]}
    time.sleep(limit_s + 1.5)
    answer = network.post(network.c, network.b, "enc_keys", body)
    assert (answer.status, answer.message) == (400, UNMET)
    network.fill(2, 1, 2048)
    answer = network.post(network.c, network.b, "enc_keys", body)
    assert answer.status == 200, answer
    assert answer.json["keys"][0]["key_extension"]["keystrand_age_s"] <= limit_s
    # without the demand the old material still serves
    older = network.get(network.c, network.b, "enc_keys")
    assert older.json["keys"][0]["key_extension"]["keystrand_age_s"] >= limit_s


def test_both_ends_are_told_where_the_key_came_from(network: Network) -> None:
    """Label, sources, hops from the master's KME on, route, error rate and age, the same at master and slave."""
    made = ask(network, number=2).json["keys"]
    fetched = network.fetch(network.b, network.a, [entry["key_ID"] for entry in made]).json["keys"]
    for one, other in zip(made, fetched, strict=True):
        here, there = (provenance_in(entry["key_extension"]) for entry in (one, other))
        for told in (here, there):
            assert told.label is Strength.SIMULATED
            assert told.sources == (SourceKind.QKD,)
            assert told.hops == ("kme-a", "kme-b")
            assert told.route_type is RouteType.DIRECT
            assert told.qber_max == 0.01
            assert told.age_s < 600
        assert here.profile == there.profile


def test_a_key_of_a_profile_can_be_demanded(network: Network) -> None:
    """The profile that a key names can be demanded for the next ones."""
    profile = provenance_in(ask(network).json["keys"][0]["key_extension"]).profile
    assert profile is not UNSET
    answer = ask(network, [{"keystrand_profile": profile}])
    assert provenance_in(answer.json["keys"][0]["key_extension"]).profile == profile


def test_the_client_demands_and_wishes(network: Network) -> None:
    """`Client014.enc_keys` takes both kinds of extension; what came of them stands with each key."""
    with network.client(network.a) as client:
        (key,) = client.enc_keys(
            network.b, size=512, mandatory=[{"keystrand_label": "simulated"}], optional=[{"abc_x": [1]}]
        )
        assert len(key.key) == 64
        assert provenance_in(key.key_extension).label is Strength.SIMULATED
        with pytest.raises(InvalidInput, match="could be met"):
            client.enc_keys(network.b, mandatory=[{"keystrand_label": "classical"}])


def test_stronger_material_serves_a_stronger_demand(network: Network) -> None:
    """Once there is material of the label demanded, the demand that was refused before is met by it."""
    strong = {"extension_mandatory": [{"keystrand_min_label": "information-theoretic"}]}
    assert network.post(network.b, network.a, "enc_keys", strong).status == 400
    network.fill(1, 0, 2048, label="information-theoretic")
    answer = network.post(network.b, network.a, "enc_keys", strong)
    assert (answer.status, label_of(answer)) == (200, "information-theoretic")
