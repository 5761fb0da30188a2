"""The tables that questions are asked of, the same over SQLite and over Parquet.

A view names its columns with their types; over SQLite it is a query on the store, and its rows are what is exported.
Days are text (ISO 8601), yes and no are 1 and 0, what is not known is NULL.
"""

from typing import NamedTuple

from keystrand.inventory.coverage import KNOWN

TEXT, NUMBER = "VARCHAR", "BIGINT"


class View(NamedTuple):
    """A table to ask: its columns with their types, and what it is over the store."""

    columns: dict[str, str]
    query: str


CURRENT = "SELECT max(id) AS run FROM run WHERE ended <> ''"
"""The view `current`: the last run that ended."""


def _facts(kind: str, /, **columns: str) -> View:
    """Return the view of the assets of one kind, with columns from their facts; each with its type."""
    picked = "".join(f", json_extract(fact, '$.{name}') AS {name}" for name in columns)
    query = f"SELECT id, verdict{picked} FROM asset WHERE kind = '{kind}'"  # noqa: S608 - names from this file
    return View({"id": NUMBER, "verdict": TEXT, **columns}, query)


def _with(view: View, name: str, kind: str, expression: str) -> View:
    query = f"SELECT *, {expression} AS {name} FROM ({view.query})"  # noqa: S608 - texts from this file
    return View({**view.columns, name: kind}, query)


_CERTIFICATES = _facts(
    "certificate", sha256=TEXT, spki_sha256=TEXT, subject=TEXT, issuer=TEXT, serial=TEXT, not_before=TEXT,
    not_after=TEXT, signature_algorithm=TEXT, key_algorithm=TEXT, key_bits=NUMBER, authority=NUMBER,
)  # fmt: skip
_FLOWS = _facts(
    "flow", client=TEXT, server=TEXT, port=NUMBER, transport=TEXT, protocol=TEXT, key_establishment=TEXT,
    octets_to_server=NUMBER, octets_to_client=NUMBER, packets=NUMBER, first=TEXT, last=TEXT,
)  # fmt: skip
_OCTETS = "coalesce(octets_to_server, 0) + coalesce(octets_to_client, 0)"
_DAYS = "CAST(julianday(not_after) - julianday(not_before) AS INTEGER)"
_NAMES = "', '".join(KNOWN)
_NOT_KNOWN = f"NOT IN ('{_NAMES}')"
_ENDED = "json_extract(a.said, '$.outcome')"
_TALLIED = (
    "SELECT DISTINCT w.target FROM attempt c JOIN spot w ON w.id = c.spot"
    " WHERE c.last_run = (SELECT run FROM current) AND json_extract(c.said, '$.counts') IS NOT NULL"
)


def _counted(alone: str, each: str) -> str:
    """Return how many an attempt counts: of its tally those where `each` is 1, without a tally `alone`."""
    number, listed = "json_extract(n.value, '$[1]')", "json_each(a.said, '$.counts')"
    tally = f"SELECT sum({number} * {each}) FROM {listed} n"  # noqa: S608 - texts from this file
    return f"coalesce(({tally}), CASE WHEN y.target IS NULL THEN {alone} ELSE 0 END)"


_LOOKED_AT = _counted("1", "1")
_UNKNOWN = _counted(f"({_ENDED} {_NOT_KNOWN})", f"(json_extract(n.value, '$[0]') {_NOT_KNOWN})")

VIEWS: dict[str, View] = {
    "assets": View(
        {"id": NUMBER, "identity": TEXT, "kind": TEXT, "name": TEXT, "verdict": TEXT, "strength": TEXT},
        "SELECT a.id, i.name AS identity, a.kind, a.name, a.verdict, a.strength FROM asset a JOIN identity i USING(id)",
    ),
    "certificates": _with(_CERTIFICATES, "days", NUMBER, _DAYS),
    "keys": _facts("public-key", sha256=TEXT, algorithm=TEXT, bits=NUMBER, private_part_present=NUMBER),
    "uses": _facts("algorithm-use", algorithm=TEXT, function=TEXT, code_point=TEXT, library=TEXT, in_tests=NUMBER),
    "endpoints": _facts(
        "endpoint", protocol=TEXT, host=TEXT, port=NUMBER, versions=TEXT, software=TEXT, supports_post_quantum=NUMBER,
        negotiates_post_quantum=NUMBER, prefers_post_quantum=NUMBER,
    ),
    "libraries": _facts("library", name=TEXT, version=TEXT, purl=TEXT),
    "keystores": _facts("keystore", format=TEXT, entries=NUMBER, encrypted=NUMBER),
    "flows": _with(_FLOWS, "octets", NUMBER, _OCTETS),
    # every place where an asset was seen; `host`: of an endpoint, else the target that names the files
    "sightings": View(
        {"id": NUMBER, "target": TEXT, "system": TEXT, "place": TEXT, "host": TEXT, "probe": TEXT, "strength": TEXT,
         "first_seen": TEXT, "last_seen": TEXT},
        "SELECT o.identity AS id, s.target, coalesce(p.system, t.system) AS system, s.place,"
        " host_of(s.place, s.target) AS host, s.probe, strength_of(o.strength) AS strength,"
        " f.begun AS first_seen, l.begun AS last_seen FROM observation o JOIN spot s ON s.id = o.spot"
        " JOIN target t ON t.id = s.target JOIN run f ON f.id = o.first_run JOIN run l ON l.id = o.last_run"
        " LEFT JOIN placed p ON p.identity = o.identity AND p.spot = o.spot"
        " WHERE o.last_run = (SELECT run FROM current)",
    ),
    # a key's public part may lie elsewhere: only where the private one was seen
    "private_parts": View(
        {"id": NUMBER, "system": TEXT, "place": TEXT},
        "SELECT o.identity AS id, coalesce(p.system, t.system) AS system, s.place FROM observation o"
        " JOIN fact f ON f.id = o.fact JOIN spot s ON s.id = o.spot JOIN target t ON t.id = s.target"
        " LEFT JOIN placed p ON p.identity = o.identity AND p.spot = o.spot WHERE f.kind = 'public-key'"
        " AND json_extract(f.said, '$.private_part_present') = 1 AND o.last_run = (SELECT run FROM current)",
    ),
    # `looked_at`: endpoints and files that the attempt speaks for, `unknown` of them; an attempt below one that counts
    # its target's files is among those: 0
    "attempts": View(
        {"target": TEXT, "system": TEXT, "place": TEXT, "probe": TEXT, "outcome": TEXT, "reason": TEXT,
         "looked_at": NUMBER, "unknown": NUMBER},
        f"SELECT s.target, t.system, s.place, s.probe, {_ENDED} AS outcome,"  # noqa: S608 - texts from this file
        f" coalesce(json_extract(a.said, '$.reason'), '') AS reason, {_LOOKED_AT} AS looked_at, {_UNKNOWN} AS unknown"
        f" FROM attempt a JOIN spot s ON s.id = a.spot JOIN target t ON t.id = s.target LEFT JOIN ({_TALLIED}) y"
        " ON y.target = s.target WHERE a.last_run = (SELECT run FROM current)",
    ),
    "owners": View({"system": TEXT, "layer": TEXT, "owner": TEXT}, "SELECT system, layer, owner FROM owner"),
}  # fmt: skip
