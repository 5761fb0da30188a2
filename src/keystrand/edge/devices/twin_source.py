"""A source that stands in for a pair of QKD modules: the same random blocks to the KMEs at both ends, at a given rate.

The bytes are from the operating system's generator and the rate from a model, so what comes out is simulated key: its
label says so, and it protects nothing. A block goes to its slave's end first: a master never holds key that the other
end does not.
"""

import math
import secrets
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from msgspec import Struct

from keystrand.crypto.secret import Secret
from keystrand.edge.kme import wire
from keystrand.edge.kme.channel import Channel
from keystrand.edge.kme.messages import BLOCKS_URL, Block, BlockAnswer
from keystrand.edge.pki import Credentials
from keystrand.model.errors import InvalidInput, KeystrandError, PeerUnavailable
from keystrand.model.key import Strength
from keystrand.pilot.series_twin import BlockTwin
from keystrand.pilot.twin import KeyBlock, LinkEvent, LinkTwin

LABEL = Strength.SIMULATED
_BLOCKS_PER_S = 10.0
_BLOCK_BITS = (1024, 1 << 17)
"""The least and the greatest block made by default: some keys, and what fits a request's 64 KiB in base64."""
_LEAST_BITS = 512
"""A block gives 256 bits to its own confirmation."""
_TIMEOUT_S = 5.0
_RETRY_S = 0.2
_BUFFERED_BLOCKS = 2


class Push(Struct, frozen=True, kw_only=True):
    """One block that was made: `at_s` on the monotonic clock, `accepted` where both ends hold it."""

    at_s: float
    bits: int
    master_kme: str
    accepted: bool


class _Refused(PeerUnavailable):
    """A KME will not take this block, now or later."""


def push(channel: Channel, block: Block) -> bool:
    """Give a KME `block`; return false where its pool is full. Raises `PeerUnavailable`, also where it is refused."""
    status, answer = channel.exchange("POST", BLOCKS_URL, wire.encode(block))
    if 400 <= status < 500:
        raise _Refused(f"the KME refused a block for good with {status}")
    if status != 200:
        raise PeerUnavailable(f"the KME refused a block with {status}")
    return wire.decode(answer, BlockAnswer).accepted


class SourceEnd(Struct, frozen=True, kw_only=True):
    """One end of the link: its KME and the module's TLS files there."""

    kme_id: str
    url: str
    credentials: Credentials


def demand_possible(bits_per_s: float, block_bits: int | None) -> None:
    """Raise `InvalidInput` where no source has that rate, or makes such blocks (None: those that fit the rate)."""
    bits = _LEAST_BITS if block_bits is None else block_bits
    if not 0 < bits_per_s < math.inf or not _LEAST_BITS <= bits <= _BLOCK_BITS[1] or bits % 8:
        raise InvalidInput(
            f"a source needs a rate above 0 and blocks of {_LEAST_BITS} to {_BLOCK_BITS[1]} bits in whole octets"
        )


def _usual_block_bits(bits_per_s: float) -> int:
    low, high = _BLOCK_BITS
    wanted = bits_per_s / _BLOCKS_PER_S
    return round(min(wanted, high)) // 8 * 8 if wanted > low else low


class TwinSource:
    """Pushes what a `LinkTwin` makes at `bits_per_s` to both `ends`, alternating the direction, in its own thread.

    `block_bits` defaults to about ten blocks a second. Rates above what the KMEs take are not caught up.
    """

    def __init__(
        self,
        link: str,
        ends: tuple[SourceEnd, SourceEnd],
        *,
        bits_per_s: float,
        qber: float,
        block_bits: int | None = None,
        label: Strength = LABEL,
        twin: Callable[[int, float], BlockTwin] | None = None,
    ) -> None:
        """Prepare; nothing is pushed before `start`. Raises `InvalidInput` for a rate or block size out of range.

        `twin` makes what is played from the bits of a block and the monotonic time of the start; by default a link with
        that rate and error ratio for ever.
        """
        demand_possible(bits_per_s, block_bits)
        bits = _usual_block_bits(bits_per_s) if block_bits is None else block_bits
        self._link, self._label, self._twin = link, label, twin or self._steady
        self._rate_bits_per_s, self._qber, self._block_bits = bits_per_s, qber, bits
        self._kmes = tuple(end.kme_id for end in ends)
        self._channels = {e.kme_id: Channel(e.url, e.credentials, kme_id=e.kme_id, timeout_s=_TIMEOUT_S) for e in ends}
        self._held: dict[str, Block] = {}
        self._pushes: deque[Push] = deque(maxlen=100_000)
        self._totals = [0, 0]
        self._turn = 0
        self.trouble = ""
        """Why the latest block that could not be delivered was not; empty where every one was."""
        self._counting = threading.Lock()
        self._stopped, self._wake = threading.Event(), threading.Event()
        self._events: deque[LinkEvent] = deque()
        self._cut = False
        self._thread = threading.Thread(target=self._run, name="twin source", daemon=True)

    # Control

    def start(self) -> None:
        """Begin to push."""
        self._thread.start()

    def stop(self) -> None:
        """Push no more, for good; the block under way is finished or given up."""
        self._stopped.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        for channel in self._channels.values():
            channel.close()

    def cut(self) -> None:
        """Cut the quantum link: no further block is made; what the KMEs hold, they hold."""
        self._happen(LinkEvent.CUT)

    def restore(self) -> None:
        """Mend the quantum link."""
        self._happen(LinkEvent.RESTORED)

    def _happen(self, event: LinkEvent) -> None:
        self._cut = event is LinkEvent.CUT
        self._events.append(event)
        self._wake.set()

    @property
    def is_cut(self) -> bool:
        """Return whether the link is cut."""
        return self._cut

    # Counting

    def pushes(self) -> tuple[Push, ...]:
        """Return the latest blocks in the order they were made (at most 100,000)."""
        with self._counting:
            return tuple(self._pushes)

    @property
    def pushed_bits(self) -> int:
        """How many bits were made, accepted or not."""
        return self._totals[0]

    @property
    def accepted_bits(self) -> int:
        """How many bits both ends hold, or held."""
        return self._totals[1]

    # Working

    def _run(self) -> None:
        twin = self._twin(self._block_bits, time.monotonic())
        while not self._stopped.is_set():
            self._wake.clear()
            while self._events:
                twin.handle(self._events.popleft(), time.monotonic())
            delivered = self._deliver_due(twin.poll(time.monotonic()))
            due = twin.next_due_s()
            pause_s = None if due is None else max(0.0, due - time.monotonic())
            self._wake.wait(pause_s if delivered or pause_s is None else max(pause_s, _RETRY_S))

    def _steady(self, block_bits: int, now_s: float) -> BlockTwin:
        rate, qber = self._rate_bits_per_s, self._qber
        return LinkTwin(secret_bits_per_s=rate, qber=qber, block_bits=block_bits, now_s=now_s)

    def _deliver_due(self, blocks: tuple[KeyBlock, ...]) -> bool:
        """Deliver the latest of `blocks`: older ones are lost, as in a device whose buffer ran over."""
        for block in blocks[-_BUFFERED_BLOCKS:]:
            if self._cut or self._stopped.is_set():
                return True
            if not self._deliver(self._kmes[self._turn % 2], block):
                return False
            self._turn += 1
        return True

    def _deliver(self, master: str, due: KeyBlock) -> bool:
        """Push one block of the direction of `master`; return whether both KMEs could be reached.

        A block that only the slave's end took is kept and offered again before a new one is made, so that the ends
        stay the same. A block that either end refuses for good is dropped.
        """
        block = self._held.pop(master, None) or self._filled(master, due)
        slave = self._kmes[1 - self._kmes.index(master)]
        try:
            accepted = push(self._channels[slave], block)
            complete = accepted and push(self._channels[master], block)
        except _Refused as error:
            self.trouble, accepted, complete = error.message, False, False
        except KeystrandError as error:
            # it may have arrived: the same block again is the same block
            self._held[master], self.trouble = block, error.message
            return False
        if accepted and not complete:
            self._held[master] = block
        else:
            self._count(block, accepted=complete)
            block.key_bits.zeroise()
        return True

    def _filled(self, master: str, due: KeyBlock) -> Block:
        return Block(
            link=self._link, block_id=str(uuid.uuid4()), master_kme=master,
            key_bits=Secret(secrets.token_bytes(due.bits // 8)), qber=due.qber, label=self._label,
        )  # fmt: skip

    def _count(self, block: Block, *, accepted: bool) -> None:
        bits = 8 * len(block.key_bits)
        with self._counting:
            self._pushes.append(
                Push(at_s=time.monotonic(), bits=bits, master_kme=block.master_kme, accepted=accepted)
            )  # fmt: skip
            self._totals[0] += bits
            self._totals[1] += bits if accepted else 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
