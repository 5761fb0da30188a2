"""One lab for the commands of operators."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keystrand.cli.main import run
from keystrand.edge.kme.client import Client014


class Lab:
    """A running lab, and what an operator types."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file: dict[str, Any] = json.loads((folder / "lab.json").read_text())

    def options(self, at: int = 0, *, role: str = "operator") -> list[str]:
        """Return the options that reach KME number `at` as its operator, or as the SAE there."""
        files = self.file["operator"] if role == "operator" else self.file["saes"][at]
        url = self.file["kmes"][at]["url"]
        return ["--kme", url, "--ca", self.file["ca"], "--cert", files["cert"], "--key", files["key"]]

    def client(self, at: int) -> Client014:
        """Return a client of the SAE at KME number `at`."""
        sae, kme = self.file["saes"][at], self.file["kmes"][at]
        return Client014(kme["url"], Path(self.file["ca"]), Path(sae["cert"]), Path(sae["key"]))

    def keys(self, number: int = 1) -> list[str]:
        """Have sae-1 take keys for sae-2, and return their IDs."""
        with self.client(0) as client:
            return [key.key_id for key in client.enc_keys("sae-2", number=number)]


class Told:
    """What a command said."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        """Its answer."""
        return json.loads(self.out)


class Typed:
    """Types commands and reads what they say."""

    def __init__(self, captured: pytest.CaptureFixture[str]) -> None:
        self._captured = captured

    def __call__(self, *words: str) -> Told:
        """Run `keystrand` with `words`."""
        self._captured.readouterr()
        code = run(words)
        return Told(code, *self._captured.readouterr())


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Typed:
    """Return what types commands."""
    return Typed(capsys)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab of two KMEs, started by the real command."""
    folder = tmp_path_factory.mktemp("lab") / "lab"
    command = [sys.executable, "-m", "keystrand.cli.main", "kme", "lab", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
        try:
            yield Lab(folder)
        finally:
            child.terminate()
            child.wait(30)
