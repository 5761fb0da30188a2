"""Whether a key was given before, or is empty. No key is kept for it: only digests, under a key of this run."""

import hashlib
import hmac
import secrets
import threading


class SeenKeys:
    """Remembers every key that a consumer was given. `old`: how many came twice; `zero`: how many were empty."""

    def __init__(self) -> None:
        self._digest_key = secrets.token_bytes(32)
        self._turn = threading.Lock()
        self._seen: set[bytes] = set()
        self._seen_ids: set[str] = set()
        self.old = self.zero = 0

    def examine(self, key_id: str, octets: memoryview) -> None:
        """Look at a key: the same name or the same octets are the same key; all zeros are none."""
        self.note(key_id, octets, empty=not any(octets))

    def note(self, key_id: str, mark: bytes | memoryview, *, empty: bool) -> None:
        """Do as `examine` does where a key is told by a `mark` that no other has, and whether it is empty is known."""
        digest = hmac.digest(self._digest_key, mark, hashlib.sha256)
        with self._turn:
            self.old += digest in self._seen or key_id in self._seen_ids
            self.zero += empty
            self._seen.add(digest)
            self._seen_ids.add(key_id)
