"""Our OpenAPI of ETSI GS QKD 014: it is one, it is current, and bodies as we write them follow it."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from schemathesis.specs.openapi import definitions

from keystrand.formats import etsi014
from keystrand.formats.etsi014 import Error, KeyIdEntry, KeyIds, KeyRequest, Status
from keystrand.formats.etsi014_extensions import Demands, Provenance, extension_of
from keystrand.formats.etsi014_openapi import document, document_text
from keystrand.model.key import RouteType, SourceKind, Strength

FILE = Path(__file__).parents[2] / "docs" / "reference" / "etsi-014.openapi.json"
UUID = "bc490419-7d60-487f-adc1-4ddcc177c139"
PROVENANCE = Provenance(
    label=Strength.SIMULATED, sources=(SourceKind.QKD,), hops=("a", "b"), route_type=RouteType.DIRECT, age_s=1,
    qber_max=0.01, profile="qkd",
)  # fmt: skip
STATUS = Status(
    source_kme_id="a", target_kme_id="b", master_sae_id="m", slave_sae_id="s", key_size=256, stored_key_count=1,
    max_key_count=2, max_key_per_request=3, max_key_size=4096, min_key_size=64, max_sae_id_count=0,
)  # fmt: skip
DEMANDS = {"keystrand_max_age_s": 30, "keystrand_label": "simulated", "keystrand_route_type": "direct"}
BODIES: list[tuple[str, bytes]] = [
    ("Status", etsi014.encode(STATUS)),
    ("KeyRequest", b"{}"),
    ("KeyRequest", etsi014.encode(KeyRequest(number=2, size=64, extension_mandatory=(DEMANDS, {})))),
    ("KeyContainer", etsi014.render_keys([UUID], [memoryview(b"\xfb\xff")], extension_of(PROVENANCE))),
    ("KeyContainer", etsi014.render_keys([UUID] * 3, [memoryview(b"k")] * 3)),
    ("KeyIds", etsi014.encode(KeyIds(entries=(KeyIdEntry(key_id=UUID),)))),
    ("Error", etsi014.encode(Error(message="no", details=({"number": "0"},)))),
    ("Demands", etsi014.encode(Demands(max_age_s=1, min_label=Strength.CLASSICAL))),
]


def follows(name: str, body: Any) -> bool:
    """Return whether `body` is valid by the schema of that name."""
    described = document()
    schema = {"$ref": f"#/components/schemas/{name}", "components": described["components"]}
    return jsonschema_rs.validator_for(schema).is_valid(body)


def test_the_page_is_current() -> None:
    """What the code says stands in docs/reference."""
    assert FILE.read_text() == document_text()
    assert json.loads(document_text()) == document()


def test_it_is_an_openapi_description() -> None:
    """It follows the schema of OpenAPI 3.1, and its references lead somewhere."""
    assert definitions.OPENAPI_31_VALIDATOR.is_valid(document())
    loaded = schemathesis.openapi.from_dict(document())
    assert len(list(loaded.get_all_operations())) == 5


@pytest.mark.parametrize(("name", "body"), BODIES)
def test_bodies_follow_it(name: str, body: bytes) -> None:
    """What we write is valid by the description, and with one more member it is not."""
    made = json.loads(body)
    assert follows(name, made)
    assert not follows(name, made | {"more": 1})


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("KeyRequest", {"number": "1"}), ("KeyRequest", {"number": 0}), ("KeyRequest", {"size": None}),
        ("KeyRequest", {"extension_mandatory": [{"abc_x": 1}]}), ("KeyRequest", {"extension_optional": [1]}),
        ("KeyIds", {}), ("KeyIds", {"key_IDs": []}), ("KeyIds", {"key_IDs": [{"key_ID": "x"}]}),
        ("KeyIds", {"key_IDs": [{"key_ID": UUID + "\n"}]}), ("Error", {}), ("Demands", {"keystrand_label": "strong"}),
    ],
)  # fmt: skip
def test_what_is_refused_does_not_follow_it(name: str, body: object) -> None:
    """The description says of bad input that it is bad."""
    assert not follows(name, body)
