"""SARIF 2.1.0: what the standard requires, fingerprints that survive a move, and no content of the source."""

import json
from collections.abc import Callable
from typing import Any

from keystrand.formats.sarif import FINGERPRINT, normalised, sarif_log
from keystrand.model.algorithm import Function
from keystrand.model.observation import AlgorithmUse, Attempt, Observation, Outcome, Record, Strength


def _seen(place: str, algorithm: str, function: Function = Function.DIGEST, *, in_tests: bool = False) -> Observation:
    fact = AlgorithmUse(algorithm=algorithm, function=function, library="hashlib", in_tests=in_tests)
    return Observation(target="code", probe="source", place=place, strength=Strength.REFERENCED, fact=fact)


RECORDS: list[Record] = [
    _seen("file:src/b c.py:7", "SHA-256"),
    _seen("file:src/a.py:3", "RSA-2048", Function.SIGNATURE),
    _seen("file:tests/test_a.py:9", "MD5", in_tests=True),
    _seen("file:src/a.py:5", "unknown"),
    _seen("tls://host:443", "X25519", Function.KEY_ESTABLISHMENT),
    Attempt(target="code", probe="source", place="file:src/broken.py", outcome=Outcome.UNPARSABLE, reason="too deep"),
]


def _log(line: Callable[[str, int], str] = lambda _path, _number: "") -> dict[str, Any]:
    return sarif_log(RECORDS, line, version="1.0.0")


def test_a_log_has_what_the_standard_requires() -> None:
    """Sections 3.13, 3.14, 3.18, 3.19, 3.27, 3.49: version, tool with a name, messages, rules by index, real levels."""
    log = json.loads(json.dumps(_log()))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert run["tool"]["driver"]["name"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    for result in run["results"]:
        assert result["message"]["text"]
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("none", "note", "warning", "error")
        assert result["kind"] == "fail" or result["level"] == "none"
        (location,) = result["locations"]
        assert location["physicalLocation"]["region"]["startLine"] >= 1
        assert " " not in location["physicalLocation"]["artifactLocation"]["uri"]
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is True


def test_the_level_follows_the_verdict() -> None:
    """Broken by a quantum computer is a warning, unknown a note, safe no failure; in test code at most a note."""
    results = {r["ruleId"]: (r["kind"], r["level"]) for r in _log()["runs"][0]["results"]}
    assert results == {
        "signature/RSA-2048": ("fail", "warning"),
        "digest/unknown": ("fail", "note"),
        "digest/SHA-256": ("informational", "none"),
        "digest/MD5": ("fail", "note"),
    }


def test_only_lines_of_files_are_findings_and_gaps_are_told() -> None:
    """What a network probe saw is not in it; a file that could not be read is a notification."""
    (run,) = _log()["runs"]
    assert len(run["results"]) == 4
    (note,) = run["invocations"][0]["toolExecutionNotifications"]
    assert "src/broken.py" in note["message"]["text"]
    assert "too deep" in note["message"]["text"]


def _prints(records: list[Record], lines: dict[int, str]) -> list[str]:
    log = sarif_log(records, lambda _path, number: lines.get(number, ""), version="1.0.0")
    return [result["partialFingerprints"][FINGERPRINT] for result in log["runs"][0]["results"]]


def test_a_statement_that_moves_keeps_its_fingerprint() -> None:
    """Other line, other blanks: the same. Another statement, or the second of two equal ones: another."""
    moved = [_seen("file:a.py:3", "MD5")], [_seen("file:a.py:40", "MD5")]
    assert _prints([*moved[0]], {3: "x = md5(a)"}) == _prints([*moved[1]], {40: "    x  = md5( a )"})
    assert _prints([*moved[0]], {3: "x = md5(a)"}) != _prints([*moved[1]], {40: "x = md5(b)"})
    twice = _prints([*moved[0], *moved[1]], {3: "x = md5(a)", 40: "x = md5(a)"})
    assert len(set(twice)) == 2


def test_no_secret_reaches_the_fingerprint() -> None:
    """A text that names no algorithm is left out before anything is hashed, also one that does not end in its line."""
    for secret in (
        "'sixteen byte key'",
        '"sixteen byte key"',
        '"""sixteen byte key',
        "`sixteen byte key`",
        "0x0123456789ab",
    ):
        assert normalised(f"f('AES-128-GCM', {secret}") == normalised(
            f"f( 'AES-128-GCM', {secret.replace('s', 'z').replace('9', '8')}"
        )
        assert "sixteen" not in normalised(f"f({secret})")
    assert "AES-128-GCM" in normalised("f('AES-128-GCM')")


def test_equal_records_give_equal_logs() -> None:
    """The order in which records come does not matter."""
    assert _log() == sarif_log(RECORDS[::-1], lambda _path, _number: "", version="1.0.0")
