"""Key material on the wire: secrets inside, base64 outside, and no text form that shows it."""

import json
import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.crypto.secret import Secret
from keystrand.edge.kme import wire
from keystrand.edge.kme.messages import Assign, Block
from keystrand.edge.kme.wire import SecretKey
from keystrand.formats import etsi014
from keystrand.formats.etsi014 import KeyContainer
from keystrand.model.errors import InvalidInput
from keystrand.model.key import Strength

UUID = str(uuid.UUID(int=7))


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=4))
def test_containers_of_secrets_survive_the_wire(keys: list[bytes]) -> None:
    """Any container of secrets decodes to equal secrets."""
    container = KeyContainer(keys=tuple(SecretKey(key_id=UUID, key=Secret(key)) for key in keys))
    assert wire.decode(wire.encode(container), KeyContainer[Secret]) == container


def test_what_another_kme_says_is_cut_to_what_a_log_takes() -> None:
    """Message and details, in number too; what is no Error has no reason."""
    long = "a\nb" + 1000 * "c"
    told = wire.error_of(msgspec.json.encode({"message": long, "details": [{long: [long]}] * 2000}))
    assert told.message == "a?b" + 197 * "c"
    assert len(told.details) == 1024
    assert all(len(name) <= 200 and len(value) <= 200 for one in told.details for name, value in one.items())
    assert {"\n" in name + value for one in told.details for name, value in one.items()} == {False}
    for answer in (b"", b"{}", b"[]", b"nonsense"):
        assert wire.error_of(answer).message == "without a reason"


def test_no_text_form_of_a_body_holds_key_bytes() -> None:
    """The repr of a container or block shows the size of its keys only, and a plain encoder refuses it."""
    key = SecretKey(key_id=UUID, key=Secret(b"A" * 32))
    block = Block(
        link="l", block_id=UUID, master_kme="k", key_bits=Secret(b"A" * 32), qber=0.0, label=Strength.SIMULATED
    )
    for body in (KeyContainer(keys=(key,)), block):
        assert "AAAA" not in f"{body!r} {body}"
        assert b"QUFB" in wire.encode(body)
        with pytest.raises(TypeError):
            msgspec.json.encode(body)
        with pytest.raises(TypeError):
            etsi014.encode(body)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"key_bits": "QUJ="}, "key_bits"),
        ({"key_bits": None}, "key_bits"),
        ({"qber": 1.1}, "qber"),
        ({"block_id": UUID.upper().replace("0", "A")}, "block_id"),
        ({"link": "A b"}, "link"),
        ({"more": 1}, "body"),
    ],
)
def test_blocks_are_read_strictly(change: dict[str, object], where: str) -> None:
    """Wrong material, ratio, ids or members are refused at their place."""
    good = {"link": "l", "block_id": UUID, "master_kme": "k", "key_bits": "QUI=", "qber": 0, "label": "simulated"}
    assert wire.decode(json.dumps(good).encode(), Block).key_bits == Secret(b"AB")
    with pytest.raises(InvalidInput) as caught:
        wire.decode(json.dumps(good | change).encode(), Block)
    assert caught.value.problems[0].field == where


@given(st.binary(max_size=60))
def test_garbage_is_refused(body: bytes) -> None:
    """No bytes make the readers of modules' and peers' messages raise anything else."""
    for kind in (Block, Assign):
        with pytest.raises(InvalidInput):
            wire.decode(body, kind)
