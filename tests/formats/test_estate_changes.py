"""Changes to an estate that somebody only thinks of."""

from datetime import date
from typing import Any

import pytest

from keystrand.formats.estate_changes import changed
from keystrand.model.errors import InvalidInput


def estate() -> dict[str, Any]:
    """Return two systems and a table, as TOML gives them."""
    return {"system": [{"id": "a", "engineers": 1}, {"id": "b"}], "planning": {"horizon_years": 10}}


def test_a_value_is_what_toml_makes_of_it() -> None:
    """Dates, numbers and lists are that; anything else is text; no value takes the field away."""
    made = changed(
        estate(),
        ("system.a.vendor_ready=2029-01-01", "system.b.depends_on=['a']", "system.b.place=web", "system.a.engineers="),
    )
    assert made["system"][0] == {"id": "a", "vendor_ready": date(2029, 1, 1)}
    assert made["system"][1] == {"id": "b", "depends_on": ["a"], "place": "web"}
    assert changed(estate(), ("planning.horizon_years=15",))["planning"]["horizon_years"] == 15


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("system.a.vendor_ready", "no change of an estate"),
        ("vendor_ready=1", "no change of an estate"),
        ("system.c.engineers=2", "no system.c"),
        ("system.engineers=2", "does not name one row"),
        ("sistem.a.engineers=2", "no sistem"),
    ],
)
def test_a_change_that_names_nothing_is_told_with_the_next_step(change: str, words: str) -> None:
    """What is wrong, and how to write it or what there is."""
    with pytest.raises(InvalidInput, match=words) as caught:
        changed(estate(), (change,))
    assert caught.value.hint
