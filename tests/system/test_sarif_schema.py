"""Our SARIF against the schema of SARIF 2.1.0 as its authors publish it, which a package of theirs brings along."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema_rs import Validator, validator_for
from tests.edge.probes.bed.programs import of_npm
from tests.formats.test_sarif_out import RECORDS

from keystrand.formats.sarif import sarif_log
from keystrand.model.observation import Record

pytestmark = pytest.mark.system
_PACKAGE, _VERSION = "@microsoft/jest-sarif", "1.0.0-beta.0"
_PATTERN, _MENDED = '-[a-zA-Z]{2}]?$"', r'-[a-zA-Z]{2}\\]?$"'
"""A lone bracket, which not every engine of regular expressions takes for itself."""


@pytest.fixture(scope="module")
def schema() -> Validator:
    """Return the schema; it is fetched from the npm registry once."""
    file = of_npm(_PACKAGE, _VERSION, "lib/schemas/sarif-2.1.0-rtm.5.json", folder=f"jest-sarif-{_VERSION}")
    if file is None:
        pytest.skip(f"no {_PACKAGE}, which has the schema of SARIF: the npm registry is not reached")
    text = file.read_text("utf-8")
    assert _PATTERN in text
    return validator_for(json.loads(text.replace(_PATTERN, _MENDED)), validate_formats=True)


def _written(records: list[Record], line: Callable[[str, int], str] = lambda _path, _number: "x = 1") -> Any:
    return json.loads(json.dumps(sarif_log(records, line, version="1.0.0")))


@pytest.mark.parametrize("records", [RECORDS, []], ids=["findings", "nothing"])
def test_our_log_is_valid(schema: Validator, records: list[Record]) -> None:
    """Findings of every level, a file that was not understood, and a run that found nothing."""
    assert [error.message for error in schema.iter_errors(_written(records))] == []


def test_the_schema_refuses_what_is_wrong(schema: Validator) -> None:
    """Else the test above would say nothing."""
    log = _written(RECORDS)
    log["runs"][0]["results"][0]["level"] = "loud"
    assert not schema.is_valid(log)
