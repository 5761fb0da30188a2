"""Ready questions: right on an estate whose answers are known, and the same from SQLite and from DuckDB."""

from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from msgspec.structs import replace
from tests.app.test_inventory_pipeline import document
from tests.inventory.test_inventory_drift import (
    BEFORE,
    OTHER,
    ROOT,
    SHARED,
    TARGETS,
    certificate,
    digest,
    ended,
    in_file,
    server,
)
from tests.inventory.test_inventory_merge import an_estate, record_lists, system

from keystrand.app.estate import OpenEstate
from keystrand.app.inventory import merge_again
from keystrand.app.inventory_coverage import read_inventory, unknown_share
from keystrand.app.query import answer, export_parquet, question_rows
from keystrand.edge.analytics.questions import host_of, questions
from keystrand.formats.documents import encode
from keystrand.model.document import InputRef
from keystrand.model.errors import InvalidInput, MissingInput, StoreFailure
from keystrand.model.estate import Owners
from keystrand.model.observation import Attempt, Flow, Outcome, PublicKey, Record

DAY = date(2026, 11, 24)


def flow(client: str, server_: str, group: str = "X25519", **counts: Any) -> Flow:
    """Return traffic to port 443."""
    return Flow(
        client=client, server=server_, port=443, transport="tcp", protocol="tls", key_establishment=group, **counts
    )


RECORDS: list[Record] = [
    *BEFORE,
    *in_file("etc/host.key", PublicKey(sha256="e" * 64, algorithm="RSA-2048", private_part_present=True)),
    *in_file("etc/host.pub", PublicKey(sha256="e" * 64, algorithm="RSA-2048")),
    *in_file("etc/long.pem", certificate(5, subject="CN=long", not_after=date(2036, 1, 1))),
    *in_file("etc/test.py", replace(digest("SHA-1"), in_tests=True)),
    *in_file(
        "etc/seen",
        flow("10.0.0.1", "10.0.0.9", octets_to_server=10, octets_to_client=5, packets=3),
        flow("10.0.0.2", "10.0.0.9", octets_to_server=100),
        flow("10.0.0.1", "10.0.0.8", "X25519MLKEM768", octets_to_client=10**9),
    ),
]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run whose answers are known; the shop's keys have an owner, the bank's have none."""
    systems = (system("shop", owners=Owners(keys="team-shop")), system("bank"), system("archive"))
    return merged_into(tmp_path_factory.mktemp("out"), RECORDS, an_estate(system=systems, target=TARGETS))


def merged_into(folder: Path, records: list[Record], estate: Any) -> Path:
    """Return `folder` with the inventory of `records` in it."""
    ref = InputRef(kind="estate", content_sha256="c" * 64, file_sha256="d" * 64)
    opened = OpenEstate(estate, folder, ref)
    (folder / "observations.jsonl").write_bytes(encode(document(tuple(records), opened)))
    merge_again(opened, folder)
    return folder


def picked(rows: list[dict[str, Any]], *columns: str) -> list[tuple[Any, ...]]:
    """Return some columns of rows."""
    return [tuple(row[column] for column in columns) for row in rows]


def ask(out: Path, name: str, days: int | None = None) -> list[dict[str, Any]]:
    """Return an answer as of the day of the scan."""
    return answer(out, name, as_of=DAY, days=days)


def test_long_lived_certificates(out: Path) -> None:
    """The leaf of ten years; an authority's is none, and 365 days are not long unless asked so."""
    assert picked(ask(out, "long-lived-certificates"), "subject", "valid_for_days") == [("CN=long", 3652)]
    assert len(ask(out, "long-lived-certificates", days=364)) == 3


def test_expiring_certificates(out: Path) -> None:
    """Those of the coming days, told apart from those that have expired by the day asked for."""
    assert {row["subject"] for row in ask(out, "expiring")} == {"CN=shop", "CN=other", "CN=ca"}
    assert ask(out, "expiring", days=10) == []
    late = answer(out, "expiring", as_of=date(2027, 6, 1))
    assert {row["state"] for row in late} == {"expired"}


def test_shared_keys_and_certificates(out: Path) -> None:
    """The shop's certificate is on two servers and in a file with its key; an authority's is meant to be everywhere."""
    shared = {row["key_sha256"]: (row["certificates"], row["hosts"]) for row in ask(out, "shared-keys")}
    assert ROOT.spki_sha256 not in shared
    assert shared == {SHARED.spki_sha256: (1, 3)}
    assert picked(ask(out, "reused-certificates"), "subject", "hosts") == [("CN=shop", 3)]


def test_rsa_by_owner(out: Path) -> None:
    """What nobody owns is a row of its own."""
    rows = {row["owner"]: (row["certificates"], row["keys"]) for row in ask(out, "rsa-by-owner")}
    assert rows == {"team-shop": (3, 0), "nobody": (2, 2)}
    assert OTHER.key_algorithm.startswith("RSA")


def test_what_is_not_post_quantum(out: Path) -> None:
    """Each asset counts once in a system, whatever the number of places."""
    rows = {row["system"]: row for row in ask(out, "not-post-quantum")}
    assert set(rows) == {"shop", "bank"}
    assert rows["bank"]["safe"] == 3  # two SHA-256 and one flow


def test_the_unknown_share_counts_what_was_not_seen(tmp_path: Path) -> None:
    """A server that did not answer stays in the denominator."""
    records = [*server("a.example", SHARED), ended("b.example", Outcome.UNREACHABLE, "no route")]
    merged_into(tmp_path, records, an_estate(target=TARGETS))
    ((name, attempts, without, share),) = picked(
        ask(tmp_path, "unknown-share"), "system", "looked_at", "not_known", "not_known_share"
    )
    assert (name, attempts, without, share) == ("shop", 2, 1, 0.5)


def test_the_unknown_share_is_that_of_the_scans_first_line(tmp_path: Path) -> None:
    """Files are counted by their folder's tally, not again by what is told of single ones; nothing found is known."""
    tally = ((Outcome.SEEN, 1), (Outcome.NONE, 6), (Outcome.UNREADABLE, 2), (Outcome.UNPARSABLE, 1))
    folder = replace(ended("b.example", Outcome.SEEN, ""), target="files", place="file:etc", counts=tally)
    locked = replace(folder, place="file:etc/locked", outcome=Outcome.UNREADABLE, reason="locked", counts=())
    records = [
        *server("a.example", SHARED), ended("b.example", Outcome.UNREACHABLE, "no route"),
        ended("c.example", Outcome.NONE, ""), folder, locked,
    ]  # fmt: skip
    merged_into(tmp_path, records, an_estate(target=TARGETS))
    counted = [(row["looked_at"], row["not_known"]) for row in ask(tmp_path, "unknown-share")]
    told = unknown_share(read_inventory(tmp_path))
    looked_at, unknown = (sum(column) for column in zip(*counted, strict=True))
    assert told.startswith(f"unknown: {unknown} of {looked_at} endpoints and files")
    assert (looked_at, unknown) == (13, 4)


def test_weak_hashes(out: Path) -> None:
    """MD5 in a program; SHA-1 in test code is left aside, SHA-256 is not weak."""
    assert picked(ask(out, "weak-hashes"), "algorithm", "place") == [("MD5", "file:etc/app.py:2")]


def test_private_keys(out: Path) -> None:
    """Where the private part lies, and not where only the public one does."""
    assert picked(ask(out, "private-keys-in-files"), "place") == [("file:etc/host.key#1",)]


def test_exposed_traffic(out: Path) -> None:
    """Summed by server; what is post-quantum already is not exposed, however much it is."""
    rows = picked(ask(out, "exposed-traffic"), "server", "clients", "octets", "packets")
    assert rows == [("10.0.0.9", 2, 115, 3)]


def test_old_versions(tmp_path: Path) -> None:
    """TLS 1.0 beside 1.2 is found, 1.2 and 1.3 alone are not."""
    old = server("a.example", SHARED, versions=("TLS 1.0", "TLS 1.2"))
    merged_into(tmp_path, [*old, *server("b.example", SHARED)], an_estate(target=TARGETS))
    assert picked(ask(tmp_path, "old-versions"), "host") == [("a.example",)]


def test_duckdb_answers_as_sqlite_does(out: Path, tmp_path: Path) -> None:
    """Every ready question, over the same estate, row by row."""
    counts = export_parquet(out, tmp_path / "it's here")
    assert counts["certificates"] == 4
    assert {path.name for path in (tmp_path / "it's here").iterdir()} == {f"{name}.parquet" for name in counts}
    for one in questions():
        assert answer(out, one.id, as_of=DAY, parquet=tmp_path / "it's here") == ask(out, one.id), one.id


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(record_lists)
def test_both_agree_on_anything(tmp_path_factory: pytest.TempPathFactory, records: list[Record]) -> None:
    """Whatever was seen, also nothing: the same rows."""
    folder = merged_into(tmp_path_factory.mktemp("out"), records, an_estate())
    export_parquet(folder, folder / "parquet")
    for one in questions():
        assert answer(folder, one.id, as_of=DAY, parquet=folder / "parquet") == ask(folder, one.id), one.id


def test_every_question_says_what_it_asks() -> None:
    """Ids differ; a number of days has its reason, and the words say where it goes."""
    assert max(Counter(row["question"] for row in question_rows()).values()) == 1
    for one in questions():
        assert one.asks.endswith("?")
        assert (one.days is not None) == bool(one.why) == ("$days" in one.asks)


def test_what_cannot_be_asked_is_told(out: Path, tmp_path: Path) -> None:
    """No such question, days where none are asked for, a day beyond the calendar, no store, no export."""
    with pytest.raises(InvalidInput, match="no question") as unknown:
        ask(out, "everything")
    assert "weak-hashes" in unknown.value.hint
    with pytest.raises(InvalidInput, match="no number of days"):
        ask(out, "weak-hashes", days=1)
    with pytest.raises(InvalidInput, match="calendar"):
        ask(out, "expiring", days=10**9)
    with pytest.raises(MissingInput, match="does not exist"):
        ask(tmp_path, "expiring")
    with pytest.raises(MissingInput, match="parquet"):
        answer(out, "expiring", as_of=DAY, parquet=tmp_path)
    for name in export_parquet(out, tmp_path / "p"):
        (tmp_path / "p" / f"{name}.parquet").write_bytes(b"spoiled")
    with pytest.raises(StoreFailure, match="DuckDB failed"):
        answer(out, "expiring", as_of=DAY, parquet=tmp_path / "p")
    with pytest.raises(StoreFailure, match="could not be written"):
        export_parquet(out, Path("/dev/null/p"))


@pytest.mark.parametrize(
    ("place", "host"),
    [
        ("tls://web.example:443", "web.example"),
        ("tls://[2001:db8::1]:443", "[2001:db8::1]"),
        ("dns://example.org", "example.org"),
        ("file:a/b.pem#1", "files of t"),
        ("tls://[torn", "[torn]"),
        ("", "files of t"),
    ],
)
def test_the_host_of_a_place(place: str, host: str) -> None:
    """An address keeps its brackets; what is in files belongs to the target that names them."""
    assert host_of(place, "t") == host


def test_an_attempt_alone_is_no_finding(tmp_path: Path) -> None:
    """A run that saw nothing answers every question without failing."""
    nothing = Attempt(target="a", probe="tls", place="tls://a.example:443", outcome=Outcome.TIMED_OUT, reason="5 s")
    merged_into(tmp_path, [nothing], an_estate(target=TARGETS))
    assert {one.id for one in questions() if ask(tmp_path, one.id)} == {"unknown-share"}
