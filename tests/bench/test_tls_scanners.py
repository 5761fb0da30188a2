"""What is read from other scanners' answers: names of post-quantum algorithms count, the host's own name does not."""

from collections.abc import Mapping

import pytest
from bench.measure import Failed, Missing
from bench.peers.tls_scanners import SCANNERS, Scanner, Told, ask
from tests.edge.probes.bed.cases import CASES

from bench import inventory_truth

pytestmark = pytest.mark.system


def saying(text: str) -> Scanner:
    """Return a scanner that says this of every host."""
    return Scanner("echo", lambda host, _: ["echo", text.replace("HOST", host)], lambda said: "TLS" in said)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("TLS of HOST: X25519", Told(True, False, False)),  # noqa: FBT003  # what is told, in its order
        ("TLS of HOST: X25519MLKEM768, key ML-DSA-65", Told(True, True, True)),  # noqa: FBT003  # likewise
        ("TLS of HOST: mlkem1024", Told(True, True, False)),  # noqa: FBT003  # likewise
        ("HOST: no connection", Told(False, False, False)),  # noqa: FBT003  # likewise
    ],
)
def test_what_counts_as_seen(text: str, told: Told) -> None:
    """Any spelling of the algorithms counts, but not in the name of the host that was asked about."""
    assert ask(saying(text), "hybrid-ml-dsa-ml-kem.example", 443) == told


def test_a_scanner_that_cannot_be_run_has_failed() -> None:
    """It is told, instead of counted as blind."""
    with pytest.raises(Failed, match="gave no answer"):
        ask(Scanner("x", lambda _host, _port: ["/nowhere/scanner"], bool), "h", 1)


def absent(_host: str, _port: int) -> list[str]:
    """Be a scanner that is not installed."""
    raise Missing("not installed")


def test_a_peer_that_is_missing_has_its_row_with_the_reason() -> None:
    """The row stands without a ratio, and says why."""
    (row,) = inventory_truth._peer(Scanner("gone", absent, bool), CASES[:2], {}, [100.0])
    assert (row.peer, row.ratio) == ("gone: not installed", None)


def test_the_score_counts_facts_and_lost_hosts() -> None:
    """Of a server with exchange and certificate and one with the exchange alone, two facts of three."""
    both, one = (next(c for c in CASES if c.name == name) for name in ("hybrid only, ML-DSA", "hybrid only"))
    told: Mapping[str, Told] = {
        both.name: Told(seen=True, key_establishment=True, signature=True),
        one.name: Told(seen=False, key_establishment=False, signature=False),
    }
    share, lost = inventory_truth._score([both, one], told)
    assert (round(share), lost) == (67, 1)


def test_every_scanner_is_named_once() -> None:
    """The names that the environment may give are the names in the rows."""
    assert len({scanner.name for scanner in SCANNERS}) == len(SCANNERS) == 3
