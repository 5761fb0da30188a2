"""Lists of packages: what is installed or asked for, with versions. A list says that something is there, no more.

Sources: deb-control(5), Alpine's APK specification, PEP 503/566/508, npm's package-lock documentation, Go modules
reference, Cargo's and Gradle's lock files, Maven's POM reference, NuGet's PackageReference and packages.lock.json.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from keystrand.formats.libraries import Package
from keystrand.formats.line_numbers import LineNumbers

MAX_OCTETS = 32 * 1024**2
_Reader = Callable[[bytes], Iterator[Package]]
_REQUIREMENT = re.compile(
    rb"^[ \t]*([A-Za-z0-9][A-Za-z0-9._-]{0,100})(?:\[[^\]]*\])?[ \t]*(?:===?[ \t]*([\w.!+*-]+)|[<>~!=;,@ \t#]|$)"
)
_GO_MODULE = re.compile(rb"^[ \t]*(?:require[ \t]+)?([\w./~-]{3,300})[ \t]+(v\d[\w.+-]{0,100}(?:/go\.mod)?)")
_GRADLE = re.compile(rb"""^[ \t'"]*([\w.-]+):([\w.-]+):([\w.+-]+)(?:=|['"])""")
_GRADLE_CALL = re.compile(rb"""['"]([\w.-]+):([\w.-]+):([\w.+-]+)(?:@\w+)?['"]""")
_DEPENDENCY = re.compile(
    rb"<dependency>(?:(?!</?dependency>).)*?<groupId>\s*([\w.-]+)\s*</groupId>\s*<artifactId>\s*([\w.-]+)\s*"
    rb"</artifactId>(?:\s*<version>\s*([^<]{1,60}?)\s*</version>)?", re.DOTALL
)  # fmt: skip
_NUGET = re.compile(
    rb"""<(?:PackageReference\s+Include|package\s+id|PackageVersion\s+Include)="([\w.-]+)"\s+[Vv]ersion="([^"]{1,60})\""""
)
_YARN = re.compile(rb'^"?((?:@[\w.-]+/)?[\w.-]+)@[^\n]*:\r?\n\s+"?version"?:? "?([\w.+-]+)"?', re.MULTILINE)
_PNPM = re.compile(rb"^\s{2}'?/?((?:@[\w.-]+/)?[\w.-]+)[@/](\d[\w.+-]*)(?:\([^\n]*\))?'?:\s*$", re.MULTILINE)
_PROPERTY = re.compile(rb"^(groupId|artifactId|version)=([^\r\n]{1,200})", re.MULTILINE)


def _text(octets: bytes | None) -> str:
    return (octets or b"").decode("utf-8", "backslashreplace").strip()


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    yield from enumerate(content.splitlines(), start=1)


def _paragraphs(content: bytes, ecosystem: str, name: bytes, version: bytes) -> Iterator[Package]:
    """Yield the packages of a file of paragraphs, whose fields begin with `name` and `version`."""
    found: dict[bytes, tuple[int, bytes]] = {}
    for number, line in (*_lines(content), (0, b"")):
        if not line:
            if name in found and _installed(found):
                yield Package(ecosystem, _text(found[name][1]), _text(found.get(version, (0, b""))[1]), found[name][0])
            found = {}
            continue
        for field in (name, version, b"Status:"):
            if line.startswith(field):
                found[field] = number, line[len(field) :]


def _installed(found: dict[bytes, tuple[int, bytes]]) -> bool:
    status = found.get(b"Status:")
    return status is None or b" installed" in status[1]


def _debian(content: bytes) -> Iterator[Package]:
    yield from _paragraphs(content, "deb", b"Package:", b"Version:")


def _alpine(content: bytes) -> Iterator[Package]:
    yield from _paragraphs(content, "apk", b"P:", b"V:")


def _metadata(content: bytes) -> Iterator[Package]:
    """Yield the one package that a Python distribution's metadata describes: its header ends at an empty line."""
    header = content.partition(b"\n\n")[0]
    fields = {line.partition(b":")[0]: (number, line.partition(b":")[2]) for number, line in _lines(header)}
    if b"Name" in fields:
        number, name = fields[b"Name"]
        yield Package("pypi", _text(name), _text(fields.get(b"Version", (0, b""))[1]), number)


def _requirements(content: bytes) -> Iterator[Package]:
    for number, line in _lines(content):
        if match := _REQUIREMENT.match(line):
            yield Package("pypi", _text(match[1]), _text(match[2]), number)


def _toml_lock(ecosystem: str) -> _Reader:
    def read(content: bytes) -> Iterator[Package]:
        name = at = None
        for number, line in _lines(content):
            key, _, value = line.partition(b" = ")
            if line.startswith(b"[["):
                name = None
            elif key == b"name":
                name, at = _text(value.strip(b'" ')), number
            elif key == b"version" and name and at:
                yield Package(ecosystem, name, _text(value.strip(b'" ')), at)
                name = None

    return read


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _entries(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, entry in (value if isinstance(value, dict) else {}).items():
        if isinstance(entry, dict):
            yield name, entry


def _npm_lock(content: bytes) -> Iterator[Package]:
    """Yield the packages of a lock file, of versions 2 and 3 (`packages`) or 1 (`dependencies`, nested)."""
    document = _json(content)
    if not isinstance(document, dict):
        return
    for path, entry in _entries(document.get("packages")):
        if path:
            yield Package("npm", path.rpartition("node_modules/")[2], str(entry.get("version", "")))
    waiting = [] if document.get("packages") else list(_entries(document.get("dependencies")))
    while waiting:
        name, entry = waiting.pop()
        yield Package("npm", name, str(entry.get("version", "")))
        waiting += _entries(entry.get("dependencies"))


def _npm_package(content: bytes) -> Iterator[Package]:
    document = _json(content)
    if not isinstance(document, dict):
        return
    if isinstance(document.get("name"), str) and isinstance(document.get("version"), str):
        yield Package("npm", document["name"], document["version"])
    for group in ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies"):
        asked = document.get(group)
        for name in asked if isinstance(asked, dict) else ():
            yield Package("npm", str(name), "")


def _matches(pattern: re.Pattern[bytes], ecosystem: str) -> _Reader:
    def read(content: bytes) -> Iterator[Package]:
        lines = LineNumbers(content)
        for match in pattern.finditer(content):
            yield Package(ecosystem, _text(match[1]), _text(match[2]), lines.of(match.start()))

    return read


def _go(content: bytes) -> Iterator[Package]:
    for number, line in _lines(content):
        match = _GO_MODULE.match(line)
        if match and not match[2].endswith(b"/go.mod") and b"/go.mod h1:" not in line:
            yield Package("golang", _text(match[1]), _text(match[2]), number)


def _gradle(content: bytes) -> Iterator[Package]:
    for number, line in _lines(content):
        if match := _GRADLE.match(line) or _GRADLE_CALL.search(line):
            yield Package("maven", f"{_text(match[1])}:{_text(match[2])}", _text(match[3]), number)


def _pom(content: bytes) -> Iterator[Package]:
    lines = LineNumbers(content)
    for match in _DEPENDENCY.finditer(content):
        version = _text(match[3])
        name = f"{_text(match[1])}:{_text(match[2])}"
        yield Package("maven", name, "" if "$" in version else version, lines.of(match.start()))


def _pom_properties(content: bytes) -> Iterator[Package]:
    found = {match[1]: _text(match[2]) for match in _PROPERTY.finditer(content)}
    if len(found) == 3:
        yield Package("maven", f"{found[b'groupId']}:{found[b'artifactId']}", found[b"version"])


def _nuget_lock(content: bytes) -> Iterator[Package]:
    document = _json(content)
    for _, group in _entries(document.get("dependencies") if isinstance(document, dict) else None):
        for name, entry in _entries(group):
            yield Package("nuget", name, str(entry.get("resolved", "")))


def _pipfile(content: bytes) -> Iterator[Package]:
    document = _json(content)
    for group in ("default", "develop"):
        for name, entry in _entries(document.get(group) if isinstance(document, dict) else None):
            yield Package("pypi", name, str(entry.get("version", "")).lstrip("="))


_BY_NAME: dict[str, _Reader] = {
    "METADATA": _metadata, "PKG-INFO": _metadata, "poetry.lock": _toml_lock("pypi"), "uv.lock": _toml_lock("pypi"),
    "pdm.lock": _toml_lock("pypi"), "pylock.toml": _toml_lock("pypi"), "Pipfile.lock": _pipfile,
    "Cargo.lock": _toml_lock("cargo"),
    "package-lock.json": _npm_lock, "npm-shrinkwrap.json": _npm_lock, ".package-lock.json": _npm_lock,
    "package.json": _npm_package, "yarn.lock": _matches(_YARN, "npm"), "pnpm-lock.yaml": _matches(_PNPM, "npm"),
    "go.mod": _go, "go.sum": _go, "modules.txt": _go, "pom.xml": _pom, "pom.properties": _pom_properties,
    "gradle.lockfile": _gradle, "build.gradle": _gradle, "build.gradle.kts": _gradle, "packages.config":
    _matches(_NUGET, "nuget"), "packages.lock.json": _nuget_lock, "Directory.Packages.props": _matches(_NUGET, "nuget"),
}  # fmt: skip
_BY_END: tuple[tuple[str, _Reader], ...] = (
    ("lib/dpkg/status", _debian), ("lib/apk/db/installed", _alpine), (".csproj", _matches(_NUGET, "nuget")),
    (".pom", _pom),
)  # fmt: skip
_REQUIREMENTS_NAME = re.compile(r"(?:.*requirements.*|constraints.*)\.(?:txt|in)")


def list_reader(path: str) -> _Reader | None:
    """Return what reads the list of packages at `path`, told by its name alone; None where it is none."""
    last = re.split(r"[/!]", path)[-1]
    if last in _BY_NAME:
        return _BY_NAME[last]
    if _REQUIREMENTS_NAME.fullmatch(last):
        return _requirements
    if "/dpkg/status.d/" in path:
        return _debian
    return next((reader for end, reader in _BY_END if path.endswith(end)), None)
