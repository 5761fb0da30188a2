"""ETSI GS QKD 014 V1.1.1 (2019-02) on the wire: the five bodies of clause 6, the URLs and queries of clause 5.

Pure and strict: what a KME receives is refused with `InvalidInput` and the place of the fault, whether the text of the
standard names the fault or is silent (duplicate members, unknown members, booleans for integers, trailing bytes, null).
What a client receives may hold members we do not know. What type holds key material is the caller's choice: `Key` and
`KeyContainer` are generic in it, and whoever chooses gives the two functions that turn it into base64 and back.
"""

import binascii
import re
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from keystrand.formats.etsi014_unique import demand_unique
from keystrand.model.errors import InvalidInput, Problem

T = TypeVar("T")
K = TypeVar("K")

# Clause 6 fixes these sentences as the `message` of a 400.
SIZE_NOT_A_MULTIPLE = "size shall be a multiple of 8"
MANDATORY_UNSUPPORTED = "not all extension_mandatory parameters are supported"
MANDATORY_UNMET = "not all extension_mandatory request options could be met"
KEYS_NOT_FOUND = "one or more keys specified are not found on KME"
BAD_REQUEST = "bad request format"
"""Our message where clause 6 fixes none; `details` says what is wrong."""

Extension = dict[str, Any]
_UUID_PATTERN = r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\Z"
KeyId = Annotated[str, Meta(pattern=_UUID_PATTERN, description="A UUID.")]
Bits = Annotated[int, Meta(description="In bits.")]


class Method(StrEnum):
    """The three methods by the last part of their URL (clause 5.1)."""

    STATUS = "status"
    ENC_KEYS = "enc_keys"
    DEC_KEYS = "dec_keys"


class Call(Struct, frozen=True, kw_only=True):
    """A 014 URL taken apart: `sae_id` is percent-decoded once, `query` is as sent (without the question mark)."""

    method: Method
    sae_id: str
    query: str


class Status(Struct, frozen=True, kw_only=True):
    """Table 9: what the calling SAE can have of the KME for one slave."""

    source_kme_id: Annotated[str, Meta(description="The KME that answers.")] = field(name="source_KME_ID")
    target_kme_id: Annotated[str, Meta(description="The KME of the slave SAE.")] = field(name="target_KME_ID")
    master_sae_id: Annotated[str, Meta(description="The calling SAE.")] = field(name="master_SAE_ID")
    slave_sae_id: Annotated[str, Meta(description="The SAE named in the URL.")] = field(name="slave_SAE_ID")
    key_size: Annotated[Bits, Meta(description="The size of a key where none is asked for, in bits.")]
    stored_key_count: Annotated[int, Meta(description="How many keys of that size can be had now.")]
    max_key_count: Annotated[int, Meta(description="What stored_key_count is at the most.")]
    max_key_per_request: Annotated[int, Meta(description="How many keys one request can get or fetch.")]
    max_key_size: Bits
    min_key_size: Bits
    max_sae_id_count: Annotated[int, Meta(description="How many additional slaves a request may name; 0: none.")] = (
        field(name="max_SAE_ID_count")
    )
    status_extension: Extension | UnsetType = UNSET


class KeyRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Table 10: what the keys of a Get key must be like; everything may be left out."""

    number: Annotated[int, Meta(description="How many keys.", extra_json_schema={"minimum": 1})] = 1
    size: (
        Annotated[
            int, Meta(description="In bits; left out: the key_size of the status.", extra_json_schema={"minimum": 8})
        ]
        | UnsetType
    ) = UNSET
    additional_slave_sae_ids: Annotated[
        tuple[str, ...], Meta(description="SAEs that can fetch the same keys, beside the one of the URL.")
    ] = field(name="additional_slave_SAE_IDs", default=())
    extension_mandatory: Annotated[
        tuple[Extension, ...], Meta(description="Name/value pairs that the KME meets, or it refuses the request.")
    ] = ()
    extension_optional: Annotated[
        tuple[Extension, ...], Meta(description="Name/value pairs that the KME may pass over.")
    ] = ()


class Key(Struct, Generic[K], frozen=True, kw_only=True):
    """One key of Table 11. On the wire the key is base64 of RFC 4648 with padding."""

    key_id: KeyId = field(name="key_ID")
    key_id_extension: Extension | UnsetType = field(name="key_ID_extension", default=UNSET)
    key: K
    key_extension: Extension | UnsetType = UNSET


class KeyContainer(Struct, Generic[K], frozen=True, kw_only=True):
    """Table 11: what Get key and Get key with key IDs answer."""

    keys: tuple[Key[K], ...]
    key_container_extension: Extension | UnsetType = UNSET


class KeyIdEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key ID of Table 12."""

    # its form is looked at by `parse_key_ids`, which is faster than a pattern here
    key_id: Annotated[str, Meta(description="A UUID.", extra_json_schema={"pattern": _UUID_PATTERN})] = field(
        name="key_ID"
    )
    key_id_extension: Extension | UnsetType = field(name="key_ID_extension", default=UNSET)


class KeyIds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Table 12: the key IDs of a Get key with key IDs."""

    entries: Annotated[tuple[KeyIdEntry, ...], Meta(min_length=1)] = field(name="key_IDs")
    extension: Extension | UnsetType = field(name="key_IDs_extension", default=UNSET)


class Error(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Table 13: every answer but 200 carries it."""

    message: str
    details: tuple[Extension, ...] = ()


def bad_request(fault: str, where: str, message: str = BAD_REQUEST) -> InvalidInput:
    """Return the 400: `message` on top, `fault` at `where` in its details."""
    return InvalidInput(message, problems=(Problem(message=fault, field=where),))


def error_of(error: InvalidInput) -> Error:
    """Return the Error body of a 400: each problem, and the next step where there is one of its own."""
    problems = tuple({p.field or "request": p.message} for p in error.problems)
    hint = ({"hint": error.hint},) if error.hint != error.default_hint else ()
    return Error(message=error.message, details=(*problems, *hint))


# JSON bodies


def base64_of(content: bytes | memoryview) -> str:
    """Return `content` in base64 with padding (RFC 4648, clause 4)."""
    return binascii.b2a_base64(content, newline=False).decode()


def octets_of(text: Any) -> bytes:
    """Return the bytes that `text` stands for. Raises `TypeError` or `ValueError`, which never show it."""
    if not isinstance(text, str):
        raise TypeError("expected base64 in a string")
    try:
        content = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64 with padding (RFC 4648, clause 4)") from None
    # bits beyond the last octet must be zero, or two texts would mean the same key
    if base64_of(content) != text:
        raise ValueError("not base64 in its one canonical form")
    return content


def encode(body: Struct, write_key: Callable[[Any], str] | None = None) -> bytes:
    """Return the JSON of one of the bodies; `write_key` gives the base64 of the caller's type of key material."""
    return msgspec.json.encode(body, enc_hook=write_key)


def decode(body: bytes, kind: type[T], read_key: Callable[[type[Any], Any], Any] | None = None) -> T:
    """Return `body` as a `kind`; `read_key` makes the caller's type of key material from base64.

    Raises `InvalidInput`: not UTF-8, not RFC 8259, duplicate members, wrong members.
    """
    try:
        made = msgspec.json.decode(body, type=kind, dec_hook=read_key)
        demand_unique(body, made)
    except RecursionError:
        raise bad_request("nested too deeply", "body") from None
    except msgspec.ValidationError as error:
        fault, _, path = str(error).partition(" - at `$")
        raise bad_request(fault, path.strip(".`") or "body") from None
    except ValueError as error:
        # the messages of both decoders name places, never content; UnicodeDecodeError would show bytes
        fault = "not UTF-8" if isinstance(error, UnicodeError) else str(error)
        raise bad_request(fault, "body") from None
    return made


def parse_key_request(body: bytes) -> KeyRequest:
    """Return the POST body of Get key; an empty one means all defaults."""
    return decode(body or b"{}", KeyRequest)


def parse_key_ids(body: bytes) -> tuple[str, ...]:
    """Return the key IDs of a Get key with key IDs, in order and in lower case. Raises `InvalidInput` on repetition."""
    listed = [entry.key_id for entry in decode(body, KeyIds).entries]
    for place, key_id in enumerate(listed):
        if not _UUID.match(key_id):
            raise bad_request("expected a UUID", f"key_IDs[{place}].key_ID")
    lowered = tuple(key_id.lower() for key_id in listed)
    if len(set(lowered)) != len(lowered):
        raise bad_request("a key_ID appears twice", "key_IDs")
    return lowered


# Key containers without a value for each key: what leaves the most often, and the longest


def rendered_keys(key_ids: Sequence[str], keys: Iterable[memoryview], extension: bytes = b"") -> str:
    """Return the entries of a key container, in order, as text.

    `extension` is the JSON of a `key_extension` that all of them carry, empty for none. Nothing is escaped: `key_ids`
    are UUIDs.
    """
    encoded, end = binascii.b2a_base64, f'","key_extension":{extension.decode()}}}' if extension else '"}'
    pairs = zip(key_ids, keys, strict=True)
    return ",".join([f'{{"key_ID":"{i}","key":"{encoded(key, newline=False).decode()}{end}' for i, key in pairs])


def container_of(*parts: str) -> bytes:
    """Return the key container that holds the `parts`, each by `rendered_keys` and none empty, in order."""
    return f'{{"keys":[{",".join(parts)}]}}'.encode()


def render_keys(key_ids: Sequence[str], keys: Iterable[memoryview], extension: bytes = b"") -> bytes:
    """Return the key container of `keys` under `key_ids`; see `rendered_keys`."""
    return container_of(rendered_keys(key_ids, keys, extension))


# URLs and queries

_TARGET = re.compile(rb"/api/v1/keys/([!-.0->@-~]+)/(status|enc_keys|dec_keys)(?:\?([!-~]*))?\Z")
_ONE_KEY_ID = re.compile(r"key_ID=([0-9A-Fa-f-]{36})\Z")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_DECIMAL = re.compile(r"-?[0-9]{1,10}\Z", re.ASCII)
_UUID = re.compile(_UUID_PATTERN)
_METHODS = {method.encode(): method for method in Method}


def percent_decode(text: str) -> str:
    """Return `text` with its escapes decoded once, as UTF-8 (RFC 3986, 2.1). Raises `InvalidInput` on a bad escape."""
    if "%" not in text:
        return text
    if _BAD_ESCAPE.search(text):
        raise bad_request("a percent sign without two hexadecimal digits", "URL")
    octets = _ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode()), text.encode())
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise bad_request("percent escapes that are not UTF-8", "URL") from None


def parse_target(target: bytes) -> Call | None:
    """Return the call that a request target names, None where it is no 014 URL.

    Raises `InvalidInput` on octets or escapes that no URL holds. The path is split before escapes are decoded, so an
    SAE ID may contain a slash.
    """
    found = _TARGET.match(target)
    if not found:
        if not re.fullmatch(rb"[!-~]+", target):
            raise bad_request("octets that no URL holds", "URL")
        return None
    sae_id, method, query = found.groups(b"")
    return Call(method=_METHODS[method], sae_id=percent_decode(sae_id.decode()), query=query.decode())


def _fields(query: str, known: frozenset[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for piece in query.split("&") if query else ():
        name, _, value = piece.partition("=")
        name, value = percent_decode(name), percent_decode(value)
        if name not in known:
            raise bad_request(f"known here: {', '.join(sorted(known))}; for anything else use POST", "query")
        if name in found:
            raise bad_request("given twice", name)
        found[name] = value
    return found


def _whole_number(name: str, text: str) -> int:
    if not _DECIMAL.match(text):
        raise bad_request("not a whole number in decimal digits", name)
    return int(text)


def parse_key_request_query(query: str) -> KeyRequest:
    """Return the GET form of Get key: nothing, or `number` and `size` (clause 5.3)."""
    numbers = {name: _whole_number(name, text) for name, text in _fields(query, frozenset({"number", "size"})).items()}
    return KeyRequest(number=numbers.get("number", 1), size=numbers.get("size", UNSET))


def parse_key_ids_query(query: str) -> tuple[str, ...]:
    """Return the one key ID of the GET form of Get key with key IDs (clause 5.4), in lower case."""
    plain = _ONE_KEY_ID.match(query)
    key_id = plain[1] if plain else _fields(query, frozenset({"key_ID"})).get("key_ID", "")
    if not _UUID.match(key_id):
        raise bad_request("exactly one UUID is needed; for several use POST", "key_ID")
    return (key_id.lower(),)
