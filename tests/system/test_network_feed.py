"""A link of a network's twin, played to two live key management entities in real time."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keystrand.edge.kme.client import Client014

NETWORK = Path(__file__).parents[2] / "examples" / "quantum" / "metro-network.toml"


@pytest.mark.system
def test_two_live_entities_are_fed(tmp_path: Path) -> None:
    """Keys of the twin's blocks come out at both ends alike, and reports come as the blocks do."""
    folder = tmp_path / "feed"
    words = ["pilot", "feed", str(NETWORK), "--link", "north-south", "--dir", str(folder), "--speed", "600"]
    with subprocess.Popen(
        [sys.executable, "-m", "keystrand.cli.main", *words, "-o", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
        assert child.stderr
        urls = [word for word in child.stderr.readline().replace(";", " ").split() if word.startswith("https://")]
        pki = folder / "pki"
        sender, receiver = (
            Client014(url, pki / "ca.pem", pki / f"sae-{name}.pem", pki / f"sae-{name}.key")
            for url, name in zip(urls, ("sae-a", "sae-b"), strict=True)
        )
        with sender, receiver:
            _await_keys(sender)
            sent = sender.enc_keys("sae-b", number=2)
            got = receiver.dec_keys("sae-a", [key.key_id for key in sent])
            assert [bytes(key.key.view()) for key in sent] == [bytes(key.key.view()) for key in got]
        _await_reports(folder / "telemetry.jsonl", 3)
        child.send_signal(signal.SIGTERM)
        told = json.loads(child.stdout.read())
        assert child.wait(30) == 0
    assert told["accepted_bits"] > 0
    assert told["reports"] >= 3
    assert told["trouble"] == ""


def _await_keys(sender: Client014) -> None:
    deadline = time.monotonic() + 30
    while sender.status("sae-b").stored_key_count < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _await_reports(path: Path, count: int) -> None:
    deadline = time.monotonic() + 30
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert time.monotonic() < deadline
        time.sleep(0.1)
