"""The quick check for doubled members agrees with the exact one, whatever the body."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Struct, field

from keystrand.formats.etsi014 import Error, KeyContainer, KeyIds, KeyRequest, Status
from keystrand.formats.etsi014_unique import demand_unique, demand_unique_exactly

UUID = "bc490419-7d60-487f-adc1-4ddcc177c139"
KINDS = (KeyRequest, KeyIds, KeyContainer[str], Status, Error)


class Inner(Struct, frozen=True):
    """Has required and optional members."""

    a: Any
    b: int = 0


class Outer(Struct, frozen=True):
    """Has required lists of structs and of none, and an optional one."""

    many: tuple[Inner, ...] = field(name="keys")
    more: list[Inner]
    plain: list[int]
    rest: tuple[Inner, ...] = ()


def verdict(check: Any, *args: Any) -> bool:
    """Return whether the check lets the body pass."""
    try:
        check(*args)
    except ValueError:
        return False
    return True


member_names = st.sampled_from(
    ["number", "size", "key_IDs", "key_ID", "keys", "key", "message", "details", "a", "more", "extension_mandatory",
     "additional_slave_SAE_IDs", "plain", "rest", "b", "é"]
)  # fmt: skip
written_names = member_names.map(json.dumps) | member_names.map(
    # the same name in other octets: its first letter escaped
    lambda name: f'"\\u{ord(name[0]):04x}{name[1:]}"'
)
scalars = st.sampled_from(["1", "256", "null", "true", "1.5", '""', '"a:b"', '"x\\":\\"y"', f'"{UUID}"', '"\\u003a"',
                           "-0", "1e3", '"é"', '"number"', "NaN", "01", '"\\ud800"'])  # fmt: skip


def objects(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return JSON objects as text, whose members may appear twice."""
    colon = st.sampled_from([":", " :", ": ", "\n:\t"])
    members = st.lists(st.tuples(written_names, colon, inner).map("".join), max_size=3)
    return members.map(lambda texts: "{" + ",".join(texts) + "}")


texts = st.recursive(
    scalars, lambda inner: objects(inner) | st.lists(inner, max_size=3).map(lambda t: "[" + ",".join(t) + "]")
)
entries = st.sampled_from([f'{{"key_ID":"{UUID}"}}', f'{{"key_ID":"x","key_ID":"{UUID}"}}', '{"key_ID":"a:b"}',
                           f'{{"key_ID":"{UUID}","key_ID_extension":{{"key_ID":1,"key_ID":1}}}}',
                           f'{{"key_ID":"{UUID}","key":"AA=="}}', '{"a":1}', '{"a":1,"b":2}', '{"a":{"a":1,"a":1}}',
                           '{"a":1,"a":2}'])  # fmt: skip
lists = st.lists(entries, max_size=4).map(lambda t: "[" + ",".join(t) + "]")
shaped = st.lists(st.tuples(written_names, st.just(":"), lists | texts).map("".join), max_size=5).map(
    lambda t: "{" + ",".join(t) + "}"
)


@settings(max_examples=600)
@given(objects(texts) | shaped)
@example('{"number":1,"number":2}')
@example('{"number":1,"n\\u0075mber":2}')
@example('{"additional_slave_SAE_IDs":["number"],"size":1,"size":2}')
@example('{"key_IDs":[],"key_IDs":[{"key_ID":"a"}]}')
@example('{"keys":[{"a":1}],"more":[{"a":1},{"a":1,"a":2}],"plain":[]}')
@example('{"keys":[{"a":1}],"keys":[{"a":1}],"more":[],"plain":[]}')
@example('{"message":"a","details":[{"a":1,"a":1}]}')
def test_the_quick_check_agrees_with_the_exact_one(text: str) -> None:
    """Whatever msgspec decodes as one of the bodies: both let it pass, or neither does."""
    body = text.encode()
    for kind in (*KINDS, Outer, Inner):
        try:
            made = msgspec.json.decode(body, type=kind)
        except (msgspec.DecodeError, ValueError):
            continue
        assert verdict(demand_unique, body, made) == verdict(demand_unique_exactly, body)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"number":1,"size":256}', KeyRequest),
        (json.dumps({"key_IDs": [{"key_ID": UUID}] * 128}).encode(), KeyIds),
        (json.dumps({"keys": [{"key_ID": UUID, "key": "AA=="}] * 128}).encode(), KeyContainer[str]),
    ],
)
def test_the_usual_bodies_need_no_second_parse(body: bytes, kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain requests and containers pass by counting alone."""
    made = msgspec.json.decode(body, type=kind)
    monkeypatch.setattr("keystrand.formats.etsi014_unique.demand_unique_exactly", lambda _: pytest.fail("parsed twice"))
    demand_unique(body, made)


@pytest.mark.parametrize("body", [b'{"message":"a","x":"\xff"}', b'{"message":"a","x\xff":1}'])
def test_what_is_passed_over_is_utf_8_too(body: bytes) -> None:
    """A member that the type does not have is not decoded; octets that are no text are refused all the same."""
    assert not verdict(demand_unique, body, msgspec.json.decode(body, type=Error))


def test_what_is_no_struct_is_parsed_exactly() -> None:
    """The count only speaks of structs."""
    assert not verdict(demand_unique, b'[{"a":1,"a":1}]', [{"a": 1}])
    assert verdict(demand_unique, b'[{"a":1}]', [{"a": 1}])
