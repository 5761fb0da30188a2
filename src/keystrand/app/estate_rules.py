"""Rules of an estate from a register of hosts: a CMDB or NetBox knows whose an address is."""

import ipaddress
import re
from pathlib import Path
from typing import NamedTuple

from keystrand.edge.files import read_bytes
from keystrand.formats.context_csv import ContextRow, context_rows
from keystrand.model.errors import Problem
from keystrand.model.estate import Estate, System


class Proposed(NamedTuple):
    """Rules as TOML, how many, and the rows of the register that gave none."""

    toml: str
    number: int
    left_out: tuple[Problem, ...]


def proposed_rules(estate: Estate, register: Path) -> Proposed:
    """Return rules that give each host of `register` (CSV, or NetBox's JSON) to a system of `estate`.

    A row belongs to the system whose id or name it says, blanks and case apart. Raises `InvalidInput` where the file is
    no register, `MissingInput` where it is not there.
    """
    context = context_rows(read_bytes(register), file=str(register))
    known = {_plain(word): system for system in estate.system for word in (system.id, system.name)}
    blocks: list[str] = []
    left_out = list(context.problems)
    for row in context.rows:
        if (system := known.get(_plain(row.system))) is None:
            said = f"the estate has no system called {row.system!r}" if row.system else "says no system"
            left_out.append(Problem(message=said, file=str(register), field=row.name or row.address))
        elif condition := _condition(row):
            blocks.append(_block(len(blocks) + 1, system, condition, row))
    return Proposed("\n".join(blocks), len(blocks), tuple(left_out))


def _plain(text: str) -> str:
    return re.sub("[^a-z0-9]", "", text.lower())


def _condition(row: ContextRow) -> str:
    """Return what the rule holds for: the address, else the name; empty where the row has neither in a usable form."""
    try:
        return f'address = "{ipaddress.ip_address(row.address)}"'
    except ValueError:
        name = row.name or row.address
        return f'name = "{name.lower()}"' if re.fullmatch(r"[A-Za-z0-9._-]{1,253}", name) else ""


def _block(number: int, system: System, condition: str, row: ContextRow) -> str:
    owner = re.sub(r"[^\w .,@-]", "?", row.owner)
    remark = f"  # owner in the register: {owner}" if owner else ""
    return f'[[rule]]\nid = "register-{number}"\nsystem = "{system.id}"{remark}\n{condition}\n'
