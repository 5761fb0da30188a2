"""Host names as DNS and certificates hold them."""


def a_labels(name: str) -> str:
    """Return `name` with each label that is not ASCII as an A-label (RFC 5890, 2.3.2.1; IDNA 2003).

    What separates labels becomes a full stop, in whatever script it is written. Raises `UnicodeError` where DNS cannot
    hold a label: it is empty, has more than 63 octets, or characters that no name has.
    """
    return name.encode("idna").decode("ascii")
