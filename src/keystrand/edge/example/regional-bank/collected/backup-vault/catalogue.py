"""The catalogue of backup sets: finds a set again by the digest of its content."""

import hashlib


def entry(content: bytes) -> str:
    """Return the name under which a set is filed. MD5 here dates from the first version and only tells sets apart."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
