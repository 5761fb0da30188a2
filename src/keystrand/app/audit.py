"""The audit of a key server, for who reads it: is it whole, and what does it say."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec

from keystrand.edge.files import sha256_hex
from keystrand.edge.store.audit_segment import Reading
from keystrand.edge.store.audit_signer import read_public_key
from keystrand.model.errors import InvalidInput, KeystrandError, Problem
from keystrand.operate.audit import START, Entry, entry_of, timestamp
from keystrand.operate.audit_verify import AuditBroken, Verified, verify

_HINT = "keep the files as evidence; compare with what the sinks received, and with a head that was noted elsewhere"


def verify_audit(path: Path, keys: Sequence[Path], *, head: str = "", after: str = "") -> Verified:
    """Judge the audit at `path`, a folder or one file, and return what it holds.

    A folder must begin with the first line of all, or with the line after the hash `after`; a file may begin anywhere.
    Raises `KeystrandError` with file, line and fault where it is broken, `InvalidInput` for a hash that is none.
    """
    for name, text in (("--head", head), ("--after", after)):
        if text and (len(text) != len(START) or set(text) - set("0123456789abcdef")):
            raise InvalidInput(
                f"{name} {text!r} is not a hash", hint=f"{len(START)} digits 0-9 a-f, as `audit verify` prints"
            )
    reading = Reading(path)
    known = tuple(read_public_key(key) for key in keys)
    judged = verify(reading, known, head=head, after=after or (START if reading.whole else None))
    if isinstance(judged, AuditBroken):
        raise _broken(reading, judged.message, beyond=judged.line - reading.number)
    return judged


def _broken(reading: Reading, message: str, *, beyond: int = 0) -> KeystrandError:
    place = Problem(message=message, file=str(reading.file), line=reading.line + beyond)
    return KeystrandError("the audit is broken", hint=_HINT, problems=(place,))


def verified_facts(judged: Verified) -> dict[str, Any]:
    """Return what is told of a sound audit."""
    return {
        "store": judged.store,
        "segment": judged.segment,
        "first_line": judged.first_seq,
        "last_line": judged.last_seq,
        "records": judged.records,
        "generation": judged.generation,
        "checkpoints": judged.checkpoints,
        "last_checkpoint_line": judged.checkpoint.seq,
        "last_checkpoint_at": judged.checkpoint.at,
        "unsigned_lines": judged.unsigned,
        "head": judged.head,
        "lines_after_head": judged.after_head,
        "key_sha256": sha256_hex(judged.public_key),
        "key_is_the_audits_own": judged.named_key,
    }


def moment(text: str) -> str:
    """Return a date or time (ISO 8601, UTC where it names no zone) as the audit writes it. Raises `InvalidInput`."""
    try:
        when = datetime.fromisoformat(text)
        return timestamp((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError) as error:
        hint = "write it as 2026-11-25 or 2026-11-25T18:00:00Z"
        raise InvalidInput(f"--since {text!r} is not a date or time", hint=hint) from error


def audit_rows(path: Path, *, since: str = "", action: str = "*") -> Iterator[dict[str, Any]]:
    """Yield the lines at `path` from `since` on (see `moment`) whose action fits the pattern; they are not verified.

    Raises `KeystrandError` at a line that is none.
    """
    reading = Reading(path)
    for line in reading:
        try:
            entry = entry_of(line)
        except ValueError as error:
            raise _broken(reading, str(error)) from None
        if entry.at >= since and fnmatchcase(entry.action, action):
            yield _row(entry)


def _row(entry: Entry) -> dict[str, Any]:
    return {
        "seq": entry.seq,
        "at": entry.at,
        "actor": entry.actor,
        "group": entry.group,
        "action": entry.action,
        "detail": msgspec.json.decode(entry.detail),
        "generation": entry.generation,
    }
