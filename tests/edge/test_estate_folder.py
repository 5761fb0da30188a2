"""The estate's folder: found, read, hashed by what it says, started, never overwritten."""

import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.edge.catalogue import policies
from keystrand.edge.estate_folder import estate_doubts, example_folder, init_estate, load_estate
from keystrand.edge.files import sha256_hex
from keystrand.formats.documents import canonical_hash
from keystrand.formats.estate_toml import read_estate
from keystrand.model.errors import InvalidInput, MissingInput, StoreFailure

OBLIGATIONS = frozenset(policy.id for policy in policies())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a fresh starter."""
    init_estate(tmp_path / "estate")
    return tmp_path / "estate"


def test_the_starter_is_sound_and_raises_no_doubt(folder: Path) -> None:
    """What `estate init` writes passes `estate check`, has every kind of table, and a folder for certificates."""
    estate = load_estate(folder).estate
    assert estate_doubts(folder) == ()
    assert all(getattr(estate, noun) for noun in ("region", "owner", "site", "system", "segment", "target", "pilot"))
    assert sorted(path.name for path in folder.iterdir()) == ["certs", "estate.toml"]


def test_the_starter_can_be_read_by_others(folder: Path) -> None:
    """The file is in git: it has the usual mode, not that of a temporary file."""
    assert (folder / "estate.toml").stat().st_mode & 0o777 == 0o644


def test_a_starter_never_overwrites(folder: Path) -> None:
    """A second `init` is refused with what to do, and the file keeps its bytes."""
    file = folder / "estate.toml"
    file.write_text("mine")
    with pytest.raises(InvalidInput, match="already exists") as caught:
        init_estate(folder)
    assert "estate check" in caught.value.hint
    assert file.read_text() == "mine"
    assert sorted(path.name for path in folder.iterdir()) == ["certs", "estate.toml"]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """Where a file stands in the way there is an error of ours, not a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises((StoreFailure, InvalidInput)):
        init_estate(tmp_path / "file" / "below")
    with pytest.raises((StoreFailure, InvalidInput)):
        init_estate(tmp_path / "file")


def test_the_folder_or_the_file_may_be_named(folder: Path) -> None:
    """Both lead to the same estate."""
    assert load_estate(folder) == load_estate(folder / "estate.toml")


@pytest.mark.parametrize(("name", "home"), [(".", "."), ("no", "no"), ("no/estate.toml", "no"), ("estate.toml", ".")])
def test_a_missing_estate_says_how_to_start_one(tmp_path: Path, name: str, home: str) -> None:
    """No estate: the error names the command that writes one, with the folder it takes."""
    with pytest.raises(MissingInput, match="does not exist") as caught:
        load_estate(tmp_path / name)
    starter = f"write a starter with: keystrand estate init {tmp_path / home}"
    assert caught.value.hint == f"name the folder of your estate, or {starter}"


def test_what_is_not_utf_8_is_told_with_its_line(folder: Path) -> None:
    """A file saved in another encoding names the first line that does not fit."""
    (folder / "estate.toml").write_bytes(b'format_version = "1"\nname = "Z\xfcrich"\n')
    with pytest.raises(InvalidInput) as caught:
        load_estate(folder)
    assert [(p.line, p.hint) for p in caught.value.problems] == [(2, "save the file as UTF-8")]


def test_a_byte_order_mark_is_no_mistake(folder: Path) -> None:
    """Some editors put a mark before UTF-8 text: the estate is the same."""
    file = folder / "estate.toml"
    plain = load_estate(folder).content_sha256
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert load_estate(folder).content_sha256 == plain


def test_problems_name_the_file(folder: Path) -> None:
    """The file in a problem is the path as the user may open it."""
    file = folder / "estate.toml"
    file.write_text(file.read_text().replace("length_km", "length_m"))
    with pytest.raises(InvalidInput) as caught:
        load_estate(folder)
    assert {p.file for p in caught.value.problems} == {str(file)}


def test_an_obligation_that_no_policy_backs_is_told_with_all_else(folder: Path) -> None:
    """A misspelt obligation comes with its line and what was meant, in one report with the other problems."""
    file = folder / "estate.toml"
    wrong = file.read_text().replace('"nist-ir-8547"', '"nist-ri-8547"').replace("length_km", "length_m")
    file.write_text(wrong)
    for read in (load_estate, estate_doubts):
        with pytest.raises(InvalidInput) as caught:
            read(folder)
        obligation, length = caught.value.problems
        assert (obligation.field, obligation.hint) == ("organisation.obligations[0]", "did you mean 'nist-ir-8547'?")
        assert "nist-ri-8547" in wrong.splitlines()[obligation.line - 1]
        assert length.field == "segment[0].length_m"


def test_the_hash_of_the_file_is_of_its_bytes(folder: Path) -> None:
    """A comment changes the file's hash and not the content's; a value changes both."""
    file = folder / "estate.toml"
    first = load_estate(folder)
    assert first.file_sha256 == sha256_hex(file.read_bytes())
    file.write_text(file.read_text() + "\n# a comment\n")
    commented = load_estate(folder)
    file.write_text(file.read_text().replace("length_km = 58.0", "length_km = 59.0"))
    changed = load_estate(folder)
    assert commented.content_sha256 == first.content_sha256 != changed.content_sha256
    assert len({first.file_sha256, commented.file_sha256, changed.file_sha256}) == 3


def test_defaults_written_out_change_nothing(folder: Path) -> None:
    """A default that is spelt out, and a whole number for a decimal one, say the same."""
    file = folder / "estate.toml"
    first = load_estate(folder).content_sha256
    text = file.read_text()
    assert "length_km = 58.0" in text
    file.write_text(text.replace("length_km = 58.0", 'purpose = "production"\nlength_km = 58'))
    assert load_estate(folder).content_sha256 == first


SYSTEM = [
    'id = "x"',
    'name = "X"',
    'place = "api"',
    'site = "dc-one"',
    'functions = ["signature"]',
    'exposure = "partner"',
]


@given(st.permutations(SYSTEM), st.sampled_from(["\n", "  # why\n", "\n\n"]))
def test_the_order_of_keys_and_the_layout_change_nothing(keys: list[str], between: str) -> None:
    """The content hash is of what the estate says, whatever the order of keys, comments and empty lines."""
    with example_folder("regional-bank") as bank:
        text = (bank.parents[1] / "starter" / "estate.toml").read_text()
    plain, shuffled = (
        read_estate(f"{text}\n[[system]]\n{body}\n", "", OBLIGATIONS)
        for body in ("\n".join(SYSTEM), between.join(keys))
    )
    assert canonical_hash(plain) == canonical_hash(shuffled)


def test_a_half_written_starter_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk fails in the middle there is no estate and no temporary file."""

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreFailure, match="No space left"):
        init_estate(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_starter_is_toml_that_editors_can_check() -> None:
    """Each commented key of the starter is one that the type knows, so that uncommenting it is safe."""
    with example_folder("regional-bank") as bank:
        text = (bank.parents[1] / "starter" / "estate.toml").read_text()
    extra = text.replace("# accepted_by", "accepted_by").replace("# [[target]]", "[[target]]")
    for key in ("id", "probe", "system", "path"):
        extra = extra.replace(f"# {key} =", f"{key} =")
    assert read_estate(extra, "", OBLIGATIONS).target[1].path == "certs/api.pem"
    assert len(tomllib.loads(extra)["target"]) == 2
