"""Peers from the Python package index, each in a virtual environment of its own, outside this repository.

`KEYSTRAND_BENCH_CACHE` names the folder they are kept in (default: keystrand-bench in the user's cache folder).
"""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from bench.measure import Failed, Missing

VERSIONS = {"qkd": "0.2.0", "ldpc": "2.4.1", "sequence": "0.8.5", "sslyze": "6.3.1", "aioquic": "1.7.2",
            "ssh-audit": "3.9.0", "harvestguard": "0.3.0", "cryptography-vectors": "50.0.2",
            "semgrep": "1.182.0"}  # fmt: skip
_BESIDE = {"semgrep": ("pydantic<2.12",)}
"""What a peer needs in a version that it does not ask for itself."""
_INSTALL_S, _RUN_S = 600.0, 300.0
_ONE_THREAD = {"RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Rates are those of one core."""


def cache() -> Path:
    """Return the folder that peers are kept in."""
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "keystrand-bench"
    return Path(os.environ.get("KEYSTRAND_BENCH_CACHE") or usual)


def interpreter(name: str) -> Path:
    """Return a Python that has the peer, installed once. Raises `Missing` where it cannot be installed."""
    folder = cache() / f"{name}-{VERSIONS[name]}-py{sys.version_info[0]}.{sys.version_info[1]}"
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.exists():
        wanted = f"{name}=={VERSIONS[name]}"
        try:
            venv.create(folder, clear=True, with_pip=True)
            command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", wanted,
                       *_BESIDE.get(name, ())]  # fmt: skip
            subprocess.run(command, check=True, capture_output=True, timeout=_INSTALL_S)  # noqa: S603  # our own words
        except subprocess.CalledProcessError as error:
            raise Missing(f"{wanted} does not install: {last_line(error.stderr)}") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Missing(f"{wanted} does not install: {error}") from error
        done.touch()
    return python


def asked(command: Sequence[str | Path]) -> dict[str, float]:
    """Return what a peer's program prints, one JSON object of numbers. Raises `Failed` where it does not."""
    try:
        done = subprocess.run(  # noqa: S603  # commands are written by us
            command, check=True, capture_output=True, timeout=_RUN_S, env=os.environ | _ONE_THREAD
        )
        found = json.loads(done.stdout.splitlines()[-1])
    except subprocess.CalledProcessError as error:
        raise Failed(f"ended with status {error.returncode}: {last_line(error.stderr)}") from error
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError) as error:
        raise Failed(f"gave no figures: {error}") from error
    return {str(key): float(value) for key, value in found.items()}


def last_line(text: bytes | None) -> str:
    """Return what a program said last, which is mostly why it ended."""
    lines = (text or b"").decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no word why"
