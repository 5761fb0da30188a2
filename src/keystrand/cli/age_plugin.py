"""`age-plugin-keystrand`: started by age; by hand it names the recipient and the identity of an SAE.

It has no Typer: age starts it for every file.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress

USAGE = """\
age-plugin-keystrand: files for age under keys from a key management entity.
age starts it by itself. By hand:
    age-plugin-keystrand --recipient SAE    who encrypts for SAE passes this to age -r
    age-plugin-keystrand --identity SAE     SAE itself passes a file with this to age -i
The configuration is ~/.config/keystrand/age.toml, /etc/keystrand/age.toml, or named in KEYSTRAND_AGE.
"""


def main() -> None:
    """Run as a process: exit code 0, or that of the error."""
    code = run(sys.argv[1:])
    sys.stderr.flush()
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    # age closes its ends and then interrupts us: nothing is left to do
    os._exit(code)


def run(words: Sequence[str]) -> int:
    """Do what `words` say and return the exit code."""
    from keystrand.model.errors import KeystrandError

    try:
        return _run(words)
    except KeystrandError as error:
        for line in (error.message, *map(str, error.problems), error.hint):
            if line:
                sys.stderr.write(f"age-plugin-keystrand: {line}\n")
        return error.exit_code
    except (KeyboardInterrupt, BrokenPipeError):
        return 130


def _run(words: Sequence[str]) -> int:
    match list(words):
        case [machine] if machine.startswith("--age-plugin="):
            from keystrand.app.age import converse

            converse(machine.removeprefix("--age-plugin="), sys.stdin.buffer, sys.stdout.buffer)
        case ["--recipient" | "--identity" as what, sae] if sae:
            from keystrand.edge.consumers.age import identity_of, recipient_of

            sys.stdout.write((recipient_of if what == "--recipient" else identity_of)(sae) + "\n")
        case ["-h" | "--help"]:
            sys.stdout.write(USAGE)
        case _:
            sys.stderr.write(USAGE)
            return 2
    return 0


if __name__ == "__main__":
    main()
