"""RPM: packages in its database and signatures in its files, against rpm itself where it is installed."""

import shutil
import sqlite3
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystrand.edge.probes.rpm_database import READER
from keystrand.formats.key_reading import read
from keystrand.formats.rpm_header import LEAD, package_of, signatures
from keystrand.model.algorithm import Function
from keystrand.model.observation import AlgorithmUse, Library, Outcome, Strength


def header(values: list[tuple[int, int, bytes]]) -> bytes:
    """Return the entries of a header with their data, as RPM lays them out."""
    entries, data = b"", b""
    for tag, kind, value in values:
        entries += struct.pack(">4I", tag, kind, len(data), len(value) if kind == 7 else 1)
        data += value
    return struct.pack(">2I", len(values), len(data)) + entries + data


def named(name: str, version: str, release: str) -> bytes:
    """Return a header as the database keeps it."""
    texts = zip((1000, 1001, 1002), (name, version, release), strict=True)
    return header([(tag, 6, text.encode() + b"\0") for tag, text in texts])


@pytest.mark.parametrize(
    "statements",
    [
        ("CREATE VIEW Packages AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
         " SELECT x AS hnum, x'00' AS blob FROM c",),
        ("CREATE TABLE Packages(hnum INTEGER PRIMARY KEY, blob AS (zeroblob(900000000)))",
         "INSERT INTO Packages(hnum) VALUES(1), (2), (3)"),
        ("CREATE TABLE Other(hnum INTEGER PRIMARY KEY, blob BLOB)",),
    ],
    ids=["a view without end", "a column that is computed", "another table"],
)  # fmt: skip
def test_a_database_that_computes_is_not_read(statements: tuple[str, ...]) -> None:
    """A view named as the table would go on for ever; its rows would fill the memory."""
    with sqlite3.connect(":memory:") as database:
        for statement in statements:
            database.execute(statement)
        database.commit()
        content = database.serialize()
    assert READER.read("rpmdb.sqlite", content).outcome is Outcome.UNPARSABLE


def test_a_value_that_many_entries_share_is_read_once() -> None:
    """A package of a few megabytes must not unfold to as many times them as its header has entries."""
    shared = bytes(4 * 1024**2)
    entries = b"".join(struct.pack(">4I", 267 + n % 2, 7, 0, len(shared)) for n in range(60_000))
    content = LEAD.ljust(96, b"\0") + b"\x8e\xad\xe8\1" + bytes(4) + struct.pack(">2I", 60_000, len(shared))
    assert signatures(content + entries + shared) == (shared, shared)


def test_name_version_and_release() -> None:
    """The three texts are those of the header; a blob of something else is no package."""
    assert package_of(named("openssl-libs", "3.2.2", "6.el9")) == ("openssl-libs", "3.2.2-6.el9")
    assert package_of(b"something else") == ("", "")


def test_a_database_names_its_cryptographic_libraries(tmp_path: Path) -> None:
    """SQLite as RPM writes it: libraries by package URL; a database that is cut off says so."""
    path = tmp_path / "rpmdb.sqlite"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
    rows = [(named("gnutls", "3.8.3", "4.el9"),), (named("bash", "5.1", "1"),), (b"damaged",)]
    database.executemany("INSERT INTO Packages (blob) VALUES (?)", rows)
    database.commit()
    database.close()
    content = path.read_bytes()
    assert READER.wants("var/lib/rpm/rpmdb.sqlite", content[:4096])
    (found,) = READER.read(str(path), content).found
    assert found.strength is Strength.REFERENCED
    assert found.fact == Library(name="gnutls", version="3.8.3-4.el9", purl="pkg:rpm/gnutls@3.8.3-4.el9")
    assert READER.read(str(path), content[:100]).outcome is Outcome.UNPARSABLE


@pytest.mark.skipif(not (shutil.which("rpmbuild") and shutil.which("rpm")), reason="rpm is not installed")
def test_rpms_own_database(tmp_path: Path) -> None:
    """A package that rpmbuild makes and rpm enters into its database is found there in the version it has."""
    (tmp_path / "a.spec").write_text(
        "Name: gnutls\nVersion: 9.8.7\nRelease: 6\nSummary: s\nLicense: x\nBuildArch: noarch\n%description\nd\n%files\n"
    )
    top = ["--define", f"_topdir {tmp_path}", "--define", f"_dbpath {tmp_path}/db", "--define", "_db_backend sqlite"]
    subprocess.run(["rpmbuild", "-bb", *top, "a.spec"], check=True, capture_output=True, cwd=tmp_path)
    (package,) = tmp_path.glob("RPMS/noarch/*.rpm")
    subprocess.run(["rpm", "-i", "--justdb", "--nodeps", *top, str(package)], check=True, capture_output=True)
    content = (tmp_path / "db" / "rpmdb.sqlite").read_bytes()
    (found,) = READER.read("db/rpmdb.sqlite", content).found
    assert found.fact == Library(name="gnutls", version="9.8.7-6", purl="pkg:rpm/gnutls@9.8.7-6")
    assert signatures(package.read_bytes()) == ()


def test_who_signed_a_package_file_by_algorithm() -> None:
    """The signature header's OpenPGP packet names RSA; a file whose header is damaged says so."""
    body = bytes([4, 0, 1, 8]) + bytes(20)
    packet = bytes([0xC2, len(body)]) + body
    content = LEAD + bytes(92) + b"\x8e\xad\xe8\x01" + bytes(4) + header([(1000, 4, bytes(4)), (268, 7, packet)])
    assert [one.fact for one in read("a.rpm", content).found] == [
        AlgorithmUse(algorithm="RSA", function=Function.SIGNATURE)
    ]
    assert read("a.rpm", content[:100]).outcome is Outcome.UNPARSABLE


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_random_headers_never_raise(octets: bytes) -> None:
    """Whatever the octets, there is a package, none, or a gap."""
    assert len(package_of(octets)) == 2
    reading = read("a.rpm", LEAD + bytes(92) + b"\x8e\xad\xe8\x01" + bytes(4) + octets)
    assert reading.outcome in (Outcome.NONE, Outcome.SEEN, Outcome.UNPARSABLE)
