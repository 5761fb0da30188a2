"""The lab: real KMEs by one command, described in one file, ended together."""

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from keystrand.edge.kme.client import Client014
from keystrand.edge.kme.lab import block_sizes
from keystrand.edge.kme.lab_folder import LabWish
from keystrand.edge.kme.operator_client import OperatorClient
from keystrand.model.errors import InvalidInput

COMMAND = (sys.executable, "-m", "keystrand.cli.main", "kme", "lab")
READY_S = 90


class Running:
    """A lab that is ready."""

    def __init__(self, folder: Path, child: "subprocess.Popen[str]") -> None:
        self.folder, self.child = folder, child
        self.file: dict[str, Any] = json.loads((folder / "lab.json").read_text())
        self.pids = [kme["pid"] for kme in self.file["kmes"]]
        self.urls = {kme["id"]: kme["url"] for kme in self.file["kmes"]}

    def client(self, at: int) -> Client014:
        """Return a client of one of its SAEs."""
        sae = self.file["saes"][at]
        return Client014(self.urls[sae["kme"]], Path(self.file["ca"]), Path(sae["cert"]), Path(sae["key"]))

    def deliver(self, master: int, slave: int) -> set[str]:
        """Have one SAE take keys for another; return their labels."""
        names = [self.file["saes"][at]["id"] for at in (master, slave)]
        with self.client(master) as one, self.client(slave) as two:
            keys = one.enc_keys(names[1], number=3)
            got = two.dec_keys(names[0], [key.key_id for key in keys])
            assert [key.key for key in got] == [key.key for key in keys]
            return {(key.key_extension or {})["keystrand_label"] for key in got}

    def end(self) -> int:
        """Stop it, and return its exit code."""
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(30)


def plain_status(lab: Running) -> int:
    """Ask for the status as sae-1 by Python's own TLS and HTTP, as somebody else's client would."""
    sae, parts = lab.file["saes"][0], urlsplit(lab.file["kmes"][0]["url"])
    context = ssl.create_default_context(cafile=lab.file["ca"])
    context.load_cert_chain(sae["cert"], sae["key"])
    with closing(http.client.HTTPSConnection(parts.hostname or "", parts.port, context=context)) as connection:
        connection.request("GET", "/api/v1/keys/sae-2/status")
        return connection.getresponse().status


@contextmanager
def running(folder: Path, *options: str) -> Iterator[Running]:
    """Start a lab by the real command, and end it."""
    child = subprocess.Popen(
        [*COMMAND, "--dir", str(folder), *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with child:
        try:
            assert child.stdout
            assert child.stdout.readline() == "ready\n", child.stderr and child.stderr.read()
            yield Running(folder, child)
        finally:
            child.terminate()


def alive(pid: int) -> bool:
    """Return whether a process runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def gone(pids: list[int]) -> None:
    """Wait until none of the processes runs."""
    for _ in range(600):
        if not any(map(alive, pids)):
            return
        time.sleep(0.05)
    raise AssertionError("a process goes on")


@pytest.mark.system
def test_a_lab_is_ready_when_keys_flow_and_ends_whole(tmp_path: Path) -> None:
    """The file names everything that a client needs and nothing else; after SIGTERM nothing is left running."""
    with running(tmp_path / "lab") as lab:
        assert set(lab.file) == {"ca", "kmes", "saes", "operator"}
        assert [set(kme) for kme in lab.file["kmes"]] == [{"id", "url", "pid", "metrics"}] * 2
        assert [set(sae) for sae in lab.file["saes"]] == [{"id", "cert", "key", "kme"}] * 2
        assert [(sae["id"], sae["kme"]) for sae in lab.file["saes"]] == [("sae-1", "kme-1"), ("sae-2", "kme-2")]
        assert set(lab.file["operator"]) == {"cert", "key"}
        assert lab.deliver(0, 1) | lab.deliver(1, 0) == {"simulated"}
        assert plain_status(lab) == 200
        with urllib.request.urlopen(lab.file["kmes"][0]["metrics"]) as answer:  # noqa: S310  # our own address
            assert b"keystrand_" in answer.read()
        refused = subprocess.run(
            [*COMMAND, "--dir", str(lab.folder)], capture_output=True, text=True, check=False, timeout=READY_S
        )
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "a lab is running in" in refused.stderr
        assert lab.end() == 0
        gone(lab.pids)
    again = subprocess.run([*COMMAND, "--dir", str(lab.folder)], capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert "is not empty" in again.stderr


@pytest.mark.system
def test_three_kmes_with_quantum_safe_certificates_and_a_stock(tmp_path: Path) -> None:
    """Every KME is linked to every other; each direction has the stock that was asked for when it is ready."""
    options = ("--nodes", "3", "--algorithm", "ml-dsa-65", "--stock", "3000", "--rate", "20000", "--block-bits", "4096")
    with running(tmp_path / "lab", *options) as lab:
        operator = [Path(lab.file["operator"][name]) for name in ("cert", "key")]
        for url in lab.urls.values():
            with OperatorClient(url, Path(lab.file["ca"]), *operator) as client:
                links = client.status()["links"]
            assert len(links) == 2
            assert all(link["trusted"] and link["stored_bits"]["qkd"] >= 3000 * 256 for link in links)
        for master, slave in ((0, 1), (1, 2), (2, 0)):
            assert lab.deliver(master, slave) == {"simulated"}
        with lab.client(0) as client:
            assert client.status("sae-3").stored_key_count >= 2997
            assert client.peer
            assert client.peer.post_quantum


@pytest.mark.system
def test_a_kme_that_dies_ends_the_lab_with_an_error(tmp_path: Path) -> None:
    """The lab says which one and where its log is, stops the others, and ends with exit code 1."""
    with running(tmp_path / "lab") as lab:
        os.kill(lab.pids[1], signal.SIGKILL)
        assert lab.child.wait(30) == 1
        assert lab.child.stderr
        said = lab.child.stderr.read()
        assert "kme-2 has ended by itself" in said
        assert "kme-2.log" in said
        gone(lab.pids)


@pytest.mark.system
def test_nothing_outlives_a_lab_that_was_killed(tmp_path: Path) -> None:
    """The KMEs end with the process that started them, however it ended."""
    with running(tmp_path / "lab") as lab:
        lab.child.kill()
        gone(lab.pids)


@pytest.mark.parametrize(
    "wish",
    [
        LabWish(nodes=1),
        LabWish(nodes=9),
        LabWish(bits_per_s=0.0),
        LabWish(block_bits=100),
        LabWish(stock=10, max_key_count=10),
    ],
)
def test_a_lab_that_cannot_be_is_refused_before_anything_is_made(wish: LabWish) -> None:
    """Too few or too many KMEs, no rate, blocks too small, a stock beyond the limit."""
    with pytest.raises(InvalidInput):
        wish.check()


@pytest.mark.parametrize("keys", [1, 2, 1499, 1500, 1_000_000])
def test_the_blocks_of_a_stock_hold_exactly_its_keys(keys: int) -> None:
    """What confirms a block comes on top, and none is longer than a module's request."""
    sizes = list(block_sizes(keys))
    assert sum(size - 32 for size in sizes) == keys * 32
    assert all(64 <= size <= 48_000 for size in sizes)
