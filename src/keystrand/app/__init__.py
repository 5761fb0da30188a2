"""Use cases: one function per user verb; the only importer of both stages and edges."""
