"""Controls as data: every record says what it does not cover, and each approach has one."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from keystrand.cli.main import run
from keystrand.edge.catalogue import controls
from keystrand.model.errors import InvalidInput
from keystrand.model.stages import Approach

HOUSE = "\n".join(
    f'{name} = "{text}"'
    for name, text in {
        "id": "house", "name": "House rule", "covers": "a", "confidentiality": "b", "integrity": "c",
        "availability": "d", "recoverability": "e", "endpoint": "f", "insider": "g", "malware": "h",
        "misconfiguration": "i",
    }.items()
)  # fmt: skip


def test_each_approach_has_one_control() -> None:
    """The report describes the control of whatever the plan chose."""
    assert sorted(c.approach for c in controls() if c.approach) == sorted(Approach)


def test_no_control_covers_a_broken_end_point() -> None:
    """Whoever reads one record alone learns it there: the data can be taken before it is encrypted."""
    for control in controls():
        assert not control.endpoint.startswith("Covered"), control.id
        assert not control.malware.startswith("Covered"), control.id


@pytest.mark.parametrize("missing", ["endpoint", "insider", "malware", "misconfiguration", "recoverability"])
def test_a_record_that_leaves_out_what_it_does_not_cover_is_refused(tmp_path: Path, missing: str) -> None:
    """The gaps are part of the entry, not a remark."""
    lines = [line for line in HOUSE.splitlines() if not line.startswith(missing)]
    (tmp_path / "house.toml").write_text("\n".join(lines))
    with pytest.raises(InvalidInput) as caught:
        controls(tmp_path)
    assert missing in str(caught.value.problems)


def test_the_command_shows_shipped_and_own_controls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All of them, or one by name; a wrong name is answered with the near one."""
    (tmp_path / "controls").mkdir()
    (tmp_path / "controls" / "house.toml").write_text(HOUSE)
    assert run(["assess", "controls", "house", "--estate", str(tmp_path), "-o", "json"]) == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert [row["what_it_does"] for row in rows] == list("abcdefghi")
    assert run(["assess", "controls", "--estate", str(tmp_path), "-o", "jsonl"]) == 0
    named = {json.loads(line)["control"] for line in capsys.readouterr().out.splitlines()}
    assert named == {c.id for c in controls()} | {"house"}
    shutil.rmtree(tmp_path / "controls")
    assert run(["assess", "controls", "hous", "--estate", str(tmp_path)]) == 2
    assert run(["assess", "controls", "hybird"]) == 2
    assert "did you mean 'hybrid'?" in capsys.readouterr().err
