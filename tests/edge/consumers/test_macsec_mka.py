"""MACsec by MKA: what a real wpa_supplicant takes from us, without the kernel's module."""

import socket
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.edge.consumers import macsec_guest
from tests.edge.consumers.corridor import needs

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers import guard
from keystrand.edge.consumers.base import ConsumerFailure, Role
from keystrand.edge.consumers.macsec import make
from keystrand.edge.consumers.macsec_mka import Mka, Supplicant
from keystrand.edge.consumers.remembered import Remembered
from keystrand.edge.daemons import Daemon, Daemons, Space, program
from keystrand.model.errors import InvalidInput


@pytest.fixture
def supplicant(tmp_path: Path) -> Iterator[Path]:
    """Yield the control socket of a wpa_supplicant with a network for MACsec, in a namespace of its own."""
    with Daemons() as care:
        space = Space("mka", tmp_path)
        care.add(space)
        space.start()
        space.run("ip", "link", "add", "name", "fibre", "type", "veth", "peer", "name", "other")
        file = tmp_path / "supplicant.conf"
        text = macsec_guest.SUPPLICANT.format(at=0, cak="11" * 16, ckn="22" * 16, priority=16)
        file.write_text(text.replace("/run/", f"{tmp_path}/"))
        daemon = Daemon(
            [program("wpa_supplicant", "wpasupplicant"), "-Dwired", "-ifibre", f"-c{file}"],
            tmp_path / "log", prefix=space.prefix,
        )  # fmt: skip
        care.add(daemon)
        daemon.start((tmp_path / "supplicant-0/fibre").exists)
        yield tmp_path / "supplicant-0/fibre"


@pytest.mark.system
@needs("wpa_supplicant")
def test_wpa_supplicant_takes_name_and_key_by_its_control_socket(supplicant: Path) -> None:
    """Keys of both lengths, and no other; what it says of its network is what we ask for. Its driver here agrees on
    nothing, so nothing is proven.
    """
    spoken = Supplicant(supplicant, 0)
    assert [spoken.variable(name) for name in ("key_mgmt", "macsec_policy", "nonsense")] == ["NONE", "1", "FAIL"]
    for octets in (16, 32):
        spoken.set_cak("ab" * 16, Secret(bytes(octets)))
    with pytest.raises(ConsumerFailure, match="refused SET_NETWORK") as failure:
        spoken.set_cak("ab" * 16, Secret(bytes(range(20))))
    assert bytes(range(4)).hex() not in str(failure.value)
    assert spoken.agreed() == ("", False)


@pytest.mark.system
@needs("wpa_supplicant")
def test_a_network_that_would_not_encrypt_is_refused(supplicant: Path) -> None:
    """Before the first key, with what to write."""
    made = make({"control": str(supplicant), "device": "kstnone0", "far": "10.255.0.0/24"}, Role.INITIATOR)
    wpa = Supplicant(supplicant, 0)
    wpa._told(bytearray(b"SET_NETWORK 0 macsec_integ_only 1"))
    try:
        with pytest.raises(ConsumerFailure, match="macsec_integ_only=1") as failure:
            made.prepare()
    finally:
        guard.take_down("kstnone0")
    assert "macsec_integ_only=0" in failure.value.hint


@pytest.mark.parametrize(("field", "value"), [("far", ""), ("device", "a name"), ("network", -1), ("peer", "02:00")])
def test_a_setting_of_mka_that_cannot_be_used_is_named(field: str, value: str | int) -> None:
    """So is one that belongs to SAKs alone."""
    settings = {"control": "/run/wpa_supplicant/eth1", "device": "macsec0", "far": "10.2.0.0/24", field: value}
    with pytest.raises(InvalidInput) as refusal:
        make(settings, Role.RESPONDER)
    assert refusal.value.problems[0].field == field


def test_a_supplicant_that_does_not_run_is_named(tmp_path: Path) -> None:
    """With the path."""
    with pytest.raises(ConsumerFailure, match="nobody") as failure:
        Supplicant(tmp_path / "nobody", 0).agreed()
    assert "running" in failure.value.hint


class _Told(threading.Thread):
    """What answers at a control socket as wpa_supplicant does: it runs an agreement under `ckn` and takes all."""

    def __init__(self, path: Path, ckn: str) -> None:
        super().__init__(daemon=True)
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._line.bind(str(path))
        self._ckn = ckn
        self.heard: list[str] = []

    def run(self) -> None:
        """Answer."""
        while True:
            command, whose = self._line.recvfrom(4096)
            self.heard.append(command.decode())
            answers = {"MIB": f"ieee8021XKayMkaPartCKN={self._ckn}" if self._ckn else "", "STATUS": "Secured=Yes"}
            self._line.sendto(answers.get(self.heard[-1], "OK").encode(), whose)


@pytest.mark.parametrize(
    ("given", "running", "retired", "shut"),
    [
        (["one", "two"], "two", "one", False),
        (["one", "two"], "two", "two", True),
        (["one", "two"], "one", "one", True),  # the second was refused: the first serves on
        (["one", "two"], "one", "two", False),
        (["one", "two"], "", "one", False),
        (["one", "two"], "", "two", True),
        (["one"], "strange", "one", True),
        ([], "", "one", True),
    ],
)
def test_a_key_is_retired_where_the_agreement_runs_under_it(
    tmp_path: Path, given: list[str], running: str, retired: str, *, shut: bool
) -> None:
    """Whatever was given last: a key that is too old goes, and one that replaced it stays."""
    ids = {name: uuid.uuid5(uuid.NAMESPACE_DNS, name) for name in ("one", "two", "strange")}
    ours = Remembered(tmp_path / "ours.json")
    for name in given:
        ours.add(ids[name].hex)
    spoken = _Told(tmp_path / "control", ids[running].hex if running else "")
    spoken.start()
    Mka(Supplicant(tmp_path / "control", 0), "macsec0", ("10.2.0.0/24",), ours).retire(str(ids[retired]))
    assert any(command.startswith("SET_NETWORK 0 mka_cak ") for command in spoken.heard) is shut
