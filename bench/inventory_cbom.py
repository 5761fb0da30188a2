"""How fast a bill of cryptography is written and checked, beside the CycloneDX project's own Python library.

Ours: 100,000 assets of mixed kinds, written to a file in each version and checked against the official schema, by
processor time, which other work on the machine hardly changes; the wall clock's stands beside. The peer is run on
fewer, for its time grows with the square of them: the row says how many, and its ratio is of the time an asset takes.

- `KEYSTRAND_BENCH_CBOM_ASSETS` (100000), `KEYSTRAND_BENCH_CBOM_PEER` (2000): how many of ours and of the peer's
- `KEYSTRAND_BENCH_CBOM_REPEATS` (3): samples of each figure; a warm-up comes before
- `KEYSTRAND_BENCH_CBOM_FOLDER`: a folder of other generators' CBOMs to be merged (default: none)
"""

import hashlib
import importlib
import json
import os
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec

from bench.measure import Missing, Row, row
from keystrand.app.inventory_reports import compare, report_in
from keystrand.edge.cbom_schema import faults
from keystrand.formats.cyclonedx import Head, write_cbom
from keystrand.formats.cyclonedx_algorithm import Spec
from keystrand.formats.cyclonedx_read import read_cbom
from keystrand.model.algorithm import Function, Verdict
from keystrand.model.document import Coverage
from keystrand.model.observation import AlgorithmUse, Certificate, Endpoint, Fact, Outcome, PublicKey, Strength
from keystrand.model.stages import Asset, Occurrence

GOAL_S = 5.0
MEMORY_GOAL_MB = 100.0
_HEAD = Head("bench", "0", date(2026, 6, 1), Coverage(unit="targets", looked_at=1, answered=1))
_USES = (("X25519MLKEM768", Function.KEY_ESTABLISHMENT), ("RSA-2048", Function.SIGNATURE),
         ("AES-256-GCM", Function.ENCRYPTION))  # fmt: skip


def _number(name: str, usual: int) -> int:
    text = os.environ.get(name, str(usual))
    if not text.isdecimal() or int(text) < 1:
        raise Missing(f"{name} must be a number from 1 on, not {text}")
    return int(text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _fact(number: int) -> Fact:
    """Return the fact of one asset: of ten, three certificates, two keys, an endpoint, four uses."""
    host, kind = f"h{number // 10}.example", number % 10
    if kind < 3:
        return Certificate(
            sha256=_digest(f"c{number}"), spki_sha256=_digest(f"k{number}"), subject=f"CN={host}", issuer="CN=ca",
            serial=f"{number:032x}", not_before=date(2026, 1, 1), not_after=date(2027, 1, 1), key_bits=2048,
            signature_algorithm="RSA", key_algorithm="RSA-2048", names=(host,),
        )  # fmt: skip
    if kind < 5:
        return PublicKey(sha256=_digest(f"p{number}"), algorithm="ECDSA-P-256")
    if kind == 5:
        return Endpoint(protocol="tls", host=host, port=443, versions=("TLSv1.3",))
    algorithm, function = _USES[kind % 3]
    return AlgorithmUse(algorithm=algorithm, function=function)


def _assets(count: int) -> Iterator[Asset]:
    for number in range(count):
        place = f"tls://h{number // 10}.example:443"
        seen = Occurrence(target="t", system="s", place=place, probe="tls", strength=Strength.OFFERED)
        yield Asset(
            id=f"asset:{number:08}", name=f"asset {number}", verdict=Verdict.UNKNOWN, strength=Strength.OFFERED,
            fact=_fact(number), occurrences=(seen,),
        )  # fmt: skip


class View:
    """Assets that are made when they are asked for, as those of a store are: none is held."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __iter__(self) -> Iterator[Asset]:
        return _assets(self._count)


def _seconds(job: Callable[[], object]) -> tuple[float, float]:
    """Return the processor time and the time by the wall clock."""
    cpu, wall = time.process_time(), time.perf_counter()
    job()
    return time.process_time() - cpu, time.perf_counter() - wall


def _written(file: Path, assets: tuple[Asset, ...], spec: Spec) -> None:
    with file.open("wb") as stream:
        write_cbom(stream, _HEAD, assets, spec=spec)


def _checked(file: Path) -> None:
    if found := faults(file.read_bytes()):
        raise AssertionError(f"not valid: {found[0]}")


def _memory_mb(spec: Spec, count: int) -> float:
    """Return the most that Python held at once while `count` assets were written from a view that holds none."""
    tracemalloc.start()
    with Path(os.devnull).open("wb") as stream:
        write_cbom(stream, _HEAD, View(count), spec=spec)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most / 1_000_000


def _own_rows(spec: Spec, assets: tuple[Asset, ...], repeats: int, folder: Path) -> tuple[list[Row], float]:
    """Return the rows of one version, and the median of writing alone."""
    file = folder / f"{spec}.json"
    written, both, walls = [], [], []
    for turn in range(repeats + 1):
        emit, emit_wall = _seconds(lambda: _written(file, assets, spec))
        check, check_wall = _seconds(lambda: _checked(file))
        if turn:
            written.append(emit)
            both.append(emit + check)
            walls.append(emit_wall + check_wall)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    _written(file, assets, spec)
    same = digest == hashlib.sha256(file.read_bytes()).hexdigest()
    read_back = read_cbom(file.read_bytes())
    lossless = read_back.assets == assets and not read_back.reasons
    title = f"{len(assets)} assets as CycloneDX {spec}"
    return [
        row(f"{title}: written", written, "s"),
        row(f"{title}: written and checked", both, "s", goal=GOAL_S),
        row(f"{title}: written and checked, by the wall clock", walls, "s"),
        row(f"{title}: written twice, the same octets", [float(same)], "yes=1", at_least=1.0),
        row(f"{title}: read back without loss", [float(lossless)], "yes=1", at_least=1.0),
    ], statistics.median(written)


def _peer_seconds(count: int) -> float:
    """Return the time in which the peer's model is built and written, for `count` certificates with their key."""
    model = importlib.import_module("cyclonedx.model.component")
    crypto = importlib.import_module("cyclonedx.model.crypto")
    bom = importlib.import_module("cyclonedx.model.bom").Bom()
    output = importlib.import_module("cyclonedx.output.json").JsonV1Dot6
    day = datetime(2026, 1, 1, tzinfo=UTC)

    def component(name: str, ref: str, properties: Any) -> Any:
        return model.Component(
            type=model.ComponentType.CRYPTOGRAPHIC_ASSET, name=name, bom_ref=ref, crypto_properties=properties
        )

    begin = time.process_time()
    algorithm = component("RSA-2048", "rsa", crypto.CryptoProperties(
        asset_type=crypto.CryptoAssetType.ALGORITHM, algorithm_properties=crypto.AlgorithmProperties()))  # fmt: skip
    bom.components.add(algorithm)
    for number in range(count):
        described = crypto.CertificateProperties(
            subject_name=f"CN=h{number}", issuer_name="CN=ca", not_valid_before=day, not_valid_after=day,
            signature_algorithm_ref=algorithm.bom_ref,
        )  # fmt: skip
        made = component(f"h{number}", f"c{number}", crypto.CryptoProperties(
            asset_type=crypto.CryptoAssetType.CERTIFICATE, certificate_properties=described))  # fmt: skip
        bom.components.add(made)
        bom.register_dependency(made, [algorithm])
    output(bom).output_as_string()
    return time.process_time() - begin


def _peer_row(ours_s: float, ours: int) -> Row:
    count = _number("KEYSTRAND_BENCH_CBOM_PEER", 2000)
    name = f"cyclonedx-python-lib: {count} certificates built and written as 1.6"
    try:
        seconds = _peer_seconds(count)
    except ImportError as error:
        made = row(name, [0.0], "s")
        return msgspec.structs.replace(made, peer=f"peer not available: cyclonedx-python-lib: {error}")
    made = row(name, [seconds], "s")
    ratio = round((seconds / count) / (ours_s / ours), 1)
    return msgspec.structs.replace(made, peer=f"ours, time an asset at {ours}", ratio=ratio)


def _merge_rows(folder: Path) -> list[Row]:
    files = sorted(folder.rglob("*.json"))
    readable = [file for file in files if report_in(file).outcome is not Outcome.UNPARSABLE]
    begin = time.perf_counter()
    comparison = compared_files(readable)
    seconds = time.perf_counter() - begin
    title = f"{len(files)} CBOMs of other generators"
    return [
        row(f"{title}: read", [float(len(readable))], "files", at_least=float(len(files))),
        row(f"{title}: merged", [seconds], "s"),
        row(f"{title}: things that several name", [float(comparison[0])], "things"),
        row(f"{title}: contradictions", [float(comparison[1])], "contradictions"),
    ]


def compared_files(files: list[Path]) -> tuple[int, int]:
    """Return how many things several of `files` name, and how many contradictions there are."""
    comparison = compare(files)
    return comparison.shared, len(comparison.contradictions)


def rows() -> list[Row]:
    """Return the rows of both versions, of the peer, and of the folder where one is named."""
    count, repeats = _number("KEYSTRAND_BENCH_CBOM_ASSETS", 100_000), _number("KEYSTRAND_BENCH_CBOM_REPEATS", 3)
    title = f"{count} assets from a view as CycloneDX"
    memory = [row(f"{title} {s}: memory it took", [_memory_mb(s, count)], "MB", goal=MEMORY_GOAL_MB) for s in Spec]
    assets = tuple(_assets(count))
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for spec in Spec:
            made, written_s = _own_rows(spec, assets, repeats, Path(folder))
            found += made
    found += [*memory, _peer_row(written_s, count)]
    named = os.environ.get("KEYSTRAND_BENCH_CBOM_FOLDER")
    return found + (_merge_rows(Path(named)) if named else [])


if __name__ == "__main__":
    print(json.dumps(msgspec.to_builtins(rows()), indent=1))
