"""Programs under our care: they come up or say why not, and none survives us."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keystrand.edge.daemons import Daemon, Daemons, Space, Speaker, ended_as_by_interrupt, program, run
from keystrand.model.errors import MissingInput, PeerUnavailable

SHELL = "/bin/sh"


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def _gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not _alive(pid)


def test_it_is_started_once_it_is_ready(tmp_path: Path) -> None:
    """`start` returns when the program has done what was waited for; `stop` ends it and its children."""
    said = tmp_path / "said"
    daemon = Daemon([SHELL, "-c", f"sleep 100 & echo $! > {said}; wait"], tmp_path / "log")
    daemon.start(lambda: said.exists() and said.read_text() != "")
    child = int(said.read_text())
    assert daemon.running
    assert _alive(child)
    daemon.stop()
    assert (daemon.running, daemon.pid) == (False, 0)
    assert _gone(child)


def test_one_that_does_not_come_up_tells_why(tmp_path: Path) -> None:
    """Its last words are in the error, whether it ended by itself or was never ready."""
    with pytest.raises(PeerUnavailable, match="sh did not start: no such key"):
        Daemon([SHELL, "-c", "echo no such key; exit 3"], tmp_path / "log").start(lambda: False)
    silent = Daemon([SHELL, "-c", "echo trying; sleep 100"], tmp_path / "log2")
    with pytest.raises(PeerUnavailable, match="did not start: trying"):
        silent.start(lambda: False, within_s=0.3)
    assert not silent.running


def test_one_of_ours_says_where_it_serves(tmp_path: Path) -> None:
    """Its line is taken as it comes, in pieces too; its standard error goes to the log; its exit code comes back."""
    talks = "trap 'exit 7' TERM; echo noise >&2; printf 'rea'; sleep 0.1; echo 'dy at home'; sleep 100 & wait"
    speaker = Speaker([SHELL, "-c", talks], tmp_path / "log")
    speaker.launch()
    assert speaker.wait_ready() == "at home"
    assert (tmp_path / "log").read_text() == "noise\n"
    assert speaker.stop() == 7
    assert speaker.stop() is None


def test_one_of_ours_that_says_something_else_did_not_start(tmp_path: Path) -> None:
    """Whether it ends or goes on talking; how it ended is told where it has said nothing of it."""
    for words, why in (
        ("exit 5", r"no word from it \(it ended with 5\)"),
        ("echo no; sleep 100", "not ready after 0.3 s"),
    ):
        speaker = Speaker([SHELL, "-c", words], tmp_path / "log", name="the porter")
        speaker.launch()
        with pytest.raises(PeerUnavailable, match=f"the porter did not start: {why}|{why}"):
            speaker.wait_ready(within_s=0.3)
        assert not speaker.running


def test_one_that_is_ended_alone_leaves_what_it_started(tmp_path: Path) -> None:
    """A signal to it is none to its children; `kill` reaches them all."""
    said = tmp_path / "said"
    daemon = Daemon([SHELL, "-c", f"sleep 100 & echo $! > {said}; wait"], tmp_path / "log")
    daemon.start(lambda: said.exists() and said.read_text() != "")
    child = int(said.read_text())
    assert daemon.end(signal.SIGKILL) == -signal.SIGKILL
    assert _alive(child)
    os.kill(child, signal.SIGKILL)
    deaf = Daemon([SHELL, "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"], tmp_path / "deaf")
    deaf.start(lambda: "up" in (tmp_path / "deaf").read_text())
    with pytest.raises(PeerUnavailable, match="SIGTERM"):
        deaf.end(signal.SIGTERM, within_s=0.2)
    deaf.kill()


def test_one_that_does_not_obey_is_killed(tmp_path: Path) -> None:
    """A program that ignores SIGTERM is gone after its time."""
    up = tmp_path / "up"
    deaf = Daemon([SHELL, "-c", f"trap '' TERM; touch {up}; while :; do sleep 0.1; done"], tmp_path / "log")
    deaf.start(up.exists)
    pid = deaf.pid
    deaf.stop(within_s=0.2)
    assert _gone(pid)


def test_none_survives_a_kill_of_ours(tmp_path: Path) -> None:
    """SIGKILL of the program that started it ends it too: the kernel sees to that."""
    script = (
        "import sys, time; from pathlib import Path; from keystrand.edge.daemons import Daemon;"
        "d = Daemon(['/bin/sleep', '100'], Path(sys.argv[1])); d.start(); print(d.pid, flush=True); time.sleep(100)"
    )
    ours = subprocess.Popen([sys.executable, "-c", script, tmp_path / "log"], stdout=subprocess.PIPE, text=True)
    assert ours.stdout
    pid = int(ours.stdout.readline())
    assert _alive(pid)
    ours.kill()
    ours.wait()
    ours.stdout.close()
    assert _gone(pid)


def test_all_are_ended_in_the_reverse_order_whatever_happens(tmp_path: Path) -> None:
    """An error inside leaves nothing running."""
    started = [Daemon(["/bin/sleep", "100"], tmp_path / f"{n}") for n in range(3)]
    pids: list[int] = []

    def troubled() -> None:
        with Daemons() as care:
            for one in started:
                care.add(one)
                one.start()
                pids.append(one.pid)
            raise RuntimeError("trouble")

    with pytest.raises(RuntimeError, match="trouble"):
        troubled()
    assert len(pids) == len(started)
    assert all(_gone(pid) for pid in pids)


def test_a_signal_arrives(tmp_path: Path) -> None:
    """How a program is told to read its files again."""
    up, heard = tmp_path / "up", tmp_path / "heard"
    daemon = Daemon(
        [SHELL, "-c", f"trap 'touch {heard}' USR1; touch {up}; while :; do sleep 0.05; done"], tmp_path / "log"
    )
    with Daemons() as care:
        care.add(daemon)
        daemon.start(up.exists)
        daemon.signal(signal.SIGUSR1)
        deadline = time.monotonic() + 5
        while not heard.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert heard.exists()


def test_what_is_not_installed_names_its_package() -> None:
    """The next step is in the hint; a command that fails says its own complaint."""
    with pytest.raises(MissingInput, match="no-such-thing is not installed") as caught:
        program("no-such-thing", "nothing")
    assert caught.value.hint == "apt-get install nothing"
    with pytest.raises(PeerUnavailable, match="No such file"):
        run("/bin/ls", "/no/such/place")


@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root")
def test_a_space_is_a_network_of_its_own_and_leaves_nothing(tmp_path: Path) -> None:
    """Its devices are not ours; after its end nothing of it is left, names included."""
    before = sorted(path.name for path in Path("/run/netns").glob("*")) if Path("/run/netns").exists() else []
    one, two = Space("one", tmp_path), Space("two", tmp_path)
    with Daemons() as care:
        for space in (one, two):
            care.add(space)
            space.start()
        one.run("ip", "link", "add", "va", "type", "veth", "peer", "name", "vb", "netns", str(two.pid))
        for space, device, address in ((one, "va", "10.9.9.1/24"), (two, "vb", "10.9.9.2/24")):
            space.run("ip", "address", "add", address, "dev", device)
            space.run("ip", "link", "set", device, "up")
        assert "10.9.9.2" in two.run("ip", "-o", "address")
        assert "10.9.9" not in run(program("ip", "iproute2"), "-o", "address")
        pid = one.pid
    assert _gone(pid)
    after = sorted(path.name for path in Path("/run/netns").glob("*")) if Path("/run/netns").exists() else []
    assert after == before


def test_a_command_gets_its_environment_and_no_input() -> None:
    """What is added is there beside ours; whoever waits for input sees its end; too long is said."""
    told = run("sh", "-c", 'cat; echo "$ADDED $HOME"', env={"ADDED": "one"})
    assert told == f"one {os.environ['HOME']}\n"
    with pytest.raises(PeerUnavailable, match=r"sleep 60: not done within 0\.1 s"):
        run("sleep", "60", within_s=0.1)


_AT_WORK = """
import sys, tempfile, time
from pathlib import Path
from keystrand.edge.daemons import Daemon, Daemons, ended_as_by_interrupt
with ended_as_by_interrupt(), tempfile.TemporaryDirectory(dir=sys.argv[1]) as folder, Daemons() as care:
    (Path(folder) / "secret").write_text("pin")
    daemon = Daemon(["/bin/sleep", "100"], Path(folder) / "log")
    care.add(daemon)
    daemon.start()
    print(daemon.pid, flush=True)
    time.sleep(100)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_who_is_told_to_end_leaves_neither_program_nor_folder(tmp_path: Path, number: signal.Signals) -> None:
    """By a service's end or a closed terminal as by ^C; afterwards the signals do what they did before."""
    with subprocess.Popen(
        [sys.executable, "-c", _AT_WORK, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout
        pid = int(child.stdout.readline())
        child.send_signal(number)
        _, said = child.communicate(timeout=30)
    assert _gone(pid)
    assert list(tmp_path.iterdir()) == []
    assert said.endswith(f"KeyboardInterrupt: {number.name}\n")
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with ended_as_by_interrupt():
            assert signal.getsignal(number) is not signal.SIG_DFL
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_a_hang_up_that_is_ignored_stays_ignored() -> None:
    """Who starts a pilot by nohup(1) wants it to go on."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_as_by_interrupt():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
