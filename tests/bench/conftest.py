"""The benchmarks' package stands beside the tests, not in the installed project."""
