"""`keystrand estate rules`: a register of hosts becomes rules of the estate."""

import shutil
from pathlib import Path

from tests.cli.conftest import Typed

from keystrand.app.estate import open_estate

BANK = Path(__file__).parents[2] / "examples" / "regional-bank"
REGISTER = """name,ip_address,application,owner
vault-1,10.30.0.7,Backup-Vault,storage team
ledger.bank.example,,core ledger,"core, team"
printer,10.9.9.9,printing,office
odd,not an address;,core-ledger,x
"""


def test_the_rules_of_a_register_are_sound_and_what_gave_none_is_told(tmp_path: Path, typed: Typed) -> None:
    """Systems are known by id or name; the printed text is taken by the estate as it is."""
    folder = tmp_path / "bank"
    shutil.copytree(BANK, folder, symlinks=False)
    register = tmp_path / "cmdb.csv"
    register.write_text(REGISTER)
    told = typed("estate", "rules", str(folder), str(register))
    assert told.code == 0
    estate = folder / "estate.toml"
    estate.write_text(estate.read_text() + "\n" + told.out)
    rules = {rule.address or rule.name: rule.system for rule in open_estate(folder).estate.rule}
    assert rules == {"10.30.0.7": "backup-vault", "ledger.bank.example": "core-ledger", "odd": "core-ledger"}
    assert "printer: the estate has no system called 'printing'" in told.err
    assert "3 rules; 1 host left out" in told.err


def test_a_file_that_is_no_register_is_refused(tmp_path: Path, typed: Typed) -> None:
    """Exit 2, and what was expected."""
    register = tmp_path / "x.csv"
    register.write_bytes(b"\x00\x01\x02")
    assert typed("estate", "rules", str(BANK), str(register)).code == 2
    assert typed("estate", "rules", str(BANK), str(tmp_path / "none.csv")).code == 2
