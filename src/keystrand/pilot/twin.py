"""The quantum link of a pilot, simulated: how many secret bits are there, and when. It holds no clock and no key.

The twin says only *how many* bits are due; the caller draws the key itself from a secure source. While the fibre is
whole the model's rate holds steadily; a block is due when all of its bits are there. A block that a cut interrupts is
lost, as the half-sifted block of a real link would be, and its bits are counted as lost.
"""

from enum import StrEnum
from math import floor, ulp

import numpy as np
from msgspec import Struct


class LinkEvent(StrEnum):
    """What can happen to the fibre."""

    CUT = "cut"
    RESTORED = "restored"


class KeyBlock(Struct, frozen=True, kw_only=True):
    """`bits` of secret key, complete at `at_s` on the caller's clock. `qber` is simulated: it is no measurement."""

    sequence: int
    at_s: float
    bits: int
    qber: float


class LinkTwin:
    """A link that is up from `now_s` on.

    `secret_bits_per_s` and `qber` are what a model says; `block_bits`: secret bits in one block. `rng`, a seeded
    generator, scatters the error ratio of each block as the finite number of sifted bits behind it
    (`sifted_bits_per_s`) would; without one, every block shows the model's ratio. It makes no key.
    """

    def __init__(
        self,
        *,
        secret_bits_per_s: float,
        qber: float,
        block_bits: int,
        now_s: float,
        sifted_bits_per_s: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> None:
        if block_bits < 1:
            raise ValueError("a block holds at least one bit")
        self._secret_bits_per_s, self._sifted_bits_per_s = secret_bits_per_s, sifted_bits_per_s
        self._model_qber, self._block_bits, self._rng = qber, block_bits, rng
        self._up_since: float | None = now_s
        self._in_run = 0
        self._now_s = now_s
        self._due: list[KeyBlock] = []
        self._blocks = 0
        self.lost_bits = 0.0
        """Secret bits of blocks that a cut interrupted."""

    @property
    def up(self) -> bool:
        """Return whether the fibre is whole."""
        return self._up_since is not None

    @property
    def made_bits(self) -> int:
        """Return the bits of all blocks completed so far, fetched or not."""
        return self._blocks * self._block_bits

    def handle(self, event: LinkEvent, now_s: float) -> None:
        """Take note of `event`; blocks complete before a cut stay due. Raises `ValueError` if time runs backwards."""
        self._advance(now_s)
        if event is LinkEvent.CUT and self._up_since is not None:
            self.lost_bits += max(0.0, self._bits_since(self._up_since, now_s) - self._in_run * self._block_bits)
            self._up_since = None
        elif event is LinkEvent.RESTORED and self._up_since is None:
            self._up_since, self._in_run = now_s, 0

    def poll(self, now_s: float) -> tuple[KeyBlock, ...]:
        """Return the blocks that became due since the last poll, oldest first. Raises `ValueError` as `handle` does."""
        self._advance(now_s)
        due, self._due = tuple(self._due), []
        return due

    def next_due_s(self) -> float | None:
        """Return when the next block is complete if nothing happens; None while the link makes no key."""
        if self._up_since is None or self._secret_bits_per_s <= 0:
            return None
        return self._complete_at(self._up_since, self._in_run + 1)

    def _bits_since(self, start_s: float, now_s: float) -> float:
        return (now_s - start_s) * self._secret_bits_per_s

    def _complete_at(self, start_s: float, blocks: int) -> float:
        return start_s + blocks * self._block_bits / self._secret_bits_per_s

    def _advance(self, now_s: float) -> None:
        if now_s < self._now_s:
            raise ValueError(f"time runs backwards: {now_s} after {self._now_s}")
        self._now_s = now_s
        if self._up_since is None:
            return
        bits = self._bits_since(self._up_since, now_s)
        # a few rounding steps of slack: polled exactly when next_due_s said, the block must be there
        slack = 2 * ulp(now_s) * self._secret_bits_per_s + 4 * ulp(bits)
        complete = floor((bits + slack) / self._block_bits)
        while self._in_run < complete:
            self._in_run += 1
            self._due.append(self._block(min(self._complete_at(self._up_since, self._in_run), now_s)))

    def _block(self, at_s: float) -> KeyBlock:
        self._blocks += 1
        return KeyBlock(sequence=self._blocks, at_s=at_s, bits=self._block_bits, qber=self._qber())

    def _qber(self) -> float:
        if self._rng is None or self._secret_bits_per_s <= 0:
            return self._model_qber
        behind = max(1, round(self._block_bits * self._sifted_bits_per_s / self._secret_bits_per_s))
        return float(self._rng.binomial(behind, self._model_qber)) / behind


class ChangingTwin:
    """A link whose rate and error ratio are changed while it runs, as those of `LinkTwin` are not.

    A change takes effect when the twin is next asked; the block under way is lost, as a device begins anew.
    """

    def __init__(self, *, secret_bits_per_s: float, qber: float, block_bits: int, now_s: float) -> None:
        self._block_bits, self._cut = block_bits, False
        self._wanted: tuple[float, float] | None = None
        self._now = LinkTwin(secret_bits_per_s=secret_bits_per_s, qber=qber, block_bits=block_bits, now_s=now_s)

    def change(self, secret_bits_per_s: float, qber: float) -> None:
        """Have the link give this rate and error ratio. It may be called from another thread."""
        self._wanted = secret_bits_per_s, qber

    def handle(self, event: LinkEvent, now_s: float) -> None:
        """Cut or mend the fibre. Raises `ValueError` if time runs backwards."""
        self._cut = event is LinkEvent.CUT
        self._now.handle(event, now_s)

    def poll(self, now_s: float) -> tuple[KeyBlock, ...]:
        """Return the blocks that became due since the last poll. Raises `ValueError` if time runs backwards."""
        due = self._now.poll(now_s)
        if self._wanted is not None:
            (bits_per_s, qber), self._wanted = self._wanted, None
            self._now = LinkTwin(secret_bits_per_s=bits_per_s, qber=qber, block_bits=self._block_bits, now_s=now_s)
            if self._cut:
                self._now.handle(LinkEvent.CUT, now_s)
        return due

    def next_due_s(self) -> float | None:
        """Return when the next block is complete if nothing happens; None while the link makes no key."""
        return self._now.next_due_s()
