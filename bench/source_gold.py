"""How right the reading of source code is, on suites that others wrote. None of them is kept here.

- `KEYSTRAND_BENCH_SOURCE_GOLD`: a folder of sources whose lines say in a comment what stands in them, as the test files
  of sonar-cryptography do: `Noncompliant {{(BlockCipher) AES128-ECB}}`, or `Noncompliant@-1` for the line before
- `KEYSTRAND_BENCH_SOURCE_TRAPS`: a folder of sources, or PyCryptoBench's SQLite file, where what is called a trap uses
  nothing, and what is called correct (as in CryptoAPI-Bench) uses nothing that is broken

A label counts as right where one of ours on its line has its family and mode, and its size where both tell one.
"""

import base64
import os
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.measure import Row
from keystrand.edge.source_rules import source_reader
from keystrand.formats.source.grammar import dialect_of
from keystrand.formats.source.names import parsed
from keystrand.formats.source.parts import Parts
from keystrand.model.observation import AlgorithmUse, ProtocolSettings
from keystrand.model.symmetric import symmetric

READER = source_reader()
GOALS = {"python": (98.0, 85.0), "go": (98.0, 85.0), "java": (90.0, 85.0)}
"""Per cent of lines found and of labels right, by language."""
PRECISION_GOAL = 90.0
_NOTE = re.compile(r"Noncompliant(?:@([+-]\d+))?\s*((?:\{\{[^}]*\}\}\)?\s*)*)")
_WORDS = {"DH": "FFDH", "SCRYPT": "scrypt", "Fernet": "AES-CBC", "ChaCha20Poly1305": "ChaCha20-Poly1305",
          "HMAC-Poly1305": "Poly1305", "CAST-128": "CAST5"}  # fmt: skip


class Told(NamedTuple):
    """What was told of one line: gold labels, and our names."""

    gold: list[str]
    ours: list[str]


def gold_rows() -> list[Row]:
    """Return recall, accuracy and extra lines for each language of the gold folder; none where none is given."""
    folder = os.environ.get("KEYSTRAND_BENCH_SOURCE_GOLD", "")
    if not folder:
        return []
    told: dict[str, list[Told]] = {}
    for path, text in _texts(Path(folder)):
        if dialect := dialect_of(str(path)):
            told.setdefault(dialect.rules, []).extend(_told(path, text))
    return [row for language, lines in sorted(told.items()) for row in _scores(language, lines)]


def _told(path: Path, text: str) -> Iterator[Told]:
    gold: dict[int, list[str]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if note := _NOTE.search(line):
            gold.setdefault(number + int(note[1] or 0), []).extend(re.findall(r"\{\{(.*?)\}\}", note[2]))
    ours: dict[int, list[str]] = {}
    for found in READER.read(str(path), text.encode()).found:
        if isinstance(found.fact, AlgorithmUse):
            ours.setdefault(int(found.where[1:]), []).append(found.fact.algorithm)
        elif isinstance(found.fact, ProtocolSettings):
            ours.setdefault(int(found.where[1:]), []).append(" ".join(("TLS", *found.fact.versions)))
    for number in sorted({*gold, *ours}):
        yield Told(gold.get(number, []), ours.get(number, []))


def _scores(language: str, lines: list[Told]) -> list[Row]:
    noted = [one for one in lines if one.gold]
    if not noted:
        return []
    found = [one for one in noted if one.ours]
    labels = [(label, one.ours) for one in found for label in one.gold if _known(label) is not None]
    right = sum(_right(label, ours) for label, ours in labels)
    recall, accuracy = GOALS.get(language, (None, None))
    return [
        _row(f"source, {language}: annotated lines found ({len(noted)})", 100 * len(found) / len(noted), recall),
        _row(f"source, {language}: labels right ({len(labels)})", 100 * right / max(len(labels), 1), accuracy),
        _row(f"source, {language}: lines told beside them", len([one for one in lines if not one.gold]), None, "lines"),
    ]


def _row(name: str, value: float, goal: float | None, unit: str = "%") -> Row:
    return Row(
        name=name, value=round(value, 1), unit=unit, low=round(value, 1), high=round(value, 1),
        goal="" if goal is None else f">= {goal} {unit}", met=None if goal is None else value >= goal,
    )  # fmt: skip


def _known(label: str) -> Parts | str | None:
    """Return what a gold label names; None where it names nothing of cryptography (a test of the peer's engine)."""
    name = re.sub(r"^\([A-Za-z]+\)\s*", "", label).strip()
    if name.startswith("TLS"):
        return name.replace("TLSv", "TLS TLSv")
    return parsed(_WORDS.get(name, name.replace("EC-", ""))) or None


def _right(label: str, ours: list[str]) -> bool:
    known = _known(label)
    if isinstance(known, str) or known is None:
        return any(str(known) in one for one in ours)
    return any(_same(known, mine) for mine in map(parsed, ours) if mine is not None) or _split(known, ours)


def _split(known: Parts, ours: list[str]) -> bool:
    """Return whether a signature with its hash is told as two names, as we do."""
    read = [one for one in map(parsed, ours) if one]
    return (
        bool(known.hash and known.family)
        and any(r.hash == known.hash for r in read)
        and any(_same(known._replace(hash=""), r) for r in read)
    )


def _same(gold: Parts, ours: Parts) -> bool:
    family = {"EC": "ECDSA", "ECDH": "ECDSA"}
    mine, theirs = (family.get(p.family, p.family).partition("-")[0] or p.hash for p in (ours, gold))
    sizes = not gold.bits or not ours.bits or gold.bits == ours.bits
    curves = not gold.curve or gold.curve == ours.curve
    hashes = not gold.hash or gold.hash in (ours.hash, "") or not ours.hash
    return mine == theirs and (not gold.mode or gold.mode == ours.mode) and sizes and curves and hashes


def trap_rows() -> list[Row]:
    """Return how many of the traps were not fallen into; none where no traps are given."""
    folder = os.environ.get("KEYSTRAND_BENCH_SOURCE_TRAPS", "")
    if not folder:
        return []
    count: Counter[str] = Counter()
    for path, text in _texts(Path(folder)):
        uses = [f.fact for f in READER.read(str(path), text.encode()).found if isinstance(f.fact, AlgorithmUse)]
        if re.search(r"(?i)trap", path.name):
            count["traps"] += 1
            count["missed traps"] += not uses
        elif "Correct" in path.name:
            count["correct"] += 1
            count["kept correct"] += not any(_broken(use.algorithm) for use in uses)
    pairs = (
        ("traps that use nothing", "missed traps", "traps"),
        ("corrected files without what is broken", "kept correct", "correct"),
    )
    return [
        _row(f"source, {words} ({count[of]})", 100 * count[good] / count[of], PRECISION_GOAL)
        for words, good, of in pairs
        if count[of]
    ]


def _broken(name: str) -> bool:
    known = symmetric(name)
    return known is not None and known.safe is not True


def _texts(place: Path) -> Iterator[tuple[Path, str]]:
    if place.is_file():
        with sqlite3.connect(place) as base:
            for name, content in base.execute("SELECT FileName, Contents FROM main"):
                yield Path(name), base64.b64decode(str(content).removeprefix("b64:")).decode("utf-8", "replace")
        return
    for path in sorted(place.rglob("*")):
        if path.is_file() and dialect_of(path.name):
            yield path.relative_to(place), path.read_text("utf-8", "replace")
        elif path.suffix == ".sqlite":
            yield from _texts(path)
