"""Coverage-guided fuzzing of the HTTP front: `python -m tests.fuzz.http_atheris -runs=N [FOLDER]`, from the root.

The first byte of an input is how many of its bytes say where to cut, the next are those, the next eight the pace; the
rest is the stream. What must hold is `check` of the property test.
"""

import random
import sys

import atheris

with atheris.instrument_imports(include=["keystrand.edge.kme.server"]):
    from tests.fuzz.test_fuzz_http import WORDS, check, cut


def one_input(given: bytes) -> None:
    """Check one input; an assertion or any other error is a find."""
    count = given[0] % 8 if given else 0
    places, pace, whole = given[1 : 1 + count], given[1 + count : 9 + count], given[9 + count :]
    check(cut(whole, [place * 7 for place in places]), pace or b"\1")


def mutated(given: bytes, max_size: int, seed: int) -> bytes:
    """Return another input near `given`; every other time words of HTTP are put in, as chance seldom writes them."""
    chance = random.Random(seed)
    for _ in range(chance.choice((0, 0, 1, 3))):
        at = chance.randrange(len(given) + 1)
        given = given[:at] + chance.choice(WORDS) + given[at:]
    made: bytes = given[:max_size] if chance.random() < 0.3 else atheris.Mutate(given[:max_size], max_size)
    return made


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input, custom_mutator=lambda given, size, seed: mutated(bytes(given), size, seed))
    atheris.Fuzz()
