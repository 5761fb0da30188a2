"""A lab as a process: how it is started, watched and ended."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench.kme_lab import cpu_seconds, family, rss_bytes, running
from bench.measure import Failed

_LAB = """
import argparse, json, os, pathlib, signal, subprocess, sys
p = argparse.ArgumentParser(); p.add_argument("--dir"); folder = pathlib.Path(p.parse_args().dir)
folder.mkdir()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
kmes = [{"id": "kme-1", "url": "https://127.0.0.1:1", "pid": os.getpid()}]
(folder / "lab.json").write_text(json.dumps({"ca": "ca.pem", "kmes": kmes, "saes": []}))
signal.signal(signal.SIGTERM, lambda *_: (child.kill(), (folder / "ended").touch(), sys.exit(0)))
print("a word first\\nready", flush=True)
signal.pause()
"""


@pytest.mark.system
def test_a_lab_is_ready_watched_and_ended(tmp_path: Path) -> None:
    """What a KME uses is that of its process and those below; SIGTERM ends the lab."""
    program, folder = tmp_path / "lab.py", tmp_path / "lab"
    program.write_text(_LAB)
    with running("lab", (sys.executable, str(program)), folder) as lab:
        (root,) = {kme.pid for kme in lab.parties.kmes}
        assert len(family(root)) == 2
        assert lab.cpu_s() > 0
        assert lab.largest_rss_bytes() > rss_bytes(root)
        assert lab.size_bytes() > 0
    assert (folder / "ended").exists()


@pytest.mark.system
def test_a_lab_that_fails_says_why(tmp_path: Path) -> None:
    """The end of its standard error is in the message."""
    command = (sys.executable, "-c", "import sys; sys.exit('no room')")
    with pytest.raises(Failed, match="no room"), running("lab", command, tmp_path / "lab"):
        pass


def test_a_process_that_is_gone_uses_nothing() -> None:
    """A KME may end while it is looked at."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert (cpu_seconds(gone.pid), rss_bytes(gone.pid), family(gone.pid)) == (0, 0, (gone.pid,))
    assert cpu_seconds(os.getpid()) > 0


def test_numbers_of_a_process_are_read_whatever_its_name(tmp_path: Path) -> None:
    """A name with spaces and parentheses does not shift the fields."""
    program = tmp_path / "a ) b (1 2 3 4"
    program.symlink_to(sys.executable)
    code = "import json, os, sys; t = os.times(); print(json.dumps(os.getpid())); sys.stdout.flush(); sys.stdin.read()"
    with subprocess.Popen([str(program), "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        assert json.loads(child.stdout.readline()) == child.pid
        assert 0 <= cpu_seconds(child.pid) < 60
        child.communicate()
