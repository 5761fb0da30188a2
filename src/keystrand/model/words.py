"""What another party said, made fit for a line of a log, of the audit, or of an error."""

SHOWN = 200
"""So many characters tell what is wrong; more would only fill the disk."""


def shown(text: str, most: int = SHOWN) -> str:
    """Return the first `most` characters of somebody else's `text`, each that is not printable as a question mark.

    So it is one line, and no sequence of control characters changes what stands beside it.
    """
    return "".join(c if c.isprintable() else "?" for c in text[:most])
