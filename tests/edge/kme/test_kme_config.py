"""A KME's configuration is judged whole, with the line of each fault, before anything starts."""

import subprocess
import sys
from pathlib import Path

import pytest

from keystrand.edge.kme.config import load_config
from keystrand.model.errors import InvalidInput, MissingInput

GOOD = """\
kme_id = "kme-a"
store = "store"
master_key = "master"

[tls]
ca = "ca.pem"
certificate = "/etc/own.pem"
key = "own.key"

[[link]]
id = "corridor"
peer_kme = "kme-b"
peer_url = "https://127.0.0.1:8020"

[[sae]]
id = "sae-a"
kme = "kme-a"

[[module]]
id = "m"
link = "corridor"
"""


def judged(tmp_path: Path, text: str) -> list[tuple[int, str]]:
    """Return line and field of every problem in `text`."""
    file = tmp_path / "kme.toml"
    file.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        load_config(file)
    return [(problem.line, problem.field) for problem in caught.value.problems]


def test_a_good_file_is_read_with_paths_from_its_own_folder(tmp_path: Path) -> None:
    """Relative paths start at the configuration; absolute ones stay; the rest has its defaults."""
    file = tmp_path / "kme.toml"
    file.write_text(GOOD)
    config = load_config(file)
    assert (config.store, config.tls.ca) == (str(tmp_path / "store"), str(tmp_path / "ca.pem"))
    assert config.tls.certificate == "/etc/own.pem"
    assert (config.tls.post_quantum_saes, config.keyring) == ("prefer", str(tmp_path / "store.keyring"))
    assert (config.keys.key_size, config.host, config.port) == (256, "127.0.0.1", 0)


@pytest.mark.parametrize(
    ("change", "into", "line", "field"),
    [
        ('store = "store"', 'store = "store"\nstroe = 1', 3, "stroe"),
        ('kme_id = "kme-a"', "", 1, "kme_id"),
        ('peer_url = "https', 'peer_url = "http', 13, "link[0].peer_url"),
        ('peer_kme = "kme-b"', 'peer_kme = "kme-a"', 12, "link[0].peer_kme"),
        ('kme = "kme-a"\n\n[[mod', 'kme = "kme-z"\n\n[[mod', 17, "sae[0].kme"),
        ('link = "corridor"', 'link = "other"', 21, "module[0].link"),
        ("[[module]]", '[[sae]]\nid = "sae-a"\nkme = "kme-b"\n\n[[module]]', 19, "sae[1]"),
        ("[tls]", "[keys]\nkey_size = 9\n[tls]", 6, "keys.key_size"),
        ("[tls]", "[keys]\nkey_size = 8192\n[tls]", 6, "keys.key_size"),
        ("[tls]", "[keys]\nwait_for_slave_s = 86401\n[tls]", 5, "keys.retention_s"),
        ("[tls]", "[keys]\nretention_s = 3599\n[tls]", 6, "keys.retention_s"),
    ],
)
def test_each_fault_is_told_with_its_line(tmp_path: Path, change: str, into: str, line: int, field: str) -> None:
    """Unknown and missing keys, bad values, and references to nothing each give one problem at its place."""
    assert change in GOOD
    assert judged(tmp_path, GOOD.replace(change, into)) == [(line, field)]


def test_what_ends_is_remembered_at_least_as_long_as_it_may_wait(tmp_path: Path) -> None:
    """The fault names both times; as long as each other they may be."""
    file, times = tmp_path / "kme.toml", "[keys]\nwait_for_slave_s = 600\nretention_s = {}\n[tls]"
    file.write_text(GOOD.replace("[tls]", times.format(600)))
    assert load_config(file).keys.retention_s == 600
    file.write_text(GOOD.replace("[tls]", times.format(599)))
    with pytest.raises(InvalidInput) as caught:
        load_config(file)
    (problem,) = caught.value.problems
    assert problem.field == "keys.retention_s"
    assert "wait_for_slave_s" in problem.message


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    """Two faults give two problems; text that is no TOML and a file that is not there are told too."""
    bad = GOOD.replace("corridor", "CORRIDOR").replace('id = "sae-a"', "id = 1")
    assert [field for _, field in judged(tmp_path, bad)] == ["link[0].id", "sae[0].id", "module[0].link"]
    assert judged(tmp_path, "= 1") == [(1, "")]
    with pytest.raises(MissingInput):
        load_config(tmp_path / "absent")


@pytest.mark.system
def test_the_command_tells_what_is_wrong_and_exits_2(tmp_path: Path) -> None:
    """`python -m keystrand.edge.kme` on a bad file prints place and hint on stderr, nothing on stdout, exit code 2."""
    file = tmp_path / "kme.toml"
    file.write_text(GOOD.replace("store =", "stor ="))
    ran = subprocess.run(
        [sys.executable, "-m", "keystrand.edge.kme", "--config", str(file)], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert f"{file}:2: stor: unknown key" in ran.stderr
    assert "Traceback" not in ran.stderr
