"""`keystrand qkd repeater`: what a chain of quantum repeaters would give."""

from pathlib import Path
from typing import Annotated

import typer

from keystrand.cli.output import Output, OutputOption, emit, say, shortened


def repeater(
    file: Annotated[Path, typer.Argument(metavar="CHAIN.toml", help="The chain: fibre, links, memories, swaps.")],
    pairs: Annotated[int, typer.Option("--pairs", metavar="N", help="End-to-end pairs to simulate.")] = 20_000,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Same seed, same result.")] = 0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Simulate entangled pairs over a chain of repeaters: their rate, fidelity, key, CHSH value, and what limits it."""
    from keystrand.app import qkd_repeater

    result = qkd_repeater.run_chain(file, pairs=pairs, seed=seed)
    found = qkd_repeater.rows(result)
    emit(output, shortened(found) if output is Output.TABLE else found, value=result)
    say(f"simulated, not measured: {result.pairs} pairs in {result.seconds:.3g} s of the chain's time, seed {seed}")
    for words in result.limits:
        say(words)
