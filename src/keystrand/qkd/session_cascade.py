"""Reconciliation inside a session, by Cascade: each end's half as a generator that yields messages and is sent replies.

The seam for another code: two generators with these signatures, whose result is the corrected key and what was told.

Nothing is dropped. The key's last frame is filled with zeros that both know, and a frame whose check value stays wrong
is told in clear and counted as disclosed to its last bit. Had frames been left out by how their correction went, or
by where in the run they lie, the key bits would no longer be a random part of what the test basis samples, and the
bound on the phase error would not hold for them. So finite keys count every sifted bit, each error among them known.

Cascade is two-way: that counting the parities bounds the leak needs the places of the errors to be taken as public
(arXiv:2307.00576, of which only the abstract was checked). For BB84 as in `finite` this changes no figure.
"""

from collections.abc import Callable, Generator
from typing import NamedTuple

import numpy as np

from keystrand.qkd import cascade_party
from keystrand.qkd.cascade import TAG_BITS, Bits, CascadePlan, plan_for
from keystrand.qkd.session_account import KeyLedger, SessionParameters
from keystrand.qkd.session_messages import (
    Clear,
    Ended,
    Message,
    Parities,
    Plan,
    ProtocolFault,
    Queries,
    Tags,
    Verdict,
    expect,
    integers,
    pack,
    unpack,
)
from keystrand.qkd.universal_hash import PRIME

Entropy = Callable[[int], bytes]
"""Returns so many octets of cryptographic randomness."""
Talk = Generator[list[Message], Message, tuple["Reconciled", list[Message]]]
"""Yields what to say and is sent the answer; returns the result, and what is still to be said."""


class Reconciled(NamedTuple):
    """The key both ends now hold, what its correction told, and how many rounds it took."""

    bits: Bits
    ledger: KeyLedger
    frames: int
    failed: int
    rounds: int


class _Told:
    """The account of disclosed bits, frame by frame; both ends keep it."""

    def __init__(self, sifted: int, frame_bits: int) -> None:
        self._left, self._frame_bits, self._sifted = sifted, frame_bits, sifted
        self.parity = self.tag = self.told = self.frames = self.failed = self.rounds = 0

    def frame(self, parities: int, *, failed: bool) -> None:
        """Count one frame: its parities and tag, but never more than the sifted bits in it."""
        held = min(self._left, self._frame_bits)
        self._left -= held
        self.frames += 1
        self.failed += failed
        if failed or parities + TAG_BITS >= held:
            self.told += held
        else:
            self.parity += parities
            self.tag += TAG_BITS

    def result(self, bits: Bits) -> Reconciled:
        """Return the account with the key."""
        kept = self._sifted - self.parity - self.tag - self.told
        ledger = KeyLedger(
            sifted_bits=self._sifted, parity_bits=self.parity, tag_bits=self.tag, told_bits=self.told,
            shrink_bits=kept, final_bits=0,
        )  # fmt: skip
        return Reconciled(bits[: self._sifted], ledger, self.frames, self.failed, self.rounds)


def alice(bits: Bits, parameters: SessionParameters, qber: float, entropy: Entropy) -> Talk:
    """Yield Alice's messages; the result holds her own bits. `qber` of the test basis sets the block sizes."""
    told, pending = _Told(bits.size, parameters.frame_bits), list[Message]()
    for frames in _groups(bits, parameters):
        plan = plan_for(qber, parameters.frame_bits, int.from_bytes(entropy(8), "big"))
        party = cascade_party.Alice(plan, frames)
        message = yield [*pending, _said(plan)]
        while isinstance(message, Queries):
            asked = integers(message.asked, "<i4").astype(np.int32).reshape(-1, 3)
            message = yield [Parities(bits=pack(party.answer(asked)))]
            told.rounds += 1
        counted = tuple(int(n) for n in party.parity_bits)
        if expect(Ended, message).parity_bits != counted:
            raise ProtocolFault("the ends do not agree on how many parities were disclosed")
        points = [random_point(entropy) for _ in frames]
        said = Tags(points=tuple(p.to_bytes(16, "big") for p in points), tags=tuple(party.tags(points)))
        failed = _named(expect(Verdict, (yield [said])).failed, len(frames))
        for index, parities in enumerate(counted):
            told.frame(parities, failed=index in failed)
        pending = [Clear(frames=pack(frames[sorted(failed)]))] if failed else []
    return told.result(bits), pending


def bob(bits: Bits, parameters: SessionParameters) -> Talk:
    """Yield Bob's messages; the result holds Alice's bits."""
    told, pending, corrected = _Told(bits.size, parameters.frame_bits), list[Message](), list[Bits]()
    for frames in _groups(bits, parameters):
        plan = _heard(expect(Plan, (yield pending)))
        if plan.frame_bits != parameters.frame_bits:
            raise ProtocolFault("the plan is for another frame size")
        party = cascade_party.Bob(plan, frames, batched=parameters.batched)
        while (asked := party.ask()).size:
            parities = expect(Parities, (yield [Queries(asked=asked.astype("<i4").tobytes())]))
            party.take(unpack(parities.bits, len(asked)))
        told.rounds += party.rounds
        counted = tuple(int(n) for n in party.parity_bits)
        tags = expect(Tags, (yield [Ended(parity_bits=counted)]))
        results = party.results([int.from_bytes(point, "big") for point in tags.points], list(tags.tags))
        failed = [index for index, result in enumerate(results) if result.bits is None]
        for index, parities_told in enumerate(counted):
            told.frame(parities_told, failed=index in failed)
        pending = [Verdict(failed=tuple(failed))]
        clear = frames[:0]
        if failed:
            octets = expect(Clear, (yield pending)).frames
            clear, pending = unpack(octets, len(failed) * plan.frame_bits).reshape(len(failed), -1), []
        whole = iter(clear)
        corrected += [next(whole) if result.bits is None else result.bits for result in results]
    return told.result(np.concatenate(corrected)), pending


def random_point(entropy: Entropy) -> int:
    """Return a uniform point of the universal hash."""
    while (point := int.from_bytes(entropy(16), "big") >> 1) >= PRIME:
        pass
    return point


def _said(plan: CascadePlan) -> Plan:
    return Plan(frame_bits=plan.frame_bits, block_bits=plan.block_bits, seed=plan.seed.to_bytes(8, "big"))


def _heard(said: Plan) -> CascadePlan:
    seed = int.from_bytes(said.seed, "big")
    return CascadePlan(frame_bits=said.frame_bits, block_bits=said.block_bits, seed=seed)


def _groups(bits: Bits, parameters: SessionParameters) -> list[Bits]:
    """Return the frames in groups that are corrected together, the last frame filled with zeros."""
    size, flight = parameters.frame_bits, parameters.frames_in_flight
    padded = np.zeros(-(-bits.size // size) * size, dtype=np.uint8)
    padded[: bits.size] = bits
    frames = padded.reshape(-1, size)
    return [frames[at : at + flight] for at in range(0, len(frames), flight)]


def _named(failed: tuple[int, ...], frames: int) -> set[int]:
    if any(index >= frames for index in failed):
        raise ProtocolFault("a verdict names a frame that is not there")
    return set(failed)
