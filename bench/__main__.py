"""`./dev bench [NAME] [--json FILE]`: run one benchmark or all of them and print their rows."""

import argparse
import sys
from pathlib import Path

import msgspec

from bench import agents, inventory, kme, plan, qkd, startup, tunnels
from bench.measure import Failed, Missing, Row

BENCHMARKS = {
    "inventory": inventory.rows, "kme": kme.rows, "plan": plan.rows, "qkd": qkd.rows, "startup": startup.rows,
    "agents": agents.rows,
    "tunnels": tunnels.rows,
}  # fmt: skip


def show(rows: list[Row]) -> None:
    """Print the rows as a table with tabs between the columns."""
    names = Row.__struct_fields__
    lines = [names, *([str(getattr(r, name)) for name in names] for r in rows)]
    sys.stdout.write("".join("\t".join(line) + "\n" for line in lines))


def measured(name: str) -> list[Row]:
    """Return the rows of one benchmark; none where this machine lacks what it needs, which is told."""
    try:
        return BENCHMARKS[name]()
    except Missing as missing:
        sys.stderr.write(f"bench {name} left out: {missing}\n")
        return []


def main() -> int:
    """Run what the arguments name. Returns 1 where a goal was missed, 2 where nothing could be measured."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("name", nargs="?", choices=sorted(BENCHMARKS), help="default: all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows here")
    options = parser.parse_args()
    try:
        rows = [r for name in sorted(BENCHMARKS) if options.name in (None, name) for r in measured(name)]
    except Failed as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    if not rows:
        return 2
    show(rows)
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=2) + b"\n")
    return 1 if any(r.met is False for r in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
