"""Pilots on real programs: the corridor, the consumers of keys on it, and what happens to them."""
