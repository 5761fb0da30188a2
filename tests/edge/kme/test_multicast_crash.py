"""One key for SAEs at several KMEs, with three real ones: killed, or stopped, in the middle of it."""

import contextlib
import os
import secrets
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from keystrand.crypto.secret import Secret
from keystrand.edge.devices.twin_source import push
from keystrand.edge.kme.channel import Channel
from keystrand.edge.kme.client import Client014
from keystrand.edge.kme.lab_folder import OPERATOR, LabFolder, LabWish
from keystrand.edge.kme.messages import Block
from keystrand.edge.kme.operator_client import OperatorClient
from keystrand.edge.kme.pair import RunningKme
from keystrand.edge.pki import Kind
from keystrand.model.errors import InvalidInput, KeystrandError
from keystrand.model.key import Strength

pytestmark = pytest.mark.system

_PATIENCE_S = 30.0
OCTETS = 8192


def until(true: Callable[[], bool]) -> None:
    """Wait until `true` is; fail after a while."""
    end = time.monotonic() + _PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


class Three:
    """Three KMEs, each a process, with an SAE each: the first one is the master of a block on each of its links."""

    def __init__(self, folder: Path) -> None:
        self._folder = LabFolder(folder, LabWish(nodes=3))
        self.kmes = {kme: RunningKme(self._folder.config(kme)) for kme in self._folder.kmes}

    def start(self, *names: str) -> None:
        """Start KMEs, and wait for them."""
        for name in names:
            self.kmes[name].launch()
        for name in names:
            self.kmes[name].wait_ready()

    def client(self, at: int, *, timeout_s: float = 30.0) -> Client014:
        """Return a client of the SAE at a KME."""
        files = self._folder.pki.of(Kind.SAE, f"sae-{at}")
        kme = f"kme-{at}"
        return Client014(
            self._folder.url(kme), files.ca, files.certificate, files.key, kme_id=kme, timeout_s=timeout_s
        )  # fmt: skip

    @contextlib.contextmanager
    def operator(self, at: int) -> Iterator[OperatorClient]:
        """Return a client of the operator at a KME."""
        files, kme = self._folder.pki.of(Kind.OPERATOR, OPERATOR), f"kme-{at}"
        with OperatorClient(self._folder.url(kme), files.ca, files.certificate, files.key, kme_id=kme) as operator:
            yield operator

    def held(self, at: int, state: str) -> list[str]:
        """Return the IDs of the keys that a KME holds in a state."""
        with self.operator(at) as operator:
            return [str(one["key_ID"]) for one in operator.keys(state=state)]

    def stock(self, link: str) -> int:
        """Return how many bits the first KME may still cut of a link, 0 while the other end is not trusted."""
        with self.operator(1) as operator:
            told: Any = next(one for one in operator.status()["links"] if one["id"] == link)
        return int(told["stored_bits"]["qkd"]) if told["trusted"] else 0

    def feed(self, link_id: str) -> bytes:
        """Give both ends of a link a block whose master is the first KME, and wait until it may be used."""
        link = next(one for one in self._folder.links if one.id == link_id)
        content, block_id = secrets.token_bytes(OCTETS), str(uuid.uuid4())
        for kme in sorted(link.kmes, reverse=True):
            credentials = self._folder.pki.of(Kind.MODULE, link.module(kme))
            block = Block(
                link=link_id, block_id=block_id, master_kme="kme-1", key_bits=Secret(content), qber=0.01,
                label=Strength.SIMULATED,
            )  # fmt: skip
            channel = Channel(self._folder.url(kme), credentials, kme_id=kme)
            assert push(channel, block)
            channel.close()
        until(lambda: self.stock(link_id) > 0)
        return content

    def close(self) -> None:
        """Kill them all."""
        for kme in self.kmes.values():
            kme.kill()
        self._folder.close()


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Three]:
    """Run three KMEs with a block on each link of the first one."""
    made = Three(tmp_path / "lab")
    try:
        made.start(*made.kmes)
        made.feed("link-1-2")
        made.feed("link-1-3")
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def stopped(kme: RunningKme) -> Iterator[None]:
    """Let a KME stand still."""
    os.kill(kme.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(kme.pid, signal.SIGCONT)


def asking(three: Three) -> tuple[threading.Thread, list[Any]]:
    """Ask for a key for the SAEs of both other KMEs; return who waits for it, and what it becomes."""
    outcome: list[Any] = []

    def ask() -> None:
        with three.client(1) as master:
            try:
                outcome.append(master.enc_keys("sae-2", size=256, additional_slave_saes=["sae-3"]))
            except KeystrandError as error:
                outcome.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread, outcome


def test_killed_in_the_middle_no_key_comes_twice(three: Three) -> None:
    """A KME holds the key when the master and another are killed: it hands it out no more, and its bytes are gone."""
    with stopped(three.kmes["kme-2"]):
        thread, _ = asking(three)
        until(lambda: bool(three.held(3, "active")))
        (key_id,) = three.held(3, "active")
        with three.client(3) as early:
            leaked = early.dec_keys("sae-1", [key_id])[0].key.reveal()
        for name in ("kme-1", "kme-2"):
            three.kmes[name].kill()
    thread.join()
    three.start("kme-1", "kme-2")
    until(lambda: three.stock("link-1-2") > 0 and three.stock("link-1-3") > 0)
    with three.client(1) as master, three.client(2) as slave:
        made = [key for _ in range(4) for key in master.enc_keys("sae-2", size=256)]
        for key in made:
            assert slave.dec_keys("sae-1", [key.key_id])[0].key == key.key
            assert key.key.reveal() != leaked


def test_killed_in_the_middle_it_is_void(three: Three) -> None:
    """Nobody has fetched it yet when the master is killed: after its start nobody can."""
    with stopped(three.kmes["kme-2"]):
        thread, _ = asking(three)
        until(lambda: bool(three.held(3, "active")))
        (key_id,) = three.held(3, "active")
        three.kmes["kme-1"].kill()
    thread.join()
    three.start("kme-1")
    until(lambda: not three.held(3, "active"))
    with three.client(3) as slave, pytest.raises(InvalidInput):
        slave.dec_keys("sae-1", [key_id])
    with three.client(1) as master, three.client(2) as first, three.client(3) as other:
        (key,) = master.enc_keys("sae-2", size=256, additional_slave_saes=["sae-3"])
        for slave in (first, other):
            assert slave.dec_keys("sae-1", [key.key_id])[0].key == key.key


def test_a_kme_that_stands_still_holds_no_other_link_up(three: Three) -> None:
    """While it is awaited the other link's orders go on; afterwards orders for both cost that link nothing."""
    with stopped(three.kmes["kme-3"]):
        before = three.stock("link-1-2")
        thread, outcome = asking(three)
        until(lambda: bool(three.held(2, "active")))
        with three.client(1) as master:
            assert master.enc_keys("sae-2", size=256)
            assert thread.is_alive()
            thread.join()
            assert isinstance(outcome[0], KeystrandError)
            for _ in range(2):
                with pytest.raises(KeystrandError, match="503"):
                    master.enc_keys("sae-2", size=256, additional_slave_saes=["sae-3"])
        assert three.stock("link-1-2") == before - 2 * 256
