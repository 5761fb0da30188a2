"""Secret bytes: nothing prints, copies, pickles or encodes them by accident, and the memory is cleared after use."""

import hmac
from types import TracebackType
from typing import NoReturn, Self


class Secret:
    """Key bytes. Compare in constant time with `==`; read with `view()`; clear with `zeroise()` or a `with` block.

    Clearing is best effort: it overwrites our own buffer; copies that a library or `reveal()` made stay until freed.
    """

    __slots__ = ("_buffer", "_cleared", "cleared")

    def __init__(self, content: bytes | bytearray | memoryview) -> None:
        self._buffer = bytearray(content)
        self._cleared = False
        self.cleared = 0
        """How many of its first bytes were overwritten: what stands there is no key."""

    def view(self) -> memoryview:
        """Return a read-only view of the bytes, without a copy. Raises `ValueError` once cleared."""
        if self._cleared:
            raise ValueError("this secret was cleared")
        return memoryview(self._buffer).toreadonly()

    def reveal(self) -> bytes:
        """Return a copy of the bytes that cannot be cleared: only for an interface that takes nothing else."""
        return bytes(self.view())

    def split(self, size: int) -> "tuple[Secret, ...]":
        """Return consecutive secrets of `size` bytes each. Raises `ValueError` unless the length is a multiple."""
        view = self.view()
        if size < 1 or len(view) % size:
            raise ValueError("the secret's length is not a multiple of the size")
        return tuple(Secret(view[at : at + size]) for at in range(0, len(view), size))

    def zeroise(self) -> None:
        """Overwrite the bytes with zeros; further reading raises."""
        self.zeroise_first(len(self._buffer))
        self._cleared = True

    def zeroise_first(self, octets: int) -> None:
        """Overwrite the first `octets` bytes with zeros; the others stay, in their places."""
        octets = min(octets, len(self._buffer))
        self._buffer[:octets] = bytes(octets)
        self.cleared = max(self.cleared, octets)

    def __len__(self) -> int:
        return len(self._buffer)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.view(), other.view())

    # a hash would be computed from the content and end up in dictionaries
    __hash__ = None  # type: ignore[assignment]  # typeshed declares object.__hash__ as always callable

    def __repr__(self) -> str:
        return f"<Secret of {8 * len(self._buffer)} bits>"

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is neither copied nor pickled")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.zeroise()
