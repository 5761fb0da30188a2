"""The signed exception of `fail-open`: what is written can be read, or is not written."""

from datetime import datetime
from pathlib import Path

import pytest

from keystrand.edge.agent.exception import Permission, sign_exception, signature_of
from keystrand.edge.store.audit_signer import open_signer
from keystrand.model.errors import InvalidInput

TOLD = Permission(consumer="tunnel", approved_by="Risk", reason="spare", expires=datetime(2026, 12, 1, 12))  # noqa: DTZ001  # UTC by its form


def test_words_that_a_line_cannot_hold_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    """A reason over two lines would be an exception that nobody can read."""
    file = tmp_path / "exception.toml"
    open_signer(tmp_path / "key.pem", make=True)
    two_lines = Permission(
        consumer=TOLD.consumer, approved_by=TOLD.approved_by, reason="one\ntwo", expires=TOLD.expires
    )
    with pytest.raises(InvalidInput):
        sign_exception(file, tmp_path / "key.pem", two_lines)
    assert not file.exists()
    assert not signature_of(file).exists()
