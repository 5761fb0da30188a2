"""The public key infrastructure of a pilot: one authority, and leaves whose URI SAN says who they are.

Identity is the URI `urn:keystrand:<kind>:<ID>` of a leaf that TLS has verified, and nothing else: no common name, no
header. Profile: RFC 5280, with the key identifiers that strict verification asks for (4.2.1.1, 4.2.1.2).
"""

import contextlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import quote, unquote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from keystrand.edge.files import write_atomic
from keystrand.model.errors import InvalidInput, PolicyDenied, StoreFailure

_URN = "urn:keystrand:"
_PRIVATE = 0o600
_CLOCK_SKEW = timedelta(minutes=5)
"""Leaves are valid from this long before they were made, for peers whose clocks run behind."""


class Kind(StrEnum):
    """Who a certificate can belong to."""

    KME = "kme"
    SAE = "sae"
    MODULE = "module"


_USES = {
    Kind.KME: [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
    Kind.SAE: [ExtendedKeyUsageOID.CLIENT_AUTH],
    Kind.MODULE: [ExtendedKeyUsageOID.CLIENT_AUTH],
}


class Identity(Struct, frozen=True, kw_only=True):
    """Who the holder of a verified certificate is."""

    kind: Kind
    id: str

    @property
    def urn(self) -> str:
        """The identity as its certificate says it; characters beyond RFC 3986's unreserved ones are escaped."""
        return f"{_URN}{self.kind}:{quote(self.id, safe='')}"


class Credentials(Struct, frozen=True, kw_only=True):
    """The three PEM files that one end of a mutual TLS connection needs."""

    ca: Path
    certificate: Path
    key: Path


class Pki(Struct, frozen=True, kw_only=True):
    """A folder that `issue_pki` filled."""

    folder: Path

    @property
    def ca(self) -> Path:
        """The authority's certificate."""
        return self.folder / "ca.pem"

    def of(self, kind: Kind, name: str) -> Credentials:
        """Return the files of the `kind` called `name`; whether they exist is not looked at."""
        stem = f"{kind}-{quote(name, safe='')}"
        return Credentials(ca=self.ca, certificate=self.folder / f"{stem}.pem", key=self.folder / f"{stem}.key")


def identity_of(certificate: x509.Certificate) -> Identity:
    """Return whose `certificate` it is. Only meaningful for the leaf of a chain that TLS has verified.

    Raises `PolicyDenied` unless exactly one of its URI names is `urn:keystrand:<kind>:<ID>` in its one normal form.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        raise PolicyDenied("the certificate names no identity") from None
    ours = [uri for uri in names.get_values_for_type(x509.UniformResourceIdentifier) if uri.startswith(_URN)]
    if len(ours) != 1:
        raise PolicyDenied(f"the certificate holds {len(ours)} {_URN} names where it must hold one")
    kind, _, escaped = ours[0].removeprefix(_URN).partition(":")
    if kind not in set(Kind):
        raise PolicyDenied("the certificate names an identity of no known kind")
    identity = Identity(kind=Kind(kind), id=unquote(escaped))
    # one identity, one spelling: an escape that could be written plainly would make two names of one
    if not identity.id or identity.urn != ours[0]:
        raise PolicyDenied("the certificate's identity is not in its normal form")
    return identity


def party_of(certificate: x509.Certificate) -> Identity:
    """Return whose `certificate` it is, where its profile lets it stand for that party in TLS.

    Raises `PolicyDenied` as `identity_of` does, for an authority's certificate (RFC 5280, 4.2.1.9), and for one whose
    extended key usage does not name every role of its kind (4.2.1.12): no such extension names none.
    """
    identity = identity_of(certificate)
    extensions = certificate.extensions
    with contextlib.suppress(x509.ExtensionNotFound):
        if extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            raise PolicyDenied("the certificate is an authority's, not a party's")
    try:
        uses = set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        uses = set()
    if not uses.issuperset(_USES[identity.kind]):
        raise PolicyDenied(f"the certificate's extended key usage is not that of a {identity.kind}")
    return identity


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates, key_cert_sign=sign_certificates, crl_sign=sign_certificates,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


class _Authority:
    """A self-signed ECDSA P-256 authority that signs leaves and no further authority."""

    def __init__(self, now: datetime, days: int) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self._start, self._end = now - _CLOCK_SKEW, now + timedelta(days=days)
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "keystrand pilot authority")])
        self._identifier = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        self.certificate = (
            self._begin(self._name, self.key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(sign_certificates=True), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    def _begin(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        own, issuer = x509.SubjectKeyIdentifier.from_public_key(key), self._identifier
        return (
            x509.CertificateBuilder(issuer_name=self._name, subject_name=subject, public_key=key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._start)
            .not_valid_after(self._end)
            .add_extension(own, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
        )

    def leaf(self, identity: Identity, key: ec.EllipticCurvePublicKey) -> x509.Certificate:
        """Return a certificate for `identity`; a KME's also holds the loopback names that servers are reached by."""
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(identity.urn)]
        if identity.kind is Kind.KME:
            names += [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
        # the subject is for people: an ID may be longer than a common name can be (RFC 5280, ub-common-name)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{identity.kind} {identity.id}"[:64])])
        return (
            self._begin(subject, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(_USES[identity.kind]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self.key, hashes.SHA256())
        )


def issue_pki(
    folder: Path, *, kmes: Iterable[str], saes: Iterable[str], modules: Iterable[str], days: int, now: datetime
) -> Pki:
    """Fill `folder` (made if absent, mode 0700) with an authority and one key and certificate for each named party.

    `now` is in UTC with its zone; `days` is the life of everything. Keys are files of mode 0600. Raises `InvalidInput`
    where an authority is there already (it is never replaced), `StoreFailure` where the folder cannot be written.
    """
    if now.tzinfo is None or days < 1:
        raise InvalidInput("a certificate needs a life of at least a day from a time with its zone")
    if (folder / "ca.key").exists():
        raise InvalidInput(f"{folder} holds an authority already", hint="name a new folder, or move the old one away")
    pki, authority = Pki(folder=folder), _Authority(now, days)
    _make_private(folder)
    write_atomic(folder / "ca.key", _pem(authority.key), mode=_PRIVATE)
    write_atomic(pki.ca, authority.certificate.public_bytes(serialization.Encoding.PEM))
    for party in (Identity(kind=k, id=n) for k, ids in zip(Kind, (kmes, saes, modules), strict=True) for n in ids):
        key, files = ec.generate_private_key(ec.SECP256R1()), pki.of(party.kind, party.id)
        write_atomic(files.key, _pem(key), mode=_PRIVATE)
        leaf = authority.leaf(party, key.public_key())
        write_atomic(files.certificate, leaf.public_bytes(serialization.Encoding.PEM))
    return pki


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreFailure(f"cannot make {folder}: {error.strerror}") from error
