"""Lists of packages of every ecosystem: the cryptographic libraries in them, by name, version and package URL."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystrand.edge.probes.programs import shipped_libraries
from keystrand.formats.libraries import Package, known_libraries, package_url
from keystrand.formats.package_lists import list_reader
from keystrand.formats.package_reading import read, wants
from keystrand.model.observation import Library, Outcome, Strength

KNOWN = shipped_libraries()

LISTS: dict[str, tuple[str, dict[str, str]]] = {
    "var/lib/dpkg/status": (
        "Package: libssl3\nStatus: install ok installed\nVersion: 3.0.17-1~deb12u2\n\n"
        "Package: libgcrypt20\nStatus: deinstall ok config-files\nVersion: 1.10\n\n"
        "Package: bash\nStatus: install ok installed\nVersion: 5.2\n",
        {":1": "pkg:deb/debian/libssl3@3.0.17-1~deb12u2"},
    ),
    "lib/apk/db/installed": (
        "C:Q1x\nP:musl\nV:1.2.4\n\nC:Q1y\nP:libcrypto3\nV:3.1.4-r5\n",
        {":6": "pkg:apk/alpine/libcrypto3@3.1.4-r5"},
    ),
    "x.dist-info/METADATA": (
        "Metadata-Version: 2.1\nName: PyNaCl\nVersion: 1.5.0\n\nName: rsa\nVersion: 9\n",
        {":2": "pkg:pypi/pynacl@1.5.0"},
    ),
    "app/requirements-dev.txt": (
        "# rsa==1\nrequests==2.31\ncryptography==42.0.5 ; python_version > '3'\npyjwt[crypto]>=2\n-r other.txt\n",
        {":3": "pkg:pypi/cryptography@42.0.5", ":4": "pkg:pypi/pyjwt"},
    ),
    "poetry.lock": (
        '[[package]]\nname = "bcrypt"\nversion = "4.1.2"\n\n[[package]]\nname = "flask"\nversion = "3.0"\n',
        {":2": "pkg:pypi/bcrypt@4.1.2"},
    ),
    "Pipfile.lock": (json.dumps({"default": {"rsa": {"version": "==4.9"}}}), {"": "pkg:pypi/rsa@4.9"}),
    "Cargo.lock": (
        'version = 3\n\n[[package]]\nname = "rustls"\nversion = "0.23.4"\nsource = "registry"\n',
        {":4": "pkg:cargo/rustls@0.23.4"},
    ),
    "package-lock.json": (
        json.dumps({"lockfileVersion": 3, "packages": {
            "": {"name": "app"}, "node_modules/a/node_modules/node-forge": {"version": "1.3.1"},
            "node_modules/@noble/hashes": {"version": "1.4.0"}, "node_modules/left-pad": {"version": "1.3.0"}}}),
        {"": "pkg:npm/node-forge@1.3.1", " ": "pkg:npm/%40noble/hashes@1.4.0"},
    ),
    "old/package-lock.json": (
        json.dumps({"dependencies": {"a": {"version": "1", "dependencies": {"elliptic": {"version": "6.5.4"}}}}}),
        {"": "pkg:npm/elliptic@6.5.4"},
    ),
    "yarn.lock": (
        '# yarn lockfile v1\n\njose@^5.0.0, jose@^5.1.0:\n  version "5.2.3"\n  resolved "x"\n\nms@2:\n  version "2"\n',
        {":3": "pkg:npm/jose@5.2.3"},
    ),
    "pnpm-lock.yaml": (
        "packages:\n\n  bcryptjs@2.4.3:\n    resolution: {}\n\n  '@noble/curves@1.4.0':\n    resolution: {}\n",
        {":3": "pkg:npm/bcryptjs@2.4.3", ":6": "pkg:npm/%40noble/curves@1.4.0"},
    ),
    "go.mod": (
        "module a\n\nrequire (\n\tgolang.org/x/crypto v0.21.0\n\tgolang.org/x/net v0.22.0 // indirect\n)\n",
        {":4": "pkg:golang/golang.org/x/crypto@v0.21.0"},
    ),
    "go.sum": (
        "golang.org/x/crypto v0.21.0 h1:a=\ngolang.org/x/crypto v0.21.0/go.mod h1:b=\n",
        {":1": "pkg:golang/golang.org/x/crypto@v0.21.0"},
    ),
    "pom.xml": (
        "<project>\n<dependencies>\n<dependency>\n<groupId>org.bouncycastle</groupId>\n<artifactId>bcprov-jdk18on"
        "</artifactId>\n<version>1.78</version>\n</dependency>\n<dependency><groupId>junit</groupId><artifactId>junit"
        "</artifactId></dependency></dependencies></project>",
        {":3": "pkg:maven/org.bouncycastle/bcprov-jdk18on@1.78"},
    ),
    "gradle.lockfile": (
        "# This is a Gradle generated file\ncom.google.crypto.tink:tink:1.13.0=runtimeClasspath\nempty=\n",
        {":2": "pkg:maven/com.google.crypto.tink/tink@1.13.0"},
    ),
    "build.gradle.kts": (
        'dependencies {\n  implementation("com.nimbusds:nimbus-jose-jwt:9.37")\n}\n',
        {":2": "pkg:maven/com.nimbusds/nimbus-jose-jwt@9.37"},
    ),
    "app.jar!META-INF/maven/org.bouncycastle/bcpkix/pom.properties": (
        "#Generated\nversion=1.70\ngroupId=org.bouncycastle\nartifactId=bcpkix-jdk15on\n",
        {"": "pkg:maven/org.bouncycastle/bcpkix-jdk15on@1.70"},
    ),
    "src/app.csproj": (
        '<Project>\n  <ItemGroup>\n    <PackageReference Include="BouncyCastle.Cryptography" Version="2.3.0" />\n',
        {":3": "pkg:nuget/BouncyCastle.Cryptography@2.3.0"},
    ),
    "packages.lock.json": (
        json.dumps({"version": 1, "dependencies": {"net8.0": {"NSec.Cryptography": {"resolved": "24.4.0"}}}}),
        {"": "pkg:nuget/NSec.Cryptography@24.4.0"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("path", LISTS)
def test_libraries_are_found_with_version_line_and_url(path: str) -> None:
    """Each list gives its cryptographic libraries and no other package; a list is the weakest evidence."""
    content, expected = LISTS[path]
    assert wants(path, content[:4096].encode())
    found = read(path, content.encode(), KNOWN).found
    purls = [(one.where, one.fact.purl) for one in found if isinstance(one.fact, Library)]
    assert purls == [(where.strip(), purl) for where, purl in expected.items()]
    assert {one.strength for one in found} == {Strength.REFERENCED}


@pytest.mark.parametrize("path", ["notes.txt", "status", "main.go", "package.jsonx", "Cargo.toml", "a/METADATA.md"])
def test_other_files_are_not_wanted(path: str) -> None:
    """A file that only sounds like a list is left to others."""
    assert list_reader(path) is None


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="no dpkg here")
def test_debians_own_list_agrees_with_dpkg() -> None:
    """Every library that is found in dpkg's status is installed in the version that dpkg-query prints."""
    path = Path("/var/lib/dpkg/status")
    if not path.exists():
        pytest.skip("no dpkg status here")
    command = ["dpkg-query", "-W", "-f", "${Package} ${Version} ${Status}\n"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    installed = {tuple(line.split()[:2]) for line in shown.splitlines() if line.endswith(" installed")}
    found = {(one.fact.name, one.fact.version) for one in read(str(path), path.read_bytes(), KNOWN).found
             if isinstance(one.fact, Library)}  # fmt: skip
    assert found
    assert found <= installed
    assert {name for name, _ in installed if name.startswith(("libgcrypt", "libgnutls"))} <= {name for name, _ in found}


def test_package_urls_escape_what_must_not_stand_in_them() -> None:
    """Scopes, groups, epochs and build marks; names of PyPI in their one spelling."""
    assert package_url(Package("npm", "@a/b", "1")) == "pkg:npm/%40a/b@1"
    assert package_url(Package("deb", "gnupg", "1:2+b")) == "pkg:deb/debian/gnupg@1%3A2%2Bb"
    assert package_url(Package("pypi", "Argon2_CFFI", "")) == "pkg:pypi/argon2-cffi"


def test_an_unknown_key_in_the_table_is_refused() -> None:
    """The table is data that is checked: a misspelt key is an error."""
    with pytest.raises(ValueError, match="unknown field"):
        known_libraries(b'as_of = "2026-11-26"\nfile = {}\n[packages]\n[files]\n')


@given(st.sampled_from(list(LISTS)), st.data())
@settings(max_examples=200, deadline=None)
def test_damaged_lists_never_raise(path: str, choices: st.DataObject) -> None:
    """Whatever is changed or cut, a reading comes back."""
    content = bytearray(LISTS[path][0].encode())
    for at, value in choices.draw(
        st.dictionaries(st.integers(0, len(content) - 1), st.integers(0, 255), max_size=5)
    ).items():
        content[at] = value
    cut = choices.draw(st.integers(0, len(content)))
    assert read(path, bytes(content[:cut]), KNOWN).outcome in (Outcome.SEEN, Outcome.NONE)


@pytest.mark.parametrize("path", ["pom.xml", "yarn.lock", "pnpm-lock.yaml", "requirements.txt", "app.csproj"])
def test_long_lists_take_linear_time(path: str) -> None:
    """A megabyte of begins without ends is read without going over it again for each."""
    for text in (
        b"<dependency>" * 90_000,
        b"a@1:\n" * 200_000,
        b"  a@1:\n" * 150_000,
        b'<PackageReference Include="a"' * 30_000,
    ):
        assert read(path, text, KNOWN).found == ()
