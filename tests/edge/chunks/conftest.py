"""Sweeps of these tests run in other processes too, which find them by the name `tests.edge.chunks.sweeps`."""
