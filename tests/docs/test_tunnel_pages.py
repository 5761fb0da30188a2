"""The pages on tunnels: their connection and their consumers are ones."""

import re
import tomllib
from pathlib import Path

import pytest

from keystrand.edge.consumers import macsec, macsec_mka, strongswan, wireguard
from keystrand.edge.consumers.base import Role, Settings
from keystrand.edge.consumers.guard import table
from keystrand.keys.lapse import FailurePolicy, Terms

HOWTO = Path(__file__).parents[2] / "docs" / "howto"


def _blocks(page: str) -> list[str]:
    return re.findall(r"```toml\n(.*?)```", (HOWTO / page).read_text(), re.DOTALL)


def _settings(block: str) -> Settings:
    (consumer,) = tomllib.loads(block)["consumer"]
    assert Role(consumer["role"]) is Role.INITIATOR
    assert Terms(policy=FailurePolicy(consumer["policy"]), max_age_s=consumer["max_age_s"])
    settings: Settings = consumer["settings"]
    return settings


def test_the_connection_and_the_consumer_of_ipsec_are_ones(tmp_path: Path) -> None:
    """As printed, with a certificate of that name beside the file."""
    connection, consumer = _blocks("key-ipsec.md")
    path = tmp_path / "corridor.toml"
    path.write_text(connection)
    (tmp_path / "gateway-a.pem").write_bytes(b"a certificate")
    settings = _settings(consumer)
    assert strongswan.make({**settings, "connection": str(path)}, Role.INITIATOR)
    assert settings["connection"] == f"/etc/keystrand/{path.name}"
    assert settings["socket"] == strongswan.SOCKET


def test_the_consumer_of_wireguard_is_one() -> None:
    """As printed."""
    (consumer,) = _blocks("key-wireguard.md")
    assert wireguard.make(_settings(consumer), Role.INITIATOR)


def test_the_consumer_of_macsec_is_one() -> None:
    """As printed, by SAKs and by MKA."""
    consumer, by_mka = _blocks("key-macsec.md")
    assert isinstance(macsec.make(_settings(consumer), Role.INITIATOR), macsec.Macsec)
    settings = tomllib.loads(by_mka)["consumer"]["settings"]
    assert isinstance(macsec.make(settings, Role.INITIATOR), macsec_mka.Mka)


@pytest.mark.parametrize(
    ("page", "device"), [("key-ipsec.md", "ipsec0"), ("key-wireguard.md", "wg0"), ("key-macsec.md", "sec0")]
)
def test_the_guard_has_the_name_that_the_page_says(page: str, device: str) -> None:
    """An operator who gives the tunnel up removes the right table."""
    assert f"nft delete table inet {table(device)}`" in (HOWTO / page).read_text()
