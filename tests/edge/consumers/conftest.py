"""One pair of KMEs with keys in stock, for every test of a consumer."""

from collections.abc import Iterator

import pytest

from keystrand.edge.devices.twin_source import TwinSource
from keystrand.edge.kme.client import Client014
from keystrand.edge.kme.pair import Pair, start_pair


@pytest.fixture(scope="session")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two KMEs with some hundred keys in each direction."""
    with start_pair(tmp_path_factory.mktemp("stocked") / "run") as running:
        with TwinSource(
            running.link, running.source_ends, bits_per_s=2_000_000, qber=0.02, block_bits=65_536
        ) :  # fmt: skip
            running.wait_for_keys(300)
            running.wait_for_keys(300, master=1)
        yield running


@pytest.fixture(scope="session")
def sae_a(stocked: Pair) -> Iterator[Client014]:
    """SAE A at its KME."""
    with stocked.client("sae-a") as client:
        yield client


@pytest.fixture(scope="session")
def sae_b(stocked: Pair) -> Iterator[Client014]:
    """SAE B at its KME."""
    with stocked.client("sae-b") as client:
        yield client
