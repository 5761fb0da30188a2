"""Files of one end's record: they come back as written, stay private, and say what is wrong with them."""

import stat
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.edge import photon_records as files
from keystrand.edge.photon_records import RunFacts
from keystrand.model.errors import InvalidInput, MissingInput, StoreFailure, UnsupportedFormat
from keystrand.qkd.bb84_link import Bb84Link, Receiver, Transmitter
from keystrand.qkd.detections import Received, Sent

LINK = Bb84Link(
    transmitter=Transmitter(pulse_rate_hz=1e9, intensities=(0.5, 0.1, 0.0), probabilities=(0.7, 0.2, 0.1)),
    receiver=Receiver(efficiency=0.1, dark_count_ratio=1e-6, misalignment=0.01),
    channel_loss_db=10.0,
)
FACTS = RunFacts(link=LINK, pulses=1_000, seed=7, sent_pulses=((600, 100), (150, 50), (90, 10)))


def marks(*values: int) -> Any:
    """Return a column of marks."""
    return np.array(values, dtype=np.uint8)


def sent(**changed: Any) -> Sent:
    """Return a record of Alice's."""
    right = Sent(np.array([3, 500, 999]), marks(0, 2, 1), marks(0, 1, 0), marks(1, 1, 0))
    return right._replace(**changed)


def same(wrote: Any, read: Any) -> bool:
    """Return whether all columns are the same, their types too."""
    return all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(wrote, read, strict=True))


RECEIVED = Received(np.array([3, 500, 999]), marks(0, 1, 1), marks(2, 0, 1))


@given(slots=st.sets(st.integers(0, 999)), seed=st.integers(0, 2**63 - 1))
def test_records_come_back_as_written(tmp_path_factory: pytest.TempPathFactory, slots: set[int], seed: int) -> None:
    """Both ends, any slots, none included; Bob's file does not say what Alice sent."""
    path = tmp_path_factory.mktemp("records") / "record"
    slot, some = np.array(sorted(slots), dtype=np.int64), np.arange(len(slots), dtype=np.uint8)
    alice, bob = Sent(slot, some % 3, some % 2, some % 2), Received(slot, some % 2, some % 3)
    facts = msgspec.structs.replace(FACTS, seed=seed)
    files.write_sent(path, facts, alice)
    got, record = files.read_sent(path)
    assert got == facts
    assert same(alice, record)
    files.write_received(path, facts, bob)
    told, received = files.read_received(path)
    assert told == msgspec.structs.replace(facts, sent_pulses=None)
    assert same(bob, received)
    assert received.slot.flags.writeable


def test_only_the_owner_reads_them(tmp_path: Path) -> None:
    """They hold what keys are made of."""
    files.write_sent(tmp_path / "a", FACTS, sent())
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("field", "column"),
    [("slot", np.array([3, 3, 9])), ("slot", np.array([-1, 3, 9])), ("slot", np.array([3, 9, 1000])),
     ("bit", marks(0, 2, 0)), ("basis", marks(0, 1)), ("intensity", marks(0, 3, 0))],
)  # fmt: skip
def test_a_record_that_cannot_be_is_neither_written_nor_read(tmp_path: Path, field: str, column: Any) -> None:
    """Slots out of order or beyond the pulses, marks out of range, columns of other lengths: named with their field."""
    record, path = sent(**{field: column}), tmp_path / "a"
    with pytest.raises(ValueError, match=field):
        files.write_sent(path, FACTS, record)
    assert not path.exists()
    forge(path, slots=record.slot.astype("<i8").tobytes(), marks=[c.tobytes() for c in record[1:]])
    with pytest.raises(InvalidInput, match="photon record") as caught:
        files.read_sent(path)
    (problem,) = caught.value.problems
    assert (problem.file, problem.field) == (str(path), field)


def forge(path: Path, **changed: Any) -> None:
    """Write a file with a right digest around content that `changed` may have made wrong."""
    facts = msgspec.to_builtins(FACTS)
    body = {"end": "Sent", "facts": facts, "slots": b"", "marks": [b"", b"", b""], **changed}
    packed = msgspec.msgpack.encode(body)
    path.write_bytes(b"keystrand photon record 1\n" + sha256(packed).digest() + packed)


FACTS_RAW: dict[str, Any] = msgspec.to_builtins(FACTS)


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        ({"facts": FACTS_RAW | {"pulses": -1}}, "facts.pulses", ">= 0"),
        ({"facts": FACTS_RAW | {"pulses": 999}}, "facts", "add up"),
        ({"facts": FACTS_RAW | {"simulated": False}}, "facts", "simulated"),
        ({"facts": FACTS_RAW | {"sent_pulses": [[1000, 0]]}}, "facts", "one row an intensity"),
        ({"facts": FACTS_RAW | {"sent_pulses": None}}, "sent_pulses", "missing"),
        ({"facts": FACTS_RAW | {"colour": 1}}, "facts", "colour"),
        ({"end": "Received"}, "end", "Bob, not of Alice"),
        ({"end": "Eve"}, "end", "nobody"),
        ({"slots": b"1234"}, "marks", "columns"),
        ({"marks": [b""]}, "marks", "columns"),
        ({"marks": 5}, "marks", "array"),
    ],
)
def test_content_that_cannot_be_is_named(tmp_path: Path, changed: dict[str, Any], field: str, words: str) -> None:
    """Every field is checked on reading, with a right digest too."""
    forge(tmp_path / "a", **changed)
    with pytest.raises(InvalidInput, match="photon record") as caught:
        files.read_sent(tmp_path / "a")
    (problem,) = caught.value.problems
    assert problem.field == field
    assert words in problem.message


def test_a_file_cut_short_or_altered_anywhere_is_refused(tmp_path: Path) -> None:
    """No prefix and no flipped bit is read as a record."""
    path = tmp_path / "b"
    files.write_received(path, FACTS, RECEIVED)
    whole = path.read_bytes()
    for at in range(len(whole)):
        for wrong in (whole[:at], whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :]):
            path.write_bytes(wrong)
            with pytest.raises(InvalidInput) as caught:
                files.read_received(path)
            assert caught.value.problems[0].file == str(path)


def test_other_files_are_told_apart(tmp_path: Path) -> None:
    """A missing file, another format version and a file of another kind each have their own words."""
    with pytest.raises(MissingInput):
        files.read_sent(tmp_path / "none")
    (tmp_path / "a").write_bytes(b"keystrand photon record 2\nwhatever")
    with pytest.raises(UnsupportedFormat, match="version 2"):
        files.read_sent(tmp_path / "a")
    (tmp_path / "a").write_bytes(b"PK\x03\x04")
    with pytest.raises(InvalidInput) as caught:
        files.read_sent(tmp_path / "a")
    assert "no photon record" in caught.value.problems[0].message


def test_a_record_is_used_once(tmp_path: Path) -> None:
    """Used up, it is gone, and where a link led to it, from there too; whoever comes second is refused."""
    path, link = tmp_path / "folder" / "a", tmp_path / "link"
    files.write_sent(path, FACTS, sent())
    link.symlink_to(path)
    files.check_usable(link)
    files.use_up(link)
    assert list(path.parent.iterdir()) == []
    for gone in (path, link):
        with pytest.raises(MissingInput, match="does not exist"):
            files.check_usable(gone)
        with pytest.raises(StoreFailure, match="no key"):
            files.use_up(gone)


def test_a_record_that_others_read_makes_no_key(tmp_path: Path) -> None:
    """Whoever reads the record knows the key."""
    files.write_sent(tmp_path / "a", FACTS, sent())
    (tmp_path / "a").chmod(0o640)
    with pytest.raises(InvalidInput, match="others"):
        files.check_usable(tmp_path / "a")


def test_alice_says_what_she_sent() -> None:
    """Her record without counts of the pulses sent is not written."""
    with pytest.raises(ValueError, match="sent_pulses"):
        files.write_sent(Path("never"), msgspec.structs.replace(FACTS, sent_pulses=None), sent())
