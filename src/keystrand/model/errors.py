"""One tree of errors. Each class owns a stable id, a hint (the next step), an exit code and an HTTP status."""

from typing import ClassVar

from msgspec import Struct


class Problem(Struct, frozen=True, kw_only=True):
    """One thing wrong with an input: what, where, and what to do."""

    message: str
    hint: str = ""
    file: str = ""
    line: int = 0
    field: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        subject = f"{self.field}: " if self.field else ""
        return f"{place}: {subject}{self.message}" if place else f"{subject}{self.message}"


class KeystrandError(Exception):
    """Something failed; the message says what."""

    id: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str = "", problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint
        self.problems = problems


class InvalidInput(KeystrandError):
    """A file, field or option is not what it must be. Carries every problem found, not the first one."""

    id = "invalid-input"
    exit_code = 2
    http_status = 400
    default_hint = "correct the places named above and run the command again; nothing was written"


class MissingInput(InvalidInput):
    """A file or folder the command needs is not there."""

    id = "missing-input"
    http_status = 404


class DocumentMismatch(InvalidInput):
    """Documents that do not belong together: one was not made from the other."""

    id = "document-mismatch"
    http_status = 409
    default_hint = "run the earlier stage again, or give the document that this one was made from"


class UnsupportedFormat(InvalidInput):
    """A document of a major format version this release does not read."""

    id = "unsupported-format"
    default_hint = "use the release of keystrand that wrote the document, or make the document again"


class StoreFailure(KeystrandError):
    """A file or database could not be written; the earlier content is untouched."""

    id = "store-failure"
    http_status = 503
    default_hint = "check free space and permissions of the folder named above"


class GateTripped(KeystrandError):
    """A threshold given with --fail-on was reached."""

    id = "gate-tripped"
    exit_code = 10


class PolicyDenied(KeystrandError):
    """A policy, or the identity in the caller's certificate, does not allow it."""

    id = "denied"
    exit_code = 12
    http_status = 401


class OutsideScope(PolicyDenied):
    """A target is not among what the estate allows to be contacted. Nothing was contacted."""

    id = "outside-scope"
    default_hint = "add the address to `allow` under [scan], once the people responsible for it have agreed"


class NoKeyAvailable(KeystrandError):
    """The key management entity has no key to give; never an old or made-up one instead."""

    id = "no-key"
    exit_code = 13
    http_status = 503
    default_hint = "check the quantum link and the stock of keys (014 status), or use the fallback your policy names"


class PeerUnavailable(KeystrandError):
    """A server could not be reached, or its identity could not be verified."""

    id = "peer-unavailable"
    http_status = 503
    default_hint = "check address, port, and that both certificates come from the same certification authority"
