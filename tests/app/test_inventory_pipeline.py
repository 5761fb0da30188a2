"""A scan from estate to documents: streamed, killed, resumed, merged, each the same as the plain way."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.inventory.test_inventory_drift import BEFORE, ROOT, SHARED, TARGETS, in_file, server
from tests.inventory.test_inventory_drift import inventory as inventory_of
from tests.inventory.test_inventory_merge import an_estate, by_name, record_lists, seen

from keystrand.app import inventory as app_inventory
from keystrand.app import inventory_store
from keystrand.app.documents import load
from keystrand.app.estate import OpenEstate
from keystrand.app.inventory import merge_again, scan_estate, target_rows
from keystrand.app.inventory_store import AssetsOf, kept_run, merge_run
from keystrand.app.query import answer
from keystrand.edge.chunks.pool import ProcessPool
from keystrand.edge.chunks.task import Inline
from keystrand.edge.store import merge_chunks
from keystrand.edge.store.observations import opened as store_at
from keystrand.formats.cyclonedx import cbom
from keystrand.formats.documents import content_hash, encode
from keystrand.formats.streamed import ContentHash, observations_pieces
from keystrand.inventory.coverage import attempts_coverage
from keystrand.inventory.merge import merge
from keystrand.model.algorithm import Function
from keystrand.model.document import InputRef
from keystrand.model.errors import DocumentMismatch, InvalidInput, MissingInput, StoreFailure
from keystrand.model.estate import Estate, ProbeKind, Rule, Target
from keystrand.model.observation import AlgorithmUse, Attempt, Record
from keystrand.model.stages import Inventory, Observations

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = NOON.date()
PARTIAL = "observations.jsonl.partial"
NAMES = ("a", "b", "c", "d")


def of(estate: Estate, folder: Path, *, content: str = "c" * 64) -> OpenEstate:
    """Return an estate as a folder holds it."""
    return OpenEstate(estate, folder, InputRef(kind="estate", content_sha256=content, file_sha256="d" * 64))


def document(records: tuple[Record, ...], estate: OpenEstate) -> Observations:
    """Return the observations of a scan."""
    return Observations(
        format_version="1.0", tool_version="t", as_of=DAY, created_at=NOON, made_from=(estate.ref,), seed=None,
        coverage=attempts_coverage(records), records=records,
    )  # fmt: skip


def a_key() -> bytes:
    """Return a new public key in PEM."""
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def keys(tmp_path: Path) -> OpenEstate:
    """Return an estate of four files, each with a key."""
    for name in NAMES:
        (tmp_path / f"{name}.pem").write_bytes(a_key())
    targets = tuple(Target(id=name, probe=ProbeKind.X509, system="shop", path=f"{name}.pem") for name in NAMES)
    return of(an_estate(target=targets), tmp_path)


told_of = st.lists(
    st.builds(seen, st.builds(by_name, serial=st.sampled_from(("1", "2"))), place=st.just("file:cbom.json#1")),
    max_size=2,
)


@settings(deadline=None, max_examples=60)
@given(record_lists, told_of)
def test_the_streamed_merge_is_the_merge(
    tmp_path_factory: pytest.TempPathFactory, records: list[Record], told: list[Record]
) -> None:
    """From the store, asset by asset, comes the same file to the octet and the same content hash as from memory."""
    records += told
    out = tmp_path_factory.mktemp("out")
    opened = of(an_estate(), out)
    observations = document(tuple(records), opened)
    (out / "observations.jsonl").write_bytes(encode(observations))
    _, ref = load(out, Observations)
    made = merge_again(opened, out)
    plain = merge(
        opened.estate, observations, made_from=(opened.ref, ref), created_at=made.created_at,
        tool_version=made.tool_version,
    )  # fmt: skip
    assert made == plain
    assert (out / "inventory.json").read_bytes() == encode(plain)
    assert tuple(AssetsOf(out)) == plain.assets
    assert (out / "cbom.json").read_bytes() == cbom(plain, name=opened.estate.organisation.name)


@given(record_lists)
def test_observations_in_pieces_are_the_document(records: list[Record]) -> None:
    """File and content hash are those of the document in one."""
    whole = document(tuple(records), of(an_estate(), Path()))
    head, said = replace(whole, records=()), ContentHash()
    assert b"".join(said.shown(observations_pieces(head, records))) == encode(whole)
    assert said.hex == content_hash(whole)


@pytest.mark.parametrize("engine", [Inline(), ProcessPool(2)])
def test_workers_merge_as_one_process_does(
    tmp_path: Path, engine: Inline | ProcessPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In small chunks, by other processes: the same file, but for the hour it was made."""
    monkeypatch.setattr(merge_chunks, "PER_CHUNK", 2)
    rule = Rule(id="files", system="archive", place="file:etc/*")
    opened = of(an_estate(target=TARGETS, rule=(rule,)), tmp_path)
    (tmp_path / "observations.jsonl").write_bytes(encode(document(tuple(BEFORE), opened)))
    plain = merge_again(opened, tmp_path)
    with store_at(tmp_path / "inventory.db") as store:
        seen_ = kept_run(store, tmp_path)
        merge_run(store, tmp_path, seen_, opened.estate, made_from=(opened.ref, seen_.ref), engine=engine)
    made = load(tmp_path, Inventory)[0]
    assert replace(made, created_at=plain.created_at) == plain
    assert any(occurrence.rule == "files" for asset in made.assets for occurrence in asset.occurrences)


def test_merged_again_reads_what_the_file_says_now(keys: OpenEstate) -> None:
    """The store follows the document: changed by hand, from another machine, or with the store gone."""
    out = keys.folder / "out"
    first = scan_estate(keys, out, as_of=DAY).inventory
    lines = (out / "observations.jsonl").read_bytes().splitlines(keepends=True)
    (out / "observations.jsonl").write_bytes(b"".join(line for line in lines if b'"target":"b"' not in line))
    assert len(merge_again(keys, out).assets) == len(first.assets) - 1
    (out / "observations.jsonl").write_bytes(b"".join(lines))
    assert merge_again(keys, out).assets == first.assets
    (out / "inventory.db").unlink()
    assert merge_again(keys, out).assets == first.assets


def test_what_cannot_be_merged_is_told(keys: OpenEstate) -> None:
    """No observations, a spoiled line, a target that the estate has no more; the inventory stays as it was."""
    out = keys.folder / "out"
    with pytest.raises(MissingInput, match="observations"):
        merge_again(keys, out)
    scan_estate(keys, out, as_of=DAY)
    before = (out / "inventory.json").read_bytes()
    fewer = keys._replace(estate=an_estate())
    with pytest.raises(DocumentMismatch, match="4 targets"):
        merge_again(fewer, out)
    with (out / "observations.jsonl").open("ab") as file:
        file.write(b'{"record":"observation"}\n')
    with pytest.raises(InvalidInput, match="not a valid document"):
        merge_again(keys, out)
    assert (out / "inventory.json").read_bytes() == before


def stop_after(count: int, how: Callable[[], None]) -> Callable[[int, int], None]:
    """Return a progress that stops the scan once so many targets are done."""

    def progress(done: int, total: int) -> None:  # noqa: ARG001 - the scheduler's form
        if done == count:
            how()

    return progress


def interrupt() -> None:
    """Do what ^C does."""
    raise KeyboardInterrupt


def records_in(partial: Path) -> list[dict[str, object]]:
    """Return the lines of a partial file; each must be JSON."""
    content = partial.read_bytes()
    assert content.endswith(b"\n")
    return [json.loads(line) for line in content.splitlines()]


def test_an_interrupted_scan_goes_on_without_looking_twice(keys: OpenEstate) -> None:
    """What was done is kept as it was seen and not read again; the rest is read; nothing is twice."""
    out = keys.folder / "out"
    with pytest.raises(KeyboardInterrupt):
        scan_estate(keys, out, as_of=DAY, progress=stop_after(2, interrupt))
    done = {str(line["target"]) for line in records_in(out / PARTIAL) if line["record"] == "done"}
    assert 2 <= len(done) < 4 or done == set(NAMES)
    for name in done:
        (keys.folder / f"{name}.pem").unlink()
    scanned = scan_estate(keys, out, as_of=DAY, resume=True)
    assert not scanned.partial
    assert [r.target for r in scanned.observations.records if isinstance(r, Attempt)] == list(NAMES)
    assert len(scanned.inventory.assets) == 4
    assert not (out / PARTIAL).exists()


def test_a_torn_line_is_cut(keys: OpenEstate) -> None:
    """A block that a kill tore, at whatever octet, is looked at again; those before it are not."""
    out = keys.folder / "out"
    whole = scan_estate(keys, out, as_of=DAY).observations
    with pytest.raises(KeyboardInterrupt):
        scan_estate(keys, out, as_of=DAY, progress=stop_after(4, interrupt))
    content = (out / PARTIAL).read_bytes()
    for cut in range(0, len(content), 97):
        (out / PARTIAL).write_bytes(content[:cut])
        assert scan_estate(keys, out, as_of=DAY, resume=True).observations.records == whole.records


_CHILD = """
import os, signal, sys
from pathlib import Path
from keystrand.app.inventory import scan_estate
from tests.app.test_inventory_pipeline import DAY, NAMES, an_estate, of, stop_after, Target, ProbeKind
folder = Path(sys.argv[1])
targets = tuple(Target(id=n, probe=ProbeKind.X509, system="shop", path=f"{n}.pem") for n in NAMES)
kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
scan_estate(of(an_estate(target=targets), folder), folder / "out", as_of=DAY, progress=stop_after(2, kill))
"""


def test_a_killed_scan_goes_on(keys: OpenEstate) -> None:
    """After SIGKILL the partial file is JSON line by line, and the resumed scan equals one that was never killed."""
    out, root = keys.folder / "out", Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": f"{root}:{os.environ.get('PYTHONPATH', '')}"}
    ended = subprocess.run([sys.executable, "-c", _CHILD, str(keys.folder)], env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert len(records_in(out / PARTIAL)) > 4
    resumed = scan_estate(keys, out, as_of=DAY, resume=True)
    again = scan_estate(keys, keys.folder / "never-killed", as_of=DAY)
    assert resumed.observations.records == again.observations.records
    assert resumed.inventory.assets == again.inventory.assets


class _Killed(BaseException):
    """In place of a kill: nothing in the product catches it."""


@pytest.mark.parametrize("at", ["records_of", "check_targets", "assets_in", "write_cbom"])
def test_a_scan_killed_while_it_is_merged_goes_on(keys: OpenEstate, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """Whatever was written by then: the store says all of the run before, and what was seen is not looked at again."""
    out = keys.folder / "out"
    scan_estate(keys, out, as_of=DAY)
    before = answer(out, "unknown-share", as_of=DAY)
    fewer = of(replace(keys.estate, target=keys.estate.target[:1]), keys.folder, content="e" * 64)

    def killed(*_: object, **__: object) -> None:
        raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(app_inventory if at == "write_cbom" else inventory_store, at, killed)
        with pytest.raises(_Killed):
            scan_estate(fewer, out, as_of=DAY)
    assert answer(out, "unknown-share", as_of=DAY) == before
    (keys.folder / "a.pem").unlink()
    resumed = scan_estate(fewer, out, as_of=DAY, resume=True)
    assert (len(resumed.inventory.assets), resumed.partial) == (1, False)
    assert [row["looked_at"] for row in answer(out, "unknown-share", as_of=DAY)] == [1]
    assert not (out / PARTIAL).exists()


def test_a_merge_after_a_killed_scan_is_of_what_was_observed(keys: OpenEstate, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store has taken in the newer scan, of which no document was written: the older one's is merged, whole."""
    out = keys.folder / "out"
    first = scan_estate(keys, out, as_of=DAY).inventory

    def killed(*_: object, **__: object) -> None:
        raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(inventory_store, "records_of", killed)
        with pytest.raises(_Killed):
            scan_estate(keys, out, as_of=DAY)
    assert merge_again(keys, out).assets == first.assets


def test_what_belongs_to_another_estate_is_not_gone_on_with(keys: OpenEstate) -> None:
    """Refused with the next step, and what was seen stays on the disk."""
    out = keys.folder / "out"
    with pytest.raises(KeyboardInterrupt):
        scan_estate(keys, out, as_of=DAY, progress=stop_after(1, interrupt))
    before = (out / PARTIAL).read_bytes()
    changed = of(keys.estate, keys.folder, content="e" * 64)
    with pytest.raises(DocumentMismatch, match="another estate") as told:
        scan_estate(changed, out, as_of=DAY, resume=True)
    assert "without --resume" in told.value.hint
    with pytest.raises(DocumentMismatch, match="another mode"):
        scan_estate(keys, out, as_of=DAY, resume=True, mode="quick")
    assert (out / PARTIAL).read_bytes() == before


def test_what_no_scan_left_behind_is_told(keys: OpenEstate) -> None:
    """A file of that name with something else in it."""
    out = keys.folder / "out"
    out.mkdir()
    (out / PARTIAL).write_text("{}\n")
    with pytest.raises(InvalidInput, match="not what a scan left behind"):
        scan_estate(keys, out, as_of=DAY, resume=True)


def test_resuming_nothing_begins(keys: OpenEstate) -> None:
    """Where no scan was interrupted there is nothing to go on with, and all is looked at."""
    assert len(scan_estate(keys, keys.folder / "out", as_of=DAY, resume=True).inventory.assets) == 4


def test_two_scans_do_not_write_one_folder(keys: OpenEstate) -> None:
    """The second is told, and the first goes on."""
    out = keys.folder / "out"

    def second() -> None:
        with pytest.raises(StoreFailure, match="another scan"):
            scan_estate(keys, out, as_of=DAY)

    assert len(scan_estate(keys, out, as_of=DAY, progress=stop_after(1, second)).inventory.assets) == 4


@pytest.mark.parametrize("name", [PARTIAL, "inventory.db"])
def test_a_link_in_the_folder_of_results_is_not_written_through(keys: OpenEstate, name: str) -> None:
    """Who may write there first would else have any file of ours emptied, or one made elsewhere."""
    out, precious, elsewhere = keys.folder / "out", keys.folder / "precious", keys.folder / "elsewhere"
    out.mkdir()
    precious.write_text("precious")
    (out / name).symlink_to(precious if name == PARTIAL else elsewhere)
    with pytest.raises(StoreFailure, match=r"link"):
        scan_estate(keys, out, as_of=DAY)
    assert precious.read_text() == "precious"
    assert not elsewhere.exists()


def test_a_full_disk_is_told_while_scanning(keys: OpenEstate, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device that is always full, in place of the file: by a link, which is followed for once."""
    monkeypatch.setattr(os, "O_NOFOLLOW", 0)
    out = keys.folder / "out"
    out.mkdir()
    (out / PARTIAL).symlink_to("/dev/full")
    with pytest.raises(StoreFailure, match="No space left"):
        scan_estate(keys, out, as_of=DAY)


@given(st.binary(max_size=300))
@settings(deadline=None, max_examples=50)
def test_whatever_stands_in_the_file_is_judged(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """No octets in the partial file make it fail in any way but in words."""
    folder = tmp_path_factory.mktemp("e")
    opened = of(an_estate(target=()), folder)
    (folder / PARTIAL).write_bytes(content)
    with contextlib.suppress(InvalidInput):
        assert scan_estate(opened, folder, as_of=DAY, resume=True).inventory.assets == ()


def test_a_targets_verdict_is_that_of_what_lies_there() -> None:
    """A certificate that is only kept, encryption in source code; and each host of a range has its own."""
    cipher = AlgorithmUse(algorithm="RSA-OAEP", function=Function.ENCRYPTION)
    records = [
        *in_file("etc/ca.pem", ROOT),
        *in_file("etc/seal.py", cipher, AlgorithmUse(algorithm="ML-KEM-768", function=Function.KEY_ESTABLISHMENT)),
        *(replace(record, target="a") for record in server("b.example", SHARED, ("X25519MLKEM768",))),
        *server("a.example", SHARED),
    ]
    told = target_rows(document(tuple(records), of(an_estate(target=TARGETS), Path())), inventory_of(records))
    rows = {row["place"]: (row["key_establishment"], row["verdict"]) for row in told}
    assert rows["tls://a.example:443"] == ("X25519", "quantum-vulnerable")
    assert rows["tls://b.example:443"] == ("X25519MLKEM768", "quantum-safe")
    assert {verdict for place, (_, verdict) in rows.items() if place.startswith("file:")} == {"quantum-vulnerable"}
