"""The consumer's commands against two real KMEs: a fresh key, and a clear refusal where there is none."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from keystrand.edge.devices.twin_source import TwinSource
from keystrand.edge.kme.pair import Pair, start_pair
from keystrand.edge.pki import Kind

pytestmark = pytest.mark.system

COMMAND = (sys.executable, "-m", "keystrand.cli.main")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Two KMEs without a key in stock."""
    with start_pair(tmp_path / "run") as running:
        yield running


def _access(pair: Pair, at: int) -> list[str]:
    files = pair.credentials(Kind.SAE, pair.saes[at])
    options = {"--kme": pair.urls[at], "--ca": files.ca, "--cert": files.certificate, "--key": files.key}
    return [str(word) for option in options.items() for word in option]


def test_an_empty_stock_ends_with_exit_13_and_a_filled_one_with_an_answer(pair: Pair) -> None:
    """Without a key nothing is sent and the exit code says so; with one the echo comes back under it."""
    serve = [*COMMAND, "consumer", "serve", *_access(pair, 1), "--master", pair.saes[0]]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            address = server.stdout.readline().removeprefix("ready ").strip()
            echo = [*COMMAND, "consumer", "echo", address, *_access(pair, 0), "--slave", pair.saes[1], "-o", "json"]
            empty = subprocess.run(echo, capture_output=True, text=True, check=False)
            assert (empty.returncode, empty.stdout) == (13, "")
            assert json.loads(empty.stderr)["error"] == "no-key"
            with (
                TwinSource(pair.link, pair.source_ends, bits_per_s=100_000, qber=0.02) as source,
                pair.client(pair.saes[0]) as kme,
            ):
                while not kme.status(pair.saes[1]).stored_key_count:
                    assert source.trouble == ""
            filled = subprocess.run(echo, capture_output=True, text=True, check=False)
            assert filled.returncode == 0, filled.stderr
            assert json.loads(filled.stdout)[0]["group"] == "X25519MLKEM768"
        finally:
            server.terminate()


def test_an_identity_without_rights_ends_with_exit_12(pair: Pair) -> None:
    """A module's certificate is no SAE: denied, whatever it asks."""
    files = pair.credentials(Kind.MODULE, "module-a")
    words = ["--kme", pair.urls[0], "--ca", files.ca, "--cert", files.certificate, "--key", files.key]
    made = subprocess.run(
        [*COMMAND, "consumer", "echo", "127.0.0.1:9", *map(str, words), "--slave", "sae-b"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 12
    assert "Traceback" not in made.stderr
