"""The nouns that every room shares: no behaviour beyond their own invariants, no I/O."""
