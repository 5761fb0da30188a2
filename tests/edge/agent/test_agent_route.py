"""The control path never rides the tunnel it keys: real devices and routes in a network namespace."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from keystrand.edge.agent.route import demand_outside, device_towards
from keystrand.edge.daemons import Daemons, Space
from keystrand.model.errors import PeerUnavailable, PolicyDenied


def test_without_devices_nothing_is_asked() -> None:
    """A consumer that makes no device hinders nobody, whatever the host is."""
    demand_outside("no.such.host.invalid", {})


def test_the_loopback_is_no_tunnel() -> None:
    """Found out from the kernel."""
    assert device_towards("127.0.0.1") == "lo"
    demand_outside("127.0.0.1", {"wg0": "door"})
    with pytest.raises(PolicyDenied, match="leaves by lo, which the consumer door keys") as caught:
        demand_outside("127.0.0.1", {"lo": "door"})
    assert "a route beside the tunnel" in caught.value.hint
    with pytest.raises(PeerUnavailable, match="has no address"):
        demand_outside("no.such.host.invalid", {"wg0": "door"})


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    """A network namespace with a way out and a tunnel's device."""
    with Daemons() as daemons:
        made = Space("route", tmp_path)
        daemons.add(made)
        made.start()
        for name, address in (("way", "192.0.2.1/24"), ("wg0", "198.51.100.1/24")):
            made.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}-far")
            made.run("ip", "addr", "add", address, "dev", name)
            made.run("ip", "link", "set", name, "up")
            made.run("ip", "link", "set", f"{name}-far", "up")
        yield made


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes network namespaces")
@pytest.mark.system
def test_a_peer_behind_the_tunnel_is_refused(space: Space) -> None:
    """An address inside the tunnel, or one that a route leads into it; the same address beside it is well."""
    devices = {"wg0": "door"}
    demand_outside("192.0.2.7", devices, space.prefix)
    with pytest.raises(PolicyDenied, match=r"at 198\.51\.100\.7 leaves by wg0"):
        demand_outside("198.51.100.7", devices, space.prefix)
    space.run("ip", "route", "add", "203.0.113.0/24", "via", "192.0.2.9")
    demand_outside("203.0.113.5", devices, space.prefix)
    space.run("ip", "route", "replace", "203.0.113.0/24", "dev", "wg0")
    with pytest.raises(PolicyDenied, match="leaves by wg0"):
        demand_outside("203.0.113.5", devices, space.prefix)
