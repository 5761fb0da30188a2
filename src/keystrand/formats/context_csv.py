"""What a register of systems knows of a host: CSV of a CMDB or of NetBox, and NetBox's JSON.

Such a file tells nothing of cryptography. It gives the context in which a finding belongs to somebody: name, address,
system, owner, tags. Sources: RFC 4180; NetBox's column headings and REST API (`/api/dcim/devices/`, `/api/ipam/`).
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from keystrand.model.errors import InvalidInput, Problem
from keystrand.model.words import shown

MAX_ROWS = 1_000_000
_HEADINGS = {
    "name": ("name", "hostname", "host", "device", "ciname", "ci", "assetname", "asset", "fqdn", "dnsname", "vm",
             "servername", "configurationitem"),
    "address": ("primaryip", "primaryip4", "ipaddress", "ipaddresses", "ip", "address", "ipv4", "ipv4address",
                "primaryipv4", "primaryip6", "managementip", "fqdn", "dnsname"),
    "system": ("system", "application", "app", "service", "businessservice", "applicationname", "role", "cluster",
               "product"),
    "owner": ("owner", "ownedby", "businessowner", "technicalowner", "contact", "tenant", "managedby", "assignedto",
              "responsible", "team", "supportgroup", "department"),
}  # fmt: skip
"""Column headings, letters and digits only, in the order in which they are taken."""
_TAGS = ("tags", "labels")
_ATTRIBUTES = ("site", "location", "environment", "status", "region", "datacenter")


class ContextRow(NamedTuple):
    """One host of a register. What it does not say is empty; a site and the like are tags `site:Frankfurt`."""

    name: str
    address: str
    system: str
    owner: str
    tags: tuple[str, ...] = ()


class Context(NamedTuple):
    """The rows of a register, and what of it could not be used."""

    rows: tuple[ContextRow, ...]
    problems: tuple[Problem, ...] = ()


def _plain(heading: str) -> str:
    return re.sub("[^a-z0-9]", "", heading.lower())


def _address(text: str) -> str:
    """Return an address without the length of its network: NetBox writes `192.0.2.7/24`."""
    return text.partition("/")[0].strip()


def _tags(cells: dict[str, str]) -> tuple[str, ...]:
    words = (shown(word.strip()) for heading in _TAGS for word in re.split(r"[,;|]", cells.get(heading, "")))
    attributes = (f"{heading}:{cells[heading].strip()}" for heading in _ATTRIBUTES if cells.get(heading, "").strip())
    return (*filter(None, words), *attributes)


def _row(cells: dict[str, str]) -> ContextRow | None:
    """Return the row in `cells`, by plain headings; None where it names no host."""
    said = {
        field: next((cells[name].strip() for name in names if cells.get(name, "").strip()), "")
        for field, names in _HEADINGS.items()
    }
    if not said["name"] and not said["address"]:
        return None
    name, system, owner = (shown(said[field], 253) for field in ("name", "system", "owner"))
    return ContextRow(name, shown(_address(said["address"]), 253), system, owner, _tags(cells))


def _rows(content: bytes) -> Iterator[dict[str, str]]:
    """Yield the cells of a CSV by plain heading; comma, semicolon or tab, whichever its first line has most of."""
    text = content.decode("utf-8-sig", "replace")
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        headings = [_plain(heading) for heading in next(reader, [])]
        if not set(headings) & {*_HEADINGS["name"], *_HEADINGS["address"]}:
            raise InvalidInput(
                "no column names a host", hint="one must be called name, hostname, ip or a like word, in the first line"
            )
        for number, cells in enumerate(reader):
            if number >= MAX_ROWS:
                raise InvalidInput(f"more than {MAX_ROWS} rows")
            yield dict(reversed(list(zip(headings, cells, strict=False))))
    except csv.Error as error:
        raise InvalidInput(f"not CSV: {error}, line {reader.line_num}") from error


def _said(value: Any) -> str:
    """Return a value of NetBox in words: it writes what it refers to as an object with a name or a label."""
    if isinstance(value, dict):
        return next((_said(value[key]) for key in ("address", "name", "label", "display", "value") if key in value), "")
    if isinstance(value, list):
        return ",".join(map(_said, value))
    return "" if value is None or isinstance(value, bool) else str(value)


def _objects(content: bytes) -> Iterator[dict[str, str]]:
    try:
        value = msgspec.json.decode(content)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidInput(f"not JSON: {error}") from error
    listed = value.get("results") if isinstance(value, dict) else value
    if not isinstance(listed, list):
        raise InvalidInput("no list of hosts in it", hint="an export of NetBox has them in results")
    for entry in listed[:MAX_ROWS]:
        yield {_plain(name): _said(said) for name, said in entry.items()} if isinstance(entry, dict) else {}


def context_rows(content: bytes, *, file: str = "") -> Context:
    """Return the hosts of a register in CSV or NetBox's JSON. Raises `InvalidInput` where it is neither.

    A row that names no host is a problem with its number, not the end of the file.
    """
    cells: Iterable[dict[str, str]] = _objects(content) if content.lstrip()[:1] in (b"{", b"[") else _rows(content)
    rows: list[ContextRow] = []
    problems: list[Problem] = []
    for number, row in enumerate(cells, start=1):
        if made := _row(row):
            rows.append(made)
        else:
            problems.append(Problem(message="names no host", file=file, field=f"row {number}"))
    return Context(tuple(dict.fromkeys(rows)), tuple(problems))
