"""A scan that touches only what is due gives what a whole one would, and says nothing that it does not know."""

import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12
from msgspec.structs import replace
from tests.app.test_inventory_pipeline import DAY, a_key, of
from tests.inventory.test_inventory_merge import an_estate

from keystrand.app import inventory_store
from keystrand.app.estate import OpenEstate
from keystrand.app.inventory import merge_again, scan_estate
from keystrand.edge.demo_endpoints import DemoEndpoints, Posture
from keystrand.edge.probes import tree
from keystrand.edge.probes.contents import Result, read_file
from keystrand.edge.probes.walk import File
from keystrand.edge.store.earlier import settled
from keystrand.model.errors import StoreFailure
from keystrand.model.estate import ProbeKind, ScanMode, Target
from keystrand.model.observation import Attempt, Outcome
from keystrand.model.stages import Observations

TICK_S = 0.03
"""Longer than what a file system's clock may be late by: what was written before is settled after it."""


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the paths of files as they are really read."""
    found: list[str] = []

    def told(path: str, shown: str, readers: Any) -> Result:
        found.append(shown)
        return read_file(path, shown, readers)

    monkeypatch.setattr(tree, "read_file", told)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> OpenEstate:
    """Return an estate whose one target is a folder: two files with keys, one spoiled, one that holds nothing."""
    top = tmp_path / "etc"
    (top / "sub").mkdir(parents=True)
    (top / "a.pem").write_bytes(a_key() + a_key())
    (top / "sub" / "b.pem").write_bytes(a_key())
    (top / "spoiled.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    (top / "notes").write_text("nothing here")
    time.sleep(TICK_S)
    return of(an_estate(target=(Target(id="etc", probe=ProbeKind.X509, system="shop", path="etc"),)), tmp_path)


def again(estate: OpenEstate, max_age: timedelta = timedelta(days=7), **options: Any) -> Observations:
    """Return the observations of an incremental scan into the same folder."""
    return scan_estate(estate, estate.folder / "out", as_of=DAY, max_age=max_age, **options).observations


def anew(estate: OpenEstate) -> Observations:
    """Return the observations of a whole scan into a folder of its own."""
    return scan_estate(estate, estate.folder / "anew", as_of=DAY).observations


def test_unchanged_files_are_not_read(folder: OpenEstate, reads: list[str]) -> None:
    """Not one, and the records, with the tally of the folder, are those of a whole scan; also the time after."""
    first = again(folder)
    assert len(reads) == 4
    reads.clear()
    for _ in range(2):
        assert again(folder).records == first.records
    assert reads == []


@pytest.mark.parametrize("broken", ["the document", "the merge"])
def test_after_a_run_that_did_not_end_nothing_is_taken_from_it(
    folder: OpenEstate, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """A full disk while documents are written: what was seen before is seen again, and never told as nothing."""
    again(folder)
    (folder.folder / "etc" / "late.pem").write_bytes(a_key())
    time.sleep(TICK_S)

    def full(*_: Any, **__: Any) -> Any:
        raise StoreFailure("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(inventory_store, "save_pieces" if broken == "the document" else "merged_asset", full)
        with pytest.raises(StoreFailure):
            again(folder)
    assert again(folder).records == anew(folder).records


def test_a_run_that_came_from_elsewhere_says_nothing_of_files(folder: OpenEstate) -> None:
    """Observations that were put in place of ours and merged: files that they do not name are read."""
    again(folder)
    document = folder.folder / "out" / "observations.jsonl"
    head, *lines = document.read_text().splitlines(keepends=True)
    document.write_text(head + "".join(line for line in lines if "b.pem" not in line))
    merge_again(folder, folder.folder / "out")
    assert again(folder).records == anew(folder).records


def test_only_what_changed_is_read(folder: OpenEstate, reads: list[str]) -> None:
    """One file with other content, one that is new, one that went, one that was moved: as a whole scan sees it."""
    again(folder)
    top = folder.folder / "etc"
    (top / "sub" / "b.pem").write_bytes(a_key())
    (top / "new.pem").write_bytes(a_key())
    (top / "spoiled.pem").unlink()
    (top / "notes").rename(top / "notes-moved")
    time.sleep(TICK_S)
    reads.clear()
    second = again(folder)
    assert sorted(reads) == ["etc/new.pem", "etc/notes-moved", "etc/sub/b.pem"]
    assert second.records == anew(folder).records


def test_a_file_with_another_name_inside_its_own_is_kept_apart(folder: OpenEstate, reads: list[str]) -> None:
    """Signs that mark a place inside a file may stand in names of files."""
    for name in ("a.pem#1", "a.pem!x", "a.pem:7", "a.pem@0x1", "a.pem#1#1"):
        (folder.folder / "etc" / name).write_bytes(a_key())
    time.sleep(TICK_S)
    whole = again(folder)
    (folder.folder / "etc" / "a.pem#1").unlink()
    reads.clear()
    assert again(folder).records == anew(folder).records
    assert len(whole.records) == len(anew(folder).records) + 2


def test_a_file_alone_is_known_too(folder: OpenEstate, reads: list[str]) -> None:
    """A target that is one file has no other attempt than its own."""
    target = Target(id="one", probe=ProbeKind.X509, system="shop", path="etc/a.pem")
    alone = folder._replace(estate=an_estate(target=(target,)))
    first = again(alone)
    reads.clear()
    assert again(alone).records == first.records
    assert reads == []


def test_what_was_changed_a_moment_before_the_scan_is_read_again(folder: OpenEstate, reads: list[str]) -> None:
    """A change in the same tick of the clock would not show: the file is not taken for known."""
    (folder.folder / "etc" / "a.pem").write_bytes(a_key())
    again(folder)
    reads.clear()
    time.sleep(TICK_S)
    again(folder)
    assert "etc/a.pem" in reads


@pytest.mark.parametrize(
    ("changed_s", "is_settled"),
    [(99.97, True), (99.99, False), (100.5, False), (97.0, True), (98.5, True), (99.0, False)],
)
def test_settled_by_the_clock_of_the_file_system(changed_s: float, is_settled: bool) -> None:  # noqa: FBT001 - a column
    """Within a tick of the scan's begin, or two seconds where only whole seconds are kept, nothing is settled."""
    stamp = round(changed_s * 1e9)
    status: Any = SimpleNamespace(st_mtime_ns=stamp, st_ctime_ns=stamp - 1000 * 10**9)
    old: Any = SimpleNamespace(st_mtime_ns=1, st_ctime_ns=1)
    assert settled(File("a", "a", status), 100 * 10**9) is is_settled
    assert settled(File("a", "a", old, (None, status)), 100 * 10**9) is is_settled


def test_a_log_is_read_again_when_one_that_is_read_with_it_changes(tmp_path: Path, reads: list[str]) -> None:
    """Zeek's conn.log takes its handshakes from the logs beside it: they may come, grow and go."""
    logs = tmp_path / "logs"
    logs.mkdir()
    for name in ("conn.log", "ssl.log", "x509.log"):
        (logs / name).write_text("{}\n")
    time.sleep(TICK_S)
    target = Target(id="logs", probe=ProbeKind.CAPTURE, system="shop", path="logs")
    estate = of(an_estate(target=(target,)), tmp_path)

    def read_now() -> list[str]:
        time.sleep(TICK_S)
        reads.clear()
        again(estate)
        return [name.removeprefix("logs/") for name in reads]

    assert read_now() == ["conn.log", "ssl.log", "x509.log"]
    assert read_now() == []
    (logs / "ssl.log").write_text("{}\n{}\n")
    assert read_now() == ["conn.log", "ssl.log"]
    (logs / "quic.log").write_text("{}\n")
    assert read_now() == ["conn.log", "quic.log", "ssl.log"]
    (logs / "quic.log").unlink()
    assert read_now() == ["conn.log", "ssl.log"]
    (logs / "conn.log").unlink()
    assert read_now() == ["ssl.log"]
    assert read_now() == []


def test_another_way_of_reading_reads_all(folder: OpenEstate, reads: list[str]) -> None:
    """A target of another kind at the same path is not answered from the earlier one's results."""
    again(folder)
    reads.clear()
    (target,) = folder.estate.target
    again(folder._replace(estate=an_estate(target=(replace(target, probe=ProbeKind.FILES),))))
    assert len(reads) == 4


def test_what_was_seen_in_part_is_always_due(folder: OpenEstate, reads: list[str]) -> None:
    """A locked store: another password of another day may open it."""
    key = ec.generate_private_key(ec.SECP256R1())
    locked = pkcs12.serialize_key_and_certificates(None, key, None, None, BestAvailableEncryption(b"secret"))
    (folder.folder / "etc" / "locked.p12").write_bytes(locked)
    time.sleep(TICK_S)
    first = again(folder)
    reads.clear()
    assert again(folder).records == first.records
    assert reads == ["etc/locked.p12"]


def test_without_an_earlier_run_all_is_due(folder: OpenEstate, reads: list[str]) -> None:
    """No store, or one whose only scan did not end."""
    again(folder)
    assert len(reads) == 4


def test_an_interrupted_incremental_scan_goes_on(folder: OpenEstate, reads: list[str]) -> None:
    """Both together: what was taken over before the interruption is not looked up again."""
    first = again(folder)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt(done, total)

    with pytest.raises(KeyboardInterrupt):
        again(folder, progress=stop)
    reads.clear()
    assert again(folder, resume=True).records == first.records
    assert reads == []


NAME = ("web.example", 443)


def ends(observations: Observations) -> list[Outcome]:
    """Return how the work on each endpoint ended."""
    return [r.outcome for r in observations.records if isinstance(r, Attempt)]


def web(folder: Path, **changes: Any) -> OpenEstate:
    """Return an estate with one server."""
    target = Target(id="web", probe=ProbeKind.TLS, system="shop", host=NAME[0], port=NAME[1])
    return of(an_estate(target=(replace(target, **changes),)), folder)


@pytest.mark.system
def test_an_endpoint_is_asked_again_only_when_its_answer_is_old(tmp_path: Path) -> None:
    """Within the age nobody is contacted: the server may be gone. Beyond it, or asked in another way, it is."""
    with DemoEndpoints({NAME: Posture.TLS_HYBRID}) as server:
        first = again(web(tmp_path), connect_to=server.connect_to)
    assert ends(first) == [Outcome.SEEN]
    assert again(web(tmp_path), connect_to=server.connect_to).records == first.records
    assert again(web(tmp_path), connect_to=server.connect_to, max_age=timedelta(minutes=5)).records == first.records
    quick = again(web(tmp_path, mode=ScanMode.QUICK), connect_to=server.connect_to)
    assert ends(quick) == [Outcome.UNREACHABLE]


@pytest.mark.system
def test_an_old_answer_and_one_of_a_stand_in_are_not_taken(tmp_path: Path) -> None:
    """Nothing of the past speaks for an endpoint that does not answer now; nor a stand-in for the real one."""
    with DemoEndpoints({NAME: Posture.TLS_HYBRID}) as server:
        again(web(tmp_path), connect_to=server.connect_to)
    assert ends(again(web(tmp_path))) == [Outcome.UNREACHABLE]
    with DemoEndpoints({NAME: Posture.TLS_HYBRID}) as server:
        again(web(tmp_path), connect_to=server.connect_to)
    assert ends(again(web(tmp_path), connect_to=server.connect_to, max_age=timedelta())) == [Outcome.UNREACHABLE]


@pytest.mark.system
def test_taking_over_does_not_make_an_answer_younger(tmp_path: Path) -> None:
    """The age counts from when the endpoint was really asked, however often its answer was used since."""
    with DemoEndpoints({NAME: Posture.TLS_HYBRID}) as server:
        again(web(tmp_path), connect_to=server.connect_to)
    found = []
    for _ in range(4):
        time.sleep(1.1)
        found += ends(again(web(tmp_path), connect_to=server.connect_to, max_age=timedelta(seconds=3)))
    assert found[0] is Outcome.SEEN
    assert found[-1] is Outcome.UNREACHABLE


@pytest.mark.system
def test_what_did_not_answer_is_due(tmp_path: Path) -> None:
    """An endpoint that was unreachable is asked again at once, however young that answer is."""
    with DemoEndpoints({NAME: Posture.TLS_HYBRID}) as server:
        again(web(tmp_path), connect_to=server.connect_to | {NAME: ("127.0.0.1", 1)})
        assert ends(again(web(tmp_path), connect_to=server.connect_to)) == [Outcome.SEEN]
