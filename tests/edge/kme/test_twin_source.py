"""The twin source: the same blocks at both ends, at the rate it is given, and nothing while the link is cut."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from keystrand.edge.devices.twin_source import SourceEnd, TwinSource
from keystrand.edge.kme.pair import KME_IDS, Pair, start_pair
from keystrand.edge.pki import Kind, Pki
from keystrand.model.errors import InvalidInput

pytestmark = pytest.mark.system

CONFIRMATION_BITS = 256
"""What each block spends on its own confirmation."""


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must come."""
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it did not come in ten seconds")


def counts(pair: Pair) -> tuple[int, int]:
    """Return the keys in stock in each direction."""
    with pair.client("sae-a") as a, pair.client("sae-b") as b:
        return a.status("sae-b").stored_key_count, b.status("sae-a").stored_key_count


def usable_bits(source: TwinSource) -> int:
    """Return the bits of all blocks that both ends hold, without those that confirm them."""
    return source.accepted_bits - CONFIRMATION_BITS * sum(push.accepted for push in source.pushes())


def test_both_directions_fill_evenly_and_a_cut_stops_them(tmp_path: Path) -> None:
    """Directions take turns; what was accepted is in stock; a cut link makes nothing, a mended one goes on."""
    with (
        start_pair(tmp_path / "run") as pair,
        TwinSource(pair.link, pair.source_ends, bits_per_s=200_000, qber=0.02, block_bits=2048) as source,
    ):
        until(lambda: len(source.pushes()) >= 6)
        source.cut()
        # the block under way when the link was cut may still arrive
        until(lambda: sum(counts(pair)) * 256 == usable_bits(source))
        at_cut = source.pushed_bits
        pushes = source.pushes()
        assert source.is_cut
        assert [push.master_kme for push in pushes] == [KME_IDS[n % 2] for n in range(len(pushes))]
        assert all(push.accepted and push.bits == 2048 for push in pushes)
        assert [push.at_s for push in pushes] == sorted(push.at_s for push in pushes)
        assert sum(push.bits for push in pushes) == at_cut == source.accepted_bits
        time.sleep(0.1)
        assert source.pushed_bits == at_cut
        source.restore()
        until(lambda: source.pushed_bits > at_cut)
        assert source.trouble == ""


def test_a_full_pool_drops_blocks_and_says_so(tmp_path: Path) -> None:
    """Blocks beyond the stock count as made and not as accepted."""
    with (
        start_pair(tmp_path / "run", max_key_count=16) as pair,
        TwinSource(pair.link, pair.source_ends, bits_per_s=1_000_000, qber=0.02, block_bits=2048) as source,
    ):
        until(lambda: source.pushed_bits >= 8 * 2048)
        source.cut()
        # 4096 bits a direction: two blocks, of which seven keys each are left
        until(lambda: sum(counts(pair)) == 28)
        assert source.accepted_bits == 4 * 2048
        assert [push.accepted for push in source.pushes()[:6]] == [True] * 4 + [False] * 2


def test_a_kme_that_was_away_gets_the_block_it_missed(tmp_path: Path) -> None:
    """A block that reached one end only is offered again, so that both ends go on with the same stock."""
    with (
        start_pair(tmp_path / "run") as pair,
        TwinSource(pair.link, pair.source_ends, bits_per_s=200_000, qber=0.02, block_bits=2048) as source,
        pair.client("sae-b") as b,
    ):
        until(lambda: source.accepted_bits > 0)
        pair.kill("kme-a")
        until(lambda: source.trouble != "")
        pair.restart("kme-a")
        before = source.accepted_bits
        until(lambda: source.accepted_bits >= before + 4 * 2048)
        source.cut()
        # a block that arrived is confirmed a moment later
        until(lambda: all(counts(pair)))
        with pair.client("sae-a") as a:
            for mine, other, at in ((a, b, "sae-b"), (b, a, "sae-a")):
                keys = mine.enc_keys(at, number=mine.status(at).stored_key_count)
                own = "sae-a" if at == "sae-b" else "sae-b"
                got = other.dec_keys(own, [key.key_id for key in keys])
                assert [key.key for key in got] == [key.key for key in keys]


def test_a_block_that_is_refused_for_good_is_dropped(tmp_path: Path) -> None:
    """Where the module may not deliver for that link every block is lost, and why is told; none is kept for ever."""
    with (
        start_pair(tmp_path / "run") as pair,
        TwinSource("elsewhere", pair.source_ends, bits_per_s=200_000, qber=0.02, block_bits=2048) as source,
    ):
        until(lambda: len(source.pushes()) >= 4)
        pushes = source.pushes()
    assert [push.master_kme for push in pushes[:4]] == [*KME_IDS, *KME_IDS]
    assert not any(push.accepted for push in pushes)
    assert "for good with 401" in source.trouble


def test_rates_and_blocks_out_of_range_are_refused(tmp_path: Path) -> None:
    """No rate, blocks of odd bits, and blocks too long for a request are input errors before anything starts."""
    end = SourceEnd(kme_id="k", url="https://h:1", credentials=Pki(folder=tmp_path).of(Kind.MODULE, "m"))
    for rate, bits in ((0.0, None), (-1.0, None), (float("nan"), None), (1.0, 12), (1.0, 0), (1.0, 1 << 20)):
        with pytest.raises(InvalidInput, match="a source needs"):
            TwinSource("l", (end, end), bits_per_s=rate, qber=0.0, block_bits=bits)
