"""What a configuration says of its sources is judged before anything starts."""

import re
from pathlib import Path

import pytest

from keystrand.edge.kme.config import load_config
from keystrand.model.errors import InvalidInput

GOOD = """\
kme_id = "kme-a"
store = "store"
master_key = "master"
[tls]
ca = "ca.pem"
certificate = "own.pem"
key = "own.key"
[[link]]
id = "corridor"
peer_kme = "kme-b"
peer_url = "https://127.0.0.1:8020"
"""
PQC = '[[pqc_source]]\nlink = "corridor"\n'
FILES = '[[file_source]]\nlink = "corridor"\nfolder = "in"\nmaster_kme = "kme-b"\n'
VENDOR = (
    '[[vendor_source]]\nlink = "corridor"\nurl = "https://vendor:1"\npartner = "p"\nca = "c"\ncertificate = "d"\n'
    'key = "e"\nkeys_per_block = 8\n'
)


@pytest.mark.parametrize(
    ("tables", "field"),
    [
        (PQC.replace("corridor", "elsewhere"), "pqc_source[0].link"),
        (PQC + PQC, "pqc_source[1]"),
        (PQC.replace("[[pqc", "[keys]\nmax_key_count = 64\n[[pqc"), "pqc_source[0]"),
        (VENDOR + VENDOR, "vendor_source[1]"),
        (VENDOR.replace("keys_per_block = 8", "keys_per_block = 2\nkey_bits = 128"), "vendor_source[0]"),
        (FILES.replace("kme-b", "kme-c"), "file_source[0].master_kme"),
        (FILES + FILES, "file_source[1]"),
    ],
)
def test_a_source_that_cannot_work_is_named(tmp_path: Path, tables: str, field: str) -> None:
    """A link that does not end here, a source named twice, a block that never fits, a master at neither end."""
    file = tmp_path / "kme.toml"
    file.write_text(GOOD + tables)
    with pytest.raises(InvalidInput) as caught:
        load_config(file)
    assert [problem.field for problem in caught.value.problems] == [field]


def test_several_sources_share_a_link(tmp_path: Path) -> None:
    """Both agreements, a vendor and a folder can feed one link; folders start at the configuration."""
    file = tmp_path / "kme.toml"
    file.write_text(GOOD + PQC + PQC + 'source = "classical"\n' + VENDOR + FILES)
    config = load_config(file)
    assert [one.source for one in config.pqc_sources] == ["pqc", "classical"]
    assert (config.file_sources[0].folder, config.vendor_sources[0].octets) == (str(tmp_path / "in"), 256)


def test_the_tables_of_the_guide_are_a_configuration(tmp_path: Path) -> None:
    """What 'Feed a key management entity' prints can be put into a KME's file as it is."""
    page = Path(__file__).parents[3] / "docs" / "howto" / "feed-a-kme.md"
    blocks = re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)
    file = tmp_path / "kme.toml"
    file.write_text(GOOD + "".join(blocks))
    config = load_config(file)
    assert (len(config.pqc_sources), len(config.vendor_sources), len(config.file_sources)) == (1, 1, 1)
    assert [module.id for module in config.modules] == ["module-a"]
