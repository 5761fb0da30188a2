"""RPM's database of installed packages, in the form of SQLite (since RPM 4.16): cryptographic libraries in it."""

import sqlite3
from collections.abc import Iterator

from keystrand.edge.probes.programs import shipped_libraries
from keystrand.formats.libraries import Package
from keystrand.formats.rpm_header import package_of
from keystrand.model.observation import Outcome, Strength
from keystrand.model.reading import FileReader, Found, Reading


def _wants(path: str, head: bytes) -> bool:
    return path.endswith("rpmdb.sqlite") and head.startswith(b"SQLite format 3\0")


MAX_STEPS = 2_000
"""Ten thousand instructions of SQLite each, at most: a database of 64 MiB takes some hundred."""
_PLAIN = (
    "SELECT 1 FROM sqlite_schema WHERE name = 'Packages' AND type = 'table' AND rootpage > 0"
    " AND NOT EXISTS(SELECT 1 FROM pragma_table_xinfo('Packages') WHERE hidden > 0)"
)
"""Whether it is a table of its own: a view, or a column that is computed, could go on without end."""


def _read(path: str, content: bytes) -> Reading:  # noqa: ARG001 - the form of every reader
    database = sqlite3.connect(":memory:")
    try:
        # SQLite opens one with a log beside it (WAL) in memory only as one without; what is in the log is not seen
        database.deserialize(content[:18] + b"\1\1" + content[20:])
        packages = (Package("rpm", *package_of(blob)) for blob in _blobs(database, len(content)))
        libraries = dict.fromkeys(library for one in packages if (library := shipped_libraries().library_of(one)))
    except (sqlite3.Error, OverflowError):
        return Reading(outcome=Outcome.UNPARSABLE, reason="a database of RPM that cannot be read")
    finally:
        database.close()
    found = tuple(Found("", Strength.REFERENCED, library) for library in libraries)
    return Reading(found, Outcome.SEEN) if found else Reading()


def _blobs(database: sqlite3.Connection, octets: int) -> Iterator[bytes]:
    """Yield the headers of packages. Raises `sqlite3.Error` where they take more than a database so large can hold."""
    steps = iter(range(MAX_STEPS))
    database.set_progress_handler(lambda: next(steps, None) is None, 10_000)
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, octets)
    if not database.execute(_PLAIN).fetchone():
        raise sqlite3.DatabaseError("no plain table of packages")
    for (blob,) in database.execute("SELECT blob FROM Packages"):
        if isinstance(blob, bytes):
            octets -= len(blob)
            yield blob
        if octets < 0:  # rows may share their pages
            raise sqlite3.DatabaseError("more than there is room for")


READER = FileReader("binary", _wants, _read)
