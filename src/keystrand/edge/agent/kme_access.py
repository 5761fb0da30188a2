"""The agent's way to its KME, which follows its files: a renewed certificate counts with the next question."""

from pathlib import Path

from keystrand.edge.agent.config import KmePlace
from keystrand.edge.kme.client import Client014


class KmeAccess:
    """A 014 client for one consumer, made anew where the TLS files have changed. `timeout_s` bounds every question."""

    def __init__(self, place: KmePlace, timeout_s: float) -> None:
        """Prepare; nothing is connected yet. Raises `InvalidInput` for files that cannot be used."""
        self._place, self._timeout_s = place, timeout_s
        self._seen = self._look()
        self._client = self._made()

    def client(self) -> Client014:
        """Return the client to ask now. Raises `InvalidInput` where the files have become unusable."""
        seen = self._look()
        if seen != self._seen:
            made = self._made()
            self._client.close()
            self._client, self._seen = made, seen
        return self._client

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _made(self) -> Client014:
        one = self._place
        return Client014(
            one.url, Path(one.ca), Path(one.certificate), Path(one.key), kme_id=one.kme_id,
            require_post_quantum=one.require_post_quantum, foreign=one.foreign, timeout_s=self._timeout_s,
        )  # fmt: skip

    def _look(self) -> tuple[tuple[int, int], ...]:
        found = []
        for name in (self._place.ca, self._place.certificate, self._place.key):
            try:
                seen = Path(name).stat()
            except OSError:
                continue  # just being replaced: the next look sees it
            found.append((seen.st_mtime_ns, seen.st_ino))
        return tuple(found)
