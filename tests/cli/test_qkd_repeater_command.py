"""`keystrand qkd repeater`: figures, what a mistake looks like, and the guide's own examples."""

import re
import shlex
from pathlib import Path

import pytest
from typer.models import CommandInfo

from keystrand.cli import qkd
from keystrand.cli.qkd_repeater import repeater

from .conftest import Typed

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "quantum" / "repeater-chain.toml"
PAGE = (ROOT / "docs" / "howto" / "try-a-repeater-chain.md").read_text()


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The group has the command, wherever it is registered."""
    others = [one for one in qkd.app.registered_commands if one.callback is not repeater]
    monkeypatch.setattr(qkd.app, "registered_commands", [*others, CommandInfo(name="repeater", callback=repeater)])


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """A copy of the example."""
    file = tmp_path / "repeater-chain.toml"
    file.write_text(EXAMPLE.read_text())
    return file


def test_example_gives_pairs_and_key(typed: Typed) -> None:
    """Everything under JSON, a row under table; it says that it is simulated, and its limits."""
    told = typed("qkd", "repeater", str(EXAMPLE), "-o", "json", "--seed", "5")
    found = told.json
    assert (found["simulated"], found["seed"], found["pairs"]) == (True, 5, 20_000)
    assert 0 < found["secret_bits_per_s"] < found["bound_bits_per_s"]
    assert found["limited_by"]
    assert "simulated, not measured" in told.err
    assert "no rate is device-independent" in told.err
    assert found == typed("qkd", "repeater", str(EXAMPLE), "-o", "json", "--seed", "5").json
    assert "four segments" in typed("qkd", "repeater", str(EXAMPLE), "--pairs", "100").out


def test_guide_runs(typed: Typed, chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its commands, beside the example and beside its own smallest chain; its table names the fields there are."""
    monkeypatch.chdir(chain.parent)
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    commands = [shlex.split(line) for block in blocks for line in block.splitlines()]
    smallest = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert commands
    assert smallest
    for text in (chain.read_text(), smallest[1]):
        chain.write_text(text)
        for words in commands:
            assert words[0] == "keystrand"
            assert typed(*words[1:]).code == 0


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "said"),
    [
        ("length_km = 50", "length_km = -50", 6, "fibre.length_km", "0"),
        ("length_km = 50", "length_km = inf", 6, "fibre.length_km", "number"),
        ("efficiency = 0.5 ", "efficiency = 1.5 ", 12, "link.efficiency", "1"),
        ('scheme = "two-photon"', 'scheme = "two-foton"', 11, "link.scheme", "two-photon"),
        ("coherence_s = 1.0", "coherence = 1.0", 20, "memory.coherence", "coherence_s"),
        ("segments = 4", "segments = 3", 0, "", "nested swapping needs"),
        ("segments = 4", "segments = four", 3, "", ""),
    ],
)
def test_a_mistake_in_the_file_is_named(
    typed: Typed, chain: Path, old: str, new: str, line: int, field: str, said: str
) -> None:
    """With file, line and field; exit code 2, nothing on stdout."""
    assert old in chain.read_text()
    chain.write_text(chain.read_text().replace(old, new))
    told = typed("qkd", "repeater", str(chain))
    assert told.code == 2
    assert told.out == ""
    assert said in told.err
    assert field in told.err
    assert f"{chain}:{line}" in told.err if line else str(chain) in told.err


def test_options_and_files_that_cannot_be(typed: Typed, chain: Path) -> None:
    """Each with a hint."""
    far = chain.with_name("far.toml")
    far.write_text(chain.read_text().replace("length_km = 50", "length_km = 5000"))
    odd = chain.with_name("odd.toml")
    odd.write_bytes(b'name = "\xff"')
    for words, said in (
        ((str(chain), "--pairs", "0"), "cannot be simulated"),
        ((str(chain), "--pairs", "1000001"), "cannot be simulated"),
        ((str(chain), "--seed", "-1"), "cannot be"),
        ((str(far), "--pairs", "10"), "makes no pairs"),
        ((str(odd),), "not UTF-8"),
        ((str(chain.with_name("none.toml")),), "none.toml"),
    ):
        told = typed("qkd", "repeater", *words)
        assert told.code == 2
        assert said in told.err
        assert "hint: " in told.err
        assert told.out == ""
