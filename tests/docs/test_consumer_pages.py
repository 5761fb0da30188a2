"""The pages of the consumers: each configuration as printed is one that the program takes."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from keystrand.app.age import AgeConfig
from keystrand.edge.consumers.file_reload import FileSettings
from keystrand.edge.consumers.haproxy import HaproxySettings
from keystrand.edge.consumers.pkcs11 import Pkcs11Settings
from keystrand.edge.consumers.settings import read_settings
from keystrand.edge.consumers.vault import VaultSettings
from keystrand.formats.toml_input import read_toml

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
KINDS: dict[str, Any] = {
    "file": FileSettings,
    "haproxy": HaproxySettings,
    "pkcs11": Pkcs11Settings,
    "vault": VaultSettings,
}


def blocks(page: str) -> list[str]:
    """Return the TOML of a page."""
    return re.findall(r"```toml\n(.*?)```", (HOWTO / page).read_text(), re.DOTALL)


def test_the_configuration_of_the_age_page_is_complete() -> None:
    """As printed it is read, and says what the text around it says."""
    (block,) = blocks("encrypt-backups-with-age.md")
    assert read_toml(block, AgeConfig, file="x", what="x").sae == "backup-a"


def test_every_kind_has_settings_that_are_taken() -> None:
    """Each table of the page, by its kind; and every kind has one."""
    tables = [tomllib.loads(block)["consumer"][0] for block in blocks("key-programs-by-file.md")]
    assert [table["kind"] for table in tables] == list(KINDS)
    for table in tables:
        assert read_settings(table["settings"], KINDS[table["kind"]])


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_setting_of_a_program_by_file_is_explained(kind: Any) -> None:
    """No field is without a word on the page."""
    page = (HOWTO / "key-programs-by-file.md").read_text()
    assert [name for name in kind.__struct_fields__ if name not in page] == []
