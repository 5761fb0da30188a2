"""Key containers as text in one go: byte for byte what the encoder of the types writes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from keystrand.formats import etsi014
from keystrand.formats.etsi014 import Key, KeyContainer
from keystrand.formats.etsi014_extensions import Provenance, extension_of
from keystrand.model.key import RouteType, Strength

EXTENSION = extension_of(
    Provenance(label=Strength.SIMULATED, sources=(), hops=('kme "é"',), age_s=0, route_type=RouteType.DIRECT)
)
uuids = st.uuids().map(str)
extensions = st.sampled_from([b"", EXTENSION, b'{"abc_x":[1,null]}'])


class Material(bytes):
    """Key bytes as a caller's type would hold them."""


def encoded(key_ids: list[str], keys: list[bytes], extension: bytes) -> tuple[Key[Material], ...]:
    """Return the same keys as values."""
    carried: Any = json.loads(extension) if extension else UNSET
    return tuple(
        Key(key_id=key_id, key=Material(key), key_extension=carried) for key_id, key in zip(key_ids, keys, strict=True)
    )


@given(st.lists(st.tuples(uuids, st.binary(min_size=1, max_size=70)), min_size=1, max_size=5), extensions)
def test_rendering_equals_encoding(entries: list[tuple[str, bytes]], extension: bytes) -> None:
    """Any keys under any UUIDs, with or without an extension."""
    key_ids, keys = [i for i, _ in entries], [k for _, k in entries]
    expected = etsi014.encode(KeyContainer(keys=encoded(key_ids, keys, extension)), etsi014.base64_of)
    assert etsi014.render_keys(key_ids, map(memoryview, keys), extension) == expected


@given(st.lists(st.tuples(st.lists(uuids, min_size=1, max_size=3), extensions), min_size=1, max_size=3))
def test_parts_with_extensions_of_their_own_make_one_container(parts: list[tuple[list[str], bytes]]) -> None:
    """Keys of several orders keep their order and each its provenance."""
    made = etsi014.container_of(*(etsi014.rendered_keys(i, [memoryview(b"k")] * len(i), e) for i, e in parts))
    keys = tuple(key for i, e in parts for key in encoded(i, [b"k"] * len(i), e))
    assert made == etsi014.encode(KeyContainer(keys=keys), etsi014.base64_of)


def test_a_key_without_its_id_is_never_rendered() -> None:
    """Lists of different length are a fault, not a shorter answer."""
    with pytest.raises(ValueError, match="shorter"):
        etsi014.render_keys(["a", "b"], [memoryview(b"k")])
