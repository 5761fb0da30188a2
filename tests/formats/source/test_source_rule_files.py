"""Rule files: what is wrong with one is told with file, line and field; the user's own come before those shipped."""

from pathlib import Path

import pytest

from keystrand.edge.source_rules import own_rules, shipped_rules, source_reader
from keystrand.formats.source.grammar import LANGUAGES
from keystrand.formats.source.rules import rules_from_toml
from keystrand.model.errors import InvalidInput, MissingInput
from keystrand.model.observation import AlgorithmUse

OWN = """language = "python"

[[libraries]]
name = "house"
imports = ["house.crypto"]

[[libraries.calls]]
calls = ["house.crypto.seal"]
function = "encryption"
args = [{ gives = "algorithm", at = 1, name = "suite", table = "suites", default = "gold" }]

[tables.suites]
gold = "AES-256-GCM"
silver = "AES-128-GCM"
"""


def test_rules_of_every_language_are_shipped() -> None:
    """Each language has one file, every library has imports or words, and no call stands in two rules of a library."""
    assert sorted(file.language for file in shipped_rules()) == sorted(LANGUAGES)
    for file in shipped_rules():
        for library in file.libraries:
            assert library.imports or library.words
            assert library.calls


def test_a_users_own_rules_are_read_beside_the_shipped(tmp_path: Path) -> None:
    """A library of one's own is found, with a table and a default; those of the package still are."""
    (tmp_path / "house.toml").write_text(OWN)
    text = b"import hashlib\nfrom house import crypto\ncrypto.seal(x, 'silver')\ncrypto.seal(x)\nhashlib.sha256()\n"
    found = [one.fact for one in source_reader([tmp_path]).read("a.py", text).found]
    uses = [(one.library, one.algorithm) for one in found if isinstance(one, AlgorithmUse)]
    assert uses == [("house", "AES-128-GCM"), ("house", "AES-256-GCM"), ("Python standard library", "SHA-256")]


@pytest.mark.parametrize("line", ["from house import crypto", "import house.crypto", "import house.crypto as crypto"])
def test_a_library_within_a_package_is_known_however_it_is_imported(tmp_path: Path, line: str) -> None:
    """The qualified name of an import need not stand in one piece."""
    (tmp_path / "house.toml").write_text(OWN)
    call = "house.crypto.seal(x)" if line == "import house.crypto" else "crypto.seal(x)"
    found = [one.fact for one in source_reader([tmp_path]).read("a.py", f"{line}\n{call}\n".encode()).found]
    assert [one.algorithm for one in found if isinstance(one, AlgorithmUse)] == ["AES-256-GCM"]


def test_a_users_own_rule_takes_the_place_of_a_shipped_one(tmp_path: Path) -> None:
    """For the same call the user's rule decides."""
    own = tmp_path / "own.toml"
    own.write_text(
        'language = "python"\n[[libraries]]\nname = "ours"\nimports = ["hashlib"]\n[[libraries.calls]]\n'
        'calls = ["hashlib.md5"]\nfunction = "digest"\nhash = "SHA-256"\n'
    )
    found = [one.fact for one in source_reader([own]).read("a.py", b"import hashlib\nhashlib.md5()\n").found]
    assert [(one.library, one.algorithm) for one in found if isinstance(one, AlgorithmUse)] == [("ours", "SHA-256")]


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "message"),
    [
        ('language = "python"', 'language = "cobol"', 1, "language", "cobol"),
        ('gives = "algorithm"', 'gives = "algoritm"', 10, "libraries[0].calls[0].args[0].gives", "algoritm"),
        ('table = "suites"', 'table = "suits"', 10, "libraries[0].calls[0].args[0].table", "suits"),
        ("at = 1, name =", "key =", 10, "libraries[0].calls[0].args[0]", "number nor the name"),
        ('["house.crypto.seal"]', "[]", 8, "libraries[0].calls[0].calls", "no call"),
        ('["house.crypto.seal"]', '["*"]', 8, "libraries[0].calls[0].calls", "'*'"),
        ('function = "encryption"', 'fuction = "encryption"', 9, "libraries[0].calls[0].fuction", "unknown key"),
        ('function = "encryption"', 'function = "encrypt"', 9, "libraries[0].calls[0].function", "encrypt"),
        ('imports = ["house.crypto"]', 'imports = "house"', 5, "libraries[0].imports", ""),
        ("args = [{", "later = [{", 10, "libraries[0].calls[0].later[0]", ""),
    ],
)
def test_a_wrong_rule_is_told_with_its_line_and_field(old: str, new: str, line: int, field: str, message: str) -> None:
    """Each problem names the file, the line and the field."""
    with pytest.raises(InvalidInput) as raised:
        rules_from_toml(OWN.replace(old, new), "house.toml")
    told = [(p.file, p.line, p.field) for p in raised.value.problems]
    assert ("house.toml", line, field) in told
    assert any(message in p.message for p in raised.value.problems)


def test_all_problems_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    """Two faulty files in a folder: the problems of both."""
    (tmp_path / "a.toml").write_text(OWN.replace("python", "cobol"))
    (tmp_path / "b.toml").write_text("language = \n")
    with pytest.raises(InvalidInput) as raised:
        own_rules([tmp_path])
    assert {Path(problem.file).name for problem in raised.value.problems} == {"a.toml", "b.toml"}


def test_a_rule_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Neither file nor folder."""
    with pytest.raises(MissingInput):
        own_rules([tmp_path / "none.toml"])
