"""Which certificates their issuers have taken back, as the revocation lists of a file say it (RFC 5280, 5)."""

import re
from pathlib import Path
from typing import Protocol

from cryptography import x509
from msgspec import Struct

from keystrand.edge.files import read_bytes
from keystrand.model.errors import InvalidInput

_PEM = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


class HasSerial(Protocol):
    """What a revocation list knows a certificate by."""

    @property
    def issuer(self) -> str:
        """The RFC 4514 form of its issuer's name."""

    @property
    def serial(self) -> int:
        """Its serial number."""


class Revocations(Struct, frozen=True, kw_only=True):
    """What a file of revocation lists says. Whether a list is signed by its issuer is for TLS to check."""

    serials: frozenset[tuple[str, int]] = frozenset()
    """Issuer, by its RFC 4514 name, and serial number of each certificate that was revoked."""

    def names(self, one: HasSerial) -> bool:
        """Return whether this certificate was revoked."""
        return (one.issuer, one.serial) in self.serials


def read_revocations(file: Path) -> tuple[list[x509.CertificateRevocationList], Revocations]:
    """Return every list in the PEM `file`, and all of them together.

    Raises `MissingInput`, or `InvalidInput` where the file holds none or one that cannot be read.
    """
    try:
        lists = [x509.load_pem_x509_crl(pem) for pem in _PEM.findall(read_bytes(file))]
        serials = frozenset((crl.issuer.rfc4514_string(), entry.serial_number) for crl in lists for entry in crl)
    except ValueError:
        lists = []
    if not lists:
        raise InvalidInput(f"{file} holds no revocation list in PEM", hint="write it anew: keystrand pki crl DIR")
    return lists, Revocations(serials=serials)
