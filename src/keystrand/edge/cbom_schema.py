"""CycloneDX documents against the official schemas, which come with the installed package `cyclonedx-python-lib`."""

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from keystrand.model.errors import InvalidInput, MissingInput, Problem
from keystrand.model.words import shown

if TYPE_CHECKING:
    from jsonschema_rs import Validator

VERSIONS = ("1.4", "1.5", "1.6", "1.7")
"""The versions whose JSON schemas the package has and we check."""
MAX_PROBLEMS = 50
_MISSING = "pip install 'keystrand[cbom]', which brings jsonschema-rs and cyclonedx-python-lib"


def _resource(uri: str) -> Any:
    """Return what a schema refers to: all of it lies in one folder of the package, under the last part of its name."""
    return json.loads(files("cyclonedx.schema._res").joinpath(uri.rpartition("/")[2]).read_text("utf-8"))


@cache
def official_schema(version: str) -> "Validator":
    """Return the official schema of a CycloneDX version; `MissingInput` where the packages are not installed."""
    try:
        from jsonschema_rs import validator_for  # noqa: PLC0415  # an extra that may be absent

        schema = _resource(f"bom-{version}.SNAPSHOT.schema.json")
    except (ImportError, OSError) as error:
        raise MissingInput("the official CycloneDX schemas are not installed", hint=_MISSING) from error
    return validator_for(schema, retriever=_resource, validate_formats=True)


@contextmanager
def _no_collector() -> Iterator[None]:
    """Keep the cycle collector still while there is a document of millions of values: it would walk it, for nothing."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@_no_collector()  # until the document is gone with the frame
def faults(content: bytes, *, file: str = "") -> tuple[Problem, ...]:
    """Return what the official schema of its own version says against a CycloneDX document, at most `MAX_PROBLEMS`.

    Raises `InvalidInput` where it is not JSON, or says no version that there is a schema for.
    """
    try:
        document = msgspec.json.decode(content)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidInput(f"{file or 'input'} is not JSON: {error}") from error
    version = document.get("specVersion") if isinstance(document, dict) else None
    if version not in VERSIONS:
        raise InvalidInput(
            f"{file or 'input'} is not a CycloneDX document of a version that can be checked",
            hint=f"specVersion must be one of {', '.join(VERSIONS)}; older forms can be imported, not checked",
        )
    return tuple(islice(_problems(document, official_schema(str(version)), file), MAX_PROBLEMS))


def _problems(document: Any, schema: "Validator", file: str) -> Iterator[Problem]:
    if not schema.is_valid(document):
        for error in schema.iter_errors(document):
            where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.instance_path)
            yield Problem(message=shown(error.message), file=file, field=f"${where}")
