"""A certificate by what names it, for those who tell of one without its hash."""

import hashlib
import re


def name_hash(issuer: str, serial: str, spki_sha256: str) -> str:
    """Return a hash (hex) of issuer, serial number and key that stands in for a certificate's own where none is told.

    Issuer and serial number name a certificate (RFC 5280, 4.1.2.2); the key is there because test authorities number
    carelessly. Spelling has no part: neither the order of the issuer's parts, nor case, nor zeros before the number.
    """
    parts = sorted(part.strip().lower() for part in re.split(r"[,/+]", issuer) if part.strip())
    number = re.sub("[^0-9a-f]", "", serial.lower()).lstrip("0")
    return hashlib.sha256("\0".join(("certificate by name", *parts, number, spki_sha256)).encode()).hexdigest()
