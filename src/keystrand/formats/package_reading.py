"""Cryptographic libraries in lists of packages, as a reader of files gives them."""

from keystrand.formats.libraries import KnownLibraries
from keystrand.formats.package_lists import MAX_OCTETS, list_reader
from keystrand.model.observation import Outcome, Strength
from keystrand.model.reading import Found, Reading


def wants(path: str, head: bytes) -> bool:  # noqa: ARG001 - the form of every reader's question
    """Return whether the file's name is that of a list of packages."""
    return list_reader(path) is not None


def read(path: str, content: bytes, known: KnownLibraries) -> Reading:
    """Return the cryptographic libraries in a list of packages, each at its line where it has one."""
    reader = list_reader(path)
    if reader is None:
        return Reading()
    if len(content) > MAX_OCTETS:
        return Reading(outcome=Outcome.SKIPPED, reason=f"a list of packages of more than {MAX_OCTETS} octets")
    found: dict[Found, None] = {}
    for package in reader(content):
        if library := known.library_of(package):
            found[Found(f":{package.line}" if package.line else "", Strength.REFERENCED, library)] = None
    return Reading(tuple(found), Outcome.SEEN) if found else Reading()
