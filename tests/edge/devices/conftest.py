"""Two real KMEs whose configurations the tests change: sources, policies, and an operator who watches them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from keystrand.edge.kme.operator_client import OperatorClient
from keystrand.edge.kme.pair import KME_IDS, Pair, start_pair
from keystrand.edge.pki import Kind

_PATIENCE_S = 60.0


def until(condition: Callable[[], Any]) -> Any:
    """Wait for something that must come, and return it."""
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come in time")


class Duo:
    """A pair of KMEs that can be configured anew."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.files = pair.pki.of(Kind.OPERATOR, "operator")

    def configure(self, at: int, tables: str = "", *, head: str = "") -> None:
        """Start KME number `at` again with more top-level keys and tables in its file."""
        kme = self.pair.kme(KME_IDS[at])
        kme.stop()
        file = self.pair.folder / f"{KME_IDS[at]}.toml"
        file.write_text(head + "\n" + file.read_text() + "\n" + tables)
        self.pair.restart(KME_IDS[at])

    @contextmanager
    def operator(self, at: int) -> Iterator[OperatorClient]:
        """Yield an operator's connection to KME number `at`."""
        files = self.files
        with OperatorClient(self.pair.urls[at], files.ca, files.certificate, files.key) as client:
            yield client

    def link(self, at: int) -> dict[str, Any]:
        """Return what KME number `at` says of its link."""
        with self.operator(at) as client:
            return dict(client.status()["links"][0])

    def bits(self, at: int, source: str) -> int:
        """Return how many bits KME number `at` may cut of a source."""
        return int(self.link(at)["stored_bits"][source])

    def log(self, at: int) -> str:
        """Return what KME number `at` has said."""
        return self.pair.kme(KME_IDS[at]).log.read_text()

    def deliver(self, at: int = 0, number: int = 4, size: int = 256, **asked: Any) -> list[dict[str, Any]]:
        """Have the SAE at KME number `at` take keys, and the other one fetch them: the same. Return what was told."""
        mine, theirs = self.pair.saes[at], self.pair.saes[1 - at]
        with self.pair.client(mine) as master, self.pair.client(theirs) as slave:
            keys = master.enc_keys(theirs, number=number, size=size, **asked)
            got = slave.dec_keys(mine, [key.key_id for key in keys])
            assert [key.key for key in got] == [key.key for key in keys]
            return [key.key_extension or {} for key in (*keys, *got)]


@pytest.fixture
def duo(tmp_path: Path) -> Iterator[Duo]:
    """Two KMEs with small, empty pools."""
    with start_pair(tmp_path / "run", operators=("operator",)) as pair:
        yield Duo(pair)
