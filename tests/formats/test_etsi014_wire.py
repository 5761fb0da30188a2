"""ETSI GS QKD 014 on the wire: exact names, strict reading, nothing but InvalidInput on garbage.

The numbers (W1 ...) count the normative statements of clauses 5 and 6 that the wire format alone decides.
"""

import base64
import contextlib
import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Struct

from keystrand.formats import etsi014
from keystrand.formats.etsi014 import Call, Key, KeyContainer, KeyIds, KeyRequest, Method, Status
from keystrand.model.errors import InvalidInput

UUID = "bc490419-7d60-487f-adc1-4ddcc177c139"
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
uuids = st.uuids().map(str)


def fault_of(body: bytes, parse: Any = etsi014.parse_key_request) -> str:
    """Return what the parser says of a body it must refuse."""
    with pytest.raises(InvalidInput) as caught:
        parse(body)
    return str(caught.value.problems[0])


def test_w1_status_has_exactly_the_members_of_table_9() -> None:
    """Status carries the eleven mandatory members under their exact names, and the extension only where set."""
    status = Status(
        source_kme_id="a", target_kme_id="b", master_sae_id="m", slave_sae_id="s", key_size=256, stored_key_count=1,
        max_key_count=2, max_key_per_request=3, max_key_size=4096, min_key_size=64, max_sae_id_count=0,
    )  # fmt: skip
    assert set(json.loads(etsi014.encode(status))) == {
        "source_KME_ID", "target_KME_ID", "master_SAE_ID", "slave_SAE_ID", "key_size", "stored_key_count",
        "max_key_count", "max_key_per_request", "max_key_size", "min_key_size", "max_SAE_ID_count",
    }  # fmt: skip
    assert etsi014.decode(etsi014.encode(status), Status) == status


class Material(bytes):
    """Key bytes as a caller's type would hold them."""


def write(value: Any) -> str:
    """Return the base64 of a material."""
    return etsi014.base64_of(value)


def read(_: type[Any], value: Any) -> Material:
    """Return the material in base64."""
    return Material(etsi014.octets_of(value))


def container_in(body: bytes) -> KeyContainer[Material]:
    """Return the container in `body`."""
    return etsi014.decode(body, KeyContainer[Material], read)


def test_w2_a_key_container_is_base64_and_uuid_under_lower_case_keys() -> None:
    """Table 11: `keys` of `key_ID` and padded standard base64 `key`."""
    container = KeyContainer(keys=(Key(key_id=UUID, key=Material(b"\xfb\xff\xfe\x01")),))
    assert json.loads(etsi014.encode(container, write)) == {"keys": [{"key_ID": UUID, "key": "+//+AQ=="}]}


@given(st.lists(st.tuples(uuids, st.binary(min_size=1, max_size=40)), max_size=4))
def test_w2_containers_survive_the_wire(entries: list[tuple[str, bytes]]) -> None:
    """Any container decodes to what was encoded, and matches an independent base64 and JSON reader."""
    container = KeyContainer(keys=tuple(Key(key_id=i, key=Material(k)) for i, k in entries))
    wire = etsi014.encode(container, write)
    assert container_in(wire) == container
    assert [(k["key_ID"], base64.b64decode(k["key"])) for k in json.loads(wire)["keys"]] == entries


@pytest.mark.parametrize("text", ["QUI", "QUI=\n", "QU I=", "QUJ=", "-_8=", "QUI==", "=", "é", 1, None])
def test_w2_base64_has_one_form(text: object) -> None:
    """Unpadded, spaced, URL-alphabet and non-canonical base64, and what is no string, is refused."""
    body = json.dumps({"keys": [{"key_ID": UUID, "key": text}]}).encode()
    told = fault_of(body, container_in)
    assert "base64" in told
    assert str(text) not in told or len(str(text)) < 2


@pytest.mark.parametrize("body", [b"", b"{}", b" {} \n"])
def test_w3_everything_in_a_key_request_is_optional(body: bytes) -> None:
    """Table 10: an empty object means one key of the default size; so does a body of no octets."""
    assert etsi014.parse_key_request(body) == KeyRequest(number=1, size=UNSET)


@given(
    st.builds(
        KeyRequest,
        number=st.integers(-5, 10**6),
        size=st.one_of(st.just(UNSET), st.integers(-5, 10**6)),
        additional_slave_sae_ids=st.lists(st.text(max_size=5), max_size=3).map(tuple),
        extension_mandatory=st.lists(st.dictionaries(st.text(max_size=5), json_values, max_size=2), max_size=2).map(
            tuple
        ),
    )
)
def test_w3_key_requests_survive_the_wire(request_: KeyRequest) -> None:
    """Any key request decodes to what was encoded."""
    assert etsi014.parse_key_request(etsi014.encode(request_)) == request_


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"number":true}', "number: Expected `int`, got `bool`"),
        (b'{"number":1.0}', "number: Expected `int`, got `float`"),
        (b'{"number":"1"}', "number: Expected `int`, got `str`"),
        (b'{"size":null}', "size: Expected `int`, got `null`"),
        (b'{"number":null}', "number: Expected `int`, got `null`"),
        (b'{"Number":1}', "body: Object contains unknown field `Number`"),
        (b'{"number":1,"number":1}', "body: a member appears twice in one object"),
        (b'{"extension_optional":[{"a_b":{"x":1,"x":2}}]}', "body: a member appears twice in one object"),
        (b'{"number":1}{}', "body: JSON is malformed"),
        (b'{"number":1}x', "body: JSON is malformed"),
        (b"[]", "body: Expected `object`, got `array`"),
        (b"\xef\xbb\xbf{}", "body: "),
        ("{}".encode("utf-16"), "body: "),
        (b'{"extension_optional":[{"a":"\xff"}]}', "body: not UTF-8"),
        (b'{"extension_optional":[{"a":NaN}]}', "body: "),
        (b'{"extension_optional":[{"a":"\\ud800"}]}', "body: "),
        (b'{"extension_optional":[{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}]}", "body: nested too deeply"),
        (b'{"number":' + b"9" * 5_000 + b"}", "number: "),
    ],
)
def test_w4_what_the_text_does_not_allow_is_refused_with_its_place(body: bytes, says: str) -> None:
    """Booleans, floats, null, unknown and doubled members, trailing bytes, other encodings: 400 with details."""
    assert fault_of(body).startswith(says)


@given(st.binary(max_size=60) | json_values.map(lambda v: json.dumps(v).encode()))
def test_w4_garbage_never_raises_anything_else(body: bytes) -> None:
    """Every parser either returns its type or raises InvalidInput."""
    for kind in (KeyRequest, KeyIds, KeyContainer[Any], Status, etsi014.Error):
        with contextlib.suppress(InvalidInput):
            assert isinstance(etsi014.decode(body, kind), Struct)


def test_w5_key_ids_are_uuids_in_order_and_once() -> None:
    """Table 12: IDs keep their order; one that is no UUID, or appears twice in any case, is refused."""
    other = UUID.replace("b", "a")
    body = {"key_IDs": [{"key_ID": other.upper()}, {"key_ID": UUID, "key_ID_extension": {"x_y": 1}}]}
    assert etsi014.parse_key_ids(json.dumps(body).encode()) == (other, UUID)
    twice = json.dumps({"key_IDs": [{"key_ID": UUID}, {"key_ID": UUID.upper()}]}).encode()
    assert "twice" in fault_of(twice, etsi014.parse_key_ids)
    for wrong in ("", "x" + UUID, UUID + "\n", UUID.replace("-", "")):
        assert fault_of(json.dumps({"key_IDs": [{"key_ID": wrong}]}).encode(), etsi014.parse_key_ids)
    for empty in (b"", b"{}", b'{"key_IDs":[]}'):
        assert fault_of(empty, etsi014.parse_key_ids)


@given(st.text(min_size=1, max_size=20), st.sampled_from(Method))
def test_w6_an_sae_id_is_decoded_exactly_once(sae_id: str, method: Method) -> None:
    """Any SAE ID, escaped by an independent encoder, comes back; slashes and percent signs included."""
    target = f"/api/v1/keys/{quote(sae_id, safe='')}/{method}".encode()
    assert etsi014.parse_target(target) == Call(method=method, sae_id=sae_id, query="")


def test_w6_a_double_escape_is_decoded_only_once() -> None:
    """`%252F` names the SAE ID `%2F`, not a slash."""
    call = etsi014.parse_target(b"/api/v1/keys/a%252Fb/status")
    assert call is not None
    assert call.sae_id == "a%2Fb"


@pytest.mark.parametrize("target", [b"/api/v1/keys/a%/status", b"/api/v1/keys/a%2/status", b"/api/v1/keys/%ff/status",
                                    b"/api/v1/keys/%zz/status", b"/api/v1/keys/\xc3\xa9/status", b""])  # fmt: skip
def test_w6_bad_escapes_are_refused(target: bytes) -> None:
    """A broken escape, or octets that no URL holds, is a bad request."""
    with pytest.raises(InvalidInput):
        etsi014.parse_target(target)


@pytest.mark.parametrize("target", [b"/", b"/api/v1/keys//status", b"/api/v1/keys/a/b/status", b"/api/v2/keys/a/status",
                                    b"/api/v1/keys/a/STATUS", b"/api/v1/keys/a/status/", b"*",
                                    b"https://kme/api/v1/keys/a/status"])  # fmt: skip
def test_w6_other_urls_are_no_014_call(target: bytes) -> None:
    """Anything but the three URL forms of clause 5 is not a call."""
    assert etsi014.parse_target(target) is None


@given(st.binary(max_size=60))
def test_w6_garbage_targets_never_raise_anything_else(target: bytes) -> None:
    """A target parses, names nothing, or is a bad request."""
    try:
        etsi014.parse_target(b"/api/v1/keys/" + target)
    except InvalidInput:
        return


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", KeyRequest()),
        ("number=3&size=1024", KeyRequest(number=3, size=1024)),
        ("size=64", KeyRequest(size=64)),
        ("n%75mber=%33", KeyRequest(number=3)),
        ("number=-1", KeyRequest(number=-1)),
    ],
)
def test_w7_get_key_as_get_takes_number_and_size(query: str, expected: KeyRequest) -> None:
    """Clause 5.2: the GET form is empty or holds number and size."""
    assert etsi014.parse_key_request_query(query) == expected


@pytest.mark.parametrize("query", ["number=1&number=1", "number=", "number", "number=1.0", "number=+1", "number=1_0",
                                   "number=٣", "number=true", "extension_mandatory=[]", "x=1", "&", "number=1&",
                                   "number=99999999999", "number=%", "number= 1"])  # fmt: skip
def test_w7_any_other_query_is_refused(query: str) -> None:
    """Doubled, empty, non-decimal and unknown parameters are bad requests."""
    with pytest.raises(InvalidInput):
        etsi014.parse_key_request_query(query)


def test_w8_get_with_key_ids_as_get_takes_exactly_one() -> None:
    """Clause 5.3: the GET form names one key ID; several need POST."""
    assert etsi014.parse_key_ids_query(f"key_ID={UUID.upper()}") == (UUID,)
    for query in ("", "key_ID=", f"key_ID={UUID}&key_ID={UUID}", f"key_ID={UUID},{UUID}", f"key_IDs={UUID}"):
        with pytest.raises(InvalidInput):
            etsi014.parse_key_ids_query(query)


@given(st.text(max_size=40))
def test_w8_garbage_queries_never_raise_anything_else(query: str) -> None:
    """Both query parsers return a value or refuse."""
    for parse in (etsi014.parse_key_request_query, etsi014.parse_key_ids_query):
        try:
            parse(query)
        except InvalidInput:
            continue
