"""The rows that a scan prints say no more than the inventory does."""

from pathlib import Path

from tests.app.test_inventory_pipeline import document, of
from tests.inventory.test_inventory_merge import an_estate, merged, seen, use

from keystrand.app.inventory import target_rows
from keystrand.model.estate import ProbeKind, Target
from keystrand.model.observation import Attempt, Endpoint, Outcome, Record, Strength

MODERN, OLD, SILENT = "tls://192.0.2.1:443", "tls://192.0.2.2:443", "tls://192.0.2.3:443"


def ended(place: str, outcome: Outcome = Outcome.SEEN) -> Attempt:
    """Return how the work at `place` ended."""
    return Attempt(target="web", probe="tls", place=place, outcome=outcome)


def endpoint(place: str, *, prefers: bool | None) -> Endpoint:
    """Return the server at `place`."""
    host = place.removeprefix("tls://").removesuffix(":443")
    return Endpoint(protocol="tls", host=host, port=443, prefers_post_quantum=prefers)


def verdicts(records: tuple[Record, ...]) -> dict[str, tuple[str, str]]:
    """Return key establishment and verdict of each row by its place."""
    target = Target(id="web", probe=ProbeKind.TLS, system="shop", host="192.0.2.0/30", port=443)
    estate = an_estate(target=(target,))
    rows = target_rows(document(records, of(estate, Path())), merged(records, estate))
    return {row["place"]: (row["key_establishment"], row["verdict"]) for row in rows}


def test_a_silent_downgrade_is_not_printed_as_safe() -> None:
    """A modern client gets ML-KEM, one that sends no share of it is silently given less: as the inventory judges it."""
    records = (
        seen(endpoint(MODERN, prefers=False), place=MODERN),
        seen(use("X25519MLKEM768"), place=MODERN),
        seen(use("X25519"), Strength.OFFERED, place=MODERN),
        ended(MODERN),
    )
    assert verdicts(records) == {MODERN: ("X25519MLKEM768", "quantum-vulnerable")}


def test_each_address_of_a_range_has_what_is_its_own() -> None:
    """One server of a range that is safe makes no other one so."""
    records = (
        seen(endpoint(MODERN, prefers=True), place=MODERN),
        seen(use("X25519MLKEM768"), place=MODERN),
        seen(endpoint(OLD, prefers=None), place=OLD),
        seen(use("X25519"), Strength.OFFERED, place=OLD),
        ended(MODERN),
        ended(OLD),
        ended(SILENT, Outcome.TIMED_OUT),
    )
    assert verdicts(records) == {
        MODERN: ("X25519MLKEM768", "quantum-safe"),
        OLD: ("X25519", "quantum-vulnerable"),
        SILENT: ("", "unknown"),
    }
