"""The key server's page: its configuration is one that the server accepts."""

import re
from datetime import UTC, datetime
from pathlib import Path

from keystrand.edge.kme.config import load_config
from keystrand.edge.pki import issue_pki

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "use-the-key-server.md"


def test_the_configuration_of_the_page_is_complete(tmp_path: Path) -> None:
    """As printed, beside a PKI of those names, it loads; the names in it are those that `issue_pki` writes."""
    block = re.search(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block
    (tmp_path / "kme-a.toml").write_text(block[1])
    issue_pki(tmp_path / "pki", kmes=("kme-a",), saes=(), modules=(), days=1, now=datetime.now(UTC))
    config = load_config(tmp_path / "kme-a.toml")
    assert (config.kme_id, config.port) == ("kme-a", 8020)
    for file in (config.credentials.ca, config.credentials.certificate, config.credentials.key):
        assert file.exists()
