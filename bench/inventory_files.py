"""How fast files are read for their certificates, keys and libraries, how many certificates are named, and in how much
memory. Rates are of one core: octets of the files read, by seconds of processor time.

The trees are those of this machine, by environment:

- `KEYSTRAND_BENCH_TREE`: a tree of sources and texts (default: /usr/lib/python3)
- `KEYSTRAND_BENCH_PROGRAMS`: a tree of programs and libraries (default: /usr/bin)
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from bench.measure import Failed, Missing, Row, interleaved, row
from bench.peers.packages import interpreter, last_line
from keystrand.edge.probes.tree import TreeProbe
from keystrand.formats.key_reading import read
from keystrand.model.estate import ProbeKind, Target
from keystrand.model.observation import Certificate

_RUNS = 5
_PEER_RUN_S = 600.0
_SPARSE_OCTETS = 5 * 10**9
_TREE, _PROGRAMS = "files: a tree of sources, certificates and packages", "files: programs and libraries"
_NAMED, _MEMORY = "files: certificates named, of those a library parses", "files: memory of a scan of a file of 5 GB"
_VECTORS = "cryptography-vectors"
_PARSE = """
import sys
from pathlib import Path
from keystrand.edge.probes.tree import TreeProbe
from keystrand.model.estate import ProbeKind, Target
from bench.measure import peak_mb
target = Target(id="t", probe=ProbeKind.FILES, system="s", path=sys.argv[1])
records = TreeProbe(ProbeKind.FILES).read(target, Path(sys.argv[1]).parent)
assert len(records) > 1, "the certificate at the end was not found"
print(peak_mb())
"""


def rows() -> list[Row]:
    """Read both trees beside a peer, name the certificates of a public collection, and read one huge file."""
    tree, programs = (
        Path(os.environ.get(name) or usual)
        for name, usual in (("KEYSTRAND_BENCH_TREE", "/usr/lib/python3"), ("KEYSTRAND_BENCH_PROGRAMS", "/usr/bin"))
    )
    return [
        _tree_row(tree),
        row(_PROGRAMS, interleaved(_RUNS, lambda: _rate(programs, ProbeKind.BINARY))[0], "MB/s", at_least=200.0),
        _named_row(),
        _memory_row(),
    ]


def _tree_row(tree: Path) -> Row:
    """Return the rate on a tree of sources beside a peer's; a peer that cannot be had is named with the reason."""
    kinds = (ProbeKind.X509, ProbeKind.BINARY)
    try:
        python = interpreter("harvestguard")
        ours, peer = interleaved(_RUNS, lambda: _rate(tree, *kinds), lambda: _peer_rate(tree, python))
    except (Missing, Failed) as error:
        ours, peer = interleaved(_RUNS, lambda: _rate(tree, *kinds))[0], []
        return row(_TREE, ours, "MB/s", peer=f"harvestguard: {error}", at_least=35.0)
    return row(_TREE, ours, "MB/s", peer="harvestguard --type crypto", peer_samples=peer, at_least=35.0)


def _octets(tree: Path) -> int:
    return sum(path.stat().st_size for path in tree.rglob("*") if path.is_file() and not path.is_symlink())


def _rate(tree: Path, *kinds: ProbeKind) -> float:
    """Return the MB a second of processor time, all `kinds` one after the other."""
    begin = time.process_time()
    for kind in kinds:
        TreeProbe(kind).read(Target(id="t", probe=kind, system="s", path=str(tree)), tree)
    return _octets(tree) / 1e6 / (time.process_time() - begin)


def _peer_rate(tree: Path, python: Path) -> float:
    """Return the peer's rate on the same tree, by the processor time of its process. Raises `Failed`."""
    command = [
        str(python.parent / "harvestguard"),
        "scan",
        "--type",
        "crypto",
        "--max-depth",
        "50",
        "--quiet",
        "--json",
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        subprocess.run([*command, "--", str(tree)], check=True, capture_output=True, timeout=_PEER_RUN_S)  # noqa: S603 - our own words
    except subprocess.CalledProcessError as error:
        raise Failed(f"ended with status {error.returncode}: {last_line(error.stderr)}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(str(error)) from error
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return _octets(tree) / 1e6 / (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def _named_row() -> Row:
    """Return the share of a public collection's certificates that we name as the library that parses them does."""
    python = interpreter(_VECTORS)
    folder = json.loads(
        subprocess.run(  # noqa: S603 - our own words
            [python, "-c", "import cryptography_vectors as v, json; print(json.dumps(v.__path__[0]))"],
            check=True, capture_output=True,
        ).stdout
    )  # fmt: skip
    parsed = named = 0
    for content in _contents(Path(folder) / "x509"):
        for fingerprint in _parsed(content):
            parsed += 1
            named += fingerprint in {
                one.fact.sha256 for one in read("", content).found if isinstance(one.fact, Certificate)
            }
    if not parsed:
        raise Failed(f"{_VECTORS} holds no certificate that parses")
    return row(_NAMED, [100 * named / parsed], "%", peer=f"cryptography on {parsed} certificates", peer_samples=[100.0],
               at_least=100.0)  # fmt: skip


def _contents(folder: Path) -> Iterator[bytes]:
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".pem", ".crt", ".der", ".cer"):
            yield path.read_bytes()


def _parsed(content: bytes) -> list[str]:
    """Return the fingerprints of what the library parses as certificates."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for load in (x509.load_pem_x509_certificates, lambda der: [x509.load_der_x509_certificate(der)]):
            with suppress(Exception):  # it raises many kinds on what it refuses; those are not what we are measured by
                return [one.fingerprint(hashes.SHA256()).hex() for one in load(content)]
    return []


def _memory_row() -> Row:
    """Return the most memory that a scan of a sparse file takes, programs included; a certificate stands at its end."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large"
        with path.open("wb") as file:
            file.truncate(_SPARSE_OCTETS)
            file.seek(0, os.SEEK_END)
            file.write(_certificate())
        command = [sys.executable, "-c", _PARSE, str(path)]
        done = subprocess.run(command, check=False, capture_output=True, timeout=_PEER_RUN_S)  # noqa: S603 - our own words
    if done.returncode:
        raise Failed(last_line(done.stderr))
    return row(_MEMORY, [float(done.stdout)], "MB", goal=256.0)


def _certificate() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "end")])
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, begin, begin + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
