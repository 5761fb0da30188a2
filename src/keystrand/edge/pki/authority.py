"""An authority: it signs leaves whose URI SAN says who they are, and the list of those it has taken back.

Profile: RFC 5280, with the key identifiers that strict verification asks for (4.2.1.1, 4.2.1.2); ML-DSA after RFC 9881.
Whatever is issued carries the identifier of its issuer's key.
"""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, mldsa
from cryptography.x509.oid import NameOID

from keystrand.edge.pki.identity import USES, Identity
from keystrand.formats.host_names import a_labels
from keystrand.model.errors import InvalidInput

CLOCK_SKEW = timedelta(minutes=5)
"""What is issued is valid from this long before it was made, for peers whose clocks run behind."""
_DNS_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\Z")
"""Host names after RFC 1123, 2.1, in lower case; no wildcards."""

PrivateKey = ec.EllipticCurvePrivateKey | mldsa.MLDSA65PrivateKey
PublicKey = ec.EllipticCurvePublicKey | mldsa.MLDSA65PublicKey


class Algorithm(StrEnum):
    """What certificates are signed with. ML-DSA-65 (FIPS 204) resists a quantum computer, ECDSA does not."""

    ECDSA_P256 = "ecdsa-p256"
    ML_DSA_65 = "ml-dsa-65"


def new_key(algorithm: Algorithm) -> PrivateKey:
    """Return a fresh key."""
    if algorithm is Algorithm.ML_DSA_65:
        return mldsa.MLDSA65PrivateKey.generate()
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: PrivateKey) -> bytes:
    """Return `key` in PEM (PKCS #8, not encrypted)."""
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def host_name(host: str) -> x509.GeneralName:
    """Return `host`, an IP address or a DNS name, as a name for a certificate. Raises `InvalidInput` for others."""
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        pass
    try:
        name = a_labels(host).lower()
    except UnicodeError:
        name = ""
    if not _DNS_NAME.match(name):
        raise InvalidInput(f"{host!r} is no host name and no IP address", hint="name each host in full; no wildcards")
    return x509.DNSName(name)


class Authority:
    """An authority that signs leaves and no further authority. `key` belongs to `certificate`."""

    def __init__(self, key: PrivateKey, certificate: x509.Certificate) -> None:
        self.key, self.certificate = key, certificate

    @classmethod
    def new(cls, algorithm: Algorithm, *, days: int, now: datetime) -> "Authority":
        """Return a fresh self-signed authority."""
        key = new_key(algorithm)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "keystrand authority")])
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = (
            _certificate(name, name, key.public_key(), _identifier_of(own), now=now, days=days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(sign_certificates=True), critical=True)
        )
        return cls(key, builder.sign(key, _hash_for(key)))

    @classmethod
    def from_pem(cls, key: bytes, certificate: bytes) -> "Authority":
        """Return the authority in these PEM texts. Raises `ValueError` unless they are one, and belong together."""
        private, public = serialization.load_pem_private_key(key, None), x509.load_pem_x509_certificate(certificate)
        if not isinstance(private, PrivateKey) or private.public_key() != public.public_key():
            raise ValueError("the key is not that of the certificate")
        return cls(private, public)

    @property
    def algorithm(self) -> Algorithm:
        """What it signs with."""
        return Algorithm.ML_DSA_65 if isinstance(self.key, mldsa.MLDSA65PrivateKey) else Algorithm.ECDSA_P256

    def leaf(
        self, identity: Identity, key: PublicKey, *, hosts: Iterable[str], days: int, now: datetime
    ) -> x509.Certificate:
        """Return a certificate for `identity` that covers `hosts`. Raises `InvalidInput` for a host that is none."""
        names = [x509.UniformResourceIdentifier(identity.urn), *map(host_name, hosts)]
        # the subject is for people: an ID may be longer than a common name can be (RFC 5280, ub-common-name)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{identity.kind} {identity.id}"[:64])])
        builder = (
            _certificate(self.certificate.subject, subject, key, self._identifier(), now=now, days=days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(USES[identity.kind]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
        )
        return builder.sign(self.key, _hash_for(self.key))

    def revocations(
        self, serials: Iterable[tuple[int, datetime]], *, days: int, now: datetime
    ) -> x509.CertificateRevocationList:
        """Return the list of revoked `serials` with the time of each, good for `days` (RFC 5280, 5)."""
        builder = (
            x509.CertificateRevocationListBuilder(self.certificate.subject)
            .last_update(now - CLOCK_SKEW)
            .next_update(now + timedelta(days=days))
            .add_extension(self._identifier(), critical=False)
            # later lists must have higher numbers (5.2.3): the milliseconds since 1970 are
            .add_extension(x509.CRLNumber(int(now.timestamp() * 1000)), critical=False)
        )
        for serial, at in serials:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key, _hash_for(self.key))

    def _identifier(self) -> x509.AuthorityKeyIdentifier:
        extension = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        return _identifier_of(extension.value)


def _identifier_of(own: x509.SubjectKeyIdentifier) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _hash_for(key: PrivateKey) -> hashes.SHA256 | None:
    """ML-DSA signs the message itself (RFC 9881)."""
    return None if isinstance(key, mldsa.MLDSA65PrivateKey) else hashes.SHA256()


def _certificate(
    issuer: x509.Name,
    subject: x509.Name,
    key: PublicKey,
    identifier: x509.AuthorityKeyIdentifier,
    *,
    days: int,
    now: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(issuer_name=issuer, subject_name=subject, public_key=key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(identifier, critical=False)
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates, key_cert_sign=sign_certificates, crl_sign=sign_certificates,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
