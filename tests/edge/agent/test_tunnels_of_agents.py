"""Two agents that key a real tunnel: strongSwan and WireGuard, in namespaces, with KMEs and installers of their own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from tests.edge.consumers.corridor import FAR, FAR_HOST, Corridor, needs
from tests.edge.consumers.ipsec import NEAR, Ipsec, ipsec
from tests.edge.consumers.ipsec import PROGRAMS as IPSEC
from tests.edge.consumers.wireguard_pair import PROGRAMS as WIREGUARD
from tests.edge.consumers.wireguard_pair import Tunnel, wireguard_pair

from keystrand.edge.daemons import Daemon, program
from keystrand.edge.kme.pair import Pair

from .site import HERE, Site, _demand_ready, running_pair, wait_until

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    needs(*IPSEC, *WIREGUARD),
]
TERMS = """policy = "fail-secure"
rotate_every_s = 1
max_age_s = 5
wait_s = 3
prove_within_s = 6
prove_every_s = 0.1
retry_s = 0.2
retry_most_s = 1
"""
Settings = Callable[[int], Mapping[str, str]]


class TunnelSite(Site):
    """Both ends, with the consumer of a tunnel; the installers run where its devices are."""

    def __init__(self, folder: Path, pair: Pair, corridor: Corridor, kind: str, settings: Settings) -> None:
        self.corridor, self.kind, self.settings = corridor, kind, settings
        super().__init__(folder, pair, TERMS)

    def write(self, at: int) -> None:
        """Write the agent's file."""
        super().write(at)
        file = self.config(at)
        text = file.read_text().replace("own_consumers.folder", self.kind)
        told = "".join(f'{name} = "{value}"\n' for name, value in self.settings(at).items())
        file.write_text(text.partition("[consumer.settings]\n")[0] + "[consumer.settings]\n" + told)

    def start_installer(self, at: int) -> None:
        """Start the privileged part in the namespace of its site."""
        prefix = (self.corridor.a, self.corridor.b)[at].prefix
        command = (
            *prefix,
            sys.executable,
            "-m",
            "keystrand.cli.main",
            "agent",
            "installer",
            "--config",
            self.config(at),
        )
        env = {**os.environ, "PYTHONPATH": f"{HERE}:{os.environ.get('PYTHONPATH', '')}"}
        with (self.config(at).parent / "log").open("a") as log:
            self._installers[at] = child = subprocess.Popen(
                [str(word) for word in command], stdout=subprocess.PIPE, stderr=log, text=True, env=env
            )
        _demand_ready(child, self.config(at).parent / "log")

    def proven(self, at: int) -> list[str]:
        """Return the keys that an end's audit says are proven, in order."""
        return [line["detail"]["key_ID"] for line in self.audit(at) if line["action"] == "agent.proven"]


@pytest.fixture(scope="module")
def kmes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two KMEs with keys in stock."""
    with running_pair(tmp_path_factory.mktemp("kmes")) as running:
        yield running


def _ipsec(pair: Ipsec) -> Settings:
    return lambda at: {
        "name": "corridor", "connection": str(pair.folder / f"{at}.toml"), "far": (FAR, NEAR)[at],
        "device": "ipsec0", "socket": str(pair.socket(at)),
    }  # fmt: skip


def _wireguard(tunnel: Tunnel) -> Settings:
    return lambda at: {
        "device": tunnel.devices[at], "peer": tunnel.publics[1 - at], "far": (f"{FAR} 10.8.0.0/24", "10.8.0.0/24")[at],
        "change": "forced",
    }  # fmt: skip


@pytest.fixture(params=["strongswan", "wireguard"])
def site(request: pytest.FixtureRequest, kmes: Pair, tmp_path: Path) -> Iterator[TunnelSite]:
    """Yield two agents that run, and the tunnel between their sites."""
    kind: str = request.param
    made = ipsec(tmp_path) if kind == "strongswan" else wireguard_pair(tmp_path)
    with made as tunnel:
        settings = _ipsec(tunnel) if isinstance(tunnel, Ipsec) else _wireguard(tunnel)
        running = TunnelSite(tmp_path / "site", kmes, tunnel.corridor, kind, settings)
        try:
            running.start()
            yield running
        finally:
            running.close()


def test_a_tunnel_is_keyed_and_fails_secure(site: TunnelSite) -> None:
    """Keys follow each other under traffic, each proven; an agent is killed and comes back; then both are killed, and
    within the time of the policy nothing passes, and not one of 1,000 packets leaves in clear.
    """
    # what is sent before the agent has prepared its consumer nobody guards: the guard comes before the first key
    wait_until(lambda: "keystrand_" in site.corridor.a.run("nft", "list", "tables"), 20, "no guard stands")
    # a forced handshake waits for a packet
    ping = Daemon([program("ping", "iputils-ping"), "-q", "-i", "0.05", FAR_HOST], site.folder / "ping.log",
                  prefix=site.corridor.a.prefix)  # fmt: skip
    site.corridor.care.add(ping)
    ping.start()
    wait_until(lambda: len(site.proven(0)) >= 4, 30, site.log(0)[-3000:])
    assert set(site.proven(0)[:3]) <= set(site.proven(1))
    assert site.corridor.flood(20) >= 19
    site.kill_agent(0)
    assert site.corridor.flood(20) >= 19
    site.start_agent(0)
    count = len(site.proven(0))
    wait_until(lambda: len(site.proven(0)) >= count + 2, 30, site.log(0)[-3000:])
    assert site.corridor.flood(20) >= 19
    site.kill_installer(0)
    assert site.corridor.flood(20) >= 19
    site.start_installer(0)
    count = len(site.proven(0))
    wait_until(lambda: len(site.proven(0)) >= count + 2, 30, site.log(0)[-3000:])
    for at in (0, 1):
        site.kill_agent(at, signal.SIGKILL)
    began = time.monotonic()
    wait_until(lambda: site.corridor.flood(10) == 0, 15, "the key outlived its time")
    assert time.monotonic() - began < 10
    assert site.corridor.send_thousand() == 1000
    assert site.corridor.in_clear() == 0
