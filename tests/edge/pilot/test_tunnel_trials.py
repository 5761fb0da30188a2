"""Both tunnels on trial over one carrier, with real programs: without keys of ours first, then what they let go."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.edge.consumers.corridor import needs

from keystrand.edge.consumers.vici import Vici
from keystrand.edge.daemons import Daemons
from keystrand.edge.pilot.base import A, B, Ground, KmeEnd, Trial
from keystrand.edge.pilot.carrier import NamespaceCarrier
from keystrand.edge.pilot.charons import PLUGIN
from keystrand.edge.pilot.ipsec import IpsecTrial
from keystrand.edge.pilot.tunnel import TunnelTrial
from keystrand.edge.pilot.wireguard import WireGuardTrial
from keystrand.edge.pki import Credentials
from keystrand.model.errors import MissingInput
from keystrand.model.pilot import ConsumerKind, PilotConsumer
from keystrand.model.stages.recorded import DeedKind

needs_tunnels = needs("charon-systemd", str(PLUGIN), "wireguard-go", "wg", "iperf3")
PER_S = 1000
NOBODY = KmeEnd("https://127.0.0.1:1", "sae", Credentials(ca=Path("ca"), certificate=Path("crt"), key=Path("key")))


def made() -> tuple[IpsecTrial, WireGuardTrial]:
    """Return both trials, as `pilot.toml` would declare them."""
    return (
        IpsecTrial(PilotConsumer(id="vpn", kind=ConsumerKind.IPSEC, policy="fail-secure")),
        WireGuardTrial(PilotConsumer(id="wg", kind=ConsumerKind.WIREGUARD, policy="fail-secure")),
    )


def wait_until(condition: Callable[[], bool], within_s: float = 20) -> None:
    """Wait for `condition`."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def send(trial: TunnelTrial, count: int) -> tuple[int, int]:
    """Let so many pings of a trial be tried, and return how many were, and how many of them failed."""
    trial.begin_traffic()
    from_s = time.time()
    time.sleep(count / PER_S)
    wait_until(lambda: trial.traffic(from_s, time.time()).tried >= count)
    seen = trial.traffic(from_s, time.time())
    trial.end_traffic()
    return seen.tried, seen.failed


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """Yield two sites and the carrier between them; nobody asks for keys."""
    with Daemons() as care:
        carrier = NamespaceCarrier(tmp_path, care)
        carrier.start()
        yield Ground(tmp_path, care, (NOBODY, NOBODY), carrier, PER_S)


@pytest.mark.system
@needs_tunnels
def test_both_tunnels_run_side_by_side_without_keys_of_ours(ground: Ground) -> None:
    """Plain traffic passes through both at once and nothing in clear; taken down they let go what the carrier sees."""
    ipsec, wireguard = trials = made()
    for trial in trials:
        assert trial.why_not() == ""
        trial.set_up(ground)
    for trial in trials:
        assert "without" in trial.begin_plain()
        tried, failed = send(trial, 300)
        assert failed < tried / 10
        assert trial.throughput(1)
        assert trial.in_clear() == 0
    with Vici(ground.folder / "vpn" / "0.vici") as charon:
        (sa,) = charon.listed("list-sas", "list-sa")
        assert "ppk" not in str(sa["plain"]).replace("ppk_", "")
    for trial in trials:
        trial.end_plain()
        tried, failed = send(trial, 200)
        assert failed or trial.in_clear()
    with Vici(ground.folder / "vpn" / "0.vici") as charon:
        assert charon.listed("list-sas", "list-sa") == charon.listed("list-conns", "list-conn") == []
    # a device that is up takes its packets, and nobody gets them; gone, it leaves them to the ordinary route
    assert ipsec.in_clear()
    assert wireguard.in_clear() == 0
    ipsec.ends.spaces[A].run("ip", "link", "set", str(wireguard.agent_settings(A)["device"]), "down")
    tried, _ = send(wireguard, 200)
    assert (wireguard.in_clear() or 0) >= tried
