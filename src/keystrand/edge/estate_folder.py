"""The folder that holds an estate: `estate.toml` and, beside it, the files its targets name."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import NamedTuple

import msgspec

from keystrand.edge.catalogue import beside, policies
from keystrand.edge.files import read_bytes, sha256_hex, write_new
from keystrand.formats.documents import canonical_hash
from keystrand.formats.estate_changes import changed
from keystrand.formats.estate_toml import judge_estate, question_estate, read_estate
from keystrand.formats.toml_input import parse_toml
from keystrand.formats.toml_lines import line_index
from keystrand.model.errors import InvalidInput, Problem, StoreFailure
from keystrand.model.estate import Estate

ESTATE_FILE = "estate.toml"
CERTIFICATE_FOLDER = "certs"


class LoadedEstate(NamedTuple):
    """A sound estate, the hash of what it says, and the hash of its file's bytes."""

    estate: Estate
    content_sha256: str
    file_sha256: str


def estate_file(folder: Path) -> Path:
    """Return the path of the estate's file: `folder` may be the folder that holds it, or the file itself."""
    return folder / ESTATE_FILE if folder.is_dir() else folder


def _read(folder: Path) -> tuple[bytes, str]:
    file = estate_file(folder)
    home = file.parent if file.suffix == ".toml" else file
    content = read_bytes(
        file, hint=f"name the folder of your estate, or write a starter with: keystrand estate init {home}"
    )
    try:
        return content, content.decode("utf-8-sig")  # some editors put a byte order mark first
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = Problem(message="not UTF-8 text", file=str(file), line=line, hint="save the file as UTF-8")
        raise InvalidInput("the estate is not valid TOML", problems=(problem,)) from error


def _rules_by_policy(folder: Path) -> dict[str, frozenset[str]]:
    """Return the rules of each policy that an estate may name: the shipped ones, and its own in `policies/`."""
    home = estate_file(folder).parent
    return {policy.id: frozenset(rule.id for rule in policy.rules) for policy in policies(beside(home, "policies"))}


def load_estate(folder: Path) -> LoadedEstate:
    """Return the estate in `folder` (a folder with `estate.toml`, or the file itself).

    Its content hash does not depend on comments, the order of keys, or whether defaults are written out. Raises
    `MissingInput` where there is no estate, and `InvalidInput` with every problem of one that is not sound.
    """
    content, text = _read(folder)
    estate = read_estate(text, str(estate_file(folder)), _rules_by_policy(folder))
    return LoadedEstate(estate, canonical_hash(estate), sha256_hex(content))


def changed_estate(folder: Path, changes: tuple[str, ...]) -> Estate:
    """Return the estate in `folder` with `changes` made to it, such as `system.x.refresh=2029-01-01`.

    Raises `InvalidInput` where a change names nothing, or makes an estate that is not sound.
    """
    _, text = _read(folder)
    file = str(estate_file(folder))
    raw = changed(parse_toml(text, file=file, what="the estate"), changes)
    if problems := judge_estate(raw, line_index(text), file, _rules_by_policy(folder)):
        raise InvalidInput("the changed estate is not sound; nothing was written", problems=problems)
    return msgspec.convert(raw, Estate)


def estate_doubts(folder: Path) -> tuple[Problem, ...]:
    """Return what is possible but unlikely in the estate in `folder`. Raises as `load_estate` does."""
    _, text = _read(folder)
    file = str(estate_file(folder))
    return question_estate(read_estate(text, file, _rules_by_policy(folder)), line_index(text), file)


@contextmanager
def example_folder(name: str) -> Iterator[Path]:
    """Give the folder of the bundled example estate `name`, for reading only."""
    with as_file(files("keystrand.edge") / "example" / name) as folder:
        yield folder


def init_estate(folder: Path) -> Path:
    """Write a commented starter estate into `folder`, with a folder for certificates, and return the estate's path.

    Raises `InvalidInput` where there is one already: it is never overwritten.
    """
    file = folder / ESTATE_FILE
    starter = (files("keystrand.edge") / "starter" / ESTATE_FILE).read_bytes()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_new(file, starter)
        (folder / CERTIFICATE_FOLDER).mkdir(exist_ok=True)
    except FileExistsError as error:
        raise InvalidInput(
            f"{error.filename2 or error.filename or file} already exists, and is left as it is",
            hint=f"edit it and run: keystrand estate check {folder}; or choose another folder",
        ) from error
    except OSError as error:
        raise StoreFailure(f"{file} could not be written: {error.strerror}") from error
    return file
