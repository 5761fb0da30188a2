"""A KME whose other end is dead, slow or back again; one store, one process; an end in good order."""

import contextlib
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from OpenSSL import SSL

from keystrand.edge import tls
from keystrand.edge.devices.twin_source import TwinSource
from keystrand.edge.kme.client import Client014
from keystrand.edge.kme.pair import KME_IDS, Pair, RunningKme, start_pair
from keystrand.edge.pki import Kind
from keystrand.model.errors import InvalidInput, KeystrandError, NoKeyAvailable

pytestmark = pytest.mark.system


def test_a_dead_peer_costs_an_error_and_no_keys(tmp_path: Path) -> None:
    """With the other KME down enc_keys is 503 at once, consumes nothing, and works again when it is back."""
    with start_pair(tmp_path / "run") as pair, pair.client("sae-a") as a, pair.client("sae-b") as b:
        with TwinSource(pair.link, pair.source_ends, bits_per_s=100_000, qber=0.02, block_bits=2048):
            pair.wait_for_keys(40)
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
        with TwinSource(pair.link, pair.source_ends, bits_per_s=100_000, qber=0.02, block_bits=2048):
            pair.wait_for_keys(20)
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
        with TwinSource(pair.link, pair.source_ends, bits_per_s=100_000, qber=0.02, block_bits=2048):
            pair.wait_for_keys(20)
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
                # who has closed its connection may have lost the answer, and then the next one would get it again
                barrier.wait()

        threads = [threading.Thread(target=fetch) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (outcomes.count("got"), outcomes.count("refused")) == (4, 28)


def _settled(a: Client014) -> int:
    """Return the stock once no block waits for its confirmation any more."""
    before = -1
    while before != (now := a.status("sae-b").stored_key_count):
        before = now
        time.sleep(0.3)
    return now


def test_sigterm_ends_in_good_order(tmp_path: Path) -> None:
    """A stopped KME ends with code 0, and what it had stored is there for the next start."""
    with start_pair(tmp_path / "run") as pair:
        with TwinSource(pair.link, pair.source_ends, bits_per_s=100_000, qber=0.02, block_bits=2048):
            pair.wait_for_keys(20)
        with pair.client("sae-a") as a:
            before = _settled(a)
        assert pair.kme("kme-a").stop() == 0
        pair.restart("kme-a")
        with pair.client("sae-a") as a:
            assert a.status("sae-b").stored_key_count == before > 0
        assert "Traceback" not in pair.kme("kme-a").log.read_text()


def test_an_idle_pair_comes_to_rest(tmp_path: Path) -> None:
    """Two KMEs that nobody asks anything commit nothing: that they have seen each other is not worth showing again."""

    def generations() -> list[int]:
        found = []
        for kme_id in KME_IDS:
            with contextlib.closing(
                sqlite3.connect(f"file:{pair.folder / kme_id / 'store.db'}?mode=ro", uri=True)
            ) as db:
                found.append(int(db.execute("SELECT generation FROM head").fetchone()[0]))
        return found

    with start_pair(tmp_path / "run") as pair, pair.client("sae-a") as a:
        a.status("sae-b")
        before: list[int] = []
        for _ in range(20):
            before, now = generations(), before
            if before == now:
                break
            time.sleep(2.5)
        assert generations() == before
