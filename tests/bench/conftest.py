"""The benchmarks' package stands beside the tests, not in the installed project."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
