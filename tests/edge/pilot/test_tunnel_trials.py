"""Both tunnels on trial over one carrier, with real programs: without keys of ours first, then what they let go."""

import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.edge.agent.site import running_pair
from tests.edge.consumers.corridor import needs

from keystrand.edge.consumers import guard
from keystrand.edge.consumers.vici import Vici
from keystrand.edge.daemons import Daemons, Space
from keystrand.edge.kme.pair import KME_IDS, Pair
from keystrand.edge.pilot.agents import Agents
from keystrand.edge.pilot.base import A, B, Ground, KmeEnd
from keystrand.edge.pilot.carrier import NamespaceCarrier
from keystrand.edge.pilot.charons import PLUGIN, Charons
from keystrand.edge.pilot.ends import Ends
from keystrand.edge.pilot.ipsec import IpsecTrial
from keystrand.edge.pilot.tunnel import TunnelTrial
from keystrand.edge.pilot.wireguard import WireGuardTrial
from keystrand.edge.pilot.wireguards import KEEPALIVE_S, WireGuards
from keystrand.edge.pki import Credentials, Kind
from keystrand.model.errors import InvalidInput, MissingInput
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
    trials = ipsec, wireguard = made()
    for trial in trials:
        assert trial.why_not() == ""
        trial.set_up(ground)
        assert {deed.kind for deed in trial.deeds} == {DeedKind.CONFIG_LINES, DeedKind.COMMAND}
        assert {deed.consumer for deed in trial.deeds} == {trial.declared.id}
    for trial in trials:
        assert "without" in trial.begin_plain()
        tried, failed = send(trial, 300)
        assert failed < tried / 10
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


@pytest.fixture
def keyed_ground(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ground, Pair]]:
    """Yield the same with two KMEs that have keys in stock."""
    with running_pair(tmp_path_factory.mktemp("kmes")) as pair:
        one, two = (
            KmeEnd(pair.urls[at], sae, pair.pki.of(Kind.SAE, sae), KME_IDS[at]) for at, sae in enumerate(pair.saes)
        )
        yield ground._replace(kmes=(one, two)), pair


@pytest.mark.slow
@pytest.mark.system
@needs_tunnels
def test_agents_key_both_tunnels_and_nothing_leaks_when_they_die(keyed_ground: tuple[Ground, Pair]) -> None:
    """After the plain run two agents key both tunnels at once, under traffic; they are killed, the keys grow too old:
    nothing passes, and of 1,000 packets none leaves in clear. Without the guard they do.
    """
    ground, _ = keyed_ground
    trials, plain = made(), list[float]()
    for trial in trials:
        trial.set_up(ground)
        trial.begin_plain()
        plain.append(trial.throughput(1) or 0)
        trial.end_plain()
    agents = Agents(ground, trials)
    agents.set_up()
    agents.wait_fresh(30)
    for keyed, without in zip(trials, plain, strict=True):
        ratio = (keyed.throughput(1) or 0) / without
        print(f"\n{keyed.declared.id}: {ratio:.2f} of the plain throughput")  # noqa: T201  # the figure
        assert ratio > 0
    began_s = time.time()
    for trial in trials:
        trial.begin_traffic()
    wait_until(lambda: all(len(agents.rotations(t.declared.id, began_s, time.time())) >= 4 for t in trials), 40)
    until_s = time.time()
    for trial in trials:
        seen = trial.traffic(began_s, until_s)
        rotations = len(agents.rotations(trial.declared.id, began_s, until_s))
        print(f"\n{trial.declared.id}: {rotations} rotations, {seen.failed} of {seen.tried} lost, "  # noqa: T201  # the figure
              f"longest gap {1e3 * (seen.longest_gap_s or 0):.0f} ms")  # fmt: skip
        assert seen.failed < seen.tried / 10
        assert trial.in_clear() == 0
    for at in (A, B):
        agents.kill(at)
    wait_until(lambda: all(nothing_passes(trial) for trial in trials))
    dead_s = time.time()
    wait_until(lambda: all(trial.traffic(dead_s, time.time()).tried >= 1000 for trial in trials))
    wireguard = trials[1]
    space = wireguard.ends.spaces[A]
    for device in ("ipsec0", str(wireguard.agent_settings(A)["device"])):
        # also what the devices no longer take stays here
        space.run("ip", "link", "set", device, "down")
    down_s = time.time()
    wait_until(lambda: all(trial.traffic(down_s, time.time()).tried >= 1000 for trial in trials))
    assert [trial.in_clear() for trial in trials] == [0, 0]
    for device in ("ipsec0", str(wireguard.agent_settings(A)["device"])):
        guard.take_down(device, space.prefix)
    bare_s = time.time()
    wait_until(lambda: all(trial.traffic(bare_s, time.time()).tried >= 1000 for trial in trials))
    assert all((trial.in_clear() or 0) >= 900 for trial in trials)


def nothing_passes(trial: TunnelTrial) -> bool:
    """Return whether for a while every ping has failed."""
    seen = trial.traffic(time.time() - 0.2, time.time())
    return 0 < seen.tried == seen.failed


KILLED = """
import os, sys, time
from pathlib import Path
from keystrand.edge.daemons import Daemons, Space
from keystrand.edge.pilot.base import Ground
from keystrand.edge.pilot.carrier import NamespaceCarrier
from tests.edge.pilot.test_tunnel_trials import NOBODY, made
folder = Path(sys.argv[1])
with Daemons() as care:
    carrier = NamespaceCarrier(folder, care)
    carrier.start()
    for trial in made():
        trial.set_up(Ground(folder, care, (NOBODY, NOBODY), carrier, 100))
        trial.begin_plain()
        trial.begin_traffic()
    print("up", *trial._pair.devices, flush=True)
    time.sleep(600)
"""


@pytest.mark.system
@needs_tunnels
def test_a_pilot_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    """After SIGKILL no program of it runs, and no socket or device is left."""
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    ) as child:
        assert child.stdout
        up, *devices = child.stdout.readline().split()
        assert up == "up"
        assert any(str(tmp_path) in line for line in commands())
        child.kill()
    wait_until(lambda: not [line for line in commands() if str(tmp_path) in line or devices[0] in line])
    assert not [file for file in Path("/run/wireguard").glob("*") if file.stem in devices]


def commands() -> list[str]:
    """Return the command lines of all programs that run, with what their environment says of strongSwan."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            found.append(" ".join((entry / name).read_text().replace("\0", " ") for name in ("cmdline", "environ")))
        except OSError:
            continue
    return found


def test_an_ordinary_user_is_told_why_not() -> None:
    """Both say it before anything is started, and a pilot without a carrier is refused."""
    words = "import os\nfrom tests.edge.pilot.test_tunnel_trials import made\nos.geteuid() or os.setuid(65534)\n"
    words += "print(*(one.why_not() for one in made()), sep='\\n')"
    told = subprocess.run(
        [sys.executable, "-c", words], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]
    ).stdout.splitlines()
    assert len(told) == 2
    assert all("needs root" in line for line in told)


@pytest.mark.system
@needs_tunnels
def test_a_folder_under_run_is_found(ground: Ground) -> None:
    """Though WireGuard has a /run of its own there."""
    assert ground.carrier
    with TemporaryDirectory(dir="/run") as folder:
        ends = Ends(ground.carrier.spaces, ground.carrier.addresses, WireGuardTrial.networks, Path(folder), ground.care)
        ends.lay()
        pair = WireGuards(ends)
        pair.begin()
        assert pair.device(A).peer(b64decode(pair.publics[B])).keepalive_s == KEEPALIVE_S


@pytest.mark.system
@needs_tunnels
def test_a_folder_with_too_long_a_name_is_refused(tmp_path: Path) -> None:
    """The message says so before charon would fail without a word."""
    folder = tmp_path / ("x" * 100)
    with Daemons() as care:
        spaces = Space("a", tmp_path), Space("b", tmp_path)
        ends = Ends(spaces, ("192.0.2.1", "192.0.2.2"), IpsecTrial.networks, folder, care)
        with pytest.raises(InvalidInput, match="too long for the name of a socket"):
            Charons(ends).begin()


def test_a_pilot_without_sites_is_refused(tmp_path: Path) -> None:
    """The message names the consumer and the next step."""
    with Daemons() as care:
        for trial in made():
            with pytest.raises(MissingInput, match=f"the consumer {trial.declared.id} needs two sites"):
                trial.set_up(Ground(tmp_path, care, (NOBODY, NOBODY), None, PER_S))
