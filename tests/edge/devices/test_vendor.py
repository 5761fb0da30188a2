"""A vendor's network feeds ours by ETSI GS QKD 014: here two of our KMEs stand in for the vendor's."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from keystrand.edge.devices.twin_source import TwinSource
from keystrand.edge.kme.channel import Channel
from keystrand.edge.kme.messages import FETCH_URL, Fetch
from keystrand.edge.kme.pair import Pair, start_pair
from keystrand.edge.pki import Kind
from keystrand.formats import etsi014

from .conftest import Duo, until

pytestmark = pytest.mark.system

OURS = ("keystrand-a", "keystrand-b")
BLOCK_BITS = 8 * 256


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Pair]:
    """Two KMEs of a vendor, who knows our KMEs as two of its SAEs."""
    with start_pair(tmp_path / "vendor", saes=OURS) as pair:
        yield pair


def table(vendor: Pair, at: int, *, label: str = "simulated", partner: str = "") -> str:
    """Return what KME number `at` of ours needs to take the vendor's keys."""
    files = vendor.credentials(Kind.SAE, OURS[at])
    return (
        f"[[vendor_source]]\nlink = 'corridor'\nurl = '{vendor.urls[at]}'\npartner = '{partner or OURS[1 - at]}'\n"
        f"ca = '{files.ca}'\ncertificate = '{files.certificate}'\nkey = '{files.key}'\nlabel = '{label}'\n"
        "key_bits = 256\nkeys_per_block = 8\n"
    )


def fed(duo: Duo, at: int) -> int:
    """Return how many bits of the vendor's KME number `at` of ours may cut."""
    return duo.bits(at, "qkd")


def test_the_vendors_keys_flow_on_in_both_directions(vendor: Pair, duo: Duo) -> None:
    """Both our KMEs hold the same blocks of the vendor's keys, with the label that our operator gives them."""
    for at in (0, 1):
        duo.configure(at, table(vendor, at))
    with TwinSource(vendor.link, vendor.source_ends, bits_per_s=1_000_000, qber=0.02, block_bits=8192):
        for at in (0, 1):
            until(partial(fed, duo, at))
            for told in duo.deliver(at):
                assert told["keystrand_label"] == "simulated"
                # 014 has no word for it, so nobody knows it
                assert "keystrand_qber_max" not in told
    # blocks of eight keys each, less what confirms them
    assert duo.bits(0, "qkd") % 256 == 0


def test_keys_that_the_other_end_cannot_fetch_are_dropped_at_both(vendor: Pair, duo: Duo) -> None:
    """Where the vendor refuses one end its keys, the other end drops its own and says why; no block comes of them."""
    duo.configure(0, table(vendor, 0))
    duo.configure(1, table(vendor, 1, partner="keystrand-c"))
    with TwinSource(vendor.link, vendor.source_ends, bits_per_s=1_000_000, qber=0.02, block_bits=8192):
        until(lambda: "vendor's keys of link corridor" in duo.log(0))
    assert (duo.bits(0, "qkd"), duo.bits(1, "qkd")) == (0, 0)
    with vendor.client(OURS[0]) as client:
        assert client.status(OURS[1]).stored_key_count < 1000
    assert duo.link(0)["trusted"]


def test_a_vendor_that_is_away_is_waited_for(vendor: Pair, duo: Duo) -> None:
    """The KMEs serve while the vendor's do not answer, tell it once, and go on when they are back."""
    for at in (0, 1):
        duo.configure(at, table(vendor, at))
    vendor.kill("kme-a")
    until(lambda: "cannot be reached" in duo.log(0))
    assert duo.log(0).count("cannot be reached") == 1
    vendor.restart("kme-a")
    with TwinSource(vendor.link, vendor.source_ends, bits_per_s=1_000_000, qber=0.02, block_bits=8192):
        until(partial(fed, duo, 0))
    assert "vendor's keys of link corridor: goes on" in duo.log(0)


def test_only_the_other_end_may_have_keys_fetched(vendor: Pair, duo: Duo) -> None:
    """SAEs and modules are refused; so is a KME whose link no vendor feeds, and a key that is named twice."""
    body = etsi014.encode(
        Fetch(link="corridor", block_id="0b8f5a51-7c8e-4a39-9a25-1df5cb3e1a10", key_ids=("one", "one"))
    )
    duo.configure(1, table(vendor, 1))
    for at, kind, name, status in (
        (1, Kind.SAE, "sae-b", 401),
        (1, Kind.MODULE, "module-b", 401),
        (0, Kind.KME, "kme-b", 401),
        (1, Kind.KME, "kme-a", 400),
    ):
        channel = Channel(duo.pair.urls[at], duo.pair.credentials(kind, name))
        assert channel.exchange("POST", FETCH_URL, body)[0] == status
        channel.close()
