"""The command line: messages, exit codes, settings."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from keystrand.cli.config import settings
from keystrand.cli.main import run
from keystrand.cli.output import Output, emit, say

EXAMPLE = Path(__file__).parents[2] / "examples" / "regional-bank"
COMMAND = (sys.executable, "-m", "keystrand.cli.main")


@pytest.fixture(autouse=True)
def _away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder without settings from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    for name in [name for name in os.environ if name.startswith("KEYSTRAND_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--help"], 0, ""),
        (["--version"], 0, ""),
        (["nonsense"], 2, "No such command"),
        (["plan", "shw"], 2, "Did you mean 'show'?"),
        (["estate", "check", "nowhere"], 2, "keystrand estate init"),
        (["run", "nowhere"], 2, "keystrand estate init"),
        (["inventory", "show", "--out", "nowhere"], 2, "keystrand inventory scan"),
        (["plan", "show", "--out", "nowhere"], 2, "keystrand plan make"),
        (["assess", "explain", "x", "--out", "nowhere"], 2, "keystrand inventory scan"),
        (["inventory", "scan", str(EXAMPLE), "--as-of", "yesterday"], 2, "YYYY-MM-DD"),
        (["estate", "check", "-o", "yaml"], 2, "yaml"),
        (["inventory", "scan", str(EXAMPLE), "--out", str(Path(__file__))], 1, "could not be written"),
        (["kme", "serve", "--config", "nowhere.toml"], 2, "nowhere.toml"),
    ],
)
def test_a_mistake_is_answered_with_its_place_and_the_next_step(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every mistake ends with the documented exit code, a sentence on stderr, nothing on stdout and no traceback."""
    assert run(arguments) == code
    out, err = capsys.readouterr()
    assert said in err
    assert "Traceback" not in err
    assert not (code and out)


def test_errors_are_json_where_results_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Under `-o json` the error on stderr is JSON with id, message and hint."""
    assert run(["plan", "show", "--out", "nowhere", "-o", "json"]) == 2
    error = json.loads(capsys.readouterr().err)
    assert error["error"] == "missing-input"
    assert error["hint"] == "make it first: keystrand plan make"


@pytest.mark.parametrize("words", [["nonsense", "-o", "json"], ["plan", "show", "--bogus", "-o", "json"]])
def test_usage_errors_are_json_too(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt command or option is told as JSON where results would be JSON."""
    assert run(words) == 2
    assert json.loads(capsys.readouterr().err)["error"] == "invalid-input"


def test_a_setting_makes_errors_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`output = "json"` in the settings holds for errors as well."""
    (tmp_path / "keystrand.toml").write_text('output = "json"\n')
    assert run(["plan", "show", "--out", "nowhere"]) == 2
    assert json.loads(capsys.readouterr().err)["error"] == "missing-input"


def test_a_spreadsheet_sees_no_formula(capsys: pytest.CaptureFixture[str]) -> None:
    """A name from the network that begins like a formula is text in CSV; a number stays a number."""
    emit(Output.CSV, [{"name": "=HYPERLINK()", "count": -1, "all": ["@SUM()", "b"]}])
    assert capsys.readouterr().out.splitlines() == ["name,count,all", "'=HYPERLINK(),-1,\"'@SUM(), b\""]


@pytest.mark.system
def test_an_interrupted_scan_says_where_its_records_are(tmp_path: Path) -> None:
    """^C ends with 130, the word, and the file that keeps what was seen; no document looks complete."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        text = (EXAMPLE / "estate.toml").read_text()
        head, _, rest = text.partition("[[target]]")
        pilot = rest[rest.index("[[pilot]]") :] if "[[pilot]]" in rest else ""
        port = silent.getsockname()[1]
        target = f'[[target]]\nid = "t"\nprobe = "tls"\nsystem = "core-ledger"\nhost = "127.0.0.1"\nport = {port}\n\n'
        (tmp_path / "estate.toml").write_text(head + target + pilot)
        made = subprocess.Popen([*COMMAND, "inventory", "scan", ".", "--out", "out"], stderr=subprocess.PIPE, text=True)
        with made, silent.accept()[0]:
            made.send_signal(signal.SIGINT)
            assert made.stderr
            said = made.stderr.read()
    assert made.returncode == 130
    assert "out/observations.jsonl.partial" in said
    assert said.endswith("interrupted\n")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["observations.jsonl.partial"]


@pytest.mark.parametrize("form", ["table", "csv"])
def test_names_from_the_network_cannot_steer_a_terminal(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters are written out in every form that people look at."""
    emit(Output(form), [{"name": "x\x1b]0;owned\x07\x9b31m\u202ey"}])
    say("banner \x1b[2J")
    shown = "".join(capsys.readouterr())
    assert not [c for c in shown if c != "\n" and not c.isprintable()]
    assert "\\x1b" in shown


def test_settings_come_from_the_nearest_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment wins over ./keystrand.toml, that over XDG, that over what is built in."""
    (tmp_path / "xdg" / "keystrand").mkdir(parents=True)
    (tmp_path / "xdg" / "keystrand" / "keystrand.toml").write_text('out = "xdg"\nestate = "xdg"\n')
    (tmp_path / "keystrand.toml").write_text('out = "here"\n')
    assert {s.name: (s.value, Path(s.origin).name) for s in settings()} == {
        "estate": ("xdg", "keystrand.toml"),
        "out": ("here", "keystrand.toml"),
        "output": ("table", "built in"),
    }
    monkeypatch.setenv("KEYSTRAND_OUT", "environment")
    assert next(s for s in settings() if s.name == "out").origin == "environment KEYSTRAND_OUT"


def test_a_flag_wins_over_a_setting(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`--out` decides although the environment says something else."""
    monkeypatch.setenv("KEYSTRAND_OUT", "environment")
    run(["plan", "show"])
    assert "environment/plan.json" in capsys.readouterr().err
    run(["plan", "show", "--out", "flag"])
    assert "flag/plan.json" in capsys.readouterr().err


def test_a_mistake_in_a_settings_file_is_named_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown key is an error with file, line and the key that was meant."""
    (tmp_path / "keystrand.toml").write_text('\nuot = "x"\n')
    assert run(["doctor"]) == 2
    assert "keystrand.toml:2: uot: unknown key\n  hint: did you mean 'out'?" in capsys.readouterr().err


@pytest.mark.system
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_completes(shell: str) -> None:
    """The printed script names the command, and the command answers what the script asks it."""
    script = subprocess.run([*COMMAND, "completion", shell], capture_output=True, text=True, check=True).stdout
    assert "_KEYSTRAND_COMPLETE" in script
    asked = os.environ | {
        "_KEYSTRAND_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": "keystrand inv",
        "COMP_CWORD": "1",
        "_TYPER_COMPLETE_ARGS": "keystrand inv",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    answer = subprocess.run(COMMAND, capture_output=True, text=True, check=False, env=asked)
    assert "inventory" in answer.stdout


@pytest.mark.system
def test_a_reader_that_leaves_ends_the_command_quietly() -> None:
    """`keystrand ... | head -1` shows no traceback."""
    with subprocess.Popen([*COMMAND, "estate", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as made:
        assert made.stdout
        assert made.stderr
        made.stdout.close()
        assert b"Traceback" not in made.stderr.read()


def test_the_doctor_says_what_this_machine_can_do(capsys: pytest.CaptureFixture[str]) -> None:
    """Each check names what was really tried; nothing has failed where the requirements are installed."""
    assert run(["doctor", "-o", "json"]) == 0
    checks = {check["check"]: check for check in json.loads(capsys.readouterr().out)}
    assert "X25519MLKEM768" in checks["post-quantum TLS"]["detail"]
    assert not [name for name, check in checks.items() if check["state"] == "failed"]
