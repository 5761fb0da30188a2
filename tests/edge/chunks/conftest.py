"""Sweeps of these tests run in other processes too, which find them by the name `tests.edge.chunks.sweeps`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))
