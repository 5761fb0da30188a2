"""The shim, compiled once, and plants that are stopped whatever happens."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from . import shim as shim_source
from .plant import Plant, lay


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the fault shim as a library."""
    if not shutil.which("gcc") or sys.platform != "linux" or sys.maxsize < 1 << 32:
        pytest.skip("needs 64-bit Linux and gcc (Debian: gcc and libc6-dev)")
    return shim_source.build(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Callable[..., Plant]]:
    """Return a function that makes a plant, as `lay` does, and starts it."""
    laid: list[Plant] = []

    def one(**how: Any) -> Plant:
        laid.append(lay(tmp_path / f"plant-{len(laid)}", **how))
        laid[-1].start()
        return laid[-1]

    yield one
    for two in laid:
        two.close()
