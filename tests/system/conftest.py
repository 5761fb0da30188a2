"""What several tests of the whole product share: the command as a user runs it, and one run of the demonstration."""

import subprocess
import sys
from pathlib import Path

import pytest


def keystrand(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "keystrand.cli.main", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The demonstration, run once."""
    folder = tmp_path_factory.mktemp("demo")
    return folder / "out", keystrand("demo", "--out", "out", cwd=folder)
