"""Which packages and shared libraries are cryptographic: a table of names that a caller brings, and how it is asked."""

import re
import tomllib
from fnmatch import translate
from functools import cached_property
from typing import NamedTuple

import msgspec

from keystrand.model.observation import Library

_FILE = re.compile(r"(?P<stem>.+?)(?:\.so|\.dylib|\.dll|\.\d|-\d+(?:\.\d+)*\.so)", re.IGNORECASE)
_MAX_NAME = 255


class Package(NamedTuple):
    """A package by the ecosystem's name in package URLs, and the line where it is named; 0 where there is none."""

    ecosystem: str
    name: str
    version: str
    line: int = 0


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    as_of: str
    packages: dict[str, list[str]]
    files: dict[str, str]


class KnownLibraries:
    """The names of cryptographic libraries, by ecosystem and by file."""

    def __init__(self, table: _Table) -> None:
        self._table = table

    @cached_property
    def _patterns(self) -> dict[str, re.Pattern[str]]:
        return {
            ecosystem: re.compile("|".join(translate(name.lower()) for name in names))
            for ecosystem, names in self._table.packages.items()
        }

    @cached_property
    def _files(self) -> dict[str, str]:
        return {stem.lower(): name for stem, name in self._table.files.items()}

    def library_of(self, package: Package) -> Library | None:
        """Return the library that `package` is; None where its name is not one of cryptography."""
        pattern = self._patterns.get(package.ecosystem)
        if not package.name or pattern is None or not pattern.fullmatch(package.name.lower()):
            return None
        return Library(name=package.name[:_MAX_NAME], version=package.version[:_MAX_NAME], purl=package_url(package))

    def library_named(self, file: str) -> Library | None:
        """Return the library that a shared library's file name or path stands for; None where it is none of these.

        The file name stays in the library's name: its number is that of an interface, not of a release.
        """
        last = re.split(r"[/\\]", file)[-1][:_MAX_NAME]
        match = _FILE.match(last)
        stem = (match["stem"] if match else last).lower()
        name = self._files.get(stem) or self._files.get(re.sub(r"-\d.*$", "", stem))
        if name is None:
            return None
        return Library(name=f"{name} ({last})")


def package_url(package: Package) -> str:
    """Return the package URL (purl specification, ECMA-427): namespace and name by slashes, `@` in it escaped."""
    kind = {"deb": "deb/debian", "apk": "apk/alpine", "rpm": "rpm"}.get(package.ecosystem, package.ecosystem)
    name = package.name.replace("@", "%40").replace(":", "/" if package.ecosystem == "maven" else "%3A")
    if package.ecosystem == "pypi":
        name = re.sub(r"[-_.]+", "-", name).lower()
    version = package.version.replace("+", "%2B").replace(":", "%3A").replace(" ", "%20")
    if package.ecosystem == "golang" and name.startswith("std/"):
        return f"pkg:golang/std@{version}#{name.removeprefix('std/')}"
    return f"pkg:{kind}/{name}@{version}" if version else f"pkg:{kind}/{name}"


def known_libraries(content: bytes) -> KnownLibraries:
    """Return the table in `content`, which is TOML. Raises `ValueError` where it is not of the form."""
    return KnownLibraries(msgspec.convert(tomllib.loads(content.decode()), _Table))
