"""The six documents: bytes and back, hashes, versions, schemas."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.formats.documents import DOCUMENTS, canonical, content_hash, decode, encode, schema
from keystrand.model.algorithm import Function
from keystrand.model.document import Coverage, Gap, InputRef, without_measured
from keystrand.model.errors import InvalidInput, UnsupportedFormat
from keystrand.model.observation import AlgorithmUse, Attempt, Observation, Outcome, Record, Strength
from keystrand.model.stages import Inventory, Observations

TEXT = st.text(max_size=20)
OBSERVATIONS = st.builds(
    Observation,
    target=st.just("web"),
    probe=st.just("tls"),
    place=TEXT,
    strength=st.sampled_from(Strength),
    fact=st.builds(AlgorithmUse, algorithm=TEXT, function=st.sampled_from(Function), code_point=TEXT),
)
ATTEMPTS = st.builds(
    Attempt, target=st.just("web"), probe=st.just("tls"), place=TEXT, outcome=st.sampled_from(Outcome), reason=TEXT
)
RECORDS = st.lists(OBSERVATIONS | ATTEMPTS, max_size=4).map(tuple)


def observations(records: tuple[Record, ...] = (), *, minute: int = 0, file: str = "a" * 64) -> Observations:
    """Return a document that differs only in what the arguments say."""
    return Observations(
        format_version="1.0",
        tool_version="0.1.0",
        as_of=date(2026, 11, 24),
        created_at=datetime(2026, 11, 24, 8, tzinfo=UTC) + timedelta(minutes=minute),
        made_from=(InputRef(kind="estate", content_sha256="b" * 64, file_sha256=file),),
        seed=None,
        coverage=Coverage(
            unit="targets", looked_at=1, answered=0, gaps=(Gap(what="x", outcome=Outcome.NONE, reason=""),)
        ),
        records=records,
    )


@given(RECORDS)
def test_a_document_survives_its_file(records: tuple[Record, ...]) -> None:
    """What is written is what is read, for any record, line breaks and all scripts included."""
    document = observations(records)
    assert decode(encode(document), Observations) == document


@given(RECORDS)
def test_canonical_text_has_one_form(records: tuple[Record, ...]) -> None:
    """A record by itself, among others, and by the standard library's encoder: the same octets, whatever is in it."""
    for record in records:
        plain = json.dumps(
            without_measured(record), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        assert canonical(record) == plain.encode()
        assert canonical(record) in canonical(observations((record,)))


@given(RECORDS)
def test_one_record_is_one_line(records: tuple[Record, ...]) -> None:
    """JSON Lines: a head and one line a record, each of them JSON by itself."""
    lines = encode(observations(records)).split(b"\n")
    assert len(lines) == len(records) + 2
    assert all(json.loads(line) for line in lines[:-1])


@given(RECORDS, st.integers(0, 1000))
def test_measured_values_do_not_change_the_content_hash(records: tuple[Record, ...], minute: int) -> None:
    """Two runs that saw the same have the same hash, whenever they ran; one that saw something else has not."""
    first, later = observations(records), observations(records, minute=minute, file="c" * 64)
    more = observations((*records, Attempt(target="t", probe="tls", place="p", outcome=Outcome.SEEN)))
    assert content_hash(first) == content_hash(later) != content_hash(more)


@given(RECORDS, st.randoms(use_true_random=False))
def test_the_content_hash_does_not_depend_on_the_order_of_keys(records: tuple[Record, ...], random: Any) -> None:
    """A file whose keys another tool has reordered says the same."""
    document = observations(records)
    head, *lines = encode(document).splitlines()
    keys = list(json.loads(head).items())
    random.shuffle(keys)
    reordered = b"\n".join([json.dumps(dict(keys)).encode(), *lines])
    assert content_hash(decode(reordered, Observations)) == content_hash(document)


def test_the_content_hash_is_fixed_for_ever() -> None:
    """A later release must find the hash in an old document: it never changes within a major version."""
    assert content_hash(observations()) == "b3b3e4e0d3316df80565bc2e2a9bab59eaf472e015840e2620da311f4ce8e4c7"


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", InvalidInput),
        (b"{}", InvalidInput),
        (b"not json", InvalidInput),
        (b'{"format_version":"2.0"}', UnsupportedFormat),
        (b'{"format_version":"1.0","kind":"plan"}', InvalidInput),
        (b'{"format_version":"1.0","kind":"inventory","surprise":1}', InvalidInput),
        (b"\xff\xfe", InvalidInput),
    ],
)
@pytest.mark.parametrize("kind", [Inventory, Observations])
def test_what_is_not_the_document_is_refused(content: bytes, error: type[InvalidInput], kind: type[Inventory]) -> None:
    """Anything else than the document of a version we read is an error with the file's name, never a traceback."""
    with pytest.raises(error) as caught:
        decode(content, kind, file="given.json")
    assert caught.value.exit_code == 2


@given(RECORDS)
def test_the_published_schema_accepts_what_is_written(records: tuple[Record, ...]) -> None:
    """The JSON Schema made from the type describes the document as an independent validator reads it."""
    value = msgspec.to_builtins(observations(records))
    jsonschema_rs.validator_for(schema(Observations)).validate(json.loads(msgspec.json.encode(value)))


@pytest.mark.parametrize("kind", DOCUMENTS, ids=lambda kind: kind.kind())
def test_the_published_schema_refuses_what_is_not_the_document(kind: Any) -> None:
    """Each schema is one that a validator accepts, and it bites."""
    assert not jsonschema_rs.validator_for(schema(kind)).is_valid({"kind": kind.kind()})
