"""The inventory's store: idempotent, whole after a kill, told when it is full, busy, foreign or too new."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.edge.store import observations as module
from keystrand.edge.store.observation_reads import by_identity, records_of, targets_of
from keystrand.edge.store.observations import ObservationStore, opened
from keystrand.formats.documents import encode_record
from keystrand.inventory.identity import canonical, identified
from keystrand.model.algorithm import Function
from keystrand.model.document import InputRef
from keystrand.model.errors import StoreFailure, UnsupportedFormat
from keystrand.model.observation import AlgorithmUse, Attempt, Certificate, Observation, Outcome, Record, Strength

NOW = datetime(2026, 11, 26, tzinfo=UTC).isoformat()
REF = InputRef(kind="observations", content_sha256="0" * 64, file_sha256="1" * 64)


def certificate(number: int) -> Certificate:
    """Return one of many certificates."""
    return Certificate(
        sha256=f"{number:064x}", spki_sha256=f"{number % 7:064x}", subject=f"CN={number}", issuer="CN=ca",
        serial=str(number), not_before=date(2026, 1, 1), not_after=date(2027, 1, 1),
        signature_algorithm="RSA-2048", key_algorithm="RSA-2048",
    )  # fmt: skip


def seen(fact: Any, place: str, *, target: str = "web", strength: Strength = Strength.OFFERED) -> Observation:
    """Return one observation, of a report where the place is in one."""
    probe = "report" if ".json!" in place else "tls"
    return Observation(target=target, probe=probe, place=place, strength=strength, fact=fact)


facts = st.one_of(
    st.builds(certificate, st.integers(0, 3)),
    st.builds(AlgorithmUse, algorithm=st.sampled_from(("MD5", "SHA-1")), function=st.just(Function.DIGEST)),
)
told = ("file:r.json!file:a.py:1", "file:r.json!file:a.py:2", "file:r.json!tls://a:443")
places = st.sampled_from(
    ("tls://a:443", "tls://A:443", "file:a.py:1", "file:a.py:2", "file:a.py:30", "file:a.pem#1", *told)
)
record_lists = st.lists(
    st.one_of(
        st.builds(seen, facts, places, target=st.sampled_from(("web", "shell")), strength=st.sampled_from(Strength)),
        st.builds(
            Attempt, target=st.sampled_from(("web", "shell")), probe=st.just("tls"), place=places,
            outcome=st.sampled_from(Outcome), reason=st.sampled_from(("", "wo\nrds \N{GREEK SMALL LETTER ALPHA}")),
            counts=st.sampled_from(((), ((Outcome.SEEN, 3),))),
        ),
    ),
    max_size=12,
)  # fmt: skip


def kept(store: ObservationStore, records: Iterable[Record]) -> int:
    """Put records in as a run of its own that ends, and return its number."""
    with store.transaction():
        run = store.begin_run(estate="e", tool="t", begun=NOW)
        store.take(run, records)
        store.end_run(run, document=REF, ended=NOW)
    return run


def everything(store: ObservationStore) -> list[Any]:
    """Return all rows of all tables that a scan fills."""
    tables = ("identity", "fact", "spot", "observation", "attempt")
    return [store.db.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in tables]  # noqa: S608 - our own names


@given(record_lists)
def test_what_comes_out_is_what_went_in(tmp_path_factory: pytest.TempPathFactory, records: list[Record]) -> None:
    """Every record once, in the order of the document; grouped by identity as the pure way does it."""
    with opened(tmp_path_factory.mktemp("s") / "s.db") as store:
        run = kept(store, records)
        out = list(records_of(store, run))
        assert out == sorted(set(records), key=lambda r: (r.target, r.place, encode_record(r)))
        grouped = identified({canonical(r) for r in records if isinstance(r, Observation)})
        found = {one.name: {seen_ for _, seen_ in one.seen} for one in by_identity(store, run)}
        assert list(found) == sorted(grouped)
        assert found == {name: set(group) for name, group in grouped.items()}
        assert targets_of(store, run) == {r.target for r in records}


@given(record_lists)
def test_the_same_records_again_change_nothing(tmp_path_factory: pytest.TempPathFactory, records: list[Record]) -> None:
    """Twice in one run: the same rows. In a later run: rows only say that they were there again."""
    with opened(tmp_path_factory.mktemp("s") / "s.db") as store:
        run = kept(store, records)
        before = everything(store)
        with store.transaction():
            store.take(run, reversed(records))
        assert everything(store) == before
        later = kept(store, records)
        for then, now in zip(before, everything(store), strict=True):
            assert len(then) == len(now)
        assert list(records_of(store, run)) == []
        assert len(list(records_of(store, later))) == len(set(records))
        assert {row[-2:] for row in everything(store)[3]} <= {(run, later)}


def test_what_a_later_run_did_not_see_stays(tmp_path: Path) -> None:
    """Nothing is removed: the row keeps when it was first and last seen, and is no part of the later run."""
    with opened(tmp_path / "s.db") as store:
        first = kept(store, [seen(certificate(1), "tls://a:443"), seen(certificate(2), "tls://a:443")])
        second = kept(store, [seen(certificate(2), "tls://a:443"), seen(certificate(3), "tls://a:443")])
        rows = store.db.execute("SELECT first_run, last_run FROM observation ORDER BY 1, 2").fetchall()
        assert rows == [(first, first), (first, second), (second, second)]
        assert [name[-1] for _, name, _ in by_identity(store, second)] == ["2", "3"]


def test_a_line_that_moves_is_the_same_thing(tmp_path: Path) -> None:
    """The second MD5 of a file stays the second wherever it stands; its place is new, its identity is not."""
    use = AlgorithmUse(algorithm="MD5", function=Function.DIGEST)
    with opened(tmp_path / "s.db") as store:
        one = kept(store, [seen(use, f"file:a.py:{line}") for line in (12, 9)])
        before = [name for _, name, _ in by_identity(store, one)]
        two = kept(store, [seen(use, f"file:a.py:{line}") for line in (10, 40)])
        assert [name for _, name, _ in by_identity(store, two)] == before
        assert len(before) == 2


def test_a_later_version_is_refused_clearly(tmp_path: Path) -> None:
    """A store that a later release wrote is neither read wrongly nor changed."""
    path = tmp_path / "s.db"
    with opened(path):
        pass
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(UnsupportedFormat, match="has version 99"), opened(path):
        pass


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    """Its tables stay what they are."""
    path = tmp_path / "s.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs(x)")
    db.close()
    with pytest.raises(StoreFailure, match="another program"), opened(path):
        pass
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
    db.close()


def test_what_is_no_database_is_told(tmp_path: Path) -> None:
    """A damaged file has a next step."""
    path = tmp_path / "s.db"
    path.write_bytes(b"not a database, and long enough to have a header of its own" * 20)
    with pytest.raises(StoreFailure, match="damaged") as told, opened(path):
        pass
    assert "merge DIR" in told.value.hint


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A path through a file."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreFailure, match="could not be used"), opened(tmp_path / "file" / "s.db"):
        pass


def test_two_writers_take_turns_or_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the first, and is told where that takes too long; a reader is never kept out."""
    monkeypatch.setattr(module, "WAIT_S", 0.05)
    with opened(tmp_path / "s.db") as one, opened(tmp_path / "s.db") as two:
        run = kept(one, [seen(certificate(1), "tls://a:443")])
        with one.transaction():
            one.begin_run(estate="e", tool="t", begun=NOW)
            with pytest.raises(StoreFailure, match="another process"), two.transaction():
                pass
            assert len(list(records_of(two, run))) == 1
        assert kept(two, [seen(certificate(2), "tls://a:443")]) > run


def test_a_full_disk_is_told_and_nothing_is_half_there(tmp_path: Path) -> None:
    """What did not fit is taken back whole."""
    with opened(tmp_path / "s.db") as store:
        run = kept(store, [seen(certificate(0), "tls://a:443")])
        before = everything(store)
        (pages,) = store.db.execute("PRAGMA page_count").fetchone()
        store.db.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StoreFailure, match="full"):
            kept(store, (seen(certificate(n), f"tls://a{n}:443") for n in range(2000)))
        store.db.execute("PRAGMA max_page_count = 1000000")
        assert everything(store) == before
        last = store.last_run()
        assert last
        assert last.id == run


_CHILD = """
import sys
from pathlib import Path
from tests.edge.store.test_observation_store import kept, seen, certificate
from keystrand.edge.store.observations import opened
with opened(Path(sys.argv[1])) as store:
    print("ready", flush=True)
    while True:
        kept(store, [seen(certificate(n), f"tls://a{n}:443") for n in range(300)])
"""


@pytest.mark.parametrize("turn", range(4))
def test_a_kill_at_any_moment_leaves_it_whole(tmp_path: Path, turn: int) -> None:
    """After SIGKILL in the middle of writing every run that ended is complete and the database is sound."""
    path, root = tmp_path / "s.db", Path(__file__).parents[3]
    environment = os.environ | {"PYTHONPATH": f"{root}:{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-c", _CHILD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout
        assert child.stdout.readline() == b"ready\n"
        time.sleep(0.1 + random.Random(turn).random() * 0.2)
        child.send_signal(signal.SIGKILL)
    with opened(path) as store:
        assert store.db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        last = store.last_run()
        assert last
        assert len(list(records_of(store, last.id))) == 300
        assert (
            len(list(records_of(store, kept(store, [seen(certificate(n), f"tls://a{n}:443") for n in range(300)]))))
            == 300
        )
