"""The audit file: durable or not at all, one writer, and a start that tells a crash from a change."""

import errno
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from keystrand.edge.store.audit_file import PUBLIC_KEY, AuditFile, AuditLimits
from keystrand.edge.store.audit_segment import segments
from keystrand.edge.store.audit_signer import AuditSigner, open_signer, read_public_key
from keystrand.edge.store.audit_tail import NOWHERE, AuditEnd, Remembered
from keystrand.model.errors import InvalidInput, KeystrandError, MissingInput, StoreFailure
from keystrand.operate.audit import AUDITOR, START, AuditRecord, Own, detail_of, entry_of, hash_of
from keystrand.operate.audit_verify import AuditBroken, Verified, verify

STORE = "store-1"
Open = Callable[..., AuditFile]


def records(*numbers: int) -> list[AuditRecord]:
    """Return records that can be told apart."""
    return [
        AuditRecord(at=1764093600.0 + n, actor="urn:keystrand:sae:a", action="keys.delivered", detail=detail_of(n=n))
        for n in numbers
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return where the audit is."""
    return tmp_path / "audit"


@pytest.fixture
def signer(tmp_path: Path) -> AuditSigner:
    """Return a signer with a new key."""
    return open_signer(tmp_path / "signing.pem", make=True)


@pytest.fixture
def opened(folder: Path, signer: AuditSigner) -> Open:
    """Return what opens the audit of the store."""

    def open_it(**changed: Any) -> AuditFile:
        return AuditFile(folder, signer, **{"store_id": STORE, **changed})

    return open_it


def lines_in(folder: Path) -> list[bytes]:
    """Return the lines of all segments."""
    return [line for file in segments(folder) for line in file.read_bytes().splitlines(keepends=True)]


def told(folder: Path) -> list[dict[str, Any]]:
    """Return what the lines say."""
    return [json.loads(line) for line in lines_in(folder)]


def remembered(
    folder: Path, last: Sequence[AuditRecord], generation: int, *, audited: int | None = None
) -> Remembered:  # fmt: skip
    """Return what a store remembers that has seen this audit grow: at `generation`, `last` committed with `audited`."""
    audited, after = generation if audited is None else audited, NOWHERE
    for line, entry in zip(lines_in(folder), told(folder), strict=True):
        if entry["generation"] >= audited and not entry["action"].startswith("audit."):
            break
        after = AuditEnd(entry["seq"], hash_of(line))
    return Remembered(generation, audited, last, after)


def numbers(folder: Path) -> list[int]:
    """Return the numbers of the store's records, in their order."""
    return [line["detail"]["n"] for line in told(folder) if not line["action"].startswith("audit.")]


def judged(folder: Path, signer: AuditSigner) -> Verified:
    """Return the judgement of an audit that must hold."""
    outcome = verify(lines_in(folder), (signer.public_key,), after=START)
    assert isinstance(outcome, Verified), outcome
    return outcome


def test_what_was_appended_stands_in_the_file(folder: Path, signer: AuditSigner, opened: Open) -> None:
    """Each batch is there when `append` returns, in its order; closing signs the end."""
    audit = opened()
    audit.append(records(1, 2), 1)
    assert numbers(folder) == [1, 2]
    audit.append(records(3), 2)
    assert numbers(folder) == [1, 2, 3]
    assert (audit.last_generation, audit.head) == (2, hashlib.sha256(lines_in(folder)[-1]).hexdigest())
    assert audit.free_bytes() > 0
    audit.close()
    assert (judged(folder, signer).unsigned, judged(folder, signer).records) == (0, 3)


def test_a_commit_without_records_writes_nothing(folder: Path, opened: Open) -> None:
    """Generations of the store that have nothing to tell leave no line and may be left out."""
    audit = opened()
    audit.append((), 1)
    audit.append(records(1), 5)
    assert [line["generation"] for line in told(folder)] == [0, 0, 5]
    audit.close()


def test_an_audit_goes_on_where_it_ended(folder: Path, signer: AuditSigner, opened: Open) -> None:
    """Closed and opened again it is one chain."""
    for generation in (1, 2, 3):
        audit = opened()
        assert audit.last_generation == generation - 1
        audit.append(records(generation), generation)
        audit.close()
    assert judged(folder, signer).records == 3


def test_files_end_by_size_and_the_chain_goes_on(folder: Path, signer: AuditSigner, opened: Open) -> None:
    """A full segment is signed and left as it is; the next begins with the hash of its last line."""
    audit = opened(limits=AuditLimits(segment_bytes=12_000))
    for generation in range(1, 60):
        audit.append(records(generation), generation)
    audit.close()
    files = segments(folder)
    assert len(files) > 2
    assert files[0].name == "audit-000001.jsonl"
    for one, other in pairwise(files):
        last = one.read_bytes().splitlines(keepends=True)[-1]
        assert json.loads(last)["action"] == Own.CHECKPOINT
        first = json.loads(other.read_bytes().splitlines()[0])
        assert (first["action"], first["prev"]) == (Own.GENESIS, hashlib.sha256(last).hexdigest())
    assert numbers(folder) == list(range(1, 60))
    assert judged(folder, signer).segment == len(files)


def test_checkpoints_come_by_count_by_time_and_when_asked(folder: Path, signer: AuditSigner, opened: Open) -> None:
    """One is due after so many lines or so long; `checkpoint` signs what is left, once."""
    now = [1000.0]
    audit = opened(limits=AuditLimits(checkpoint_lines=5, checkpoint_s=60), clock=lambda: now[0])
    signed = judged(folder, signer).checkpoints
    for generation in range(1, 6):
        audit.append(records(generation), generation)
    assert judged(folder, signer).checkpoints == signed + 1
    now[0] += 61
    audit.append(records(6), 6)
    assert judged(folder, signer).checkpoints == signed + 2
    audit.append(records(7), 7)
    assert judged(folder, signer).unsigned == 1
    for _ in range(2):
        audit.checkpoint()
        assert (judged(folder, signer).checkpoints, judged(folder, signer).unsigned) == (signed + 3, 0)
    now[0] -= 3600
    audit.append(records(8), 8)
    assert judged(folder, signer).unsigned == 0
    audit.close()


def test_sinks_are_told_what_is_durable(folder: Path, opened: Open) -> None:
    """Every line is told once, as it stands in the file; a note is written with the next batch."""
    heard: list[bytes] = []

    def hear(lines: Sequence[bytes]) -> None:
        heard.extend(lines)

    audit = opened(tell=hear)
    audit.note(Own.SINK_LOST, detail_of(sink="siem", lost=3))
    audit.append(records(1), 1)
    audit.close()
    assert heard == lines_in(folder)
    assert [line["action"] for line in told(folder)][2:4] == [Own.SINK_LOST, "keys.delivered"]


def test_many_threads_make_one_chain(folder: Path, signer: AuditSigner, opened: Open) -> None:
    """Notes and checkpoints may come from other threads than the records."""
    audit = opened()

    def aside() -> None:
        for number in range(20):
            audit.note(Own.SINK_LOST, detail_of(sink="siem", lost=number))
            audit.checkpoint()

    threads = [threading.Thread(target=aside) for _ in range(3)]
    for thread in threads:
        thread.start()
    for generation in range(1, 40):
        audit.append(records(generation), generation)
    for thread in threads:
        thread.join()
    audit.close()
    assert judged(folder, signer).records == 39
    assert sum(line["action"] == Own.SINK_LOST for line in told(folder)) == 60


def test_only_the_audit_speaks_of_itself(opened: Open) -> None:
    """A record that would pass for a line of the audit is refused, and so is a generation that was."""
    audit = opened()
    audit.append(records(1), 1)
    with pytest.raises(StoreFailure, match="cannot go back"):
        audit.append(records(2), 1)
    audit.close()
    for forged in (AuditRecord(at=0.0, actor="audit", action="x"), AuditRecord(at=0.0, actor="x", action="audit.void")):
        audit = opened()
        with pytest.raises(ValueError, match="speaks of itself"):
            audit.append([forged], 2)
        audit.close()


# -- who may open it


def test_a_second_writer_is_refused(opened: Open) -> None:
    """One process writes an audit; when it has gone the next may."""
    audit = opened()
    with pytest.raises(StoreFailure, match="another process"):
        opened()
    audit.close()
    opened().close()


def test_the_audit_of_another_store_is_refused(opened: Open) -> None:
    """A store writes its own audit only."""
    opened().close()
    with pytest.raises(StoreFailure, match="that of store store-1"):
        opened(store_id="store-2")


def test_the_public_key_stands_beside_the_audit(folder: Path, signer: AuditSigner, opened: Open) -> None:
    """`audit.pub.pem` is the public half of the signing key; the files of the audit are their owner's alone."""
    opened().close()
    assert read_public_key(folder / PUBLIC_KEY).public_bytes_raw() == signer.public_bytes
    assert {file.stat().st_mode & 0o777 for file in segments(folder)} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_changed_key_needs_the_old_public_one(folder: Path, tmp_path: Path, opened: Open) -> None:
    """With the former key named the audit goes on in a new segment; without it, it is refused."""
    audit = opened()
    audit.append(records(1), 1)
    audit.close()
    former = read_public_key(folder / PUBLIC_KEY)
    newer = open_signer(tmp_path / "newer.pem", make=True)
    with pytest.raises(StoreFailure, match="another signing key"):
        AuditFile(folder, newer, store_id=STORE)
    audit = AuditFile(folder, newer, store_id=STORE, former=(former,))
    audit.append(records(2), 2)
    audit.close()
    assert len(segments(folder)) == 2
    assert isinstance(verify(lines_in(folder), (former, newer.public_key), after=START), Verified)
    assert read_public_key(folder / PUBLIC_KEY).public_bytes_raw() == newer.public_bytes


def test_the_signing_key_is_its_owners_alone(tmp_path: Path) -> None:
    """It is made of mode 0600 for a new audit only, and refused where others reach it or it is no such key."""
    file = tmp_path / "signing.pem"
    with pytest.raises(MissingInput):
        open_signer(file, make=False)
    made = open_signer(file, make=True)
    assert file.stat().st_mode & 0o777 == 0o600
    assert open_signer(file, make=True).public_bytes == made.public_bytes
    file.chmod(0o640)
    with pytest.raises(InvalidInput, match="others"):
        open_signer(file, make=False)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    ecdsa = generate_private_key(SECP256R1())
    for content in (b"nothing", ecdsa.private_bytes(pem, pkcs8, serialization.NoEncryption())):
        file.write_bytes(content)
        file.chmod(0o600)
        with pytest.raises(InvalidInput, match="is not a"):
            open_signer(file, make=False)
        with pytest.raises(InvalidInput, match="is not a"):
            read_public_key(file)
    public = ecdsa.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    file.write_bytes(public)
    with pytest.raises(InvalidInput, match="ML-DSA-65"):
        read_public_key(file)


# -- faults of the disk


def _replace_descriptor(audit: AuditFile, target: int) -> None:
    """Put another file under the descriptor that the audit writes to: what it meets then is the kernel's own error."""
    segment = audit._segment
    assert segment
    os.dup2(target, segment._fd)


def _pipe() -> int:
    """Return what can be written to and not be synced; its reading end stays open."""
    return os.pipe()[1]


@pytest.mark.parametrize(
    ("target", "code"),
    [
        (lambda: os.open("/dev/full", os.O_WRONLY), errno.ENOSPC),
        (_pipe, errno.EINVAL),
        (lambda: os.open("/dev/null", os.O_RDONLY), errno.EBADF),
    ],
    ids=["disk full", "sync fails", "descriptor lost"],
)
def test_a_fault_of_the_disk_ends_it_for_ever(folder: Path, opened: Open, target: Callable[[], int], code: int) -> None:
    """It is raised once as it is; then nothing is written any more, though the disk would take it again."""
    audit = opened()
    audit.append(records(1), 1)
    before = lines_in(folder)
    segment = audit._segment
    assert segment
    good, bad = os.dup(segment._fd), target()
    _replace_descriptor(audit, bad)
    with pytest.raises(StoreFailure, match=re.escape(os.strerror(code))) as caught:
        audit.append(records(2), 2)
    assert "start again" in caught.value.hint
    _replace_descriptor(audit, good)
    calls: tuple[Callable[[], None], ...] = (
        lambda: audit.append(records(2), 2), audit.checkpoint,
        lambda: audit.recover(Remembered(2, 2, (), NOWHERE)),
    )  # fmt: skip
    for again in calls:
        with pytest.raises(StoreFailure, match="failed earlier"):
            again()
    audit.close()
    assert lines_in(folder) == before
    os.close(bad)
    os.close(good)


_LIMITED = """
import resource, signal, sys
from pathlib import Path
from keystrand.edge.store.audit_file import AuditFile
from keystrand.edge.store.audit_signer import open_signer
from keystrand.model.errors import StoreFailure
from keystrand.operate.audit import AuditRecord
folder, key = map(Path, sys.argv[1:])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
audit = AuditFile(folder, open_signer(key, make=True), store_id="store-1")
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
try:
    for generation in range(1, 1000):
        audit.append([AuditRecord(at=1.0, actor="a", action="b")] * 10, generation)
except StoreFailure as error:
    print(generation, error.message)
"""


@pytest.mark.system
def test_a_write_that_fits_only_in_part_is_set_aside_at_the_next_start(
    folder: Path, tmp_path: Path, signer: AuditSigner, opened: Open
) -> None:
    """Where the room ends in the middle of a batch, the next start keeps its whole lines and says so."""
    command = [sys.executable, "-c", _LIMITED, str(folder), str(tmp_path / "signing.pem")]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    failed, _, message = said.partition(" ")
    assert os.strerror(errno.EFBIG) in message
    assert len(segments(folder)[0].read_bytes()) == 20_000
    audit = opened()
    assert audit.last_generation in (int(failed) - 1, int(failed))
    audit.checkpoint()
    audit.close()
    assert [line["action"] for line in told(folder)].count(Own.TORN) == 1
    assert judged(folder, signer).unsigned == 0


def test_a_file_removed_or_changed_under_it_is_noticed(folder: Path, opened: Open) -> None:
    """A deleted, replaced or foreign-written audit ends the service instead of going unnoticed."""
    disturbances: tuple[Callable[[Path], object], ...] = (
        lambda file: file.unlink(),
        lambda file: file.rename(file.with_suffix(".gone")),
        lambda file: os.truncate(file, 100),
        lambda file: file.write_bytes(file.read_bytes() + b"x"),
    )
    for disturb in disturbances:
        audit = opened()
        disturb(segments(folder)[-1])
        with pytest.raises(StoreFailure, match="audit"):
            audit.append(records(1), audit.last_generation + 1)
        audit.close()
        for file in segments(folder):
            file.unlink()


def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path, signer: AuditSigner) -> None:
    """A path that is a file, or lies below one, is named."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreFailure, match="cannot hold an audit"):
            AuditFile(path, signer, store_id=STORE)


# -- starts after a crash, and after somebody's hand


def _written(opened: Open, batches: int = 3) -> None:
    audit = opened()
    for generation in range(1, batches + 1):
        audit.append(records(2 * generation, 2 * generation + 1), generation)
    audit.close()


@pytest.mark.parametrize("rest", [b'{"seq":12,"at":"20', b"\0" * 4096, b'{"seq":12\0\0\0', b"x" * 100 + b"\0\n"])
def test_an_unfinished_end_is_set_aside_and_said(folder: Path, signer: AuditSigner, opened: Open, rest: bytes) -> None:
    """What a crash left of a write goes into a file of its own; the audit says how much and its hash, and goes on."""
    _written(opened)
    file = segments(folder)[-1]
    with file.open("ab") as out:
        out.write(rest)
    audit = opened()
    audit.append(records(8), 4)
    audit.close()
    assert numbers(folder) == [2, 3, 4, 5, 6, 7, 8]
    (torn,) = [line["detail"] for line in told(folder) if line["action"] == Own.TORN]
    assert (torn["bytes"], torn["sha256"]) == (len(rest), hashlib.sha256(rest).hexdigest())
    assert (folder / torn["kept"]).read_bytes() == rest
    assert judged(folder, signer).unsigned == 0


@pytest.mark.parametrize("cut", range(1, 40, 7))
def test_a_write_cut_anywhere_leaves_an_audit_that_opens(
    folder: Path, signer: AuditSigner, opened: Open, cut: int
) -> None:
    """However much of the last write reached the disk, the start keeps the whole lines of it."""
    audit = opened()
    audit.append(records(1), 1)
    size = segments(folder)[-1].stat().st_size
    audit.append(records(2, 3), 2)
    audit.close()
    end = segments(folder)[-1].stat().st_size
    os.truncate(segments(folder)[-1], size + (end - size) * cut // 40)
    audit = opened()
    audit.checkpoint()
    audit.close()
    assert numbers(folder) in ([1], [1, 2], [1, 2, 3])
    assert judged(folder, signer).unsigned == 0


def test_a_segment_that_had_only_begun_is_begun_again(folder: Path, signer: AuditSigner, opened: Open) -> None:
    """A crash while a new file began leaves it empty or with half a line: the chain goes on from the one before."""
    for rest in (b"", b'{"seq":'):
        _written(opened, 1)
        (folder / "audit-000002.jsonl").write_bytes(rest)
        audit = opened(limits=AuditLimits(segment_bytes=1))
        audit.append(records(4), 2)
        audit.close()
        assert [file.name for file in segments(folder)] == ["audit-000001.jsonl", "audit-000002.jsonl"]
        assert judged(folder, signer).records == 3
        for file in segments(folder):
            file.unlink()


def _edit(lines: list[bytes]) -> None:
    lines[3] = lines[3].replace(b'"n":3', b'"n":9')


def _drop(lines: list[bytes]) -> None:
    del lines[3]


def _swap(lines: list[bytes]) -> None:
    lines[3], lines[4] = lines[4], lines[3]


def _blank(lines: list[bytes]) -> None:
    lines[3] = bytes(len(lines[3]) - 1) + b"\n"


def _join(lines: list[bytes]) -> None:
    lines[3] = lines[3][:-1]


def _add_a_blank(lines: list[bytes]) -> None:
    lines.append(b"\n")


def _sign_by_another(lines: list[bytes]) -> None:
    lines[1] = re.sub(rb'"signature":"....', b'"signature":"AAAA', lines[1])


@pytest.mark.parametrize("change", [_edit, _drop, _swap, _blank, _join, _add_a_blank, _sign_by_another])
def test_an_audit_that_was_changed_is_not_continued(
    folder: Path, opened: Open, change: Callable[[list[bytes]], None]
) -> None:
    """Anything broken but the very end refuses the start, names the place, and leaves the file as it is."""
    _written(opened)
    file = segments(folder)[-1]
    lines = file.read_bytes().splitlines(keepends=True)
    change(lines)
    file.write_bytes(b"".join(lines))
    with pytest.raises(StoreFailure, match=re.escape(file.name)) as caught:
        opened()
    assert "evidence" in caught.value.hint
    assert file.read_bytes() == b"".join(lines)


_WRITER = """
import sys
from pathlib import Path
from keystrand.edge.store.audit_file import AuditFile, AuditLimits
from keystrand.edge.store.audit_signer import open_signer
from keystrand.operate.audit import AuditRecord, detail_of
folder, key, start = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
limits = AuditLimits(segment_bytes=200_000, checkpoint_lines=64)
audit = AuditFile(folder, open_signer(key, make=True), store_id="store-1", limits=limits)
for generation in range(audit.last_generation + 1, audit.last_generation + 20_000):
    record = AuditRecord(at=1.0, actor="a", action="b", detail=detail_of(n=generation))
    audit.append([record] * 7, generation)
    sys.stdout.write(f"{generation}\\n")
    sys.stdout.flush()
"""


@pytest.mark.system
def test_killed_at_any_moment_nothing_acknowledged_is_missing(
    folder: Path, tmp_path: Path, signer: AuditSigner, opened: Open
) -> None:
    """`kill -9` in the midst of writing, several times over: what was acknowledged is there, and the chain is one."""
    for round_number in range(6):
        command = [sys.executable, "-c", _WRITER, str(folder), str(tmp_path / "signing.pem"), "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout
            for _ in range(40 + 37 * round_number):
                line = writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
            rest = writer.stdout.read()
        acknowledged = int((line + rest).split(b"\n")[-2])
        audit = opened()
        assert audit.last_generation >= acknowledged
        audit.checkpoint()
        audit.close()
        assert set(range(1, acknowledged + 1)) <= set(numbers(folder))
    outcome = judged(folder, signer)
    assert outcome.segment > 1
    assert outcome.unsigned == 0


# -- what a crash made of store and audit


def test_what_the_store_committed_and_the_audit_lacks_is_written(
    folder: Path, signer: AuditSigner, opened: Open
) -> None:
    """The store was faster: its records are written at the start, and the audit says that they come late."""
    _written(opened, 1)
    audit = opened()
    audit.recover(remembered(folder, records(4, 5), 2))
    audit.append(records(6), 3)
    audit.close()
    assert numbers(folder) == [2, 3, 4, 5, 6]
    (late,) = [line["detail"] for line in told(folder) if line["action"] == Own.RECOVERED]
    assert late == {"records": 2, "generation": 2}
    assert judged(folder, signer).generation == 3


@pytest.mark.parametrize("kept", [0, 1, 2, 3])
def test_the_rest_of_a_batch_is_written(folder: Path, opened: Open, kept: int) -> None:
    """Where only some records of the last commit reached the file, the others follow, once, after one start or two."""
    audit = opened()
    audit.append(records(1), 1)
    audit.checkpoint()
    if kept:
        audit.append(records(2, 3, 4)[:kept], 2)
    audit.close()
    for _ in range(2):
        audit = opened()
        audit.recover(remembered(folder, records(2, 3, 4), 2))
        audit.close()
        assert numbers(folder) == [1, 2, 3, 4]


def test_a_batch_that_ended_a_segment_is_whole(folder: Path, opened: Open) -> None:
    """A crash right after a new segment began does not write the records of the one before again."""
    limits = AuditLimits(segment_bytes=1)
    audit = opened(limits=limits)
    audit.append(records(1), 1)
    audit._begin(audit._number + 1)
    audit.close()
    audit = opened(limits=limits)
    audit.recover(remembered(folder, records(1), 1))
    audit.close()
    assert numbers(folder) == [1]


def test_what_the_store_did_not_commit_is_voided(folder: Path, signer: AuditSigner, opened: Open) -> None:
    """The audit was faster: the records stay, a line says that they never came true, and the number is used again."""
    _written(opened, 2)
    for _ in range(2):  # the start may crash as well
        audit = opened()
        audit.recover(remembered(folder, records(2, 3), 1))
        assert audit.last_generation == 1
        audit.close()
    assert [line["detail"]["generation"] for line in told(folder) if line["action"] == Own.VOID] == [2]
    audit = opened()
    late = Remembered(2, 2, records(40, 41), audit.end)
    audit.append(records(40), 2)
    audit.close()
    audit = opened()
    audit.recover(late)
    audit.close()
    assert numbers(folder) == [2, 3, 4, 5, 40, 41]
    assert judged(folder, signer).generation == 2


def test_a_store_and_an_audit_that_do_not_belong_together_are_refused(folder: Path, opened: Open) -> None:
    """A store put back from a copy, an audit that was cut, and records that differ: each refuses the start."""
    _written(opened, 4)

    def refused(match: str, last: list[AuditRecord], generation: int, audited: int | None = None) -> None:
        audit = opened()
        with pytest.raises(StoreFailure, match=match) as caught:
            audit.recover(remembered(folder, last, generation, audited=audited))
        assert "copy" in caught.value.hint
        audit.close()

    refused("the store is older", records(2, 3), 2)
    refused("not those of the store", records(8, 99), 4)
    refused("not those of the store", [], 4)
    refused("it was cut", records(12, 13), 7, audited=6)
    audit = opened()
    audit.recover(remembered(folder, records(8, 9), 7, audited=4))
    audit.close()
    assert numbers(folder) == [2, 3, 4, 5, 6, 7, 8, 9]


def test_every_fault_is_one_of_the_tree(folder: Path, opened: Open) -> None:
    """After closing, a call is refused like any other."""
    audit = opened()
    audit.close()
    with pytest.raises(KeystrandError, match="closed"):
        audit.append(records(1), 1)
    assert isinstance(verify([]), AuditBroken)
    assert len(segments(folder)) == 1


def test_a_write_of_which_the_disk_lost_the_middle_is_written_again(
    folder: Path, signer: AuditSigner, opened: Open
) -> None:
    """Power loss may keep the end of one commit's lines and lose an earlier part: the store's memory restates them."""
    audit = opened()
    audit.append(records(1), 1)
    before = segments(folder)[-1].stat().st_size
    batch = records(*range(2, 12))
    audit.append(batch, 2)
    audit._release()  # the machine stops: nothing is signed any more
    whole = bytearray(segments(folder)[-1].read_bytes())
    whole[before + 40 : before + 700] = bytes(660)
    segments(folder)[-1].write_bytes(whole)
    audit = opened()
    audit.recover(remembered(folder, batch, 2))
    audit.close()
    assert numbers(folder) == list(range(1, 12))
    assert isinstance(verify(lines_in(folder), [signer.public_key]), Verified)


def test_a_hole_with_lines_of_several_commits_behind_it_is_no_crash(folder: Path, opened: Open) -> None:
    """Only the latest commit can be unfinished: whoever blanks an earlier one is found."""
    audit = opened()
    audit.append(records(1), 1)
    before = segments(folder)[-1].stat().st_size
    for generation in (2, 3, 4):
        audit.append(records(generation), generation)
    audit._release()
    whole = bytearray(segments(folder)[-1].read_bytes())
    whole[before + 10 : before + 60] = bytes(50)
    segments(folder)[-1].write_bytes(whole)
    with pytest.raises(StoreFailure, match="overwritten"):
        opened()


# -- what was forged behind the latest signature


def _forged(lines: list[bytes], **changed: Any) -> None:
    """Append a line as who has no key can: numbered and hashed as it should be."""
    last = entry_of(lines[-1])
    entry = msgspec.structs.replace(last, seq=last.seq + 1, prev=hash_of(lines[-1]), **changed)
    lines.append(msgspec.json.encode(entry) + b"\n")


def _rechained(lines: list[bytes], begin: int) -> None:
    """Number and hash the lines from `begin` on as they should be."""
    for at in range(begin, len(lines)):
        entry = msgspec.structs.replace(entry_of(lines[at]), seq=at, prev=hash_of(lines[at - 1]))
        lines[at] = msgspec.json.encode(entry) + b"\n"


def _without_the_first(lines: list[bytes]) -> None:
    del lines[2]
    _rechained(lines, 2)


def _altered(lines: list[bytes]) -> None:
    lines[2] = lines[2].replace(b'"n":1', b'"n":9')
    _rechained(lines, 3)


def _altered_last(lines: list[bytes]) -> None:
    lines[-1] = lines[-1].replace(b'"n":3', b'"n":9')


def _cut_before(lines: list[bytes]) -> None:
    del lines[3:]


def _one_more(lines: list[bytes]) -> None:
    _forged(lines)


def _later_ones(lines: list[bytes]) -> None:
    for generation in (4, 5):
        _forged(lines, generation=generation)


def _in_the_place_of_the_last(lines: list[bytes]) -> None:
    del lines[-1]
    _forged(lines, generation=6)


def _hidden_by_a_void(lines: list[bytes]) -> None:
    for generation in (4, 5, 6):
        _forged(lines, generation=generation)
    void = {"actor": AUDITOR, "action": Own.VOID.value, "group": "", "generation": 4}
    _forged(lines, **void)
    _forged(lines, **void)


@pytest.mark.parametrize(
    "forge",
    [_without_the_first, _altered, _altered_last, _cut_before, _one_more, _later_ones, _in_the_place_of_the_last,
     _hidden_by_a_void],
)  # fmt: skip
def test_what_was_forged_behind_the_latest_signature_is_never_signed(
    folder: Path, signer: AuditSigner, opened: Open, forge: Callable[[list[bytes]], None]
) -> None:
    """The store, which lies apart, remembers where the audit stood: nothing but its latest records may follow."""
    audit = opened()
    for generation in (1, 2, 3):
        before = audit.end
        audit.append(records(generation), generation)
    audit._release()  # killed
    lines = lines_in(folder)
    forge(lines)
    segments(folder)[-1].write_bytes(b"".join(lines))
    for _ in range(2):
        audit = opened()
        with pytest.raises(StoreFailure, match=r"not those of the store|was cut"):
            audit.recover(Remembered(5, 3, records(3), before))
        audit.close()
        assert lines_in(folder) == lines
    assert judged(folder, signer).checkpoints == 1


def test_a_start_that_fails_before_the_audit_is_judged_signs_nothing(folder: Path, opened: Open) -> None:
    """Opened and closed again, it is as it was."""
    audit = opened()
    audit.append(records(1), 1)
    audit._release()
    lines = lines_in(folder)
    opened().close()
    assert lines_in(folder) == lines


@pytest.mark.parametrize("committed", [True, False])
def test_a_crash_right_after_a_new_segment_began_is_put_right(
    folder: Path, signer: AuditSigner, opened: Open, *, committed: bool
) -> None:
    """What the store remembers lies in the segment before; whether or not it committed what the new one was for."""
    limits = AuditLimits(segment_bytes=1)
    audit = opened()
    ends = [audit.end]
    audit.append(records(1), 1)
    ends.append(audit.end)
    audit.close()
    audit = opened(limits=limits)
    audit.append(records(2, 3), 2)
    audit._release()
    assert len(segments(folder)) == 2
    if committed:  # the machine stopped: of the records nothing reached the disk
        whole = lines_in(folder)[-4:]
        segments(folder)[-1].write_bytes(b"".join(whole[:2]))
    told = Remembered(2, 2, records(2, 3), ends[1]) if committed else Remembered(1, 1, records(1), ends[0])
    for _ in range(2):
        audit = opened()
        audit.recover(told)
        audit.close()
    assert numbers(folder) == [1, 2, 3]
    assert judged(folder, signer).generation == (2 if committed else 1)


def test_what_is_written_again_stays_in_its_segment(folder: Path, signer: AuditSigner, opened: Open) -> None:
    """So a crash in the midst of that too leaves a batch whose beginning is found."""
    audit = opened(limits=AuditLimits(segment_bytes=1))
    before = audit.end
    audit.append(records(1), 1)
    audit._release()
    files = len(segments(folder))
    for _ in range(2):
        audit = opened(limits=AuditLimits(segment_bytes=1))
        audit.recover(Remembered(1, 1, records(1, 2), before))
        audit.close()
    assert len(segments(folder)) == files
    assert numbers(folder) == [1, 2]
    assert judged(folder, signer).unsigned == 0


def test_a_new_key_signs_what_was_judged_alone(folder: Path, tmp_path: Path, opened: Open) -> None:
    """A key that was changed meanwhile begins its segment only after the comparison with the store."""
    audit = opened()
    before = audit.end
    audit.append(records(1), 1)
    audit._release()
    former = read_public_key(folder / PUBLIC_KEY)
    newer = open_signer(tmp_path / "newer.pem", make=True)
    lines = lines_in(folder)
    for told, files in ((Remembered(1, 1, records(9), before), 1), (Remembered(1, 1, records(1), before), 2)):
        audit = AuditFile(folder, newer, store_id=STORE, former=(former,))
        if files == 1:
            with pytest.raises(StoreFailure, match="not those of the store"):
                audit.recover(told)
            audit.close()
            assert lines_in(folder) == lines
        else:
            audit.recover(told)
            audit.close()
        assert len(segments(folder)) == files
    audit = AuditFile(folder, newer, store_id=STORE)
    audit.recover(Remembered(1, 1, records(1), before))
    audit.close()
    assert numbers(folder) == [1]
