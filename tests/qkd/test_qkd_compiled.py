"""Kernels run where no folder for their machine code can be written."""

import os
import subprocess
import sys


def test_kernels_run_without_a_folder_to_write_to() -> None:
    """A service with a read-only file system has none; the import must not fail."""
    words = "from keystrand.qkd.compiled import compiled; import keystrand.qkd.cascade_kernel, keystrand.pilot.key_flow"
    code = f"{words}\n\n@compiled\ndef f(x):\n    return x + 1\n\nprint(f(1))"
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NUMBA_CACHE_DIR": "/proc/none"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, told.stdout) == (0, "2\n"), told.stderr
