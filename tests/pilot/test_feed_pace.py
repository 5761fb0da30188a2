"""A link played to key servers keeps the pace of its real blocks, which are whole steps."""

import threading
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from tests.pilot.test_network import DEVICE, network

from keystrand.app import network as app
from keystrand.model.errors import InvalidInput, StoreFailure
from keystrand.pilot.network_run import NetworkRun, run


def short_blocks() -> NetworkRun:
    """Return an hour in which a block is declared shorter than a step, so that a block is a step."""
    return run(network(device=[{**DEVICE, "distillation": {"block_s": 20.0}}]), 3600.0, seed=1)


def without_servers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Put nothing in the place of entities and source; return what the source was told."""
    told: dict[str, Any] = {}

    def source(*_: object, **options: Any) -> Any:
        told.update(options)
        return nullcontext(SimpleNamespace(pushed_bits=0, accepted_bits=0, trouble=""))

    pair = SimpleNamespace(source_ends=(), urls=("one", "two"))
    monkeypatch.setattr(app, "start_pair", lambda *_, **__: nullcontext(pair))
    monkeypatch.setattr(app, "TwinSource", source)
    return told


def test_a_full_disk_ends_a_feed_with_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Reports that cannot be written are no internal error."""
    without_servers(monkeypatch)
    (tmp_path / "telemetry.jsonl").symlink_to("/dev/full")
    with pytest.raises(StoreFailure, match="No space left"):
        app.feed_pair(short_blocks(), app.Feed("ab", 1e6, 5.0), tmp_path, threading.Event(), lambda _: None)


def test_a_block_shorter_than_a_step_is_played_over_the_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The rate that the source is told is that of the best block over the time the block really took."""
    told = without_servers(monkeypatch)
    made = short_blocks()
    app.feed_pair(made, app.Feed("ab", 1e6, 5.0), tmp_path, threading.Event(), lambda _: None)
    assert told["bits_per_s"] == pytest.approx(made.blocks[0].key_bits.max() / 60.0 * 1e6)
    reports = (tmp_path / "telemetry.jsonl").read_bytes().splitlines()
    assert {msgspec.json.decode(one)["interval_s"] for one in reports} == {60.0}


@pytest.mark.parametrize("speed", [0.0, float("nan"), float("inf")])
def test_a_speed_that_cannot_be(speed: float, tmp_path: Path) -> None:
    """It is told by its name before anything starts."""
    with pytest.raises(InvalidInput, match="cannot be fed at a speed"):
        app.feed_pair(short_blocks(), app.Feed("ab", speed, 1.0), tmp_path, threading.Event(), lambda _: None)
