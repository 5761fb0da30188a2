"""A Ray cluster that a sweep starts for itself, and one that is not there."""
