"""The traffic of the benchmark is what it says: real handshakes, each client with its own address, of any size."""

import io
from pathlib import Path

import pytest

from bench import inventory_passive
from keystrand.edge.probes import sensor_logs
from keystrand.edge.probes.capture import read
from keystrand.model.observation import Flow, Outcome
from keystrand.model.reading import Found, Reading


def test_the_capture_holds_four_conversations_a_client(tmp_path: Path) -> None:
    """TLS 1.3, TLS 1.2, and both versions of QUIC, all with a known key establishment."""
    path, packets = inventory_passive.capture_of(tmp_path, tmp_path / "made.pcap", clients=3)
    with path.open("rb") as file:
        *found, reading = read(path.name, file)
    flows = [one.fact for one in found if isinstance(one, Found) and isinstance(one.fact, Flow)]
    assert reading == Reading(outcome=Outcome.SEEN)
    assert {flow.client for flow in flows} == {"10.0.0.0", "10.0.0.1", "10.0.0.2"}
    assert {flow.protocol for flow in flows} == {"tls", "quic"}
    assert all(flow.key_establishment for flow in flows)
    assert sum(flow.packets for flow in flows) == packets


def test_the_stream_is_as_large_as_asked_and_its_clients_differ(tmp_path: Path) -> None:
    """Its packets are those of one client, moved."""
    path, packets = inventory_passive.capture_of(tmp_path, tmp_path / "single.pcap", clients=1)
    size = 5 * path.stat().st_size
    *found, reading = read("stream", inventory_passive.Stream(path, size))  # type: ignore[arg-type]  # it has `read`
    flows = [one.fact for one in found if isinstance(one, Found) and isinstance(one.fact, Flow)]
    assert reading == Reading(outcome=Outcome.SEEN)
    assert len({flow.client for flow in flows}) in (5, 6)
    assert sum(flow.packets for flow in flows) % packets == 0


def test_the_logs_are_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line of them is one that a sensor would write."""
    monkeypatch.setattr(inventory_passive, "_LINES", 200)
    made = {"ssl.log": inventory_passive._zeek_lines, "conn.log": inventory_passive._conn_lines,
            "eve.json": inventory_passive._eve_lines}  # fmt: skip
    for name, lines in made.items():
        octets = b"".join(lines())
        assert sensor_logs.wants(name, octets[:4096])
        *_, reading = sensor_logs.read(name, io.BytesIO(octets))
        assert isinstance(reading, Reading)
        assert reading.outcome is Outcome.SEEN
        assert "could not be read" not in reading.reason
