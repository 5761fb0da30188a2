"""Findings in source code as SARIF 2.1.0 (OASIS, 27 March 2020), which code hosts and editors read.

One rule for each algorithm and function; the level says what a quantum computer means to it. A result's fingerprint is
of its statement, not of its line number: it stays the same where code moves. Texts in the statement that name no
algorithm are left out of it, so that no key in the source reaches the fingerprint.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from keystrand.formats.source.names import parsed
from keystrand.model.algorithm import Algorithm, Function, Verdict, classify
from keystrand.model.observation import AlgorithmUse, Attempt, Observation, Outcome, Record

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
FINGERPRINT = "keystrandStatement/v1"
Line = Callable[[str, int], str]
"""Gives the text of a line (from 1) of a file, or an empty text where it cannot be read."""
_PLACE = re.compile(r"file:(.+):(\d+)")
_TEXT = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`|["'`].*$)""")
_LONG_NUMBER = re.compile(r"\b(?:0[xX][0-9a-fA-F]{5,}|\d{6,})\b")
_LEVELS = {Verdict.QUANTUM_VULNERABLE: "warning", Verdict.UNKNOWN: "note", Verdict.QUANTUM_SAFE: "none"}
_GAPS = (Outcome.UNPARSABLE, Outcome.UNREADABLE, Outcome.SKIPPED, Outcome.TIMED_OUT)


def sarif_log(records: Iterable[Record], line: Line, *, version: str) -> dict[str, Any]:
    """Return the SARIF log of the algorithms that `records` found in lines of files, with one rule for each.

    Attempts that left something unread become notifications. The order is that of places, so equal records give
    equal logs.
    """
    attempts: list[Attempt] = []
    uses: list[tuple[str, int, AlgorithmUse]] = []
    for record in records:
        if isinstance(record, Attempt):
            attempts.append(record)
        elif (found := _use(record)) is not None:
            uses.append(found)
    uses.sort(key=lambda one: (one[0], one[1], one[2].algorithm, one[2].function.value))
    rules = sorted({_rule_id(use) for _, _, use in uses})
    run = {
        "tool": {"driver": {"name": "keystrand", "semanticVersion": version, "rules": [_rule(one) for one in rules]}},
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": list(_notes(attempts))}],
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"SRCROOT": {"description": {"text": "the folder that the estate's paths start from"}}},
        "results": list(_results(uses, {one: number for number, one in enumerate(rules)}, line)),
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _use(record: Observation) -> tuple[str, int, AlgorithmUse] | None:
    place = _PLACE.fullmatch(record.place)
    if place is None or not isinstance(record.fact, AlgorithmUse):
        return None
    return place[1], int(place[2]), record.fact


def _rule_id(use: AlgorithmUse) -> str:
    return f"{use.function.value}/{use.algorithm}"


def _rule(identity: str) -> dict[str, Any]:
    function, _, name = identity.partition("/")
    known = classify(name, Function(function))
    described = {
        "id": identity,
        "name": "".join(part.capitalize() for part in re.split(r"[^A-Za-z0-9]+", identity)),
        "shortDescription": {"text": f"{name} is used for {function.replace('-', ' ')}"},
        "defaultConfiguration": {"level": _LEVELS[known.verdict]},
        "properties": {"verdict": known.verdict.value, "tags": ["cryptography", function]},
    }
    if known.note:
        described["help"] = {"text": known.note}
    return described


def _results(uses: list[tuple[str, int, AlgorithmUse]], rules: dict[str, int], line: Line) -> Iterator[dict[str, Any]]:
    seen: Counter[str] = Counter()
    for path, number, use in uses:
        identity = _rule_id(use)
        known = classify(use.algorithm, use.function)
        digest = _fingerprint(path, identity, line(path, number))
        seen[digest] += 1
        yield {
            "ruleId": identity,
            "ruleIndex": rules[identity],
            **_judged(known, in_tests=use.in_tests),
            "message": {"text": _message(use, known)},
            "locations": [{"physicalLocation": {
                "artifactLocation": {"uri": _uri(path), "uriBaseId": "SRCROOT"}, "region": {"startLine": number},
            }}],
            "partialFingerprints": {FINGERPRINT: f"{digest}:{seen[digest]}"},
            "properties": {"library": use.library, "inTests": use.in_tests, "verdict": known.verdict.value},
        }  # fmt: skip


def _uri(path: str) -> str:
    """Return `path` as a relative reference (RFC 3986, section 2.1): what is not unreserved is written as octets."""
    kept = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/")
    octets = path.encode("utf-8", "surrogatepass")
    return "".join(chr(octet) if octet in kept else f"%{octet:02X}" for octet in octets)


def _judged(known: Algorithm, *, in_tests: bool) -> dict[str, str]:
    """Return kind and level. Only what fails has a level (3.27.10); in test code nothing is more than a note."""
    if known.verdict is Verdict.QUANTUM_SAFE:
        return {"kind": "informational", "level": "none"}
    return {"kind": "fail", "level": "note" if in_tests else _LEVELS[known.verdict]}


def _message(use: AlgorithmUse, known: Algorithm) -> str:
    by = f" by {use.library}" if use.library else ""
    where = ", in test code" if use.in_tests else ""
    return f"{use.algorithm} for {use.function.value.replace('-', ' ')}{by}{where}: {known.verdict.value}"


def normalised(statement: str) -> str:
    """Return a statement without what may change and means nothing: blanks, and texts that name no algorithm."""

    def kept(match: re.Match[str]) -> str:
        return match[0] if parsed(match[0][1:-1]) is not None else '""'

    return "".join(_LONG_NUMBER.sub("0", _TEXT.sub(kept, statement)).split())


def _fingerprint(path: str, identity: str, statement: str) -> str:
    named = "\n".join((path, identity, normalised(statement)))
    return hashlib.sha256(named.encode("utf-8", "surrogatepass")).hexdigest()


def _notes(attempts: list[Attempt]) -> Iterator[dict[str, Any]]:
    for one in attempts:
        if one.reason or one.outcome in _GAPS:
            yield {
                "level": "warning" if one.outcome in _GAPS else "note",
                "message": {"text": f"{one.place}: {one.outcome.value}{': ' if one.reason else ''}{one.reason}"},
            }
