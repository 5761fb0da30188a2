"""The audit chain: what it says, and that no single change of it passes."""

import base64
import hashlib
import json
from functools import cache

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from keystrand.operate.audit import (
    ALGORITHM,
    FORMAT,
    START,
    AuditRecord,
    Genesis,
    Own,
    checkpoint_message,
    checkpoint_record,
    detail_of,
    entry_of,
    genesis_record,
    line_of,
    own_record,
    timestamp,
)
from keystrand.operate.audit_verify import AuditBroken, Verified, verify

KEY, OTHER_KEY = MLDSA65PrivateKey.generate(), MLDSA65PrivateKey.generate()
STORE = "store-1"
AT = 1764093600.25


class Book:
    """Writes a chain the way the audit file does."""

    def __init__(self, key: MLDSA65PrivateKey = KEY, store: str = STORE) -> None:
        self.key, self.store = key, store
        self.lines: list[bytes] = []
        self.head, self.generation = START, 0

    def add(self, record: AuditRecord, generation: int | None = None) -> None:
        """Add a line."""
        self.generation = self.generation if generation is None else generation
        line, self.head = line_of(record, len(self.lines), self.generation, self.head)
        self.lines.append(line)

    def begin(self, segment: int = 1) -> None:
        """Add a genesis line."""
        key = self.key.public_key().public_bytes_raw()
        told = Genesis(format=FORMAT, store=self.store, segment=segment, algorithm=ALGORITHM, public_key=key)
        self.add(genesis_record(told, AT))

    def sign(self) -> None:
        """Add a checkpoint."""
        message = checkpoint_message(self.store, len(self.lines), self.generation, timestamp(AT), self.head)
        self.add(checkpoint_record(self.store, AT, self.key.sign(message)))


def _record(number: int, **members: object) -> AuditRecord:
    detail = detail_of(key=f"key-{number}", **members)
    actor = f"urn:keystrand:sae:sae-{number % 3}"
    return AuditRecord(at=AT + number, actor=actor, group="X25519MLKEM768", action="keys.delivered", detail=detail)


@cache
def _book(records: int = 12, each: int = 5) -> tuple[bytes, ...]:
    """Return a chain of two segments with a checkpoint after each few records and at its end."""
    book = Book()
    book.begin()
    for number in range(records):
        if number == records // 2:
            book.sign()
            book.begin(2)
        book.add(_record(number, name="Zoë \u2028"), generation=number + 1)
        if number % each == each - 1:
            book.sign()
    book.sign()
    return tuple(book.lines)


HEAD = hashlib.sha256(_book()[-1]).hexdigest()


def _judge(lines: list[bytes], *, head: str = "") -> Verified | AuditBroken:
    return verify(lines, (KEY.public_key(),), head=head, after=START)


def independent_fault(lines: list[bytes], key: MLDSA65PublicKey) -> str:
    """Judge a chain with a hash, a JSON decoder and the key alone; return what is wrong, nothing where it holds."""
    before, number = "0" * 64, 0
    for line in lines:
        told = json.loads(line)
        if told["seq"] != number or told["prev"] != before:
            return f"line {number} does not follow"
        if told["action"] == "audit.checkpoint":
            parts = (
                "keystrand/v1/kme/audit/checkpoint", told["detail"]["store"], str(told["seq"]),
                str(told["generation"]), told["at"], told["prev"],
            )  # fmt: skip
            message = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
            key.verify(base64.b64decode(told["detail"]["signature"]), message)
        before, number = hashlib.sha256(line).hexdigest(), number + 1
    return ""


def test_a_sound_chain_is_told_in_numbers() -> None:
    """Records, checkpoints, end and signing key of a chain without a fault."""
    judged = _judge(list(_book()), head=HEAD)
    assert isinstance(judged, Verified)
    assert (judged.store, judged.segment, judged.records, judged.generation) == (STORE, 2, 12, 12)
    assert (judged.first_seq, judged.last_seq, judged.unsigned, judged.after_head) == (0, len(_book()) - 1, 0, 0)
    assert judged.checkpoint.seq == judged.last_seq
    assert (judged.head, judged.named_key) == (HEAD, False)
    assert judged.public_key == KEY.public_key().public_bytes_raw()


def test_another_program_can_verify_it() -> None:
    """With SHA-256, JSON and ML-DSA-65 alone, from the description: the chain holds, a changed one does not."""
    lines = list(_book())
    assert independent_fault(lines, KEY.public_key()) == ""
    lines[3] = lines[3].replace(b"sae-", b"sae_", 1)
    assert independent_fault(lines, KEY.public_key()) == "line 4 does not follow"


def test_a_line_is_canonical_json() -> None:
    """Members in their order, no spaces, RFC 3339 time in UTC, and `prev` the hash of the line before."""
    line = _book()[1]
    told = json.loads(line)
    assert list(told) == ["seq", "at", "actor", "group", "action", "detail", "generation", "prev"]
    assert line == json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    assert told["at"] == "2025-11-25T18:00:00.250000Z"
    assert told["prev"] == hashlib.sha256(_book()[0]).hexdigest()


def test_a_record_comes_back_from_json_as_it_was() -> None:
    """A store keeps the records of its latest commit as JSON: they come back equal."""
    records = [_record(1), _record(2, weird='"\\')]
    again = msgspec.json.decode(msgspec.json.encode(records), type=list[AuditRecord])
    assert [line_of(one, 0, 1, START) for one in again] == [line_of(one, 0, 1, START) for one in records]


@given(place=st.integers(0, sum(map(len, _book())) - 1), bit=st.integers(0, 7))
@settings(max_examples=400, deadline=None)
def test_a_flipped_bit_is_found(place: int, bit: int) -> None:
    """Whichever bit of a signed chain is flipped, the judgement names a line at or next to it."""
    content = bytearray(b"".join(_book()))
    content[place] ^= 1 << bit
    lines = [line + b"\n" for line in bytes(content).split(b"\n")]
    lines[-1] = lines[-1][:-1]
    judged = _judge([line for line in lines if line])
    assert isinstance(judged, AuditBroken)
    assert judged.message
    at = bytes(b"".join(_book())[:place]).count(b"\n") + 1
    assert at <= judged.line <= at + 1


@given(st.integers(0, len(_book()) - 1))
@settings(deadline=None)
def test_a_dropped_line_is_found(place: int) -> None:
    """A chain that lacks a line is broken at that place; one that lacks its end is, by the head kept elsewhere."""
    lines = list(_book())
    del lines[place]
    judged = _judge(lines, head=HEAD)
    assert isinstance(judged, AuditBroken)
    assert judged.line == place + 1


@given(st.integers(0, len(_book()) - 1), st.integers(0, len(_book()) - 1))
@settings(deadline=None)
def test_swapped_lines_are_found(one: int, other: int) -> None:
    """Two lines in each other's place are found at the first of them."""
    lines = list(_book())
    lines[one], lines[other] = lines[other], lines[one]
    judged = _judge(lines)
    assert isinstance(judged, Verified) if one == other else isinstance(judged, AuditBroken)
    if isinstance(judged, AuditBroken):
        assert judged.line == min(one, other) + 1


@given(st.integers(0, len(_book())), st.integers(0, len(_book()) - 1))
@settings(deadline=None)
def test_an_inserted_line_is_found(place: int, copied: int) -> None:
    """A line of the chain that stands in a second place is found there."""
    lines = list(_book())
    lines.insert(place, _book()[copied])
    judged = _judge(lines)
    assert isinstance(judged, AuditBroken)
    assert place <= judged.line <= place + 2


@given(st.integers(0, len(_book()) - 1))
@settings(deadline=None)
def test_a_cut_end_is_found_by_the_head(kept: int) -> None:
    """A chain that does not reach the hash it is known to have reached was cut."""
    judged = _judge(list(_book()[:kept]), head=HEAD)
    assert isinstance(judged, AuditBroken)
    assert judged.line == kept + 1


def test_lines_after_the_latest_checkpoint_are_counted() -> None:
    """What no signature covers yet is said to be unsigned, and how many lines follow the expected head."""
    checkpoint = max(n for n, line in enumerate(_book()[:-2]) if b"audit.checkpoint" in line)
    lines = list(_book()[: checkpoint + 3])
    judged = _judge(lines, head=hashlib.sha256(lines[checkpoint]).hexdigest())
    assert isinstance(judged, Verified)
    assert (judged.unsigned, judged.after_head) == (2, 2)


def test_a_forged_line_under_a_right_hash_does_not_survive_the_next_checkpoint() -> None:
    """Who rewrites the chain from a line on, hashes and all, cannot sign the checkpoints that follow."""
    book = Book()
    book.begin()
    book.add(_record(99), generation=1)
    book.key = OTHER_KEY
    book.sign()
    assert _judge(book.lines) == AuditBroken(line=3, message="the checkpoint is not signed by the audit's key")


def test_an_audit_of_another_key_is_found() -> None:
    """A whole audit made anew with another key is not the one whose key is known."""
    book = Book(OTHER_KEY)
    book.begin()
    book.sign()
    assert "another signing key" in str(_judge(book.lines))


def test_without_a_key_the_audits_own_is_believed_and_said_so() -> None:
    """An audit proves itself only against a key that is known from elsewhere."""
    book = Book(OTHER_KEY)
    book.begin()
    book.sign()
    judged = verify(book.lines)
    assert isinstance(judged, Verified)
    assert judged.named_key


def test_a_changed_key_goes_on_in_a_new_segment() -> None:
    """Where both keys are given, the chain holds across the change."""
    book = Book()
    book.begin()
    book.sign()
    book.key = OTHER_KEY
    book.begin(2)
    book.sign()
    assert isinstance(verify(book.lines, (KEY.public_key(), OTHER_KEY.public_key())), Verified)
    assert isinstance(verify(book.lines, (KEY.public_key(),)), AuditBroken)


def test_a_file_that_begins_later_is_judged_from_there() -> None:
    """A later segment alone is a chain; where the whole audit is asked for, its beginning is missing."""
    start = next(n for n, line in enumerate(_book()) if n and b"audit.genesis" in line)
    lines = list(_book()[start:])
    judged = verify(lines)
    assert isinstance(judged, Verified)
    assert judged.first_seq == start
    assert isinstance(verify(lines, after=hashlib.sha256(_book()[start - 1]).hexdigest()), Verified)
    assert "missing" in str(verify(lines, after=START))
    assert "beginning was cut off" in str(verify(lines[1:]))


def test_nothing_vouches_for_a_chain_without_a_checkpoint() -> None:
    """An empty file, or lines that no key has signed, are no audit."""
    book = Book()
    assert isinstance(_judge([]), AuditBroken)
    book.begin()
    assert "no signed checkpoint" in str(_judge(book.lines))


def test_the_generation_falls_only_where_the_audit_says_so() -> None:
    """Records of an earlier commit after a later one are a fault, except after a void."""
    book = Book()
    book.begin()
    book.add(_record(1), generation=2)
    book.add(_record(2), generation=1)
    book.sign()
    assert "generation 1 follows generation 2" in str(_judge(book.lines))
    book = Book()
    book.begin()
    book.add(_record(1), generation=2)
    book.add(own_record(Own.VOID, AT, detail_of(generation=2)), generation=1)
    book.add(_record(2), generation=2)
    book.sign()
    assert isinstance(_judge(book.lines), Verified)


@pytest.mark.parametrize(
    "genesis",
    [
        detail_of(format=FORMAT + 1, store=STORE, segment=1, algorithm=ALGORITHM, public_key=b""),
        detail_of(format=FORMAT, store=STORE, segment=1, algorithm="RSA", public_key=b""),
        detail_of(format=FORMAT, store=STORE, segment=1, algorithm=ALGORITHM, public_key=b"short"),
        detail_of(nothing=1),
    ],
)
def test_a_genesis_of_another_kind_is_refused(genesis: Raw) -> None:
    """A format, algorithm or key that this release does not know is said, not guessed."""
    book = Book()
    book.add(own_record(Own.GENESIS, AT, genesis))
    judged = _judge(book.lines)
    assert isinstance(judged, AuditBroken)
    assert judged.line == 1


def test_segments_of_two_stores_are_no_chain() -> None:
    """A genesis in the middle continues the same store with the next number."""
    for store, segment in (("store-2", 2), (STORE, 3)):
        book = Book()
        book.begin()
        book.sign()
        book.store = store
        book.begin(segment)
        assert "does not follow" in str(_judge(book.lines))


@pytest.mark.parametrize("detail", [b"[]", b"1", b'{"a":1', b'{"a":1}x', b'{"a":\n1}', b"", b"{} {}"])
def test_a_detail_that_would_break_the_line_is_never_written(detail: bytes) -> None:
    """What is not a JSON object on one line is refused before it is hashed."""
    with pytest.raises(ValueError, match=r"JSON|truncated"):
        line_of(AuditRecord(at=AT, actor="a", action="b", detail=Raw(detail)), 1, 1, START)


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"{}\n",
        b"\xff\n",
        b'{"seq":1}\n',
        _book()[1].replace(b'"seq":1', b'"seq":1.0'),
        _book()[1].replace(b'"seq":1', b'"seq":1,"seq":1'),
        _book()[1].replace(b",", b", ", 1),
        _book()[1].replace(b"keys.", b"audit.", 1),
        _book()[1].replace(b"urn:keystrand:sae:sae-0", b"audit", 1),
        _book()[1][:-1],
    ],
)
def test_a_line_has_one_form(line: bytes) -> None:
    """Another spelling, a doubled member, or a line that only claims to be the audit's own is no line."""
    with pytest.raises(ValueError, match="line"):
        entry_of(line)
