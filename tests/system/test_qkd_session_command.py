"""The command at both ends, as two processes that share nothing but a TCP connection: a key, or none and why."""

import asyncio
import json
import os
import secrets
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.edge.qkd_wire import Change, Wire
from tests.qkd.session_ends import LINK, PULSES, run_of

from keystrand.edge.photon_records import RunFacts, write_received, write_sent
from keystrand.qkd.detections import Run

pytestmark = pytest.mark.system

COMMAND = """
import sys
from keystrand.cli import main, qkd, qkd_session
if all(c.name != "session" for c in qkd.app.registered_commands):
    qkd.app.command("session")(qkd_session.session)
sys.exit(main.run(sys.argv[1:]))
"""
EASY = ("--secrecy", "1e-3", "--correctness", "1e-9", "--epsilon-limit", "1e-2", "--frame-bits", "4096")
Place = Callable[[str], Path]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return where each end has its files: a folder each, with a record and the authentication key."""
    key = secrets.token_bytes(64 * 1000)
    for end in ("alice", "bob"):
        (tmp_path / end).mkdir()
        auth = tmp_path / end / "auth"
        auth.write_bytes(key)
        auth.chmod(0o600)
    write_records(tmp_path, run_of())
    return lambda name: tmp_path / name


def write_records(folder: Path, run: Run) -> None:
    """Write what each end knows of a run."""
    sent = tuple((int(a), int(b)) for a, b in run.sent_pulses)
    facts = RunFacts(link=LINK, pulses=PULSES, seed=5, sent_pulses=sent)
    write_sent(folder / "alice" / "record", facts, run.alice)
    write_received(folder / "bob" / "record", facts, run.bob)


def free_port() -> int:
    """Return a port nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def start(place: Place, end: str, *options: str) -> "subprocess.Popen[str]":
    """Start one end, its own folder for working directory."""
    files = ("--record", "record", "--auth-key", "auth", "--out", "key", "-o", "json", "--wait", "30")
    arguments = [sys.executable, "-c", COMMAND, "qkd", "session", end, *files, *options]
    return subprocess.Popen(
        arguments, cwd=place(end), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )


def both(place: Place, *options: str, through: int = 0, port: int = 0) -> list[tuple[int, str, str]]:
    """Run both ends to their end; return exit code, stdout and stderr of Alice and of Bob."""
    port = port or free_port()
    ends = [
        start(place, "alice", "--listen", f"127.0.0.1:{port}", *options),
        start(place, "bob", "--connect", f"127.0.0.1:{through or port}", *options),
    ]
    said = [end.communicate(timeout=120) for end in ends]
    return [(end.returncode, out, err) for end, (out, err) in zip(ends, said, strict=True)]


@contextmanager
def wire(port: int, change: Change) -> Iterator[int]:
    """Yield the port of a wire to `port`, which runs in a thread of its own."""
    made, ready, loop = Wire(port, change), threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        async with made.running():
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    ready.wait(10)
    try:
        yield made.port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()


def test_two_processes_make_one_key(place: Place) -> None:
    """Identical keys with identical, balanced accounts; the authentication files stay alike, and serve once more."""
    (code_a, out_a, err_a), (code_b, out_b, err_b) = both(place, *EASY)
    assert (code_a, code_b) == (0, 0), err_a + err_b
    alice, bob = json.loads(out_a), json.loads(out_b)
    assert {**alice, "end": ""} == {**bob, "end": ""}
    keys = [place(end) / "key" for end in ("alice", "bob")]
    assert keys[0].read_bytes() == keys[1].read_bytes()
    account: dict[str, Any] = alice["account"]
    ledger, spent = account["ledger"], account["authentication"]
    disclosed = ledger["parity_bits"] + ledger["tag_bits"] + ledger["told_bits"]
    assert ledger["sifted_bits"] == disclosed + ledger["shrink_bits"] + ledger["final_bits"]
    assert ledger["final_bits"] == ledger["refill_bits"] + 8 * len(keys[0].read_bytes())
    left = [place(end) / "auth" for end in ("alice", "bob")]
    assert left[0].read_bytes() == left[1].read_bytes()
    assert 8 * left[0].stat().st_size == spent["left_bits"] + ledger["refill_bits"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in keys + left)
    assert "protects nothing" in err_a
    assert not any((place(end) / "record").exists() for end in ("alice", "bob"))
    write_records(place("."), run_of())
    again = both(place, *EASY)
    assert [code for code, _, _ in again] == [2, 2]
    assert "never overwritten" in again[0][2]
    for key in keys:
        key.unlink()
    assert [code for code, _, _ in both(place, *EASY)] == [0, 0]


@pytest.mark.parametrize("index", [1, 2, 3, 50])
def test_an_octet_flipped_between_two_processes(place: Place, index: int) -> None:
    """Both ends fail, neither has a key file, and the authentication key is gone for good at both.

    From when both agreed the record is, too: who cuts the line could else have more of its bits told by every try.
    """
    port = free_port()

    def change(n: int, frame: bytes) -> bytes:
        return frame[:30] + bytes([frame[30] ^ 1]) + frame[31:] if n == index else frame

    with wire(port, change) as through:
        ended = both(place, *EASY, through=through, port=port)
    for (code, out, err), end in zip(ended, ("alice", "bob"), strict=True):
        assert code == 1, err
        assert out == ""
        assert "no key at either end" in json.loads(err.splitlines()[-1])["message"]
        assert not (place(end) / "key").exists()
        assert (place(end) / "auth").read_bytes() == b""
    assert not (place("alice") / "record").exists()
    assert (place("bob") / "record").exists() is (index == 1)  # he did not get as far as to say anything of it


def test_who_has_not_the_key_takes_none(place: Place) -> None:
    """A listener that hears no first frame by the same key stays as it was, and says so."""
    other = place("bob") / "auth"
    other.write_bytes(secrets.token_bytes(64_000))
    before = (place("alice") / "auth").read_bytes()
    (code, _, err), (other_code, _, other_err) = both(place, *EASY, "--wait", "3")
    assert (code, other_code) == (1, 1)
    assert "1 without our authentication key" in err
    assert "closed the connection" in other_err
    assert (place("alice") / "auth").read_bytes() == before
    assert all((place(end) / "record").exists() for end in ("alice", "bob"))


def test_no_key_is_an_exit_code_of_its_own(place: Place) -> None:
    """An eavesdropped run ends with code 13 and the account on stdout, at both ends, and returns unused key."""
    run, rng = run_of(), np.random.default_rng(3)
    outcome = np.where(rng.random(run.bob.slot.size) < 0.5, rng.integers(0, 2, run.bob.slot.size), run.bob.outcome)
    write_records(place("."), run._replace(bob=run.bob._replace(outcome=outcome.astype(np.uint8))))
    for code, out, err in both(place, *EASY):
        assert code == 13, err
        assert json.loads(out)["account"]["ledger"]["final_bits"] == 0
        assert "no key from this block" in err
    left = [(place(end) / "auth").read_bytes() for end in ("alice", "bob")]
    assert left[0] == left[1] != b""


def test_a_process_alone_gives_up(place: Place) -> None:
    """Nobody there: the command ends, and no authentication key was taken."""
    end = start(place, "alice", "--listen", f"127.0.0.1:{free_port()}", "--wait", "0.5")
    _, err = end.communicate(timeout=60)
    assert end.returncode == 1
    assert "nobody connected" in err
    assert (place("alice") / "auth").stat().st_size == 64_000


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "either --listen or --connect"),
        (("--listen", "nowhere"), "no HOST:PORT"),
        (("--listen", "127.0.0.1:1", "--frame-bits", "1000"), "power of two"),
        (("--listen", "127.0.0.1:1", "--secrecy", "2"), "secrecy"),
        (("--listen", "127.0.0.1:1", "--record", "none"), "does not exist"),
        (("--listen", "127.0.0.1:1", "--auth-key", "none"), "does not exist"),
        (("--listen", "127.0.0.1:1", "--out", "record"), "never overwritten"),
    ],
)
def test_bad_options(place: Place, options: tuple[str, ...], words: str) -> None:
    """A mistake is named before anything is sent or taken, with code 2."""
    end = start(place, "alice", *options)
    _, err = end.communicate(timeout=60)
    assert end.returncode == 2, err
    assert words in err
    assert (place("alice") / "auth").stat().st_size == 64_000
