"""RPM's database of installed packages, in the form of SQLite (since RPM 4.16): cryptographic libraries in it."""

import sqlite3

from keystrand.edge.probes.programs import shipped_libraries
from keystrand.formats.libraries import Package
from keystrand.formats.rpm_header import package_of
from keystrand.model.observation import Outcome, Strength
from keystrand.model.reading import FileReader, Found, Reading


def _wants(path: str, head: bytes) -> bool:
    return path.endswith("rpmdb.sqlite") and head.startswith(b"SQLite format 3\0")


def _read(path: str, content: bytes) -> Reading:  # noqa: ARG001 - the form of every reader
    database = sqlite3.connect(":memory:")
    try:
        # SQLite opens one with a log beside it (WAL) in memory only as one without; what is in the log is not seen
        database.deserialize(content[:18] + b"\1\1" + content[20:])
        blobs = [blob for (blob,) in database.execute("SELECT blob FROM Packages ORDER BY hnum")]
    except (sqlite3.Error, OverflowError):
        return Reading(outcome=Outcome.UNPARSABLE, reason="a database of RPM that cannot be read")
    finally:
        database.close()
    packages = (Package("rpm", *package_of(blob)) for blob in blobs if isinstance(blob, bytes))
    libraries = dict.fromkeys(library for one in packages if (library := shipped_libraries().library_of(one)))
    found = tuple(Found("", Strength.REFERENCED, library) for library in libraries)
    return Reading(found, Outcome.SEEN) if found else Reading()


READER = FileReader("binary", _wants, _read)
