"""The X.509 file probe: certificates and keys in a file, or in a folder and all below it.

Reads nothing outside the estate's folder, follows no link that leads out of it, and keeps no private octet.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple

from keystrand.edge.probes.base import attempt
from keystrand.formats.key_files import ENCRYPTED, Found, KeyFact, objects_in
from keystrand.model.algorithm import Function, classify
from keystrand.model.estate import ProbeKind, Target
from keystrand.model.observation import AlgorithmUse, Attempt, Certificate, Fact, Observation, Outcome, Record, Strength

MAX_FILE_OCTETS = 1024 * 1024
"""Octets of a file that is read at most: a bundle of all public authorities takes a quarter of it."""
MAX_FILES = 10_000
"""Files of one target that are read at most."""
_REASONS_SHOWN = 5
_WORST_FIRST = (Outcome.UNREADABLE, Outcome.UNPARSABLE, Outcome.SKIPPED)


class _Gap(NamedTuple):
    """Something that could not be read, and why."""

    outcome: Outcome
    reason: str


class X509Probe:
    """Reads the certificates and keys that the estate names."""

    kind: ClassVar[ProbeKind] = ProbeKind.X509

    def read(self, target: Target, folder: Path) -> tuple[Record, ...]:
        """Return the facts of every object at the target's path, and the attempt. What cannot be read is a reason."""
        seen: list[Observation] = []
        gaps: list[_Gap] = []
        for name, found in _objects(folder.resolve(), target.path or ""):
            if isinstance(found, _Gap):
                gaps.append(found)
                continue
            seen += (_observation(target, f"file:{name}", fact) for fact in _with_use(found.facts))
            if found.gap:
                outcome = Outcome.UNREADABLE if found.gap == ENCRYPTED else Outcome.UNPARSABLE
                gaps.append(_Gap(outcome, f"{name}: {found.gap}"))
        return (*seen, _attempt(target, seen, gaps))


def _with_use(facts: tuple[KeyFact, ...]) -> Iterator[Fact]:
    """Yield the facts, and what a certificate that is not an authority's is for: to sign with its key, mostly."""
    for fact in facts:
        yield fact
        if isinstance(fact, Certificate) and not fact.authority:
            function = classify(fact.key_algorithm, Function.SIGNATURE).function
            yield AlgorithmUse(algorithm=fact.key_algorithm, function=function)


def _observation(target: Target, place: str, fact: Fact) -> Observation:
    return Observation(target=target.id, probe=target.probe.value, place=place, strength=Strength.CONFIGURED, fact=fact)


def _attempt(target: Target, seen: list[Observation], gaps: list[_Gap]) -> Attempt:
    """Return the attempt. Where something was seen the gaps stay in the reason; where nothing was, they decide."""
    reason = "; ".join(gap.reason for gap in gaps[:_REASONS_SHOWN])
    if len(gaps) > _REASONS_SHOWN:
        reason += f"; and {len(gaps) - _REASONS_SHOWN} more not read"
    if seen:
        return attempt(target, Outcome.SEEN, reason)
    if not gaps:
        return attempt(target, Outcome.NONE, "no certificate or key was recognised")
    return attempt(target, min((gap.outcome for gap in gaps), key=_WORST_FIRST.index), reason)


def _objects(folder: Path, path: str) -> Iterator[tuple[str, Found | _Gap]]:
    """Yield every object below `path` as `relative/path#n`, from 1, and every gap."""
    for file in _files(folder, path):
        if isinstance(file, _Gap):
            yield "", file
        elif isinstance(content := _content(file, folder), _Gap):
            yield "", content
        else:
            for number, found in enumerate(objects_in(content), start=1):
                yield f"{_shown(file, folder)}#{number}", found


def _files(folder: Path, path: str) -> Iterator[Path | _Gap]:
    """Yield the files at `path` in a fixed order: itself, or all below it. Links to folders are not followed."""
    try:
        top = (folder / path).resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        yield _Gap(Outcome.UNREADABLE, f"{path}: {_why(error)}")
        return
    if not path or not top.is_relative_to(folder):
        yield _Gap(Outcome.SKIPPED, f"{path}: outside the estate's folder; it was not read")
    elif top.is_dir():
        yield from _files_below(top, folder)
    else:
        yield top


def _files_below(top: Path, folder: Path) -> Iterator[Path | _Gap]:
    unreadable: list[OSError] = []
    count = 0
    for here, folders, files in os.walk(top, onerror=unreadable.append):
        folders.sort()
        for name in folders:
            if (link := Path(here, name)).is_symlink():
                yield _Gap(Outcome.SKIPPED, f"{_shown(link, folder)}: a link to a folder, which is not followed")
        for name in sorted(files):
            count += 1
            if count > MAX_FILES:
                yield _Gap(
                    Outcome.SKIPPED, f"{_shown(top, folder)}: more than {MAX_FILES} files; the rest was not read"
                )
                return
            yield Path(here, name)
    for error in unreadable:
        yield _Gap(Outcome.UNREADABLE, f"{_shown(Path(error.filename), folder)}: {_why(error)}")


def _content(file: Path, folder: Path) -> bytes | _Gap:
    """Return the content of a regular file that really is below `folder`, or why it was not read."""
    name = _shown(file, folder)
    try:
        real = file.resolve(strict=True)
        if not real.is_relative_to(folder):
            return _Gap(Outcome.SKIPPED, f"{name}: a link that leads out of the estate's folder; it was not read")
        # not blocking: a named pipe must not hold up the scan
        with os.fdopen(os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                return _Gap(Outcome.UNREADABLE, f"{name}: not a regular file")
            content = stream.read(MAX_FILE_OCTETS + 1)
    except (OSError, RuntimeError) as error:
        return _Gap(Outcome.UNREADABLE, f"{name}: {_why(error)}")
    if len(content) > MAX_FILE_OCTETS:
        return _Gap(Outcome.UNREADABLE, f"{name}: larger than {MAX_FILE_OCTETS} octets")
    return content


def _why(error: Exception) -> str:
    return (error.strerror or "cannot be read").lower() if isinstance(error, OSError) else "not a path that can be read"


def _shown(path: Path, folder: Path) -> str:
    """Return `path` relative to the estate's folder; octets that are not UTF-8 are written as escapes."""
    return os.fsencode(path.relative_to(folder).as_posix()).decode("utf-8", "backslashreplace")
