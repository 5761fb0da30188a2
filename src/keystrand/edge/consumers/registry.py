"""The kinds of consumers by name. Each is one module with a function `make`; none is loaded before it is needed."""

from importlib import import_module
from importlib.util import find_spec

from keystrand.edge.consumers.base import Consumer, Maker, Role, Settings
from keystrand.model.errors import InvalidInput, Problem

_ROOM = "keystrand.edge.consumers"
_MODULES = {
    "file": f"{_ROOM}.file_reload",
    "haproxy": f"{_ROOM}.haproxy",
    "macsec": f"{_ROOM}.macsec",
    "pkcs11": f"{_ROOM}.pkcs11",
    "strongswan": f"{_ROOM}.strongswan",
    "vault": f"{_ROOM}.vault",
    "wireguard": f"{_ROOM}.wireguard",
}
"""Where each kind is made. One that this release does not have is not offered."""


def kinds() -> tuple[str, ...]:
    """Return the kinds that can be made here."""
    return tuple(kind for kind, module in _MODULES.items() if find_spec(module))


def objection_to(kind: str) -> str:
    """Return why no consumer of `kind` can be made; empty where it can. Nothing of it is loaded."""
    try:
        found = find_spec(_MODULES.get(kind, kind)) if _is_named(kind) else None
    except (ImportError, ValueError):
        found = None
    if found:
        return ""
    return f"there is no kind of consumer {kind!r} here"


HINT = "known here: {}; or the dotted name of a Python module of your own that has `make`"


def make(kind: str, settings: Settings, role: Role) -> Consumer:
    """Return a consumer. Raises `InvalidInput` for an unknown kind, or with the field that its settings get wrong."""
    if why := objection_to(kind):
        raise InvalidInput(why, hint=HINT.format(", ".join(kinds()) or "none"))
    maker: Maker | None = getattr(import_module(_MODULES.get(kind, kind)), "make", None)
    if maker is None:
        problem = Problem(message="the module has no function `make`", field="kind")
        raise InvalidInput(f"{kind} is no kind of consumer", problems=(problem,))
    return maker(settings, role)


def _is_named(kind: str) -> bool:
    return kind in _MODULES or ("." in kind and all(part.isidentifier() for part in kind.split(".")))
