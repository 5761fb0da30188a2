"""Issue certificates: an authority in a folder, leaves for each party, and the list of those taken back.

A `kind` is one of `Kind`, an `algorithm` one of `Algorithm`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from keystrand.edge import pki
from keystrand.edge.pki import Algorithm, Credentials, Identity, Issued, Kind, Pki
from keystrand.model.errors import MissingInput


def init_pki(folder: Path, algorithm: str, days: int) -> Pki:
    """Make an authority in `folder`. Raises `InvalidInput` where one is there."""
    return pki.create(folder, algorithm=Algorithm(algorithm), days=days, now=_now())


def issue_certificate(
    folder: Path,
    kind: str,
    name: str,
    hosts: Sequence[str],
    *,
    days: int | None = None,
    algorithm: str | None = None,
    renew: bool = False,
) -> tuple[Issued, Credentials]:
    """Make a key and a certificate for one party, and return where they are. Raises `InvalidInput`, `MissingInput`."""
    identity, made = _identity(kind, name), Pki(folder=folder)
    issued = pki.issue(
        made, identity, hosts=hosts, days=days, algorithm=Algorithm(algorithm) if algorithm else None, renew=renew,
        now=_now(),
    )  # fmt: skip
    return issued, made.of(identity.kind, identity.id)


def revoke_certificates(folder: Path, kind: str, name: str) -> tuple[Issued, ...]:
    """Revoke what a party holds, and renew the list. Returns what was revoked now: nothing where all was before."""
    return pki.revoke(Pki(folder=folder), _identity(kind, name), now=_now())


def renew_list(folder: Path, days: int) -> datetime:
    """Write the revocation list anew for `days`, and return when it ends."""
    return pki.renew_crl(Pki(folder=folder), days=days, now=_now())


def issued_certificates(folder: Path) -> tuple[tuple[Issued, ...], datetime | None]:
    """Return what was issued, and when the revocation list ends (None: there is none). Raises `MissingInput`."""
    made = Pki(folder=folder)
    if not made.ca.exists():
        raise MissingInput(f"{folder} holds no authority", hint=f"make one: keystrand pki init {folder}")
    return pki.issued(made, now=_now()), pki.list_ends(made)


def _now() -> datetime:
    return datetime.now(UTC)


def _identity(kind: str, name: str) -> Identity:
    return Identity(kind=Kind(kind), id=name)
