"""The guard: what is meant for a far network leaves by the tunnel's device or not at all, own or forwarded."""

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.edge.consumers.corridor import FAR, FAR_HOST, corridor, needs

from keystrand.edge.consumers import guard
from keystrand.edge.consumers.base import ConsumerFailure
from keystrand.model.errors import InvalidInput

needs_root = needs()


@pytest.mark.system
@needs_root
@pytest.mark.parametrize("forwarded", [False, True], ids=["its own", "what it forwards"])
def test_nothing_passes_by_another_device(tmp_path: Path, *, forwarded: bool) -> None:
    """0 of 1,000 with the guard, all of them without; by the device that is named everything passes."""
    with corridor(tmp_path) as made:
        sender = made.host() if forwarded else made.a
        guard.put_up("tunnel0", [FAR], made.a.prefix)
        guard.put_up("tunnel0", [FAR, "fd00:2::/64"], made.a.prefix)
        assert made.send_thousand(sender) == 1000
        assert made.in_clear() == 0
        guard.put_up("fibre", [FAR], made.a.prefix)
        guard.take_down("tunnel0", made.a.prefix)
        made.send_thousand(sender)
        assert made.in_clear() >= 1000
        for _ in range(2):
            guard.take_down("fibre", made.a.prefix)
        made.send_thousand(sender)
        assert made.in_clear() >= 2000


@pytest.mark.system
@needs_root
def test_the_guard_can_be_kept_in_the_firewalls_own_file(tmp_path: Path) -> None:
    """What `nft list table` prints is the guard for a file that begins with `flush ruleset`; ours takes its place."""
    with corridor(tmp_path) as made:
        guard.put_up("wg-0", [FAR], made.a.prefix)
        file = tmp_path / "nftables.conf"
        file.write_text("flush ruleset\n" + made.a.run("nft", "list", "table", "inet", guard.table("wg-0")))
        for _ in range(2):
            made.a.run("nft", "-f", str(file))
        made.send_thousand()
        guard.put_up("wg-0", [FAR], made.a.prefix)
        made.send_thousand()
        assert made.in_clear() == 0


@pytest.mark.system
@needs_root
def test_every_name_of_a_device_can_be_guarded(tmp_path: Path) -> None:
    """Names that no table could have, and that look alike, have guards of their own."""
    names = ("wg0", "wg-0", "wg.0", "wg_0", "wg2d0", "wg5f2d0", "0", "-")
    with corridor(tmp_path) as made:
        for name in names:
            guard.put_up(name, [FAR], made.a.prefix)
        tables = made.a.run("nft", "list", "tables").split()
        assert len({guard.table(name) for name in names} & set(tables)) == len(names)


@pytest.mark.system
@needs_root
def test_a_guard_that_does_not_stand_is_told() -> None:
    """Where nft refuses, so do we."""
    unshared = ("unshare", "--user", "--")
    with pytest.raises(ConsumerFailure, match=r"the guard does not stand: .*(not permitted|denied)"):
        guard.put_up("wg0", [FAR], unshared)


@given(st.text(max_size=20), st.text(max_size=20))
def test_nothing_but_names_and_networks_gets_into_the_script(device: str, network: str) -> None:
    """Whatever is given, the script has only our words, the name in quotes and networks as they are written."""
    try:
        script = guard.rules(device, [network])
    except InvalidInput:
        return
    assert guard.DEVICE.match(device)
    assert f" {ipaddress.ip_network(network)} oifname" in script
    assert script.count('"') == 4


def test_networks_overlap_by_their_addresses() -> None:
    """A host in it, a network around it; never one of the other version."""
    for inside in (FAR_HOST, FAR, "10.0.0.0/8", "0.0.0.0/0"):
        assert guard.overlaps(ipaddress.ip_network(inside), ["fd00::/64", FAR])
    for outside in ("10.3.0.0/24", "::/0"):
        assert not guard.overlaps(ipaddress.ip_network(outside), [FAR])
