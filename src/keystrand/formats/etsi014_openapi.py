"""An OpenAPI 3.1 description of ETSI GS QKD 014 V1.1.1 as this KME serves it, in our own words, made from our types."""

from typing import Any

import msgspec

from keystrand.formats.etsi014 import Error, KeyContainer, KeyIds, KeyRequest, Method, Status
from keystrand.formats.etsi014_extensions import Demands, Provenance

Json = dict[str, Any]

_BODIES = (Status, KeyRequest, KeyContainer[bytes], KeyIds, Error, Demands, Provenance)
_OPEN = {"Provenance"}
"""To what stands in these, other members may be added."""
_ABOUT = (
    "How a secure application (SAE) gets keys from the key management entity (KME) of its site. The caller is who its "
    "TLS certificate says; nothing in a request names it. Keys leave a KME once: what is refused is refused whole and "
    "consumes nothing. Beyond the standard's 400, 401 and 503 only HTTP itself is refused: 404 for other URLs, 405 for "
    "other verbs, 413, 415 and 431 for bodies and heads that are not read."
)
_REFUSALS = {
    400: "The request is not of the right form, or asks for what this KME never gives. `details` say where.",
    401: "The caller may not ask this, or not about this SAE; who else exists is not told.",
    503: "The KME cannot do it now: too few keys, or a fault on its side. Nothing was consumed.",
    413: "The body is longer than 64 KiB.",
    415: "The body is not declared as application/json.",
    431: "The head of the request is too long.",
}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/{name}"}


def _content(schema: str) -> Json:
    return {"application/json": {"schema": _ref(f"schemas/{schema}")}}


def _never_stored() -> Json:
    return {"Cache-Control": {"description": "Always `no-store`.", "schema": {"const": "no-store"}}}


def _refusal(status: int) -> Json:
    headers = _never_stored()
    if status == 503:
        wait = "After how many seconds another try makes sense."
        headers["Retry-After"] = {"description": wait, "schema": {"type": "integer", "minimum": 1}}
    return {"description": _REFUSALS[status], "headers": headers, "content": _content("Error")}


def _operation(name: str, summary: str, answer: str, **more: Any) -> Json:
    statuses = (400, 401, 503, 431) + ((413, 415) if "requestBody" in more else ())
    ok = {"description": summary, "headers": _never_stored(), "content": _content(answer)}
    refused = {str(status): _ref(f"responses/{status}") for status in sorted(statuses)}
    return {"operationId": name, "summary": summary, **more, "responses": {"200": ok, **refused}}


def _query(name: str, schema: Json, about: str, *, required: bool = False) -> Json:
    return {"name": name, "in": "query", "required": required, "description": about, "schema": schema}


def _sae(name: str, about: str) -> Json:
    note = f"SAE ID of the {about}, URL-encoded; it is decoded once."
    return {"name": name, "in": "path", "required": True, "description": note,
            "schema": {"type": "string", "minLength": 1}}  # fmt: skip


def _body(schema: str, *, required: bool) -> Json:
    return {"required": required, "content": _content(schema)}


def _paths() -> Json:
    slave, master = _sae("slave_SAE_ID", "slave"), _sae("master_SAE_ID", "master")
    number = _query("number", {"type": "integer", "minimum": 1, "default": 1}, "How many keys.")
    size = _query("size", {"type": "integer", "minimum": 8}, "Bits of each key; left out: `key_size` of the status.")
    key_id = _query("key_ID", {"type": "string", "format": "uuid"}, "The one key ID.", required=True)
    status = _operation("getStatus", "What the calling SAE can have for this slave.", "Status")
    get_key = _operation(
        "getKeySimple", "Fresh keys for caller and slave.", "KeyContainer", parameters=[number, size]
    )  # fmt: skip
    post_key = _operation(
        "getKey", "Fresh keys for the caller and one slave or several.", "KeyContainer",
        requestBody=_body("KeyRequest", required=False),
    )  # fmt: skip
    get_ids = _operation("getKeyWithKeyIdSimple", "The key of one key ID.", "KeyContainer", parameters=[key_id])
    post_ids = _operation(
        "getKeyWithKeyIds", "The keys of these key IDs, in their order, all or none.", "KeyContainer",
        requestBody=_body("KeyIds", required=True),
    )  # fmt: skip
    return {
        f"/api/v1/keys/{{slave_SAE_ID}}/{Method.STATUS}": {"parameters": [slave], "get": status},
        f"/api/v1/keys/{{slave_SAE_ID}}/{Method.ENC_KEYS}": {"parameters": [slave], "get": get_key, "post": post_key},
        f"/api/v1/keys/{{master_SAE_ID}}/{Method.DEC_KEYS}": {"parameters": [master], "get": get_ids, "post": post_ids},
    }


def _schemas() -> Json:
    """Return the schemas of the bodies and of their parts by the names of our types."""
    _, made = msgspec.json.schema_components(_BODIES, ref_template="#/components/schemas/{name}")
    text = msgspec.json.encode(made).decode()
    # a generic type's name has its parameter in it; `\\Z` is Python's, and `$` means the same in ECMA-262
    schemas: Json = msgspec.json.decode(text.replace("_bytes_", "").replace(r"\\Z", "$"))
    for name, schema in schemas.items():
        del schema["title"]
        schema["description"] = " ".join(schema["description"].split())
        if "properties" in schema and name not in _OPEN:
            schema["additionalProperties"] = False
    schemas["KeyRequest"]["properties"]["extension_mandatory"]["items"] = _ref("schemas/Demands")
    schemas["Key"]["properties"]["key_extension"] = _ref("schemas/Provenance")
    return {name: schemas[name] for name in sorted(schemas)}


def document() -> Json:
    """Return the description as builtins."""
    certificate = "The SAE's certificate, over TLS 1.3. A connection without one is not made."
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Key delivery after ETSI GS QKD 014 V1.1.1", "version": "1.1.1", "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "https://{KME}", "variables": {"KME": {"default": "localhost:8020"}}}],
        "security": [{"certificate": []}],
        "paths": _paths(),
        "components": {
            "schemas": _schemas(),
            "responses": {str(status): _refusal(status) for status in sorted(_REFUSALS)},
            "securitySchemes": {"certificate": {"type": "mutualTLS", "description": certificate}},
        },
    }  # fmt: skip


def document_text() -> str:
    """Return the description as it stands in docs/reference/etsi-014.openapi.json."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=2).decode() + "\n"
