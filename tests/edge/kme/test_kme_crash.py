"""SIGKILL under load: every key at most once at each end, both ends the same, and both come back."""

import contextlib
import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from OpenSSL import SSL

from keystrand.edge import tls
from keystrand.edge.devices.twin_source import TwinSource
from keystrand.edge.kme.client import Client014
from keystrand.edge.kme.pair import KME_IDS, Pair, RunningKme, start_pair
from keystrand.edge.pki import Kind
from keystrand.model.errors import InvalidInput, KeystrandError, NoKeyAvailable

pytestmark = pytest.mark.system

_KILLS = 6
_CLIENTS = 4


class Load:
    """Clients that get keys and fetch them at the other end, in both directions, and write down all they got."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.given: list[tuple[str, bytes]] = []
        self.taken: list[tuple[str, bytes]] = []
        self.untaken: list[tuple[int, str]] = []
        self._threads = [threading.Thread(target=self._run, args=(n % 2,)) for n in range(_CLIENTS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, master: int) -> None:
        saes = self._pair.saes
        with (
            self._pair.client(saes[master], timeout_s=5) as mine,
            self._pair.client(saes[1 - master], timeout_s=5) as other,
        ):
            while not self._stop.is_set():
                try:
                    keys = mine.enc_keys(saes[1 - master], number=2)
                except KeystrandError:
                    time.sleep(0.02)
                    continue
                with self._lock:
                    self.given += [(key.key_id, key.key.reveal()) for key in keys]
                for key in keys:
                    self.fetch(other, master, key.key_id)

    def fetch(self, slave: Client014, master: int, key_id: str) -> None:
        """Fetch one key; where it fails, note it to be tried again."""
        try:
            (key,) = slave.dec_keys(self._pair.saes[master], [key_id])
        except KeystrandError:
            with self._lock:
                self.untaken.append((master, key_id))
            return
        with self._lock:
            self.taken.append((key.key_id, key.key.reveal()))


def test_no_key_twice_whatever_is_killed(tmp_path: Path) -> None:
    """Several kills of either KME, each under load: afterwards no ID or key was given twice at either end.

    Keys fetched at the slave equal the master's; those that were fetched are refused for ever; those not fetched for
    a kill can be fetched at most once; and new keys flow after every restart.
    """
    chance = random.Random(14)
    with (
        start_pair(tmp_path / "run") as pair,
        TwinSource(pair.link, pair.source_ends, bits_per_s=400_000, qber=0.02, block_bits=8192) as source,
    ):
        with Load(pair) as load:
            for n in range(_KILLS):
                _wait_for_more(load.given)
                time.sleep(chance.uniform(0.0, 0.2))
                pair.kill(KME_IDS[n % 2])
                pair.restart(KME_IDS[n % 2])
            _wait_for_more(load.given)
        source.cut()
        clients = [pair.client(sae) for sae in pair.saes]
        for master, key_id in load.untaken[:]:
            load.fetch(clients[1 - master], master, key_id)
        for key_id, _ in chance.sample(load.taken, min(20, len(load.taken))):
            for slave in (0, 1):
                with pytest.raises(KeystrandError):
                    clients[slave].dec_keys(pair.saes[1 - slave], [key_id])
        for client in clients:
            client.close()
    given, taken = dict(load.given), dict(load.taken)
    assert len(given) == len(load.given) == len(set(given.values()))
    assert len(taken) == len(load.taken) == len(set(taken.values()))
    assert all(given[key_id] == key for key_id, key in taken.items())
    assert len(given) > 10 * _KILLS


def _wait_for_more(given: list[tuple[str, bytes]]) -> None:
    before = len(given)
    for _ in range(1000):
        if len(given) >= before + 10:
            return
        time.sleep(0.01)
    raise AssertionError("no new keys for ten seconds")


def test_a_dead_peer_costs_an_error_and_no_keys(tmp_path: Path) -> None:
    """With the other KME down enc_keys is 503 at once, consumes nothing, and works again when it is back."""
    with start_pair(tmp_path / "run") as pair, pair.client("sae-a") as a, pair.client("sae-b") as b:
        with TwinSource(pair.link, pair.source_ends, bits_per_s=100_000, qber=0.02, block_bits=2048) as source:
            while source.accepted_bits < 16_384:
                time.sleep(0.01)
        before = a.status("sae-b").stored_key_count
        pair.kill("kme-b")
        with pytest.raises(KeystrandError, match="503"):
            a.enc_keys("sae-b")
        assert a.status("sae-b").stored_key_count == before
        pair.restart("kme-b")
        (key,) = a.enc_keys("sae-b")
        assert b.dec_keys("sae-a", [key.key_id])[0].key == key.key


@contextlib.contextmanager
def dripping(pair: Pair) -> Iterator[threading.Event]:
    """Stand in for KME B: begin an answer and never end it. Gives an event that says a request has come."""
    context = tls.server_context(pair.credentials(Kind.KME, "kme-b"))
    asked, enough = threading.Event(), threading.Event()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", pair.port(1)))
        listener.listen()

        def drip() -> None:
            with contextlib.suppress(OSError, SSL.Error):
                transport, _ = listener.accept()
                connection = SSL.Connection(context, None)
                connection.set_accept_state()
                stream = tls.BlockingTls(connection, transport)
                stream.handshake()
                stream.recv_into(memoryview(bytearray(1)))
                asked.set()
                while not enough.wait(0.1):
                    stream.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                stream.close()
                return
            transport.close()

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield asked
        finally:
            enough.set()
            thread.join()


def test_a_peer_that_never_ends_its_answer_holds_nothing(tmp_path: Path) -> None:
    """Get key is refused after a time though bytes keep coming; SIGTERM in the middle ends the KME in good order."""
    with start_pair(tmp_path / "run") as pair:
        with TwinSource(pair.link, pair.source_ends, bits_per_s=100_000, qber=0.02, block_bits=2048) as source:
            while source.accepted_bits < 8_192:
                time.sleep(0.01)
        pair.kill("kme-b")
        with dripping(pair), pair.client("sae-a", timeout_s=30) as a, pytest.raises(NoKeyAvailable, match="503"):
            a.enc_keys("sae-b")
        outcome: list[str] = []

        def get() -> None:
            with pair.client("sae-a", timeout_s=30) as a:
                try:
                    a.enc_keys("sae-b")
                except KeystrandError as error:
                    outcome.append(type(error).__name__)

        with dripping(pair) as asked:
            thread = threading.Thread(target=get)
            thread.start()
            assert asked.wait(10)
            assert pair.kme("kme-a").stop() == 0
            thread.join()
        assert outcome == ["NoKeyAvailable"]
        assert "Traceback" not in pair.kme("kme-a").log.read_text()


def test_an_idle_kme_cuts_its_log_to_nothing(tmp_path: Path) -> None:
    """Soon after the last request nothing that was overwritten is left in the store's log."""
    with start_pair(tmp_path / "run") as pair, pair.client("sae-a") as a, pair.client("sae-b") as b:
        with TwinSource(pair.link, pair.source_ends, bits_per_s=100_000, qber=0.02, block_bits=2048) as source:
            while source.accepted_bits < 8_192:
                time.sleep(0.01)
        (key,) = a.enc_keys("sae-b")
        b.dec_keys("sae-a", [key.key_id])
        logs = [pair.folder / kme_id / "store.db-wal" for kme_id in KME_IDS]
        assert all(log.stat().st_size for log in logs)
        for _ in range(1000):
            if not any(log.stat().st_size for log in logs):
                return
            time.sleep(0.01)
        raise AssertionError("the log was not cut in ten seconds")


def test_a_second_process_on_the_same_store_does_not_start(tmp_path: Path) -> None:
    """The running KME keeps its store; a second one says so and ends."""
    with start_pair(tmp_path / "run") as pair:
        second = RunningKme(pair.folder / "kme-a.toml")
        second.launch()
        with pytest.raises(KeystrandError, match="stop the other"):
            second.wait_ready()


def test_identical_requests_at_once_get_a_key_once(tmp_path: Path) -> None:
    """Eight clients ask for the same key at the same moment: exactly one gets it."""
    with start_pair(tmp_path / "run") as pair, pair.client("sae-a") as a:
        with TwinSource(pair.link, pair.source_ends, bits_per_s=100_000, qber=0.02, block_bits=2048) as source:
            while source.accepted_bits < 8_192:
                time.sleep(0.01)
        keys = a.enc_keys("sae-b", number=4)
        outcomes: list[str] = []
        barrier = threading.Barrier(8)

        def fetch() -> None:
            with pair.client("sae-b") as b:
                for key in keys:
                    barrier.wait()
                    try:
                        b.dec_keys("sae-a", [key.key_id])
                        outcomes.append("got")
                    except InvalidInput:
                        outcomes.append("refused")

        threads = [threading.Thread(target=fetch) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (outcomes.count("got"), outcomes.count("refused")) == (4, 28)


def test_sigterm_ends_in_good_order(tmp_path: Path) -> None:
    """A stopped KME ends with code 0, and what it had stored is there for the next start."""
    with start_pair(tmp_path / "run") as pair:
        with TwinSource(pair.link, pair.source_ends, bits_per_s=100_000, qber=0.02, block_bits=2048) as source:
            while source.accepted_bits < 8_192:
                time.sleep(0.01)
        with pair.client("sae-a") as a:
            before = a.status("sae-b").stored_key_count
        assert pair.kme("kme-a").stop() == 0
        pair.restart("kme-a")
        with pair.client("sae-a") as a:
            assert a.status("sae-b").stored_key_count == before > 0
        assert "Traceback" not in pair.kme("kme-a").log.read_text()
