"""Judge an audit chain: every hash, every signature, the order, and where it begins and ends. Pure."""

from collections.abc import Iterable, Sequence

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from msgspec import Struct

from keystrand.operate.audit import (
    ALGORITHM,
    FORMAT,
    START,
    Entry,
    Genesis,
    Own,
    Signature,
    checkpoint_message,
    entry_of,
    hash_of,
)


class Checkpoint(Struct, frozen=True, kw_only=True):
    """The latest checkpoint of a chain: its line, its time, and the hash it vouches for."""

    seq: int
    at: str
    head: str


class Verified(Struct, frozen=True, kw_only=True):
    """A chain without a fault. `unsigned`: lines after the latest checkpoint, which only their hashes hold together.

    `after_head`: lines after the hash that was expected. `named_key`: no key was given, so the audit's own is believed.
    """

    store: str
    segment: int
    first_seq: int
    last_seq: int
    records: int
    checkpoints: int
    checkpoint: Checkpoint
    unsigned: int
    head: str
    generation: int
    public_key: bytes
    named_key: bool
    after_head: int | None


class AuditBroken(Struct, frozen=True, kw_only=True):
    """A chain with a fault: at which line (the first is 1), and what is wrong there."""

    line: int
    message: str


_genesis = msgspec.json.Decoder(Genesis).decode
_signature = msgspec.json.Decoder(Signature).decode


class _Chain:
    """What is known of a chain so far. `take` raises `ValueError` at the first line that does not belong."""

    def __init__(self, public_keys: Sequence[MLDSA65PublicKey], after: str | None) -> None:
        self._given = tuple(public_keys)
        self._keys = list(public_keys)
        self._after = after
        self.genesis: Genesis | None = None
        self._store = ""
        self.first_seq = 0
        self.seq = -1
        self.head = ""
        self.generation = 0
        self.records = self.checkpoints = 0
        self.checkpoint: Checkpoint | None = None

    def take(self, line: bytes) -> None:
        entry = entry_of(line)
        if self.genesis is None:
            self._begin(entry)
        else:
            self._follow(entry)
        if entry.action == Own.GENESIS:
            self._open_segment(entry)
        elif entry.action == Own.CHECKPOINT:
            self._check_signature(entry)
        self.records += not entry.own
        self.seq, self.generation, self.head = entry.seq, entry.generation, hash_of(line)

    def _begin(self, entry: Entry) -> None:
        if entry.action != Own.GENESIS:
            raise ValueError("an audit begins with its genesis line: the beginning was cut off")
        if (entry.seq == 0) != (entry.prev == START):
            raise ValueError("the first line of an audit follows no other")
        if self._after is not None and entry.prev != self._after:
            raise ValueError("this does not follow where it should: files before it are missing")
        self.first_seq = entry.seq

    def _follow(self, entry: Entry) -> None:
        if entry.seq != self.seq + 1:
            raise ValueError(f"line {entry.seq} stands where line {self.seq + 1} belongs: cut, inserted or moved")
        if entry.prev != self.head:
            raise ValueError("the hash of the line before is not the one written here: one of the two was changed")
        if entry.generation < self.generation and entry.action != Own.VOID:
            raise ValueError(f"generation {entry.generation} follows generation {self.generation}")

    def _open_segment(self, entry: Entry) -> None:
        try:
            genesis = _genesis(entry.detail)
            if genesis.format != FORMAT or genesis.algorithm != ALGORITHM:
                raise ValueError(f"this release reads audits of format {FORMAT}, signed with {ALGORITHM}")
            key = MLDSA65PublicKey.from_public_bytes(genesis.public_key)
        except msgspec.MsgspecError as error:
            raise ValueError(f"this is not a genesis line: {error}") from None
        if self._given and not any(genesis.public_key == given.public_bytes_raw() for given in self._given):
            raise ValueError("the audit names another signing key than the one given")
        if self.genesis and (genesis.store, genesis.segment) != (self.genesis.store, self.genesis.segment + 1):
            raise ValueError(
                f"segment {genesis.segment} of store {genesis.store} does not follow what stands before it"
            )
        self.genesis, self._store = genesis, genesis.store
        if not self._given:
            self._keys.append(key)

    def _check_signature(self, entry: Entry) -> None:
        try:
            said = _signature(entry.detail)
        except msgspec.MsgspecError as error:
            raise ValueError(f"this is not a checkpoint: {error}") from None
        if said.store != self._store or entry.group or msgspec.json.encode(said) != bytes(entry.detail):
            raise ValueError("this is not a checkpoint of this store")
        message = checkpoint_message(said.store, entry.seq, entry.generation, entry.at, entry.prev)
        if not any(_signed(key, said.signature, message) for key in self._keys):
            raise ValueError("the checkpoint is not signed by the audit's key")
        self.checkpoints += 1
        self.checkpoint = Checkpoint(seq=entry.seq, at=entry.at, head=entry.prev)

    def outcome(self, head: str, after_head: int | None) -> Verified:
        if head and after_head is None:
            raise ValueError("the audit ends before it reaches the head that was expected: its end was cut off")
        if self.genesis is None or self.checkpoint is None:
            raise ValueError("there is no signed checkpoint: nothing vouches for these lines")
        return Verified(
            store=self.genesis.store,
            segment=self.genesis.segment,
            first_seq=self.first_seq,
            last_seq=self.seq,
            records=self.records,
            checkpoints=self.checkpoints,
            checkpoint=self.checkpoint,
            unsigned=self.seq - self.checkpoint.seq,
            head=self.head,
            generation=self.generation,
            public_key=self.genesis.public_key,
            named_key=not self._given,
            after_head=after_head,
        )


def _signed(key: MLDSA65PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def verify(
    lines: Iterable[bytes], public_keys: Sequence[MLDSA65PublicKey] = (), *, head: str = "", after: str | None = None
) -> Verified | AuditBroken:
    """Judge a chain: every hash, every signature, the order, and that it reaches `head` where one is given.

    `lines` keep their newlines. Without `public_keys` those that the genesis lines name are believed. `after`: the hash
    that the first line must follow (`START`: it must be the first of all), None where the chain may begin anywhere.
    """
    chain, number, seen = _Chain(public_keys, after), 0, None
    try:
        for line in lines:
            number += 1
            chain.take(line)
            if chain.head == head:
                seen = number
        number += 1
        return chain.outcome(head, None if seen is None else number - 1 - seen)
    except ValueError as error:
        return AuditBroken(line=number, message=str(error))
