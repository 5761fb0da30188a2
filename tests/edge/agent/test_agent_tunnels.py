<<<<<<< HEAD
"""Agents that key real tunnels between two network namespaces, under packets, with the KME dying."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest
from tests.edge.consumers.corridor import FAR, Corridor
from tests.edge.consumers.ipsec import NEAR, ipsec
from tests.edge.consumers.wireguard_pair import Tunnel, wireguard_pair

from keystrand.edge.consumers.wireguard import RUN
from keystrand.edge.kme.pair import KME_IDS, Pair

from .site import Site, running_pair, wait_until

_PROGRAMS = ("wireguard-go", "charon-systemd", "nft")
=======
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
>>>>>>> 356bf0eab43cf4d18725e59d27503b26a7a07633

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
<<<<<<< HEAD
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(shutil.which(one, path="/usr/sbin:/usr/bin") for one in _PROGRAMS),
        reason="needs root, wireguard-go, charon-systemd and nftables",
    ),
]

_PACE = "rotate_every_s = 1\nwait_s = 2\nprove_within_s = 4\nprove_every_s = 0.02\nretry_s = 0.2\nretry_most_s = 1\n"
SECURE = f'policy = "fail-secure"\nmax_age_s = 5\n{_PACE}'
FALLBACK = f'policy = "fallback-pqc"\nmax_age_s = 5\nfallback_most_s = 60\n{_PACE}'


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Two KMEs with keys in stock."""
    with running_pair(tmp_path) as running:
        yield running


@contextmanager
def _keyed(folder: Path, pair: Pair, terms: str) -> Iterator[tuple[Tunnel, Site]]:
    """Yield a tunnel that two agents key, the installers inside the sites' network namespaces."""
    with wireguard_pair(folder) as tunnel:

        def made_of(at: int) -> tuple[str, str]:
            far = f"{FAR} 10.8.0.0/24" if at == 0 else "10.8.0.0/24"
            return "wireguard", (
                f"device = '{tunnel.devices[at]}'\npeer = '{tunnel.publics[1 - at]}'\nfar = '{far}'\n"
                f"change = 'forced'\nsocket = '{tunnel.socket(at)}'\n"
            )

        spaces = tunnel.corridor.a.prefix, tunnel.corridor.b.prefix
        site = Site(folder / "site", pair, terms, made_of=made_of, prefixes=spaces)
        try:
            site.start()
            wait_until(lambda: _flows(tunnel.corridor, site), 20, lambda: site.log(0))
            yield tunnel, site
        finally:
            site.close()
            for device in tunnel.devices:
                for left in RUN.glob(f"wireguard-{device}-*"):
                    left.unlink()


def _flows(corridor: Corridor, site: Site) -> bool:
    corridor.flood(5)  # a handshake needs a packet
    return bool(site.status(0)["footing"] == site.status(1)["footing"] == "fresh")


def _proven(site: Site) -> int:
    return sum(line["action"] == "agent.proven" for line in site.audit(0))


def _rotates(corridor: Corridor, site: Site) -> None:
    """Check that rotations as such lose less than a packet; what a busy machine drops once is in the figure."""

    def next_key(_: int) -> None:
        before = _proven(site)
        wait_until(lambda: _proven(site) > before, 10, lambda: site.log(0))

    losses = corridor.losses_of(next_key, 8)
    print(f"\n{losses}")  # noqa: T201  # the figure
    assert median(losses.each) < 1, str(losses)


def test_ipsec_is_keyed_again_and_again_and_shut_when_the_keys_end(tmp_path: Path, pair: Pair) -> None:
    """Each rotation is a new security association that names its key; then as for WireGuard."""
    with ipsec(tmp_path) as tunnel:

        def made_of(at: int) -> tuple[str, str]:
            return "strongswan", (
                f"name = 'corridor'\nconnection = '{tunnel.folder / f'{at}.toml'}'\nfar = '{(FAR, NEAR)[at]}'\n"
                f"socket = '{tunnel.socket(at)}'\n"
            )

        spaces = tunnel.corridor.a.prefix, tunnel.corridor.b.prefix
        site = Site(tmp_path / "site", pair, SECURE, made_of=made_of, prefixes=spaces)
        try:
            site.start()
            wait_until(lambda: _flows(tunnel.corridor, site), 20, lambda: site.log(0))
            _rotates(tunnel.corridor, site)
            pair.kill(KME_IDS[0])
            wait_until(lambda: site.status(0)["footing"] == site.status(1)["footing"] == "invalid", 20, "it goes on")
            assert tunnel.corridor.flood(20) == 0
            assert tunnel.corridor.send_thousand() == 1000
            assert tunnel.corridor.in_clear() == 0
            pair.restart(KME_IDS[0])
            wait_until(lambda: _flows(tunnel.corridor, site), 30, lambda: site.log(0))
            assert tunnel.corridor.in_clear() == 0
        finally:
            site.close()


def test_a_tunnel_is_keyed_again_and_again_and_shut_when_the_keys_end(tmp_path: Path, pair: Pair) -> None:
    """Under 1,000 packets a second less than one is lost a rotation; the KME dies, the key grows too old, and of 1,000
    packets none leaves in clear, though there is a route for them; the KME is back, and so is the tunnel.
    """
    with _keyed(tmp_path, pair, SECURE) as (tunnel, site):
        _rotates(tunnel.corridor, site)
        pair.kill(KME_IDS[0])
        wait_until(lambda: site.status(0)["footing"] == site.status(1)["footing"] == "invalid", 20, "it goes on")
        assert tunnel.corridor.flood(20) == 0
        tunnel.corridor.a.run("ip", "link", "set", tunnel.devices[0], "down")
        assert tunnel.corridor.send_thousand() == 1000
        assert tunnel.corridor.in_clear() == 0
        tunnel.corridor.a.run("ip", "link", "set", tunnel.devices[0], "up")
        tunnel.corridor.a.run(
            "ip", "route", "replace", FAR, "dev", tunnel.devices[0], "src", "10.8.0.1", "metric", "10"
        )
        pair.restart(KME_IDS[0])
        wait_until(lambda: _flows(tunnel.corridor, site), 30, lambda: site.log(0))
        assert tunnel.corridor.in_clear() == 0


def test_a_tunnel_falls_back_and_returns_and_is_never_without_a_key(tmp_path: Path, pair: Pair) -> None:
    """The KME dies and comes back: a labelled post-quantum key carries the traffic meanwhile; the gap is measured."""
    with _keyed(tmp_path, pair, FALLBACK) as (tunnel, site):

        def outage(_: int) -> None:
            pair.kill(KME_IDS[0])
            wait_until(lambda: site.status(0)["footing"] == "substitute", 20, lambda: site.log(0))
            assert site.status(1)["label"] == "pqc"
            pair.restart(KME_IDS[0])
            wait_until(lambda: site.status(0)["footing"] == site.status(1)["footing"] == "fresh", 30, "no return")

        losses = tunnel.corridor.losses_of(outage, 1)
        gap_s = _longest_gap_s(tunnel.corridor.folder / "pings.log")
        print(f"\n{losses}; longest gap {1e3 * gap_s:.1f} ms")  # noqa: T201  # the figure
        # a handshake that is lost on a busy machine is tried again only after 5 s (REKEY_TIMEOUT of wireguard-go)
        assert gap_s < 5.0 + 1.0
        labels = [line["detail"]["label"] for line in site.audit(0) if line["action"] == "agent.proven"]
        assert labels[0] == labels[-1] == "qkd"
        assert "pqc" in labels
        footings = [line["detail"]["after"] for line in site.audit(0) if line["action"] == "agent.footing"]
        assert footings == ["fresh", "substitute", "fresh"]
        assert tunnel.corridor.in_clear() == 0


def _longest_gap_s(log: Path) -> float:
    """Return the longest time between two answers."""
    answers = [float(at) for at in re.findall(r"\[(\d+\.\d+)\] .*icmp_seq", log.read_text())]
    return max(then - at for at, then in pairwise(answers))
=======
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
>>>>>>> 356bf0eab43cf4d18725e59d27503b26a7a07633
