"""Threads that read files decode types that msgspec knows already."""

import subprocess
import sys

_CHILD = """
import msgspec
import keystrand.edge.probes.readers
from keystrand.formats.source.rules import RuleFile
RuleFile.__annotations__ = {"language": "nowhere.to.be.found"}
msgspec.convert({"language": "go", "libraries": []}, RuleFile)
"""


def test_types_are_looked_at_before_threads_decode_them() -> None:
    """Two threads that are the first to decode a type end the process; here a second look would fail by NameError."""
    assert subprocess.run([sys.executable, "-c", _CHILD], check=False).returncode == 0
