"""A folder with an authority and what it issued: PEM files, written whole, keys of mode 0600, one writer at a time.

`ca.pem`, `ca.key`, `ca.crl`; for each party `<kind>-<ID>.pem` and `.key`; a copy of every certificate ever issued in
`issued/SERIAL.pem`, and the time of each revocation in `revoked/SERIAL`, from which `ca.crl` is made anew each time.
"""

import fcntl
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec import Struct

from keystrand.edge.files import read_bytes, write_atomic
from keystrand.edge.pki.authority import Algorithm, Authority, PrivateKey, host_name, key_pem, new_key
from keystrand.edge.pki.identity import Identity, Kind, identity_of
from keystrand.edge.pki.revocation import read_revocations
from keystrand.model.errors import InvalidInput, MissingInput, PolicyDenied, StoreFailure

_PRIVATE = 0o600
AUTHORITY_DAYS = 3650
LEAF_DAYS = 365
CRL_DAYS = 30
"""How long a revocation list is good for: after that nobody is let in until there is a newer one."""
LOOPBACK = ("localhost", "127.0.0.1")
"""The hosts of a KME for which none is named."""
_ID_LENGTH = 128
_FILE_NAME_BYTES = 200
"""Linux file systems take 255; a temporary file's name is longer than its final one."""


class Credentials(Struct, frozen=True, kw_only=True):
    """The PEM files that one end of a mutual TLS connection needs.

    Where `crl` is given, a peer whose issuer has no valid list in that file is refused.
    """

    ca: Path
    certificate: Path
    key: Path
    crl: Path | None = None


class State(StrEnum):
    """What a certificate is worth."""

    VALID = "valid"
    EXPIRED = "expired"
    REVOKED = "revoked"


class Issued(Struct, frozen=True, kw_only=True):
    """One certificate that the folder's authority has issued."""

    identity: Identity
    serial: int
    not_after: datetime
    state: State


class Pki(Struct, frozen=True, kw_only=True):
    """A folder that `create` or `issue_pki` filled."""

    folder: Path

    @property
    def ca(self) -> Path:
        """The authority's certificate."""
        return self.folder / "ca.pem"

    @property
    def crl(self) -> Path:
        """The authority's revocation list."""
        return self.folder / "ca.crl"

    def of(self, kind: Kind, name: str) -> Credentials:
        """Return the files of the `kind` called `name`; whether they exist is not looked at."""
        stem = f"{kind}-{quote(name, safe='')}"
        return Credentials(ca=self.ca, certificate=self.folder / f"{stem}.pem", key=self.folder / f"{stem}.key")


def create(
    folder: Path,
    *,
    algorithm: Algorithm = Algorithm.ECDSA_P256,
    days: int = AUTHORITY_DAYS,
    crl_days: int = CRL_DAYS,
    now: datetime,
) -> Pki:
    """Make an authority, with an empty revocation list, in `folder` (made if absent, mode 0700).

    `now` is in UTC with its zone. Raises `InvalidInput` where an authority is there already (it is never replaced),
    `StoreFailure` where the folder cannot be written.
    """
    _check_life(days, now)
    pki = Pki(folder=folder)
    _make_private(folder)
    with _one_writer(folder):
        if (folder / "ca.key").exists() or pki.ca.exists():
            raise InvalidInput(
                f"{folder} holds an authority already", hint="name a new folder, or move the old one away"
            )
        authority = Authority.new(algorithm, days=days, now=now)
        write_atomic(folder / "ca.key", key_pem(authority.key), mode=_PRIVATE)
        write_atomic(pki.ca, authority.certificate.public_bytes(Encoding.PEM))
        _write_crl(pki, authority, days=crl_days, now=now)
    return pki


def issue(
    pki: Pki,
    identity: Identity,
    *,
    hosts: Sequence[str] = (),
    days: int | None = None,
    algorithm: Algorithm | None = None,
    renew: bool = False,
    now: datetime,
) -> Issued:
    """Make a key and a certificate for `identity`; `hosts` are the names a KME or agent is reached by (none: loopback).

    `days` beyond the authority's own life are refused; None is a year, or what is left of that life. `algorithm` None
    is the authority's. Raises `InvalidInput` for what cannot be issued, and where the party has a valid certificate,
    unless `renew` is set: then both are valid, and the files hold the new one. `StoreFailure` where files fail.
    """
    hosts = _checked_hosts(identity, hosts)
    with _one_writer(pki.folder):
        authority = read_authority(pki)
        _refuse_to_overwrite(pki, identity, now, renew=renew)
        return _issue(pki, authority, identity, hosts, new_key(algorithm or authority.algorithm), days, now)


def _issue(
    pki: Pki,
    authority: Authority,
    identity: Identity,
    hosts: Sequence[str],
    key: PrivateKey,
    days: int | None,
    now: datetime,
) -> Issued:
    end = authority.certificate.not_valid_after_utc
    # certificates count whole seconds
    left = (end - now.replace(microsecond=0)).days
    if left < max(days or 1, 1):
        hint = f"ask for at most {left} days" if left > 0 else "make a new authority in a new folder"
        raise InvalidInput(f"the authority itself ends on {end:%Y-%m-%d}", hint=hint)
    days = min(LEAF_DAYS, left) if days is None else days
    _check_life(days, now)
    leaf = authority.leaf(identity, key.public_key(), hosts=hosts, days=days, now=now)
    _write_leaf(pki, identity, leaf, key_pem(key))
    return _as_issued(leaf, identity, State.VALID)


def _write_leaf(pki: Pki, identity: Identity, leaf: x509.Certificate, key: bytes) -> None:
    files, pem = pki.of(identity.kind, identity.id), leaf.public_bytes(Encoding.PEM)
    # first its record: nothing is issued that could not be revoked
    write_atomic(pki.folder / "issued" / f"{leaf.serial_number:x}.pem", pem)
    write_atomic(files.key, key, mode=_PRIVATE)
    write_atomic(files.certificate, pem)


def _refuse_to_overwrite(pki: Pki, identity: Identity, now: datetime, *, renew: bool) -> None:
    same = [one for one in issued(pki, now=now) if one.identity == identity]
    valid = next((one for one in same if one.state is State.VALID), None)
    if valid and not renew:
        raise InvalidInput(
            f"{identity.kind} {identity.id!r} has a certificate that is valid until {valid.not_after:%Y-%m-%d}",
            hint="revoke it first, or renew it with --renew; nothing was written",
        )
    files = pki.of(identity.kind, identity.id)
    if not same and (files.key.exists() or files.certificate.exists()):
        raise InvalidInput(
            f"{files.certificate} or its key is there, and was not issued here", hint="move both files away"
        )


def _checked_hosts(identity: Identity, hosts: Sequence[str]) -> Sequence[str]:
    name = identity.id
    if not name.isprintable() or not 1 <= len(name) <= _ID_LENGTH or len(quote(name, safe="")) > _FILE_NAME_BYTES:
        raise InvalidInput(
            f"an ID has 1 to {_ID_LENGTH} printable characters, and at most {_FILE_NAME_BYTES} as part of a file name",
            hint="choose a shorter one",
        )
    for host in hosts:
        host_name(host)
    if identity.kind in (Kind.KME, Kind.AGENT):
        return hosts or LOOPBACK
    if hosts:
        raise InvalidInput(f"a {identity.kind} is no server and needs no host", hint="leave --host out")
    return ()


def issued(pki: Pki, *, now: datetime) -> tuple[Issued, ...]:
    """Return every certificate that was issued, by kind, ID and end. Raises `InvalidInput` for an unreadable record."""
    taken_back = {serial for serial, _ in _revoked(pki)}
    found = []
    for file in sorted((pki.folder / "issued").glob("*.pem")):
        try:
            leaf = x509.load_pem_x509_certificate(read_bytes(file))
            identity = identity_of(leaf)
        except (ValueError, PolicyDenied) as error:
            raise InvalidInput(f"{file} is no certificate of a party: {error}", hint="move the file away") from None
        ended = State.EXPIRED if leaf.not_valid_after_utc <= now else State.VALID
        found.append(_as_issued(leaf, identity, State.REVOKED if leaf.serial_number in taken_back else ended))
    return tuple(sorted(found, key=lambda one: (one.identity.kind, one.identity.id, one.not_after, one.serial)))


def _as_issued(leaf: x509.Certificate, identity: Identity, state: State) -> Issued:
    return Issued(identity=identity, serial=leaf.serial_number, not_after=leaf.not_valid_after_utc, state=state)


def revoke(pki: Pki, identity: Identity, *, now: datetime) -> tuple[Issued, ...]:
    """Revoke every valid certificate of `identity`, write the list anew for `CRL_DAYS`, and return what was revoked.

    None of it where all were revoked before: the list is renewed all the same. Raises `MissingInput` where nothing was
    ever issued to `identity`, `InvalidInput` and `StoreFailure` as `issue` does.
    """
    with _one_writer(pki.folder):
        authority = read_authority(pki)
        same = [one for one in issued(pki, now=now) if one.identity == identity]
        if not same:
            raise MissingInput(
                f"no certificate was issued to {identity.kind} {identity.id!r}",
                hint=f"see what was: keystrand pki show {pki.folder}",
            )
        valid = tuple(one for one in same if one.state is State.VALID)
        for one in valid:
            write_atomic(pki.folder / "revoked" / f"{one.serial:x}", now.isoformat().encode())
        _write_crl(pki, authority, days=CRL_DAYS, now=now)
    return valid


def renew_crl(pki: Pki, *, days: int = CRL_DAYS, now: datetime) -> datetime:
    """Write the revocation list anew and return when it ends. Raises as `issue` does."""
    _check_life(days, now)
    with _one_writer(pki.folder):
        _write_crl(pki, read_authority(pki), days=days, now=now)
    return now + timedelta(days=days)


def list_ends(pki: Pki) -> datetime | None:
    """Return when the revocation list ends; None where there is none. Raises `InvalidInput` for one that is not."""
    if not pki.crl.exists():
        return None
    return min((one.next_update_utc for one in read_revocations(pki.crl)[0] if one.next_update_utc), default=None)


def _write_crl(pki: Pki, authority: Authority, *, days: int, now: datetime) -> None:
    crl = authority.revocations(_revoked(pki), days=days, now=now)
    write_atomic(pki.crl, crl.public_bytes(Encoding.PEM))


def _revoked(pki: Pki) -> list[tuple[int, datetime]]:
    found = []
    for file in sorted((pki.folder / "revoked").glob("[0-9a-f]*")):
        try:
            found.append((int(file.name, 16), datetime.fromisoformat(read_bytes(file).decode())))
        except ValueError:
            # left out, it would let somebody in again
            raise InvalidInput(
                f"{file} does not say when it was revoked", hint="write an ISO 8601 time in it"
            ) from None
    return found


def read_authority(pki: Pki) -> Authority:
    """Return the folder's authority. Raises `MissingInput` or `InvalidInput`."""
    file, hint = pki.folder / "ca.key", f"make the authority first: keystrand pki init {pki.folder}"
    key, certificate = read_bytes(file, hint=hint), read_bytes(pki.ca, hint=hint)
    if file.stat().st_mode & 0o077:
        raise InvalidInput(f"{file} can be read by others", hint=f"chmod 600 {file}, and ask who may have read it")
    try:
        return Authority.from_pem(key, certificate)
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"{file} and {pki.ca} are no usable authority: {error}") from None


def issue_pki(
    folder: Path,
    *,
    kmes: Iterable[str],
    saes: Iterable[str],
    modules: Iterable[str] = (),
    operators: Iterable[str] = (),
    algorithm: Algorithm = Algorithm.ECDSA_P256,
    days: int,
    now: datetime,
) -> Pki:
    """Make an authority in `folder` as `create` does, and issue to each party named, KMEs for the loopback address.

    `days` is the life of everything, the revocation list's included.
    """
    pki = create(folder, algorithm=algorithm, days=days, crl_days=days, now=now)
    authority = read_authority(pki)
    for kind, ids in ((Kind.KME, kmes), (Kind.SAE, saes), (Kind.MODULE, modules), (Kind.OPERATOR, operators)):
        for identity in (Identity(kind=kind, id=name) for name in ids):
            _issue(pki, authority, identity, _checked_hosts(identity, ()), new_key(algorithm), days, now)
    return pki


def _check_life(days: int, now: datetime) -> None:
    if now.tzinfo is None or days < 1:
        raise InvalidInput("a certificate needs a life of at least a day from a time with its zone")
    if days > (datetime.max.replace(tzinfo=UTC) - now).days - 1:
        raise InvalidInput("no certificate can be valid for so long", hint="ask for fewer days")


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreFailure(f"cannot make {folder}: {error.strerror}") from error


@contextmanager
def _one_writer(folder: Path) -> Iterator[None]:
    """Wait until nobody else changes `folder`. Raises `MissingInput` where it is not there, else `StoreFailure`."""
    try:
        file = (folder / ".lock").open("w")
    except (FileNotFoundError, NotADirectoryError) as error:
        hint = f"make the authority first: keystrand pki init {folder}"
        raise MissingInput(f"{folder} is no folder with an authority", hint=hint) from error
    except OSError as error:
        raise StoreFailure(f"{folder} cannot be written: {error.strerror}") from error
    with file:
        # closing it is letting go
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
