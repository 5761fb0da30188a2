"""Audit events for other systems: sent aside, from a bounded spool, and never waited for.

The audit file alone is what delivery waits for; a sink that is slow, full or gone costs nothing but its own copy. What
does not fit into the spool is dropped, oldest first, counted, and said in the audit: the file has it all the same.
A batch that failed is sent again, so a receiver may see a record twice; its sequence number tells.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from keystrand.edge.telemetry.audit_transports import Transport, transport_to
from keystrand.model.errors import InvalidInput
from keystrand.operate import audit_render
from keystrand.operate.audit_render import Origin

_log = logging.getLogger(__name__)

_BATCH = 256
"""Records that are sent in one go."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 30.0
"""How long a sink that failed is left alone: twice as long each time."""
_IDLE_S = 0.5
"""How often a sink without work looks whether losses are to be told."""


class Form(StrEnum):
    """The forms of an event."""

    SYSLOG = "syslog"
    CEF = "cef"
    OCSF = "ocsf"


_RENDER: dict[Form, Callable[[bytes, Origin], bytes]] = {
    Form.SYSLOG: audit_render.syslog,
    Form.CEF: audit_render.cef,
    Form.OCSF: audit_render.ocsf,
}


class SinkConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where events go, and in which form. `url`: udp://host:port, tcp://host:port, http://host:port/path, file:///path.

    `spool`: records that wait at most; `tell_losses_s`: losses are told together, at most once in so many seconds.
    """

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    url: str
    form: Form = Form.SYSLOG
    spool: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 5.0
    tell_losses_s: Annotated[float, Meta(ge=0)] = 60.0


OnLost = Callable[[str, int], None]


class AuditSink:
    """One sink with its spool and the thread that empties it. Raises `InvalidInput` where its URL is none."""

    def __init__(self, config: SinkConfig, origin: Origin, on_lost: OnLost) -> None:
        self._config, self._origin, self._on_lost = config, origin, on_lost
        self._transport = _transport(config)
        self._render = _RENDER[config.form]
        self._spool: deque[bytes] = deque()
        self._turn = threading.Lock()
        self._wake, self._closing = threading.Event(), threading.Event()
        self._told, self._told_at = 0, -config.tell_losses_s
        self.lost = 0
        """Records that were dropped so far."""
        self.sent = 0
        """Records that were handed over so far."""
        self._thread = threading.Thread(target=self._run, name=f"sink {config.name}", daemon=True)
        self._thread.start()

    def offer(self, lines: Sequence[bytes]) -> None:
        """Take lines of the audit, at the expense of the oldest that wait. Never blocks."""
        with self._turn:
            self._spool.extend(lines)
            self._drop(len(self._spool) - self._config.spool)
        self._wake.set()

    def close(self, *, wait_s: float = 2.0) -> None:
        """Send what waits for `wait_s` at most; what is left then is lost."""
        self._closing.set()
        self._wake.set()
        self._thread.join(wait_s)
        with self._turn:
            self._drop(len(self._spool))
        self._tell(at_once=True)

    def _drop(self, number: int) -> None:
        for _ in range(number):
            self._spool.popleft()
        self.lost += max(number, 0)

    def _take(self) -> list[bytes]:
        with self._turn:
            return [self._spool.popleft() for _ in range(min(_BATCH, len(self._spool)))]

    def _give_back(self, lines: Sequence[bytes]) -> None:
        with self._turn:
            self._spool.extendleft(reversed(lines))
            self._drop(len(self._spool) - self._config.spool)

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            if lines := self._take():
                if self._deliver(lines):
                    pause_s = _FIRST_PAUSE_S
                elif self._closing.wait(pause_s):
                    break
                else:
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            elif self._closing.is_set():
                break
            else:
                self._wake.wait(_IDLE_S)
                self._wake.clear()
            self._tell()
        self._transport.close()

    def _deliver(self, lines: Sequence[bytes]) -> bool:
        messages = [self._render(line, self._origin) for line in lines]
        try:
            never = self._transport.send(messages)
        except OSError as error:
            _log.warning("audit sink %s: %s", self._config.name, error)
            self._transport.close()
            self._give_back(lines)
            return False
        with self._turn:
            self.lost += never
            self.sent += len(lines) - never
        return True

    def _tell(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if self.lost == self._told or not (at_once or now - self._told_at >= self._config.tell_losses_s):
            return
        number, self._told, self._told_at = self.lost - self._told, self.lost, now
        self._on_lost(self._config.name, number)


def _transport(config: SinkConfig) -> Transport:
    try:
        url = urlsplit(config.url)
        return transport_to(url, counted=config.form is not Form.OCSF, timeout_s=config.timeout_s)
    except ValueError as error:
        raise InvalidInput(
            f"the audit sink {config.name} cannot send to {config.url!r}: {error}",
            hint="write udp://host:port, tcp://host:port, http://host:port/path or file:///path",
        ) from None


class AuditSinks:
    """All sinks of one audit. `tell` goes to `AuditFile`; `on_lost` gets a sink's name and how many records it lost."""

    def __init__(self, configs: Sequence[SinkConfig], origin: Origin, on_lost: OnLost) -> None:
        self._sinks = {config.name: AuditSink(config, origin, on_lost) for config in configs}

    def tell(self, lines: Sequence[bytes]) -> None:
        """Offer lines to every sink. Never blocks."""
        for sink in self._sinks.values():
            sink.offer(lines)

    def losses(self) -> dict[str, int]:
        """Return how many records each sink has lost."""
        return {name: sink.lost for name, sink in self._sinks.items()}

    def close(self, *, wait_s: float = 2.0) -> None:
        """Close every sink, after the audit file itself."""
        for sink in self._sinks.values():
            sink.close(wait_s=wait_s)
