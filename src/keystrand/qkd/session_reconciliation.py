"""Reconciliation inside a session, by Cascade or LDPC: each end as a generator that yields messages and takes replies.

Nothing is dropped. The key's last frame is filled with zeros that both know, and a frame whose check value stays wrong
is told in clear and counted as disclosed to its last bit. Had frames been left out by how their correction went, or
by where in the run they lie, the key bits would no longer be a random part of what the test basis samples, and the
bound on the phase error would not hold for them. So finite keys count every sifted bit, each error among them known.

Both codes are two-way (LDPC where frames need reveals, and by the verdicts): that counting what Alice says bounds the
leak needs the places of the errors to be taken as public (arXiv:2307.00576, of which only the abstract was checked).
For BB84 as in `finite` this changes no figure.
"""

from collections.abc import Generator
from typing import NamedTuple

import numpy as np

from keystrand.qkd import session_cascade, session_ldpc
from keystrand.qkd.cascade import TAG_BITS, Bits
from keystrand.qkd.session_account import KeyLedger, SessionParameters
from keystrand.qkd.session_code import Entropy
from keystrand.qkd.session_messages import (
    Clear,
    Ended,
    Message,
    ProtocolFault,
    Tags,
    Verdict,
    expect,
    pack,
    unpack,
)
from keystrand.qkd.universal_hash import PRIME

Talk = Generator[list[Message], Message, tuple["Reconciled", list[Message]]]
"""Yields what to say and is sent the answer; returns the result, and what is still to be said."""
_ALICE = {"cascade": session_cascade.alice, "ldpc": session_ldpc.alice}
_BOB = {"cascade": session_cascade.bob, "ldpc": session_ldpc.bob}


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
    """Yield Alice's messages; the result holds her own bits. `qber` is what is expected, from the test basis."""
    told, pending = _Told(bits.size, parameters.frame_bits), list[Message]()
    for frames in _groups(bits, parameters):
        talk = _ALICE[parameters.correction](frames, qber, parameters, entropy, pending)
        party, counted, rounds, message = yield from talk
        told.rounds += rounds
        if expect(Ended, message).parity_bits != counted:
            raise ProtocolFault("the ends do not agree on how many bits were disclosed")
        points = [random_point(entropy) for _ in frames]
        said = Tags(points=tuple(p.to_bytes(16, "big") for p in points), tags=tuple(party.tags(points)))
        failed = _named(expect(Verdict, (yield [said])).failed, len(frames))
        for index, disclosed in enumerate(counted):
            told.frame(disclosed, failed=index in failed)
        pending = [Clear(frames=pack(frames[sorted(failed)]))] if failed else []
    return told.result(bits), pending


def bob(bits: Bits, parameters: SessionParameters) -> Talk:
    """Yield Bob's messages; the result holds Alice's bits."""
    told, pending, corrected = _Told(bits.size, parameters.frame_bits), list[Message](), list[Bits]()
    for frames in _groups(bits, parameters):
        party, counted, rounds = yield from _BOB[parameters.correction](frames, parameters, pending)
        told.rounds += rounds
        tags = expect(Tags, (yield [Ended(parity_bits=counted)]))
        results = party.results([int.from_bytes(point, "big") for point in tags.points], list(tags.tags))
        failed = [index for index, result in enumerate(results) if result.bits is None]
        for index, disclosed in enumerate(counted):
            told.frame(disclosed, failed=index in failed)
        pending = [Verdict(failed=tuple(failed))]
        clear = frames[:0]
        if failed:
            octets = expect(Clear, (yield pending)).frames
            clear, pending = unpack(octets, len(failed) * parameters.frame_bits).reshape(len(failed), -1), []
        whole = iter(clear)
        corrected += [next(whole) if result.bits is None else result.bits for result in results]
    return told.result(np.concatenate(corrected)), pending


def random_point(entropy: Entropy) -> int:
    """Return a uniform point of the universal hash."""
    while (point := int.from_bytes(entropy(16), "big") >> 1) >= PRIME:
        pass
    return point


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
