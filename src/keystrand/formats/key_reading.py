"""Certificates and keys as a reader of files gives them: facts with their place, and why some could not be told."""

from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO

from keystrand.formats.der import SEQUENCE, element, header
from keystrand.formats.key_facts import ENCRYPTED, KeyFact
from keystrand.formats.key_facts import Found as Object
from keystrand.formats.key_files import objects_in, pem_objects
from keystrand.formats.key_objects import certificate
from keystrand.formats.pem import blocks
from keystrand.formats.program_reading import MAGICS
from keystrand.formats.windows import windows
from keystrand.model.algorithm import Function, classify
from keystrand.model.observation import AlgorithmUse, Certificate, Fact, Outcome, Strength
from keystrand.model.reading import Found, Reading

_REASONS_SHOWN = 5
MAX_EMBEDDED = 256 * 1024
"""Octets of a certificate that is found inside something else: those of SLH-DSA take 60,000."""
MAX_FAILED = 10_000
"""Places in one file, or window of a large one, that begin like a certificate and are none, before it is left."""
_VERSION_3 = b"\xa0\x03\x02\x01\x02\x02"
_NAMED = (".der", ".cer", ".crt", ".p12", ".pfx", ".p7b", ".p7c", ".jks", ".jceks", ".bcfks", ".bks")
"""What names of files promise: where nothing is found in one, it could not be read, which is not the same as empty."""
_WINDOW = 16 * 1024**2
"""Octets of a large file that are searched at a time."""
_OVERLAP = 1024**2
"""Octets that a window shares with the next, so that an object is whole in one of them: the longest that is found."""


def wants(path: str, head: bytes) -> bool:  # noqa: ARG001 - the form of every reader's question
    """Return true: keys stand in files of any name, and in the midst of them."""
    return True


def read(path: str, content: bytes, *, passwords: tuple[str, ...] = ()) -> Reading:
    """Return the facts of every certificate, key and keystore in `content`.

    The n-th object stands at `#n`, a key in a line of text at `:n`, a certificate inside a program at `@0x...`.
    """
    objects = objects_in(content, passwords)
    if any(one.facts for one in objects) and not content.startswith(MAGICS):
        return _reading((one.where or f"#{number}", one) for number, one in enumerate(objects, start=1))
    numbered = ((one.where or f"#{number}", one) for number, one in enumerate(objects, start=1))
    reading = _reading(chain(numbered, _embedded(content, 0, len(content))))
    ending = next((ending for ending in _NAMED if path.lower().endswith(ending)), "")
    if reading.outcome is Outcome.NONE and ending and not content.isascii():  # a remark in words is none
        return Reading((), Outcome.UNPARSABLE, f"a {ending} file in which nothing could be read")
    return reading


def read_large(path: str, stream: BinaryIO) -> Iterator[Found | Reading]:  # noqa: ARG001 - as above
    """Yield what stands in PEM in a file of any size, each at its offset `@0x...`."""
    outcome, reasons = Outcome.NONE, set[str]()
    for offset, window, own in windows(stream, _WINDOW, _OVERLAP):
        reading = _reading(_in_window(window, offset, own))
        yield from reading.found
        outcome = outcome if reading.outcome is Outcome.NONE else reading.outcome
        reasons |= {reading.reason} - {""}
    yield Reading(outcome=outcome, reason="; ".join(sorted(reasons)[:_REASONS_SHOWN]))


def _in_window(window: bytes, offset: int, own: int) -> Iterator[tuple[str, Object]]:
    """Yield the objects that begin in the first `own` octets of `window`, which stands at `offset`."""
    for block in blocks(window):
        if block.at < own:
            yield from ((f"@{offset + block.at:#x}", one) for one in pem_objects(block))
    yield from _embedded(window, offset, own)


def _embedded(content: bytes, offset: int, own: int) -> Iterator[tuple[str, Object]]:
    """Yield the certificates in DER that begin in the first `own` octets: of programs, signatures and stores.

    They are told by what stands before their serial number: version 3, inside two sequences (RFC 5280, 4.1).
    """
    failed = 0
    at = content.find(_VERSION_3)
    while at >= 0:
        for start in range(max(at - 12, 0), at - 3):
            if start >= own or not _fits(content, start, at):
                continue
            if one := _certificate_at(content, start):
                yield f"@{offset + start:#x}", one
                break
            failed += 1
        if failed > MAX_FAILED:
            yield f"@{offset + at:#x}", Object(gap="too much that begins like certificates and is none; it was left")
            return
        at = content.find(_VERSION_3, at + 1)


def _fits(content: bytes, start: int, at: int) -> bool:
    """Return whether two sequences begin one in the other from `start` on, so that the version stands at `at`."""
    try:
        outer, begin, end = header(content, start)
        inner, version, _ = header(content, begin)
    except ValueError:
        return False
    return (outer, inner, version) == (SEQUENCE, SEQUENCE, at) and end - start <= MAX_EMBEDDED


def _certificate_at(content: bytes, start: int) -> Object | None:
    (found,) = certificate(element(content, start).raw)
    return found if found.facts else None


def _reading(objects: Iterator[tuple[str, Object]]) -> Reading:
    found: list[Found] = []
    gaps: list[str] = []
    for where, one in objects:
        found += (Found(where, Strength.CONFIGURED, fact) for fact in _with_use(one.facts))
        if one.gap:
            gaps.append(f"{where} {one.gap}")
    reason = "; ".join(gaps[:_REASONS_SHOWN])
    if len(gaps) > _REASONS_SHOWN:
        reason += f"; and {len(gaps) - _REASONS_SHOWN} more"
    if found:
        return Reading(tuple(found), Outcome.SEEN, reason)
    if not gaps:
        return Reading()
    locked = any(gap.endswith(ENCRYPTED) for gap in gaps)
    return Reading((), Outcome.UNREADABLE if locked else Outcome.UNPARSABLE, reason)


def _with_use(facts: tuple[KeyFact, ...]) -> Iterator[Fact]:
    """Yield the facts, and what a certificate that is not an authority's is for: to sign with its key, mostly."""
    for fact in facts:
        yield fact
        if isinstance(fact, Certificate) and not fact.authority:
            function = classify(fact.key_algorithm, Function.SIGNATURE).function
            yield AlgorithmUse(algorithm=fact.key_algorithm, function=function)
