"""The key service of a pilot: real KMEs and the twin, what happens to them, and a vendor's in their place."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keystrand.edge.pilot.base import A, B
from keystrand.edge.pilot.key_service import TwinKeys, VendorKeys, demand_bits_per_s
from keystrand.model.errors import InvalidInput, KeystrandError, NoKeyAvailable, PeerUnavailable
from keystrand.model.pilot import EventKind, KeySource, SourceChoice, VendorEnd
from keystrand.qkd.decoy import rate
from keystrand.qkd.parameter_sets import PLANNING_1GHZ

LINK = rate(PLANNING_1GHZ.at(11.9))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwinKeys]:
    """Two KMEs and a twin that run."""
    made = TwinKeys(tmp_path_factory.mktemp("keys") / "kme", "dc-metro", LINK, stock_keys=20, demand_bits_per_s=4000)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def _stock(keys: TwinKeys) -> int:
    with keys.ends[A].client() as client:
        return client.status(keys.ends[B].sae).stored_key_count


def _drained(keys: TwinKeys) -> None:
    with keys.ends[A].client() as client:
        while left := client.status(keys.ends[B].sae).stored_key_count:
            for key in client.enc_keys(keys.ends[B].sae, number=min(left, 10)):
                key.key.zeroise()


def _wait(keys: TwinKeys, *, some: bool) -> None:
    deadline = time.monotonic() + 10
    while bool(_stock(keys)) is not some:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("event", [EventKind.LINK_CUT, EventKind.EAVESDROPPER])
def test_no_key_comes_while_the_link_gives_none_and_some_when_it_does(keys: TwinKeys, event: EventKind) -> None:
    """The stock is used up and stays empty; afterwards keys come again."""
    doing = keys.doing(event)
    assert not isinstance(doing, str)
    doing.do(0)
    time.sleep(0.3)  # what is on its way arrives
    _drained(keys)
    time.sleep(0.5)
    assert _stock(keys) == 0
    with keys.ends[A].client() as client, pytest.raises(NoKeyAvailable):
        client.enc_keys(keys.ends[B].sae)
    doing.undo(0)
    _wait(keys, some=True)


@pytest.mark.parametrize("event", [EventKind.KME_DEATH, EventKind.MAINTENANCE])
def test_a_kme_that_is_gone_comes_back_with_its_stock(keys: TwinKeys, event: EventKind) -> None:
    """While one of the two is gone no key is given; then both answer as before."""
    _wait(keys, some=True)
    doing = keys.doing(event)
    assert not isinstance(doing, str)
    doing.do(1)
    with keys.ends[B].client(timeout_s=2) as client, pytest.raises(PeerUnavailable):
        client.status(keys.ends[A].sae)
    doing.undo(1)
    _wait(keys, some=True)
    with keys.ends[A].client() as one, keys.ends[B].client() as two:
        (key,) = one.enc_keys(keys.ends[B].sae)
        (same,) = two.dec_keys(keys.ends[A].sae, (key.key_id,))
        assert key.key.reveal() == same.key.reveal()
    assert key.key_id in keys.audited()
    with keys.ends[A].client() as one:
        (half,) = one.enc_keys(keys.ends[B].sae)
    assert half.key_id not in keys.audited()


def test_a_certificate_that_ends_locks_the_sae_out_until_it_is_renewed(keys: TwinKeys) -> None:
    """A new connection after its end is refused; with the renewed one it is taken."""
    doing = keys.doing(EventKind.CERTIFICATE_EXPIRY)
    assert not isinstance(doing, str)
    doing.do(0)
    assert _stock(keys) >= 0
    time.sleep(5)
    with keys.ends[A].client() as client, pytest.raises(KeystrandError):
        client.status(keys.ends[B].sae)
    doing.undo(0)
    assert _stock(keys) >= 0


def test_the_rates_are_those_of_the_twin(keys: TwinKeys) -> None:
    """About as much is made as the model says, by blocks."""
    now = time.monotonic()
    time.sleep(1.5)
    found = keys.rates_bits_per_s(now, time.monotonic())
    assert found
    assert 0.2 < sum(found) / len(found) / LINK.secret_key_rate_bits_per_s < 5


def test_a_vendor_s_kmes_are_spoken_to_by_014_and_by_the_operator_s_commands(keys: TwinKeys, tmp_path: Path) -> None:
    """Keys come from its URLs; an event without commands is not run, one with them is; a failure is told."""
    ends = [
        VendorEnd(url=end.url.replace("127.0.0.1", "localhost"), sae=end.sae, ca=str(end.files.ca),
                  certificate=str(end.files.certificate), key=str(end.files.key))
        for end in keys.ends
    ]  # fmt: skip
    done = tmp_path / "done"
    commands = {
        "link-cut": f"touch {done}",
        "link-cut-end": f"rm {done}",
        "maintenance": "false",
        "maintenance-end": "true",
    }
    source = KeySource(kind=SourceChoice.VENDOR, a=ends[A], b=ends[B], commands=commands)
    vendor = VendorKeys(source, tmp_path)
    vendor.start()
    assert vendor.rates_bits_per_s(0, 1e9) == ()
    assert vendor.doing(EventKind.KME_DEATH) == (
        "the key source is a vendor's, and [source.commands] has no kme-death with kme-death-end"
    )
    cut, shut = vendor.doing(EventKind.LINK_CUT), vendor.doing(EventKind.MAINTENANCE)
    assert not isinstance(cut, str)
    assert not isinstance(shut, str)
    cut.do(0)
    assert done.exists()
    cut.undo(0)
    assert not done.exists()
    with pytest.raises(KeystrandError, match=r"a command of \[source.commands\] failed"):
        shut.do(0)


def test_what_was_done_to_a_vendor_s_equipment_is_undone_however_the_pilot_ends(tmp_path: Path) -> None:
    """An interrupt in the midst of an event leaves no link cut; what was undone is not undone again."""
    end = VendorEnd(url="https://localhost:1", sae="one", ca="ca", certificate="certificate", key="key")
    log = tmp_path / "log"
    command = f"{sys.executable} -c 'import sys; open(sys.argv[1], \"a\").write(sys.argv[2])' {log}"
    commands = {f"{event}{tail}": f"{command} '{event}{tail} '" for event in ("link-cut", "kme-death")
                for tail in ("", "-end")}  # fmt: skip
    commands["maintenance"], commands["maintenance-end"] = "false", f"{command} 'maintenance-end '"
    vendor = VendorKeys(KeySource(kind=SourceChoice.VENDOR, a=end, b=end, commands=commands), tmp_path)
    cut, death, shut = (vendor.doing(one) for one in (EventKind.LINK_CUT, EventKind.KME_DEATH, EventKind.MAINTENANCE))
    assert not isinstance(cut, str)
    assert not isinstance(death, str)
    assert not isinstance(shut, str)
    death.do(0)
    death.undo(0)
    cut.do(0)
    with pytest.raises(KeystrandError):
        shut.do(0)
    for _ in range(2):
        vendor.stop()
    assert log.read_text() == "kme-death kme-death-end link-cut maintenance-end link-cut-end "


def test_a_vendor_without_ends_is_refused(tmp_path: Path) -> None:
    """Both tables are asked for."""
    with pytest.raises(InvalidInput, match="both ends"):
        VendorKeys(KeySource(kind=SourceChoice.VENDOR), tmp_path)


def test_the_demand_is_that_of_all_consumers() -> None:
    """Two keys a second from one consumer, twenty from another: 22 times 256 bits."""
    assert demand_bits_per_s((0.5,), (20.0,)) == 22 * 256
