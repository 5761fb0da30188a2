"""CBOM files against the official schemas, and several of them compared; from real files."""

import builtins
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.formats.test_cyclonedx import RICH
from tests.formats.test_cyclonedx_read import algorithm, document

from keystrand.app.inventory_export import validated
from keystrand.app.inventory_reports import MAX_REPORT_OCTETS, compare, contradiction_rows, report_in
from keystrand.edge import cbom_schema
from keystrand.edge.cbom_schema import MAX_PROBLEMS, VERSIONS, faults, official_schema
from keystrand.formats.cyclonedx import head_of, write_cbom
from keystrand.formats.cyclonedx_algorithm import Spec
from keystrand.model.errors import InvalidInput, MissingInput

SMALL = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1}


@pytest.mark.parametrize("spec", Spec)
def test_an_export_is_valid(tmp_path: Path, spec: Spec) -> None:
    """An inventory written to a file has no fault by the official schema of its version."""
    file = tmp_path / "cbom.json"
    with file.open("wb") as stream:
        write_cbom(stream, head_of(RICH, "Example Bank"), RICH.assets, spec=spec)
    (row,) = validated(file)
    assert (row["version"], row["valid"]) == (spec.value, True)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_is_checked_by_its_own_schema(version: str) -> None:
    """The smallest document of each is valid, and one with a word that no version knows is not."""
    assert faults(json.dumps({**SMALL, "specVersion": version}).encode()) == ()
    assert faults(json.dumps({**SMALL, "specVersion": version, "colour": "red"}).encode())


def test_faults_have_their_place() -> None:
    """Each with the path in the document; of very many the first."""
    component = {"type": "cryptographic-asset", "name": "x", "cryptoProperties": {"assetType": "cipher"}}
    (fault,) = faults(json.dumps({**SMALL, "components": [component]}).encode(), file="cbom.json")
    assert (fault.file, fault.field) == ("cbom.json", "$.components[0].cryptoProperties.assetType")
    assert "cipher" in fault.message
    many = [{**component, "name": str(n)} for n in range(MAX_PROBLEMS + 5)]
    assert len(faults(json.dumps({**SMALL, "components": many}).encode())) == MAX_PROBLEMS


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b'{"specVersion": ["1.6"]}', b'{"specVersion": "0.9"}', b"[" * 200_000]
)
def test_what_cannot_be_checked_is_told(content: bytes) -> None:
    """Not JSON, no version, one without a schema, too deep."""
    with pytest.raises(InvalidInput):
        faults(content)


def test_without_the_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The official schemas come with a package; where it is absent the extra is named."""
    real = builtins.__import__

    def absent(name: str, globals_: Mapping[str, Any] | None = None, *more: Any) -> Any:
        if name.partition(".")[0] == "jsonschema_rs":
            raise ImportError(name)
        return real(name, globals_, *more)

    monkeypatch.setattr(builtins, "__import__", absent)
    official_schema.cache_clear()
    with pytest.raises(MissingInput) as caught:
        cbom_schema.faults(json.dumps(SMALL).encode())
    assert "keystrand[cbom]" in caught.value.hint
    monkeypatch.undo()
    official_schema.cache_clear()


def test_two_documents_are_compared(tmp_path: Path) -> None:
    """One row for each contradiction; a file of no known form, and one that is damaged, are refused by name."""
    one, other = tmp_path / "sonar.json", tmp_path / "lens.json"
    one.write_bytes(document(algorithm("AES256-GCM", "ae", line=7)))
    other.write_bytes(document(algorithm("AES", "ae", line=7)))
    rows = contradiction_rows(compare([one, other]))
    assert rows == [
        {
            "identity": "encryption at src/Encryption.java:7",
            "field": "algorithm",
            "said": [f"{other}: AES", f"{one}: AES-256-GCM"],
        }
    ]
    assert len(report_in(one).found) == 1
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(InvalidInput, match="notes"):
        report_in(tmp_path / "notes.txt")
    with (tmp_path / "large.json").open("wb") as large:
        large.truncate(MAX_REPORT_OCTETS + 1)
    with pytest.raises(InvalidInput, match="larger"):
        report_in(tmp_path / "large.json")
    other.write_bytes(other.read_bytes()[:-9])
    with pytest.raises(InvalidInput, match=r"lens\.json"):
        compare([one, other])
