"""The documentation is true: its examples run, its references are current, its links lead somewhere."""

import importlib.util
import re
import shlex
import shutil
from pathlib import Path

import pytest

from keystrand.cli.main import run
from keystrand.formats.catalogue import policy_from_toml

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md"), *ROOT.glob("examples/*/*.md")])
WITH_COMMANDS = [page for page in PAGES if "```console\n$ keystrand" in page.read_text()]


def _commands(page: Path) -> list[tuple[list[str], int]]:
    blocks = re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    found = []
    for line in lines:
        code = re.search(r"# exit (\d+)$", line)
        found.append((shlex.split(line[2:], comments=True), int(code[1]) if code else 0))
    return found


@pytest.mark.system
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.stem)
def test_the_commands_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Typed one after the other beside a copy of the example, each command ends as the page says."""
    shutil.copytree(ROOT / "examples" / "regional-bank", tmp_path / "regional-bank")
    shutil.copytree(ROOT / "examples" / "quantum", tmp_path / "quantum")
    monkeypatch.chdir(tmp_path)
    for words, code in _commands(page):
        assert words[0] == "keystrand", f"{page.name}: only our own command can be tried: {words}"
        assert run(words[1:]) == code, f"{page.name}: {' '.join(words)}"


def test_the_reference_pages_are_current() -> None:
    """What docs/generate.py would write stands in docs/reference."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.stale() == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link of a page names a file that is there."""
    for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_policy_of_the_howto_is_one() -> None:
    """The example policy is complete as printed."""
    text = (ROOT / "docs" / "howto" / "add-a-policy.md").read_text()
    block = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert block
    assert policy_from_toml(block[1], "add-a-policy.md").id == "example-house-rule"


def test_the_readme_map_is_true() -> None:
    """Every room the README names is there, and every room that is there is named."""
    text = (ROOT / "README.md").read_text()
    rooms = {path.parent.name for path in (ROOT / "src" / "keystrand").glob("*/__init__.py")}
    named = set(re.findall(r"`(?:src/keystrand/)?([a-z]+)`", text.partition("## Map of the code")[2]))
    assert rooms <= named
