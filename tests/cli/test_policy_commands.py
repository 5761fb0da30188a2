"""`keystrand policy`: exit codes, the table of failures, what a mistake looks like."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer

from keystrand.cli import policy
from keystrand.model.errors import InvalidInput, KeystrandError, MissingInput

EXAMPLE = Path(__file__).parents[2] / "examples" / "key-policy.toml"


def _run(*words: str) -> None:
    command = typer.main.get_command(policy.app)
    command(args=list(words), prog_name="keystrand policy", standalone_mode=False)


def _rows(capsys: pytest.CaptureFixture[str]) -> Sequence[dict[str, object]]:
    rows: Sequence[dict[str, object]] = json.loads(capsys.readouterr().out)
    return rows


def _broken(folder: Path, old: str, new: str) -> str:
    text = EXAMPLE.read_text()
    assert old in text
    path = folder / "key-policy.toml"
    path.write_text(text.replace(old, new, 1))
    return str(path)


def test_a_policy_that_keeps_its_promises_passes(capsys: pytest.CaptureFixture[str]) -> None:
    """Every test in the table; on stderr the count, with and without region exceptions."""
    _run("test", str(EXAMPLE))
    out, err = capsys.readouterr()
    assert "payments never fall back" in out
    assert "FAILED" not in out
    assert "10 tests, 0 failed; 6 of the requests are allowed, 5 without a region exception" in err


def test_a_broken_promise_is_exit_1_and_stands_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table says what came instead and why; the error says how many."""
    path = _broken(tmp_path, 'reason = "being decommissioned, ticket 4711"', 'reason = "x"\nlinks = ["elsewhere"]')
    with pytest.raises(KeystrandError, match=r"1 test of .* failed") as caught:
        _run("test", path, "-o", "json")
    assert caught.value.exit_code == 1
    first, *others = _rows(capsys)
    assert first["test"] == "a retired system gets nothing"
    assert first["result"] == "FAILED"
    assert first["remark"] == "expected deny, got allow"
    assert {row["result"] for row in others} == {"passed"}


def test_a_failed_test_that_is_denied_says_by_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The remark of an unexpected denial is the denial itself."""
    path = _broken(tmp_path, 'default = "deny"', 'default = "deny"\n[[deny]]\nid = "closed"\nreason = "holiday"\n#')
    with pytest.raises(InvalidInput):
        _run("test", path)  # the lines after a table belong to it: replay is no key of a denial
    path = _broken(
        tmp_path, '[[deny]]\nid = "retired"', '[[deny]]\nid = "closed"\nreason = "holiday"\n[[deny]]\nid = "retired"'
    )
    with pytest.raises(KeystrandError):
        _run("test", path, "-o", "json")
    assert "expected allow, got deny; " in str(_rows(capsys)[0]["remark"])


def test_a_day_can_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    """Exceptions are judged for that day; a day that is none is a mistake of usage."""
    _run("show", str(EXAMPLE), "--as-of", "2027-03-31")
    assert "ended 2027-03-31" in capsys.readouterr().out
    _run("show", str(EXAMPLE), "--as-of", "2027-03-30")
    assert "in force until 2027-03-31" in capsys.readouterr().out
    with pytest.raises(InvalidInput, match="not a date"):
        _run("test", str(EXAMPLE), "--as-of", "tomorrow")


def test_show_names_every_entry(capsys: pytest.CaptureFixture[str]) -> None:
    """One row an entry in the table; under json the policy itself, as it was read."""
    _run("show", str(EXAMPLE), "-o", "csv")
    table = capsys.readouterr().out
    for name in ("hybrid(qkd:information-theoretic+pqc:post-quantum)", "core-banking", "archive-needs-qkd", "everybody",
                 "payments-post-quantum", "hourly", "zurich-migration"):  # fmt: skip
        assert name in table
    _run("show", str(EXAMPLE), "-o", "json")
    shown = json.loads(capsys.readouterr().out)
    assert shown["profile"][0]["exhaustion"]["degrade_to"] == "hybrid"
    assert len(shown["test"]) == 10


def test_every_behaviour_at_exhaustion_is_put_into_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fail, wait, degrade."""
    path = _broken(
        tmp_path,
        'regions = ["any"]                 # alone',
        'regions = ["any"]\nexhaustion = { mode = "wait", wait_s = 2.5 } # alone',
    )
    _run("show", path, "-o", "csv")
    out = capsys.readouterr().out
    assert all(f"when out: {words}" in out for words in ("fail", "wait 2.5 s", "hybrid for 14400 s at most"))


def test_a_policy_without_tests_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It passes, with nothing on stdout and the advice to write some."""
    path = tmp_path / "key-policy.toml"
    path.write_text(EXAMPLE.read_text().partition("# --- Tests")[0])
    _run("test", str(path))
    out, err = capsys.readouterr()
    assert out == ""
    assert "add a [[test]]" in err


def test_a_file_that_is_not_there_or_no_text_is_a_mistake_of_usage(tmp_path: Path) -> None:
    """Exit 2 with the place and the next step."""
    with pytest.raises(MissingInput) as missing:
        _run("test", str(tmp_path / "nowhere.toml"))
    assert "examples/key-policy.toml" in missing.value.hint
    (tmp_path / "latin.toml").write_bytes(b'name = "house"\nowner = "M\xfcller"\n')
    with pytest.raises(InvalidInput) as latin:
        _run("show", str(tmp_path / "latin.toml"))
    assert latin.value.exit_code == 2
    assert (latin.value.problems[0].line, latin.value.problems[0].hint) == (2, "save the file as UTF-8")


def test_problems_come_with_their_lines(tmp_path: Path) -> None:
    """A misspelt profile is told with file and line before any test is run."""
    path = _broken(tmp_path, 'degrade_to = "hybrid"', 'degrade_to = "hybird"')
    with pytest.raises(InvalidInput) as caught:
        _run("test", path)
    (problem,) = caught.value.problems
    assert problem.hint == "did you mean 'hybrid'?"
    assert str(problem).startswith(f"{path}:")
