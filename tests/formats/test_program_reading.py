"""Programs: what their headers and tables say, against readelf and nm; what a library contains is never a use."""

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystrand.edge.probes.programs import shipped_libraries
from keystrand.formats import elf, program_reading
from keystrand.formats.crypto_constants import TABLES
from keystrand.formats.crypto_symbols import uses_of
from keystrand.formats.portable_executable import macho_libraries, pe_libraries
from keystrand.formats.program_reading import read
from keystrand.model.algorithm import Verdict, classify
from keystrand.model.observation import AlgorithmUse, Library, Outcome, Strength
from keystrand.model.reading import Found, Reading

KNOWN = shipped_libraries()
PROGRAMS = [Path(sys) for sys in ("/usr/bin/ssh", "/usr/bin/openssl", "/bin/ls", "/usr/bin/gpg", "/usr/bin/python3")]
needs_binutils = pytest.mark.skipif(
    not (shutil.which("readelf") and shutil.which("nm")), reason="binutils are not installed"
)


def taker(content: bytes) -> elf.Take:
    """Return what reads `content` at an offset."""
    return lambda at, size: content[at : at + size] if at >= 0 else b""


def named(reading: Reading) -> dict[str, Strength]:
    """Return algorithms by their evidence."""
    return {one.fact.algorithm: one.strength for one in reading.found if isinstance(one.fact, AlgorithmUse)}


def libraries(reading: Reading) -> set[str]:
    """Return the names of the libraries."""
    return {one.fact.name for one in reading.found if isinstance(one.fact, Library)}


@needs_binutils
@pytest.mark.parametrize("path", [one for one in PROGRAMS if one.exists()], ids=str)
def test_headers_say_what_readelf_and_nm_say(path: Path) -> None:
    """Needed libraries and imported symbols are those that binutils list."""
    content = path.read_bytes()
    linked = elf.linked(taker(content), imports=lambda _: True)
    dynamic = subprocess.run(["readelf", "-d", path], check=True, capture_output=True, text=True).stdout
    needed = [line.partition("[")[2].rstrip("]") for line in dynamic.splitlines() if "(NEEDED)" in line]
    assert list(linked.needed) == needed
    symbols = subprocess.run(["nm", "-D", path], check=True, capture_output=True, text=True).stdout
    undefined = {line.split()[1].partition("@")[0] for line in symbols.splitlines() if line.split()[0] in "Uwv"}
    assert set(linked.imports) >= undefined


@pytest.mark.skipif(not Path("/usr/bin/ssh").exists(), reason="no OpenSSH client here")
def test_a_real_client_links_to_its_library() -> None:
    """OpenSSH's client: the library it needs, and algorithms by the functions that it takes from it."""
    reading = read(Path("/usr/bin/ssh").read_bytes(), KNOWN)
    assert any(name.startswith("openssl (libcrypto.so") for name in libraries(reading))
    assert named(reading)["AES-256-CTR"] is Strength.LINKED
    assert {one.strength for one in reading.found if isinstance(one.fact, Library)} == {Strength.LINKED}


def test_a_library_that_contains_everything_uses_nothing() -> None:
    """The cryptographic library itself is told as one, with its release; its algorithms are no uses."""
    found = list(Path("/usr/lib").glob("*/libcrypto.so.3"))
    if not found:
        pytest.skip("no OpenSSL 3 here")
    reading = read(found[0].read_bytes(), KNOWN)
    assert named(reading) == {}
    first = reading.found[0].fact
    assert isinstance(first, Library)
    assert first.name == "openssl"
    assert first.version.startswith("3.")
    assert first.purl == f"pkg:generic/openssl@{first.version}"


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no compiler here")
@pytest.mark.parametrize(
    "flags", [(), ("-Wl,-z,noseparate-code",), ("-static",)], ids=["usual", "old layout", "static"]
)
def test_tables_of_algorithms_are_found_in_compiled_programs(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """Each table, compiled into a program whose functions have no names, is referenced at its offset alone."""
    for table, name, _ in TABLES:
        source = tmp_path / "a.c"
        octets = ",".join(map(str, table))
        source.write_text(
            f"static const unsigned char t[] __attribute__((aligned(16))) = {{{octets}}};\n"
            "int main(int c, char **v) { (void)v; return t[c & 7]; }\n"
        )
        program = tmp_path / "a"
        subprocess.run(["gcc", "-O0", "-s", *flags, "-o", program, source], check=True)
        content = program.read_bytes()
        reading = read(content, KNOWN)
        assert named(reading) == {name: Strength.REFERENCED}
        assert [one.where for one in reading.found] == [f"@{content.index(table):#x}"]


def test_no_table_stands_for_something_that_is_called_safe_without_a_size() -> None:
    """A table cannot tell the parameter set: what it gives away must not count as a standard's algorithm."""
    names = {name for _, name, _ in TABLES}
    assert {"ML-KEM", "ML-DSA"} < names
    assert {classify(name).verdict for name in ("ML-KEM", "ML-DSA")} == {Verdict.UNKNOWN}


@pytest.mark.skipif(shutil.which("go") is None, reason="no Go here")
@pytest.mark.slow
def test_a_go_program_tells_its_modules(tmp_path: Path) -> None:
    """A program that speaks TLS by the standard library says so, with the release; one that does not says nothing."""
    (tmp_path / "go.mod").write_text("module example.test/a\n\ngo 1.20\n")
    release = subprocess.run(["go", "env", "GOVERSION"], check=True, capture_output=True, text=True).stdout.strip()
    for body, speaks in (('import "crypto/tls"\nfunc main() { tls.Dial("tcp", "", nil) }', True),
                         ("func main() { println(1) }", False)):  # fmt: skip
        (tmp_path / "main.go").write_text(f"package main\n{body}\n")
        subprocess.run(["go", "build", "-o", "a", "."], check=True, cwd=tmp_path, env=_go_environment(tmp_path))
        reading = read((tmp_path / "a").read_bytes(), KNOWN)
        assert ("std/crypto/tls" in libraries(reading)) is speaks
        if speaks:
            (fact,) = [one.fact for one in reading.found if isinstance(one.fact, Library)]
            assert fact.purl == f"pkg:golang/std@{release.removeprefix('go')}#crypto/tls"


def _go_environment(folder: Path) -> dict[str, str]:
    path = f"{Path(shutil.which('go') or '').parent}:/usr/bin:/bin"
    settings = {"GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    return {"PATH": path, "HOME": str(folder), "GOCACHE": str(folder / "cache"), **settings}


def go_record(version: bytes, modules: bytes) -> bytes:
    """Return the build record of a Go program, as debug/buildinfo lays it out since Go 1.18."""

    def counted(text: bytes) -> bytes:
        size, made = len(text), b""
        while size > 127:
            made, size = made + bytes([size & 127 | 128]), size >> 7
        return made + bytes([size]) + text

    return b"\xff Go buildinf:\x08\x02" + bytes(16) + counted(version) + counted(modules)


def test_modules_of_go_and_crates_of_rust() -> None:
    """Modules in the build record, and crates in the paths that panics keep; what is not cryptography is left out."""
    modules = (b"0w\xaf\x0cpath\texample.test/a\ndep\tgolang.org/x/crypto\tv0.17.0\th1:x=\n"
               b"dep\tgithub.com/spf13/cobra\tv1.8.0\th1:y=\n" + b"#" * 200)  # fmt: skip
    pe = b"MZ" + bytes(80) + go_record(b"go1.22.1", modules)
    pe += b"/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/ring-0.17.8/src/lib.rs"
    pe += b"/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/serde-1.0.1/src/lib.rs"
    assert {one.fact.purl for one in read(pe, KNOWN).found if isinstance(one.fact, Library)} == {
        "pkg:golang/golang.org/x/crypto@v0.17.0", "pkg:cargo/ring@0.17.8",
    }  # fmt: skip


def elf_file(segments: list[tuple[int, int, int, int]], body: bytes) -> bytes:
    """Return an ELF file of 64 bits; of each segment kind, flags, offset and size are given, `body` is at 0x10000."""
    header = b"\x7fELF\2\1\1".ljust(16, b"\0")
    header += struct.pack("<2HI3QI6H", 3, 62, 1, 0, 64, 0, 0, 64, 56, len(segments), 64, 0, 0)
    for kind, flags, offset, size in segments:
        header += struct.pack("<2I6Q", kind, flags, offset, offset, offset, size, size, 1)
    return header.ljust(0x10000, b"\0") + body


def test_names_without_number_in_one_long_string_are_not_copied_whole() -> None:
    """Each of 60,000 names points to the begin of 16 MB without an end: read whole, they would take an hour."""
    strings = b"\xff" * (elf.MAX_TABLE - 1) + b"\0"
    entries = struct.pack("<qQ", 5, 0x10000 + 1024**2) + struct.pack("<qQ", 10, len(strings))
    entries += b"".join(struct.pack("<qQ", 1, n) for n in range(60_000))
    body = entries.ljust(1024**2, b"\0") + strings
    content = elf_file([(1, 6, 0, 0x10000 + len(body)), (2, 6, 0x10000, len(entries))], body)
    found = elf.linked(taker(content), imports=lambda _: False)
    assert len(found.needed) == 60_000
    assert {len(name) for name in found.needed} == {255}


def test_segments_that_overlap_are_searched_once() -> None:
    """Each of a thousand segments spans the file: the program would be searched a thousand times for each table."""
    content = elf_file([(1, 4, 0, 0x10000 + n) for n in range(1000)] + [(1, 4, 0x20000, 16)], b"body")
    found = elf.linked(taker(content), imports=lambda _: False)
    assert found.tables == ((0, 0x10000 + 999), (0x20000, 0x20010))


def pe_file(names: list[bytes]) -> bytes:
    """Return the least PE file of 64 bits that imports `names`, by Microsoft's layout."""
    sections, base = 0x40 + 24 + 240, 0x1000
    table = b"".join(struct.pack("<12xI4x", base + 512 + 32 * n) for n in range(len(names))) + bytes(20)
    body = table.ljust(512, b"\0") + b"".join(name.ljust(32, b"\0") for name in names)
    header = b"PE\0\0" + struct.pack("<2xH12xH2x", 1, 240) + struct.pack("<H", 0x20B) + bytes(118)
    header += struct.pack("<I", base) + bytes(240 - 124)
    section = struct.pack("<8sIIII16x", b".idata", len(body), base, len(body), 0x400)
    made = (b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40) + header).ljust(sections, b"\0") + section
    return made.ljust(0x400, b"\0") + body


def test_programs_of_windows() -> None:
    """The import table names the libraries; a text that begins like a program is none."""
    content = pe_file([b"KERNEL32.dll", b"bcrypt.dll", b"libcrypto-3-x64.dll"])
    assert pe_libraries(taker(content)) == ("KERNEL32.dll", "bcrypt.dll", "libcrypto-3-x64.dll")
    assert libraries(read(content, KNOWN)) == {"windows-cng (bcrypt.dll)", "openssl (libcrypto-3-x64.dll)"}
    assert read(b"MZ is not a program", KNOWN) == Reading()


def macho(names: list[bytes]) -> bytes:
    """Return a Mach-O header of 64 bits that loads `names`."""
    commands = b""
    for name in names:
        size = 24 + (len(name) // 8 + 1) * 8
        commands += struct.pack("<6I", 0x0C, size, 24, 0, 0, 0) + name.ljust(size - 24, b"\0")
    return struct.pack("<8I", 0xFEEDFACF, 0x01000007, 3, 2, len(names), len(commands), 0, 0) + commands


def test_programs_of_macos() -> None:
    """Load commands name the libraries, in one architecture and in several; a class of Java shares the magic."""
    names = [b"/usr/lib/libSystem.B.dylib", b"/opt/lib/libssl.3.dylib", b"/S/Security.framework/Versions/A/Security"]
    thin = macho(names)
    assert macho_libraries(taker(thin)) == tuple(name.decode() for name in names)
    fat = struct.pack(">2I", 0xCAFEBABE, 1) + struct.pack(">5I", 7, 3, 4096, len(thin), 12)
    fat = fat.ljust(4096, b"\0") + thin
    assert libraries(read(fat, KNOWN)) == {"openssl (libssl.3.dylib)", "apple-security (Security)"}
    assert read(struct.pack(">I2H", 0xCAFEBABE, 0, 65), KNOWN).outcome is not Outcome.SEEN


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("EVP_aes_256_gcm", "AES-256-GCM"), ("EVP_aes_128_cfb128@OPENSSL_3.0.0", "AES-128-CFB"),
        ("EVP_md5", "MD5"), ("SHA256_Update", "SHA-256"), ("EVP_des_ede3_cbc", "3DES-168-CBC"),
        ("RSA_sign", "RSA"), ("DH_compute_key", "FFDH"), ("ECDSA_do_verify", "ECDSA"),
        ("OQS_KEM_ml_kem_768_encaps", "ML-KEM-768"), ("nettle_sha512_init", "SHA-512"),
        ("EVP_chacha20_poly1305", "ChaCha20-Poly1305"), ("my_EVP_md5", None), ("DSA_SIG_free", None),
        ("EVP_MD_CTX_new", None), ("RSA_free", None),
    ],
)  # fmt: skip
def test_functions_name_algorithms(symbol: str, name: str | None) -> None:
    """Names that choose an algorithm tell it; those that only handle objects, or end like one, tell nothing."""
    assert [use.algorithm for use in uses_of([symbol])] == ([name] if name else [])


def test_a_large_program_is_read_in_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables across the borders of windows are found, each once."""
    monkeypatch.setattr(program_reading, "_WINDOW", 8192)
    content = pe_file([b"bcrypt.dll"]).ljust(5000, b"\0") + b"\0" * 7 * 1024 + TABLES[0][0] + bytes(9000) + TABLES[0][0]
    (tmp_path / "a.exe").write_bytes(content)
    with (tmp_path / "a.exe").open("rb") as stream:
        found = [one for one in program_reading.read_large(stream, KNOWN) if isinstance(one, Found)]
    assert [(one.where, type(one.fact)) for one in found] == [("", Library), (f"@{5000 + 7168:#x}", AlgorithmUse)]


@given(st.sampled_from([pe_file([b"bcrypt.dll"]), macho([b"libssl.3.dylib"])]
                       + [one.read_bytes()[:4096] for one in PROGRAMS[:1] if one.exists()]), st.data())  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_damaged_programs_never_raise(content: bytes, choices: st.DataObject) -> None:
    """Headers with octets changed and cut anywhere give a reading."""
    damaged = bytearray(content)
    changes = choices.draw(st.dictionaries(st.integers(0, len(content) - 1), st.integers(0, 255), max_size=4))
    for at, value in changes.items():
        damaged[at] = value
    reading = read(bytes(damaged[: choices.draw(st.integers(0, len(content)))]), KNOWN)
    assert reading.outcome is not Outcome.UNPARSABLE or reading.reason
