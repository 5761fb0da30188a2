"""A repeater chain from its file, run as a testbed."""

from pathlib import Path
from typing import Any

from keystrand.edge.files import read_bytes
from keystrand.formats.toml_input import read_toml
from keystrand.model.errors import InvalidInput, Problem
from keystrand.qkd import testbed
from keystrand.qkd.testbed import TestbedChain, TestbedResult

MOST_PAIRS = 1_000_000


def open_chain(path: Path) -> TestbedChain:
    """Return the chain in `path`. Raises `InvalidInput` with every problem, `MissingInput`."""
    content = read_bytes(path, hint="examples/quantum/repeater-chain.toml is a complete one to begin with")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        problem = Problem(message="not UTF-8", file=str(path), line=line, hint="save the file as UTF-8")
        raise InvalidInput(f"the repeater chain {path} is no text", problems=(problem,)) from None
    return read_toml(text, TestbedChain, file=str(path), what=f"the repeater chain {path}")


def run_chain(path: Path, *, pairs: int, seed: int) -> TestbedResult:
    """Return what `pairs` pairs of the chain in `path` show. Raises `InvalidInput` also where none ever arrives."""
    if not 1 <= pairs <= MOST_PAIRS:
        raise InvalidInput(f"{pairs} pairs cannot be simulated", hint=f"give 1 to {MOST_PAIRS:,}")
    if seed < 0:
        raise InvalidInput(f"a seed of {seed} cannot be", hint="give a whole number from 0")
    chain = open_chain(path)
    try:
        return testbed.run(chain, pairs=pairs, seed=seed)
    except ValueError as error:
        hint = "shorten the fibre, raise efficiency or the cutoff, or purify less"
        raise InvalidInput(f"the chain {chain.name!r} makes no pairs: {error}", hint=hint) from error


def rows(result: TestbedResult) -> list[dict[str, Any]]:
    """Return one row of what matters most."""
    names = ("name", "pairs_per_s", "fidelity", "qber_z", "qber_x", "chsh_value", "chsh_error", "chsh_verdict",
             "secret_bits_per_s", "finite_key_bits", "bound_bits_per_s", "limited_by")  # fmt: skip
    return [{name: getattr(result, name) for name in names}]
