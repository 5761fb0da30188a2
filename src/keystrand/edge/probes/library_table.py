"""The table of cryptographic libraries that comes with the package."""

from functools import cache
from importlib.resources import files

from keystrand.formats.libraries import KnownLibraries, known_libraries


@cache
def shipped_libraries() -> KnownLibraries:
    """Return the table, read once."""
    return known_libraries((files("keystrand.edge.probes") / "libraries.toml").read_bytes())
