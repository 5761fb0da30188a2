"""Two processes are KME A, on one PostgreSQL: the one that serves is killed or hangs, and the other goes on."""

import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Self

import pytest
from tests.edge.store.postgres import PostgresServer, running_server

from keystrand.edge.devices.twin_source import SourceEnd, TwinSource
from keystrand.edge.kme.client import Client014
from keystrand.edge.kme.pair import RunningKme
from keystrand.edge.pki import Kind, Pki, issue_pki
from keystrand.edge.store.audit_segment import segments, whole_lines
from keystrand.edge.store.audit_signer import read_public_key
from keystrand.model.errors import KeystrandError, StoreFailure
from keystrand.operate.audit import entry_of
from keystrand.operate.audit_verify import Verified, verify

pytestmark = pytest.mark.system

_NAMES = ("a1", "a2", "b")
_KME = {"a1": "kme-a", "a2": "kme-a", "b": "kme-b"}
_SAES, _MODULES = ("sae-a", "sae-b"), ("module-a", "module-b")
_LEASE_S = 5.0
_CLIENTS, _LOAD_S, _PATIENCE_S = 4, 3.0, 60.0


class Cluster:
    """Processes a1 and a2 of KME A on one database, and KME B by itself; SAE A is at home at A, SAE B at B."""

    def __init__(self, folder: Path, dsn: str) -> None:
        self.pki: Pki = issue_pki(
            folder / "pki", kmes=("kme-a", "kme-b"), saes=_SAES, modules=_MODULES, days=7, now=datetime.now(UTC)
        )  # fmt: skip
        (folder / "dsn").write_text(dsn)
        (folder / "dsn").chmod(0o600)
        self.folder = folder
        self._holders = {name: _held_port() for name in _NAMES}
        self.kmes: dict[str, RunningKme] = {}
        for name in _NAMES:
            file = folder / f"{name}.toml"
            file.write_text(self._config(name))
            self.kmes[name] = RunningKme(file)

    def _url(self, name: str) -> str:
        return f"https://127.0.0.1:{self._holders[name].getsockname()[1]}"

    def _config(self, name: str) -> str:
        own = _KME[name]
        others = [other for other in _NAMES if _KME[other] != own]
        urls = ", ".join(f"'{self._url(other)}'" for other in others)
        homes = "".join(
            f"[[sae]]\nid = '{sae}'\nkme = '{kme}'\n" for sae, kme in zip(_SAES, ("kme-a", "kme-b"), strict=True)
        )
        shared = f"[postgres]\ndsn_file = 'dsn'\nwriter = '{name}'\nlease_s = {_LEASE_S}\n" if own == "kme-a" else ""
        return (
            f"kme_id = '{own}'\nport = {self._url(name).rpartition(':')[2]}\nstore = '{name}'\n"
            f"keyring = '{own}.keyring'\nmaster_key = '{own}.master'\n{shared}"
            f"[keys]\nmax_key_count = 20000\n"
            f"[tls]\nca = 'pki/ca.pem'\ncertificate = 'pki/kme-{own}.pem'\nkey = 'pki/kme-{own}.key'\n"
            f"[[link]]\nid = 'corridor'\npeer_kme = '{_KME[others[0]]}'\npeer_url = [{urls}]\n"
            f"[[module]]\nid = 'module-{own[-1]}'\nlink = 'corridor'\n{homes}"
        )

    def client(self, name: str) -> Client014:
        """Return the client of the SAE that is at home there."""
        files = self.pki.of(Kind.SAE, f"sae-{_KME[name][-1]}")
        return Client014(self._url(name), files.ca, files.certificate, files.key, kme_id=_KME[name], timeout_s=5)

    def source(self, name: str) -> TwinSource:
        """Return what feeds one process of KME A, and KME B."""
        ends = (self._source_end(name), self._source_end("b"))
        return TwinSource("corridor", ends, bits_per_s=600_000, qber=0.02, block_bits=16_384)

    def _source_end(self, name: str) -> SourceEnd:
        files = self.pki.of(Kind.MODULE, f"module-{_KME[name][-1]}")
        return SourceEnd(kme_id=_KME[name], url=self._url(name), credentials=files)

    def start(self, *names: str) -> None:
        """Start processes one after the other: the first makes keyring and master key."""
        for name in names:
            self.kmes[name].launch()
            self.kmes[name].wait_ready()

    def audited(self, name: str) -> list[str]:
        """Return what a process's audit says was done, its chain verified."""
        folder = self.folder / f"{name}.audit"
        lines = [line for path in segments(folder) for line in whole_lines(path)]
        judged = verify(lines, [read_public_key(folder / "audit.pub.pem")])
        assert isinstance(judged, Verified), judged
        return [entry_of(line).action for line in lines]

    def stop(self) -> None:
        """Stop all."""
        for kme in self.kmes.values():
            kme.stop()
        for holder in self._holders.values():
            holder.close()


def _held_port() -> socket.socket:
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Return the three processes, running."""
    with running_server() as server:
        made = _cluster(tmp_path, server)
        try:
            made.start(*_NAMES)
            yield made
        finally:
            made.stop()


def _cluster(folder: Path, server: PostgresServer) -> Cluster:
    server.run("CREATE SCHEMA kme_a")
    return Cluster(folder, server.dsn("kme_a"))


Tell = Callable[[dict[str, float]], None]


@pytest.fixture
def tell(record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]) -> Tell:
    """Return what prints and records figures."""

    def one(figures: dict[str, float]) -> None:
        for name, figure in figures.items():
            record_property(name, figure)
        with capsys.disabled():
            sys.stdout.write("".join(f"\n  {name}: {figure:.2f}" for name, figure in figures.items()) + "\n")

    return one


class Got(NamedTuple):
    """A key as an SAE got it: when, at which process, its ID and bytes."""

    at_s: float
    name: str
    key_id: str
    key: bytes


class Load:
    """Clients in both directions: each key is fetched at the other end at once. Who gets no answer asks the other."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._stop, self._turn = cluster, threading.Event(), threading.Lock()
        self.given: list[Got] = []
        self.taken: list[Got] = []
        self.untaken: list[tuple[str, str]] = []
        self._threads = [threading.Thread(target=self._run, args=("ab"[n % 2],)) for n in range(_CLIENTS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, master: str) -> None:
        ways = {"a": ["a1", "a2"], "b": ["b"]}
        slave = "b" if master == "a" else "a"
        clients = {name: self._cluster.client(name) for name in _NAMES}
        while not self._stop.is_set():
            at = ways[master][0]
            try:
                keys = clients[at].enc_keys(f"sae-{slave}", number=2)
            except KeystrandError:
                ways[master].append(ways[master].pop(0))
                time.sleep(0.01)
                continue
            with self._turn:
                self.given += [Got(time.monotonic(), at, key.key_id, key.key.reveal()) for key in keys]
            for key in keys:
                self._fetch(clients, ways[slave], master, key.key_id)
        for client in clients.values():
            client.close()

    def _fetch(self, clients: dict[str, Client014], ways: list[str], master: str, key_id: str) -> None:
        for _ in range(2):
            at = ways[0]
            try:
                (key,) = clients[at].dec_keys(f"sae-{master}", [key_id])
            except KeystrandError:
                ways.append(ways.pop(0))
                continue
            with self._turn:
                self.taken.append(Got(time.monotonic(), at, key_id, key.key.reveal()))
            return
        with self._turn:
            self.untaken.append((master, key_id))

    def wait_for(self, name: str, since_s: float) -> None:
        """Wait until a process has both given and handed out keys since a time."""
        until_s = time.monotonic() + _PATIENCE_S
        while not all(any(one.name == name and one.at_s > since_s for one in got) for got in (self.given, self.taken)):
            assert time.monotonic() < until_s, f"nothing came from {name}"
            time.sleep(0.02)


def _gap_s(times: list[float], around_s: float) -> float:
    """Return how long nothing came around a time."""
    before = [at for at in times if at <= around_s]
    behind = [at for at in times if at > around_s]
    return min(behind) - max(before)


def test_the_other_goes_on_where_one_is_killed(cluster: Cluster, tell: Tell) -> None:
    """No key or ID is given twice at either end, both ends have the same, and the other process serves within seconds.

    What the killed one held is taken over, and when it is started again it serves beside the other.
    """
    with cluster.source("a1") as source:
        until_s = time.monotonic() + _PATIENCE_S
        while source.accepted_bits < 3_000_000:
            assert time.monotonic() < until_s, source.trouble
            time.sleep(0.05)
        with Load(cluster) as load:
            load.wait_for("a1", 0.0)
            begun_s = time.monotonic()
            time.sleep(_LOAD_S)
            killed_s = time.monotonic()
            cluster.kmes["a1"].kill()
            source.stop()
            load.wait_for("a2", killed_s)
            with cluster.source("a2"):
                time.sleep(_LOAD_S)
                ended_s = time.monotonic()
                cluster.start("a1")
                cluster.kmes["a2"].kill()
                load.wait_for("a1", time.monotonic())
    cluster.start("a2")
    given, taken = {one.key_id: one.key for one in load.given}, {one.key_id: one.key for one in load.taken}
    assert len(given) == len(load.given) == len(set(given.values()))
    assert len(taken) == len(load.taken) == len(set(taken.values()))
    assert all(given[key_id] == key for key_id, key in taken.items())
    assert cluster.kmes["a1"].stop() == cluster.kmes["a2"].stop() == cluster.kmes["b"].stop() == 0
    actions = {name: cluster.audited(name) for name in _NAMES}
    assert "take_over" in actions["a2"]
    told = {
        "gap of enc_keys at A, s": _gap_s([one.at_s for one in load.given if one.name != "b"], killed_s),
        "gap of dec_keys at A, s": _gap_s([one.at_s for one in load.taken if one.name != "b"], killed_s),
        "gap of enc_keys at B, s": _gap_s([one.at_s for one in load.given if one.name == "b"], killed_s),
        "keys/s before": sum(begun_s < one.at_s <= killed_s for one in load.taken) / (killed_s - begun_s),
        "keys/s behind": sum(killed_s < one.at_s <= ended_s for one in load.taken) / (ended_s - killed_s),
        "given, not fetched": float(len(load.untaken)),
    }
    tell(told)
    assert all(figure < _PATIENCE_S for name, figure in told.items() if name.startswith("gap"))


def _until_given(client: Client014, slave: str) -> Got:
    """Ask again and again until a key comes."""
    until_s, why = time.monotonic() + _PATIENCE_S, ""
    while time.monotonic() < until_s:
        try:
            (key,) = client.enc_keys(slave)
            return Got(time.monotonic(), "", key.key_id, key.key.reveal())
        except KeystrandError as error:
            why = error.message
            time.sleep(0.05)
    raise AssertionError(f"no key came: {why}")


def test_one_that_hangs_is_fenced_off(cluster: Cluster, tell: Tell) -> None:
    """A process stands still: the other goes on with what is free, has the rest after the lease, gives no key twice.

    When the first wakes up it can hand out nothing, says so, and ends.
    """
    hung = cluster.kmes["a1"]._child
    assert hung
    with cluster.source("a1") as source, cluster.client("a1") as first:
        until_s = time.monotonic() + _PATIENCE_S
        while source.accepted_bits < 300_000:
            assert time.monotonic() < until_s, source.trouble
            time.sleep(0.05)
        source.stop()
        keys = [_until_given(first, "sae-b") for _ in range(5)]
    with cluster.client("a2") as second, cluster.client("b") as other:
        hung.send_signal(signal.SIGSTOP)
        stopped_s = time.monotonic()
        try:
            keys += [_until_given(second, "sae-b")]
            own_s = keys[-1].at_s - stopped_s
            asked_s = time.monotonic()
            back = _until_given(other, "sae-a")
            tell({"gap of enc_keys at A, s": own_s, "gap of enc_keys at B, s": back.at_s - asked_s})
            until_s = time.monotonic() + _PATIENCE_S
            while "take_over" not in cluster.audited("a2"):
                assert time.monotonic() < until_s, "the lease did not end"
                time.sleep(0.1)
            keys += [_until_given(second, "sae-b") for _ in range(5)]
        finally:
            hung.send_signal(signal.SIGCONT)
        taken = other.dec_keys("sae-a", [key.key_id for key in keys])
        assert [key.key.reveal() for key in taken] == [key.key for key in keys]
        assert second.dec_keys("sae-b", [back.key_id])[0].key.reveal() == back.key
    assert len({key.key for key in (*keys, back)}) == len({key.key_id for key in (*keys, back)}) == 12
    assert hung.wait(_PATIENCE_S) == StoreFailure.exit_code
    assert "taken over" in cluster.kmes["a1"].log.read_text()
    assert "take_over" in cluster.audited("a2")
