"""What the command makes of a session's end: files that cannot be written, key that will not last."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.qkd.session_ends import KEY, PARAMETERS, ends, talk

from keystrand.app import qkd_session
from keystrand.app.qkd_session import SessionRequest
from keystrand.edge.qkd_channel import Endpoint
from keystrand.model.errors import InvalidInput
from keystrand.qkd.session_account import SessionParameters
from keystrand.qkd.session_states import Done


def done() -> Done:
    """Return how a session ended that made key."""
    alice, bob = ends()
    talk(alice, bob)
    assert isinstance(alice.state, Done)
    return alice.state


def test_a_key_that_cannot_be_written_is_told_with_its_block(tmp_path: Path) -> None:
    """The other end has the key, so its block is named; authentication goes on, and nothing secret stays or is said."""
    ended, auth, out = done(), tmp_path / "auth", tmp_path / "key"
    auth.touch(mode=0o600)
    out.write_text("something that came there meanwhile")
    left, key = bytes(ended.authentication), bytes(ended.key)
    request = SessionRequest(
        end="alice", record=tmp_path / "none", authentication=auth, out=out,
        endpoint=Endpoint("127.0.0.1", 1, listen=True), agreed={},
    )  # fmt: skip
    with pytest.raises(InvalidInput, match=f"never overwritten.*block {ended.block.hex()}") as caught:
        qkd_session._settled(request, ended)
    assert auth.read_bytes() == left
    assert not any(ended.key)
    assert not any(ended.authentication)
    said = repr(caught.value) + repr(ended) + str(ended)
    assert repr(key[:6])[2:-1] not in said
    assert key[:6].hex() not in said


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({}, 64 * (210 * 2 + 64)),
        ({"correction": "ldpc", "frame_bits": 2**15}, 64 * (20 + 64)),
        ({"batched": False}, 64 * (4096 // 5 * 2 + 64)),
    ],
)
def test_how_much_authentication_key_a_run_takes(changed: dict[str, Any], wanted: int) -> None:
    """By the groups of frames in flight: 100,000 detections are 12 frames of 4,096 bits, 8 of them in flight."""
    parameters: SessionParameters = msgspec.structs.replace(PARAMETERS, **changed)
    assert qkd_session._octets_wanted(parameters, 100_000) == wanted


def test_what_a_session_takes_is_foretold() -> None:
    """A session that makes key spends less than is foretold."""
    account = done().account
    assert account.authentication.spent_bits < 8 * qkd_session._octets_wanted(PARAMETERS, account.detections)
    assert account.authentication.spent_bits < 8 * len(KEY)
