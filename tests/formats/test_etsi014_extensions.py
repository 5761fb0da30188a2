"""Our own extensions of ETSI GS QKD 014: demands are read strictly, wishes kindly, and provenance survives the wire."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from keystrand.formats import etsi014
from keystrand.formats.etsi014 import Error, bad_request, error_of
from keystrand.formats.etsi014_extensions import (
    Demands,
    Provenance,
    extension_of,
    joined,
    parse_demands,
    parse_wishes,
    provenance_in,
    refuse_unmet,
    unmet,
)
from keystrand.model.errors import InvalidInput
from keystrand.model.key import RouteType, SourceKind, Strength

ALL = {
    "keystrand_max_age_s": 30, "keystrand_min_label": "post-quantum", "keystrand_label": "information-theoretic",
    "keystrand_route_type": "direct", "keystrand_profile": "house-1",
}  # fmt: skip
KEY = Provenance(
    label=Strength.POST_QUANTUM, sources=(SourceKind.QKD, SourceKind.PQC), hops=("kme-a", "kme-b"), age_s=3,
    qber_max=0.02, route_type=RouteType.DIRECT, profile="house-1",
)  # fmt: skip
names = st.sampled_from([*ALL, "abc_route_type", "keystrand_", "keystrand_wish"])
values = st.sampled_from([*ALL.values(), None, True, 0, -1, 1.0, "", "indirect", [], {}, 10**12])
names_of_profiles = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,9}", fullmatch=True)
extensions = st.lists(st.dictionaries(names, values, max_size=3), max_size=3)


def error_body(error: InvalidInput) -> Any:
    """Return the body of the 400 as its reader has it."""
    return json.loads(etsi014.encode(error_of(error)))


def test_every_demand_is_read_however_it_is_spread_over_objects() -> None:
    """One object with all parameters, or one object each, says the same."""
    together, apart = parse_demands([ALL]), parse_demands([{name: value} for name, value in ALL.items()])
    assert together == apart
    assert together == Demands(
        max_age_s=30, min_label=Strength.POST_QUANTUM, label=Strength.INFORMATION_THEORETIC,
        route_type=RouteType.DIRECT, profile="house-1",
    )  # fmt: skip
    assert parse_demands([]) == parse_demands([{}]) == Demands()


def test_unknown_demands_are_all_named_under_the_fixed_message() -> None:
    """A name that is not ours is refused before any value is looked at, as in the example of clause 6.5."""
    with pytest.raises(InvalidInput) as caught:
        parse_demands([{"abc_route_type": "direct", "keystrand_max_age_s": "x"}, {"xyz_1": None}])
    assert error_body(caught.value) == {
        "message": "not all extension_mandatory parameters are supported",
        "details": [
            {"extension_mandatory_unsupported": "abc_route_type is not supported"},
            {"extension_mandatory_unsupported": "xyz_1 is not supported"},
        ],
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("keystrand_max_age_s", -1), ("keystrand_max_age_s", True), ("keystrand_max_age_s", 1.5),
        ("keystrand_max_age_s", "30"), ("keystrand_max_age_s", None), ("keystrand_max_age_s", 10**12),
        ("keystrand_min_label", "strong"), ("keystrand_min_label", ""), ("keystrand_min_label", 1),
        ("keystrand_label", None), ("keystrand_label", ["simulated"]), ("keystrand_route_type", "DIRECT"),
        ("keystrand_profile", "no such name"), ("keystrand_profile", {}),
    ],
)  # fmt: skip
def test_a_malformed_demand_is_refused_at_its_name(name: str, value: object) -> None:
    """A value that the parameter does not take is 400 with the parameter in the details."""
    with pytest.raises(InvalidInput) as caught:
        parse_demands([{name: value}])
    assert caught.value.message == etsi014.BAD_REQUEST
    assert [problem.field for problem in caught.value.problems] == [name]


def test_a_demand_said_twice_is_refused() -> None:
    """Which of two values counts is not guessed, even where they agree."""
    with pytest.raises(InvalidInput, match="bad request"):
        parse_demands([{"keystrand_max_age_s": 1}, {"keystrand_max_age_s": 1}])


@given(extensions)
def test_wishes_are_never_refused_and_are_demands_where_those_are_right(listed: list[dict[str, Any]]) -> None:
    """Whatever stands in extension_optional, what is ours and well-formed is taken, the rest is not there."""
    wishes = parse_wishes(listed)
    assert isinstance(wishes, Demands)
    with contextlib.suppress(InvalidInput):
        assert parse_demands(listed) == wishes


def test_a_wish_said_twice_counts_the_first_time() -> None:
    """The first well-formed value of a parameter stands."""
    said: tuple[Any, ...] = (1, "simulated", "classical")
    listed = [{"keystrand_label": value} for value in said]
    assert parse_wishes(listed) == Demands(label=Strength.SIMULATED)


def test_wishes_yield_to_demands() -> None:
    """What is demanded stands; what is only wished is added where nothing is demanded of it."""
    demands = Demands(label=Strength.SIMULATED)
    wishes = Demands(label=Strength.CLASSICAL, route_type=RouteType.DIRECT)
    assert joined(demands, wishes) == Demands(label=Strength.SIMULATED, route_type=RouteType.DIRECT)
    assert joined(demands, Demands()) == joined(Demands(), demands) == demands


def test_the_labels_that_demands_allow() -> None:
    """All without a demand, from the least upwards, exactly the one named; none where the two contradict each other."""
    assert Demands().labels == frozenset(Strength)
    assert Demands(min_label=Strength.POST_QUANTUM).labels == {"information-theoretic", "post-quantum"}
    assert Demands(label=Strength.CLASSICAL).labels == {"classical"}
    assert Demands(label=Strength.CLASSICAL, min_label=Strength.CLASSICAL).labels == {"classical"}
    assert Demands(label=Strength.CLASSICAL, min_label=Strength.POST_QUANTUM).labels == frozenset()


@given(st.lists(st.sampled_from(Strength), max_size=2), st.sampled_from(Strength))
def test_a_key_meets_label_demands_exactly_where_its_label_is_allowed(asked: list[Strength], label: Strength) -> None:
    """`unmet` and `labels` say the same."""
    demands = Demands(
        min_label=asked[0] if asked else UNSET, label=asked[1] if len(asked) > 1 else UNSET
    )  # fmt: skip
    key = Provenance(label=label, sources=(), hops=(), age_s=0, route_type=RouteType.DIRECT)
    assert (label in demands.labels) == (unmet(demands, key) == ())


@pytest.mark.parametrize(
    ("demands", "names"),
    [
        (Demands(), ()),
        (Demands(max_age_s=3, min_label=Strength.POST_QUANTUM, label=Strength.POST_QUANTUM, route_type=RouteType.DIRECT,
                 profile="house-1"), ()),
        (Demands(max_age_s=2), ("keystrand_max_age_s",)),
        (Demands(min_label=Strength.INFORMATION_THEORETIC), ("keystrand_min_label",)),
        (Demands(label=Strength.CLASSICAL), ("keystrand_label",)),
        (Demands(route_type=RouteType.INDIRECT, profile="house-2"), ("keystrand_route_type", "keystrand_profile")),
    ],
)  # fmt: skip
def test_what_a_key_does_not_meet_is_named(demands: Demands, names: tuple[str, ...]) -> None:
    """Each demand is judged on its own and named as on the wire."""
    assert unmet(demands, KEY) == names


def test_a_demand_for_a_profile_is_not_met_by_a_key_of_none() -> None:
    """A key that no profile made has no profile."""
    plain = Provenance(label=Strength.SIMULATED, sources=(), hops=(), age_s=0, route_type=RouteType.DIRECT)
    assert unmet(Demands(profile="house-1"), plain) == ("keystrand_profile",)


def test_what_cannot_be_met_is_refused_in_the_fixed_words() -> None:
    """Clause 6.2's message on top, the parameters in the details."""
    assert error_body(refuse_unmet(["keystrand_label"])) == {
        "message": "not all extension_mandatory request options could be met",
        "details": [{"keystrand_label": "cannot be met now"}],
    }


def test_provenance_is_json_with_our_prefix() -> None:
    """Each member stands under its name on the wire; what is not known is left out."""
    assert json.loads(extension_of(KEY)) == {
        "keystrand_label": "post-quantum", "keystrand_sources": ["qkd", "pqc"], "keystrand_hops": ["kme-a", "kme-b"],
        "keystrand_age_s": 3, "keystrand_qber_max": 0.02, "keystrand_route_type": "direct",
        "keystrand_profile": "house-1",
    }  # fmt: skip
    plain = Provenance(label=Strength.SIMULATED, sources=(), hops=(), age_s=0, route_type=RouteType.DIRECT)
    assert {"keystrand_qber_max", "keystrand_profile"}.isdisjoint(json.loads(extension_of(plain)))


@given(
    st.builds(
        Provenance,
        label=st.sampled_from(Strength),
        sources=st.lists(st.sampled_from(SourceKind), max_size=3).map(tuple),
        hops=st.lists(st.text(max_size=8), max_size=4).map(tuple),
        route_type=st.sampled_from(RouteType),
        age_s=st.integers(0, 10**9),
        qber_max=st.just(UNSET) | st.floats(0, 1),
        profile=st.just(UNSET) | names_of_profiles,
        instead_of=st.lists(names_of_profiles, max_size=2).map(tuple),
    )
)
def test_provenance_survives_the_wire(key: Provenance) -> None:
    """Any provenance is read back equal, also beside members of others."""
    members = json.loads(extension_of(key))
    assert provenance_in(members) == provenance_in(members | {"abc_more": 1}) == key


def test_a_key_without_our_provenance_has_none() -> None:
    """No extension, one of others, or a wrong value is no provenance."""
    for extension in (UNSET, {}, {"abc_label": "x"}, json.loads(extension_of(KEY)) | {"keystrand_age_s": -1}):
        with pytest.raises(InvalidInput):
            provenance_in(extension)


def test_the_errors_carry_a_table_13_body() -> None:
    """What this module refuses becomes the Error of clause 6.5 without more ado."""
    made = error_of(bad_request("x", "keystrand_label"))
    assert made == Error(message=etsi014.BAD_REQUEST, details=({"keystrand_label": "x"},))
