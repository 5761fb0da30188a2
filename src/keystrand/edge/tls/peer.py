"""What a handshake establishes about the other end, and why one failed."""

import itertools
from functools import cache
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from msgspec import Struct
from OpenSSL import SSL
from OpenSSL.SSL import X509VerificationCodes as Codes

from keystrand.edge.files import read_bytes
from keystrand.edge.pki import Identity, Kind, party_of
from keystrand.model.algorithm import Verdict, classify
from keystrand.model.errors import InvalidInput, PolicyDenied

RECORD_BYTES = 1 << 16
"""How much is read at once: a few TLS records of at most 2**14 bytes each (RFC 8446, 5.1)."""

_CATALOGUE_NAMES = {"x25519": "X25519", "x448": "X448", "secp256r1": "ECDH-P-256", "secp384r1": "ECDH-P-384",
                    "secp521r1": "ECDH-P-521", "MLKEM512": "ML-KEM-512", "MLKEM768": "ML-KEM-768",
                    "MLKEM1024": "ML-KEM-1024"}  # fmt: skip
_REASONS = {
    Codes.ERR_CERT_REVOKED: "its certificate was revoked",
    Codes.ERR_CERT_HAS_EXPIRED: "its certificate has expired",
    Codes.ERR_CERT_NOT_YET_VALID: "its certificate is not valid yet",
    Codes.ERR_CRL_HAS_EXPIRED: "the revocation list of its authority has expired: renew it",
    Codes.ERR_CRL_NOT_YET_VALID: "the revocation list of its authority is not valid yet",
    Codes.ERR_UNABLE_TO_GET_CRL: "there is no revocation list of its authority",
    Codes.ERR_CRL_SIGNATURE_FAILURE: "the revocation list of its authority has a false signature",
}
_OTHER_REASONS = {
    code: name.removeprefix("ERR_").replace("_", " ").lower()
    for name, code in vars(Codes).items()
    if name.startswith("ERR_")
}


_CONNECTIONS = itertools.count(1)


class Peer(Struct, frozen=True, kw_only=True):
    """What a finished handshake established: who, by which certificate, key exchange group and cipher suite."""

    identity: Identity
    group: str
    cipher: str
    valid_until_s: float
    """When its certificate expires, in seconds since the epoch: a connection may not outlive it."""
    serial: int = 0
    issuer: str = ""
    """Who issued its certificate, by the RFC 4514 form of the name: with `serial`, what a revocation list names."""
    fingerprint: bytes = b""
    """SHA-256 of its certificate (DER)."""
    connection: int = 0
    """A number that no other connection of this process has."""

    @property
    def post_quantum(self) -> bool:
        """Whether the key exchange is known to resist a quantum computer."""
        return is_post_quantum(self.group)


class Leaf(Struct, frozen=True, kw_only=True):
    """What one certificate says, read once. It counts for a connection only where its chain was verified there."""

    certificate: x509.Certificate
    identity: Identity
    valid_until_s: float
    serial: int
    issuer: str
    fingerprint: bytes


def read_leaf(der: bytes, *, common_name_saes: bool) -> Leaf:
    """Return what a certificate says. Raises `PolicyDenied` for one of no party; reading may raise anything."""
    certificate = x509.load_der_x509_certificate(der)
    return leaf_of(certificate, party_of(certificate, common_name_saes=common_name_saes))


def leaf_of(certificate: x509.Certificate, identity: Identity) -> Leaf:
    """Return what a certificate says, as that of `identity`."""
    return Leaf(
        certificate=certificate, identity=identity,
        valid_until_s=certificate.not_valid_after_utc.timestamp(), serial=certificate.serial_number,
        issuer=certificate.issuer.rfc4514_string(), fingerprint=certificate.fingerprint(hashes.SHA256()),
    )  # fmt: skip


def group_name(connection: SSL.Connection) -> str:
    """Return the key exchange group of a finished handshake by the catalogue's name; empty where it is not known."""
    name = connection.get_group_name() or ""
    return _CATALOGUE_NAMES.get(name, name)


@cache
def is_post_quantum(group: str) -> bool:
    """Return whether the catalogue knows `group` as quantum-safe; an unknown one is not."""
    return classify(group).verdict is Verdict.QUANTUM_SAFE


def established(connection: SSL.Connection) -> Peer:
    """Return what a finished handshake established; the identity is that of the verified leaf, by its context's rule.

    Raises `PolicyDenied` where there is no verified leaf.
    """
    leaf = _verified_leaf(connection)
    return Peer(
        identity=leaf.identity, group=group_name(connection), cipher=connection.get_cipher_name() or "",
        valid_until_s=leaf.valid_until_s, serial=leaf.serial, issuer=leaf.issuer, fingerprint=leaf.fingerprint,
        connection=next(_CONNECTIONS),
    )  # fmt: skip


def _verified_leaf(connection: SSL.Connection) -> Leaf:
    leaf = connection.get_app_data()
    if not isinstance(leaf, Leaf):
        raise PolicyDenied("the peer showed no certificate that could be verified")
    return leaf


def check_server(
    connection: SSL.Connection, peer: Peer, *, host: str, kme_id: str = "", require_post_quantum: bool = True
) -> None:
    """Raise `PolicyDenied` unless the server is a KME whose certificate covers `host`, the one named, by such a group.

    To be called before the first byte of the application is sent.
    """
    if peer.identity.kind is not Kind.KME or not covers_host(_verified_leaf(connection).certificate, host):
        raise PolicyDenied("its certificate is not that of a KME at this address")
    if kme_id and peer.identity.id != kme_id:
        raise PolicyDenied(f"it is KME {peer.identity.id!r} and not {kme_id!r}")
    if require_post_quantum and not peer.post_quantum:
        raise PolicyDenied(f"the key exchange group {peer.group or 'unknown'} is not post-quantum")


def covers_host(certificate: x509.Certificate, host: str) -> bool:
    """Return whether the certificate is for `host`: equal DNS name or IP address (RFC 9525; no wildcards here)."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    try:
        return ip_address(host) in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        return host.lower() in {name.lower() for name in names.get_values_for_type(x509.DNSName)}


def is_address(host: str) -> bool:
    """Return whether `host` is an IP address and no name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def reason_of(error: Exception) -> str:
    """Return what went wrong in words, also where OpenSSL keeps them in a list."""
    if isinstance(error, SSL.Error) and error.args and isinstance(error.args[0], list):
        return "; ".join(entry[-1] for entry in error.args[0]) or "TLS refused"
    return str(error) or type(error).__name__


def reason_of_code(code: int) -> str:
    """Return why OpenSSL does not take a certificate."""
    return _REASONS.get(code) or _OTHER_REASONS.get(code) or f"its certificate was refused (OpenSSL error {code})"


def refusal_of(connection: SSL.Connection, error: Exception) -> str:
    """Return why a handshake failed: our own reason for refusing the peer's certificate, or `reason_of(error)`."""
    ours = connection.get_app_data()
    return ours if isinstance(ours, str) else reason_of(error)


def read_certificate(file: Path) -> x509.Certificate:
    """Return the first certificate in the PEM `file`. Raises `MissingInput`, or `InvalidInput` where there is none."""
    try:
        return x509.load_pem_x509_certificate(read_bytes(file))
    except ValueError:
        raise InvalidInput(f"{file} holds no certificate in PEM") from None
