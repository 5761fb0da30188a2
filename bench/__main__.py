"""`./dev bench [NAME] [--json FILE]`: run one benchmark or all of them and print their rows."""

import argparse
import sys
from pathlib import Path

import msgspec

from bench import startup
from bench.measure import Row

BENCHMARKS = {"startup": startup.rows}


def show(rows: list[Row]) -> None:
    """Print the rows as a table with tabs between the columns."""
    names = Row.__struct_fields__
    lines = [names, *([str(getattr(r, name)) for name in names] for r in rows)]
    sys.stdout.write("".join("\t".join(line) + "\n" for line in lines))


def main() -> int:
    """Run what the arguments name. Returns 1 where a goal was missed."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("name", nargs="?", choices=sorted(BENCHMARKS), help="default: all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows here")
    options = parser.parse_args()
    rows = [r for name, make in BENCHMARKS.items() if options.name in (None, name) for r in make()]
    show(rows)
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=2) + b"\n")
    return 1 if any(r.met is False for r in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
