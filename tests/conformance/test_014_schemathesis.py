"""Generated requests, right and wrong ones, against our OpenAPI of ETSI GS QKD 014 and the real KMEs over mutual TLS.

schemathesis asks by `requests`: another HTTP client and another TLS library than ours, with a classical key exchange.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from keystrand.edge.pki import Kind
from keystrand.formats.etsi014_openapi import document

pytestmark = pytest.mark.system

Network = Any
"""The class of that name in conftest.py."""
NETWORK = {"require_post_quantum": False}
OPERATIONS = ("getStatus", "getKeySimple", "getKey", "getKeyWithKeyIdSimple", "getKeyWithKeyIds")
CHECKS = [status_code_conformance, content_type_conformance, response_headers_conformance, response_schema_conformance,
          unsupported_method, allow_header_conformance]  # fmt: skip
ENC_KEYS = "/api/v1/keys/{slave_SAE_ID}/enc_keys"
KNOWN, UNKNOWN = "sae-c", "nobody"
CASES = 30
"""Of each kind for each operation: three hundred together."""


@pytest.fixture(scope="module")
def session(network: Network) -> Iterator[requests.Session]:
    """Return a session of the first SAE at its KME, which has keys for the third one."""
    network.fill(0, 2, 200 * 256)
    files = network.credentials(Kind.SAE, network.a)
    with requests.Session() as made:
        made.verify, made.cert = str(files.ca), (str(files.certificate), str(files.key))
        made.trust_env = False
        yield made


def described() -> dict[str, Any]:
    """Return our description with values of which some mean something: text at random is never an SAE.

    A number at random is hardly ever one that this KME gives.
    """
    made = document()
    asked = made["components"]["schemas"]["KeyRequest"]["properties"]
    simple = {one["name"]: one["schema"] for one in made["paths"][ENC_KEYS]["get"]["parameters"]}
    for properties in (asked, simple):
        properties["number"]["maximum"] = 3
        properties["size"] = {"enum": [64, 256, 264, 4096, 257, 8192]}
    for path in made["paths"].values():
        path["parameters"][0]["schema"] = {"enum": [KNOWN, UNKNOWN, "..", "%2e"]}
    return made


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("name", OPERATIONS)
def test_answers_are_as_described(
    network: Network, session: requests.Session, name: str, mode: GenerationMode
) -> None:  # fmt: skip
    """Whatever is asked: no status that is not described, and head and body are as the description says."""
    operation = schemathesis.openapi.from_dict(described()).find_operation_by_id(name)
    seen: set[int] = set()

    @settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        response = case.call(
            base_url=f"https://127.0.0.1:{network.port(0)}", session=session, timeout=20, verify=session.verify
        )
        seen.add(response.status_code)
        case.validate_response(response, checks=CHECKS)
        # 503 is described: what it must not be is a failure of ours
        assert response.status_code != 503 or b"not enough keys" in response.content

    ask()
    assert seen <= {200, 400, 401, 404, 405, 413, 415, 503}


def test_the_network_still_serves(network: Network, session: requests.Session) -> None:
    """After all that, an ordinary request is answered."""
    network.fill(0, 2, 4096)
    answer = session.get(f"https://127.0.0.1:{network.port(0)}/api/v1/keys/{KNOWN}/enc_keys", timeout=20)
    assert (answer.status_code, len(answer.json()["keys"])) == (200, 1)


def test_what_is_described_is_what_is_served() -> None:
    """The description has the three methods of 014 with their verbs, and nothing else."""
    paths = document()["paths"]
    served = {(path.rpartition("/")[2], verb) for path, ways in paths.items() for verb in ways if verb != "parameters"}
    assert served == {("status", "get"), *((m, v) for m in ("enc_keys", "dec_keys") for v in ("get", "post"))}
