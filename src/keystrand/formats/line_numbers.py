"""Line numbers of offsets that grow, in time linear in the content."""


class LineNumbers:
    """Tells the line of each offset, asked in growing order."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at, self._line = content, 0, 1

    def of(self, at: int) -> int:
        """Return the line, from 1, on which the octet at `at` stands."""
        self._line += self._content.count(b"\n", self._at, at)
        self._at = at
        return self._line
