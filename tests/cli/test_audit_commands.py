"""`keystrand audit`: sound audits are told in numbers, broken ones by file and line."""

import csv
import io
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keystrand.cli.audit import app as audit_app
from keystrand.cli.main import app, run
from keystrand.edge.store.audit_file import PUBLIC_KEY, AuditFile, AuditLimits
from keystrand.edge.store.audit_segment import segments
from keystrand.edge.store.audit_signer import open_signer
from keystrand.operate.audit import AuditRecord, detail_of, hash_of

if "audit" not in {group.name for group in app.registered_groups}:
    app.add_typer(audit_app, name="audit")

DAY = 86_400
AT = 1764072000  # 2025-11-25T12:00:00Z


class Audit:
    """An audit of three segments that a test may spoil."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "audit"
        self.key = self.folder / PUBLIC_KEY
        signer = open_signer(folder / "signing.pem", make=True)
        limits = AuditLimits(segment_bytes=9_700)
        audit = AuditFile(self.folder, signer, store_id="store-1", limits=limits, clock=lambda: float(AT))
        for number in range(1, 25):
            action = "deliver" if number % 2 else "=denied"
            told = detail_of(n=number, name="Zoë\x1b[31m")
            audit.append(
                [AuditRecord(at=AT + number * DAY / 10, actor="urn:keystrand:sae:a", action=action, detail=told)],
                number,
            )
        audit.close()
        self.head = audit.head

    @property
    def files(self) -> list[Path]:
        """Return its files."""
        return segments(self.folder)

    def change(self, number: int, change: Callable[[list[bytes]], None]) -> Path:
        """Change the lines of file `number`."""
        file = self.files[number]
        lines = file.read_bytes().splitlines(keepends=True)
        change(lines)
        file.write_bytes(b"".join(lines))
        return file


@pytest.fixture
def audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Audit:
    """Return a sound audit, away from any settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    return Audit(tmp_path)


Captured = pytest.CaptureFixture[str]


def _printed(capsys: Captured, *arguments: str) -> Any:
    assert run([*arguments, "-o", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_sound_audit_is_told_in_numbers(audit: Audit, capsys: Captured) -> None:
    """Records, end, checkpoints and key; what the check cannot show is said beside it."""
    told = _printed(capsys, "audit", "verify", str(audit.folder))
    assert (told["records"], told["generation"], told["store"]) == (24, 24, "store-1")
    assert told["segment"] == len(audit.files) == 3
    assert (told["head"], told["unsigned_lines"], told["key_is_the_audits_own"]) == (audit.head, 0, True)
    assert run(["audit", "verify", str(audit.folder)]) == 0
    out, said = capsys.readouterr()
    assert audit.head in out
    assert "--key" in said
    assert "--head" in said
    assert "ok: 24 records, last checkpoint at 2025-11-25T12:00:00.000000Z" in said


def test_with_key_and_head_nothing_is_left_open(audit: Audit, capsys: Captured) -> None:
    """A key and a head that are known from elsewhere leave no doubt, and no note."""
    for head in (audit.head, audit.head.upper()):
        assert run(["audit", "verify", str(audit.folder), "--key", str(audit.key), "--head", head]) == 0
        assert "note:" not in capsys.readouterr().err


def test_one_file_is_verified_alone_and_moved_files_are_followed(audit: Audit, capsys: Captured) -> None:
    """A later file holds alone; a folder without its first file needs the hash that this one ended in."""
    first = audit.files[0]
    ended = hash_of(first.read_bytes().splitlines(keepends=True)[-1])
    told = _printed(capsys, "audit", "verify", str(audit.files[1]))
    assert told["first_line"] > 0
    first.rename(audit.folder.parent / "moved.jsonl")
    assert run(["audit", "verify", str(audit.folder)]) == 1
    assert "files before it are missing" in capsys.readouterr().err
    assert run(["audit", "verify", str(audit.folder), "--after", ended]) == 0
    assert run(["audit", "verify", str(audit.folder), "--after", audit.head]) == 1


def _edit(lines: list[bytes]) -> None:
    lines[4] = lines[4].replace(b'"deliver"', b'"refused"').replace(b'"=denied"', b'"deliver"')


def _drop(lines: list[bytes]) -> None:
    del lines[4]


def _swap(lines: list[bytes]) -> None:
    lines[4], lines[5] = lines[5], lines[4]


def _insert(lines: list[bytes]) -> None:
    lines.insert(4, lines[3])


def _cut_in_the_middle(lines: list[bytes]) -> None:
    lines[-1] = lines[-1][:-10]


@pytest.mark.parametrize(
    ("change", "line"), [(_edit, 6), (_drop, 5), (_swap, 5), (_insert, 5), (_cut_in_the_middle, None)]
)
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_changed_audit_is_told_by_file_and_line(
    audit: Audit, capsys: Captured, change: Callable[[list[bytes]], None], line: int | None, number: int
) -> None:
    """Exit 1; the place is that of the fault, in the file that has it, and the next step is said."""
    file = audit.change(number, change)
    last = len(file.read_bytes().splitlines())
    assert run(["audit", "verify", str(audit.folder)]) == 1
    said = capsys.readouterr().err
    assert f"{file}:{line or last}: " in said
    assert "hint: keep the files as evidence" in said
    assert run(["audit", "verify", str(audit.folder), "-o", "json"]) == 1
    (problem,) = json.loads(capsys.readouterr().err)["problems"]
    assert (problem["file"], problem["line"]) == (str(file), line or last)


def test_an_end_that_was_cut_off_shows_by_the_head(audit: Audit, capsys: Captured) -> None:
    """Back to an earlier checkpoint an audit is whole in itself; a head noted elsewhere shows what is missing."""
    file = audit.files[-1]
    file.unlink()
    assert run(["audit", "verify", str(audit.folder), "--key", str(audit.key)]) == 0
    assert "lines cut off the end do not show" in capsys.readouterr().err
    assert run(["audit", "verify", str(audit.folder), "--head", audit.head]) == 1
    said = capsys.readouterr().err
    assert "its end was cut off" in said
    assert f"{audit.files[-1]}:{len(audit.files[-1].read_bytes().splitlines()) + 1}: " in said


def test_another_key_is_refused(audit: Audit, tmp_path: Path, capsys: Captured) -> None:
    """An audit that another key has signed is not the one that is asked about."""
    other = open_signer(tmp_path / "other.pem", make=True)
    (tmp_path / "other.pub.pem").write_bytes(other.public_pem)
    assert run(["audit", "verify", str(audit.folder), "--key", str(tmp_path / "other.pub.pem")]) == 1
    assert "another signing key" in capsys.readouterr().err
    both = ["--key", str(tmp_path / "other.pub.pem"), "--key", str(audit.key)]
    assert run(["audit", "verify", str(audit.folder), *both]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["verify", "nowhere"], "holds no audit"),
        (["verify", "."], "holds no audit"),
        (["show", "nowhere"], "holds no audit"),
        (["verify", "audit", "--head", "abc"], "is not a hash"),
        (["verify", "audit", "--after", "z" * 64], "is not a hash"),
        (["verify", "audit", "--key", "nowhere.pem"], "does not exist"),
        (["verify", "audit", "--key", "signing.pem"], "not a public key"),
        (["show", "audit", "--since", "yesterday"], "2026-11-25T18:00:00Z"),
        (["show", "audit", "--since", "9999-12-31T23:00-23:59"], "not a date or time"),
    ],
)
def test_a_mistake_is_answered_with_the_next_step(
    audit: Audit, capsys: Captured, arguments: list[str], said: str
) -> None:
    """Exit 2, and nothing on stdout."""
    assert audit.folder.exists()
    assert run(["audit", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err


def test_the_lines_are_shown_in_every_form(audit: Audit, capsys: Captured) -> None:
    """Records with their detail, which is JSON text in a table and in CSV; nothing steers a terminal or a sheet."""
    rows = _printed(capsys, "audit", "show", str(audit.folder), "--action", "*de*")
    assert [row["detail"]["n"] for row in rows] == list(range(1, 25))
    assert list(rows[0]) == ["seq", "at", "actor", "group", "action", "detail", "generation"]
    assert run(["audit", "show", str(audit.folder), "-o", "jsonl", "--action", "*de*"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == rows
    assert run(["audit", "show", str(audit.folder), "-o", "csv", "--action", "*de*"]) == 0
    out = capsys.readouterr().out
    sheet = list(csv.DictReader(io.StringIO(out)))
    assert json.loads(sheet[0]["detail"])["n"] == 1
    assert sheet[1]["action"] == "'=denied"
    assert run(["audit", "show", str(audit.folder)]) == 0
    assert "\x1b" not in out + capsys.readouterr().out


def test_lines_are_chosen_by_time_and_action(audit: Audit, capsys: Captured) -> None:
    """From a time on, in UTC or with a zone; an action by its name or a pattern."""
    ask = ("audit", "show", str(audit.folder), "--action", "deliver", "--since")
    for since in ("2025-11-26", "2025-11-26T00:00:00Z", "2025-11-26T01:00:00+01:00"):
        assert [row["detail"]["n"] for row in _printed(capsys, *ask, since)] == list(range(5, 25, 2))
    assert _printed(capsys, "audit", "show", str(audit.folder), "--action", "deliver", "--since", "2030-01-01") == []
    own = _printed(capsys, "audit", "show", str(audit.folder), "--action", "audit.genesis")
    assert [row["detail"]["segment"] for row in own] == [1, 2, 3]


def test_what_is_no_line_ends_the_show(audit: Audit, capsys: Captured) -> None:
    """Its place is told, as in a verification."""
    file = audit.change(1, lambda lines: lines.insert(2, b"{}\n"))
    assert run(["audit", "show", str(audit.folder), "-o", "json"]) == 1
    assert f"{file}" in capsys.readouterr().err


def test_the_verifier_of_the_page_is_one(audit: Audit) -> None:
    """The few lines that the documentation gives find what our own command finds in the chain."""
    page = (Path(__file__).parents[2] / "docs" / "howto" / "read-the-audit.md").read_text()
    block = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert block
    names: dict[str, Any] = {}
    exec(block[1], names)  # noqa: S102  # the page's own program
    lines = [line for file in audit.files for line in file.read_bytes().splitlines(keepends=True)]
    assert names["fault"](lines) == ""
    for change in (_edit, _drop, _swap, _insert):
        changed = list(lines)
        change(changed)
        assert "does not follow" in names["fault"](changed)


_WRITER = """
import sys
from pathlib import Path
from keystrand.edge.store.audit_file import AuditFile, AuditLimits
from keystrand.edge.store.audit_signer import open_signer
from keystrand.operate.audit import AuditRecord, detail_of
folder, key = map(Path, sys.argv[1:])
limits = AuditLimits(segment_bytes=1_000_000)
audit = AuditFile(folder, open_signer(key, make=False), store_id="store-1", limits=limits)
generation = audit.last_generation
print("ready", flush=True)
while not Path(folder.parent, "stop").exists():
    generation += 1
    audit.append([AuditRecord(at=1.0, actor="a", action="b", detail=detail_of(filler="x" * 3000))] * 20, generation)
audit.close()
"""


@pytest.mark.system
def test_an_audit_is_verified_while_it_is_written(audit: Audit, tmp_path: Path) -> None:
    """A reader that meets a line in the making waits for its end: no false alarm, as often as it looks."""
    command = [sys.executable, "-c", _WRITER, str(audit.folder), str(tmp_path / "signing.pem")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        guard = threading.Timer(60, writer.kill)
        guard.start()
        assert writer.stdout
        assert writer.stdout.readline() == b"ready\n"
        codes = {run(["audit", "verify", str(audit.folder), "-o", "json"]) for _ in range(8)}
        (tmp_path / "stop").touch()
        assert writer.wait(30) == 0
        guard.cancel()
    assert codes == {0}
