"""What the lines of a sensor's log come to: facts, flows by day, and how many lines said nothing that could be read."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Literal

from keystrand.formats import suricata_eve as eve
from keystrand.formats import zeek_facts as zeek
from keystrand.formats.capture_session import Session
from keystrand.formats.capture_tally import MAX_TOTALS, Ends, FlowKey, Tally, Volume
from keystrand.formats.log_lines import BadLine, day, day_end, nanoseconds
from keystrand.formats.wording import counted
from keystrand.formats.zeek_facts import Joined
from keystrand.formats.zeek_log import Row, ZeekLines
from keystrand.model.observation import Outcome, Strength
from keystrand.model.reading import Found, Reading

MAX_WAITING = 500_000
"""Connections whose handshake was read and whose volume was not, that are kept at most."""
_BAD_SHOWN = 5
_SLACK_NS = 300 * 10**9
"""How long after a connection's end its handshake may stand in the other log."""
_SERVICES = {"ssl": "tls", "tls": "tls", "ssh": "ssh", "quic": "quic", "ike": "ike", "ipsec": "ike", "dtls": "dtls"}

Transport = Literal["tcp", "udp", "other"]


def _transport(name: str) -> Transport:
    return {"tcp": "tcp", "udp": "udp"}.get(name.lower(), "other")  # type: ignore[return-value]  # the values are those


class LineTally(ABC):
    """Takes lines in their order. `ready` is what can be told now; nothing raises."""

    def __init__(self, *, waiting: int = MAX_WAITING, totals: int = MAX_TOTALS) -> None:
        self._tally = Tally(limit=totals)
        self._most = waiting
        self._waiting: dict[int, Joined] = {}
        self._lines = self._bad = self._forgotten = self._apart = 0
        self._first_bad: list[int] = []
        self._settled: dict[tuple[Ends, int], Session] = {}

    def take(self, line: bytes) -> None:
        """Take a line without its end."""
        self._lines += 1
        try:
            if line:
                self._line(line)
        except BadLine:
            self.bad_line(self._lines)

    def bad_line(self, number: int) -> None:
        """Count a line that cannot be read."""
        self._lines = max(self._lines, number)
        self._bad += 1
        if len(self._first_bad) < _BAD_SHOWN:
            self._first_bad.append(number)

    @property
    def lines(self) -> int:
        """Return how many lines came."""
        return self._lines

    def ready(self) -> list[Found]:
        """Return what can be told now, once."""
        found, self._tally.ready = self._tally.ready, []
        return found

    def end(self) -> list[Found | Reading]:
        """Return what is left to tell; the last of it is the reading of the whole file."""
        self._tally.end()
        return [*self.ready(), self._reading()]

    @abstractmethod
    def _line(self, line: bytes) -> None:
        """Take what a line says. Raises `BadLine`."""

    def _wait(self, connection: int, known: Joined) -> None:
        if len(self._waiting) >= self._most:
            del self._waiting[next(iter(self._waiting))]
            self._forgotten += 1
        self._waiting[connection] = known

    def _session(self, ends: Ends, seen: Session) -> None:
        """Tell a handshake, where it is not the very one that these ends had before: logs repeat themselves."""
        key = (ends, id(seen))
        if self._settled.get(key) is not seen:
            if len(self._settled) >= MAX_TOTALS:
                self._settled.clear()
            self._settled[key] = seen
            self._tally.session(ends, seen)

    def _flow(self, ends: Ends, transport: Transport, known: Joined, volume: Volume) -> None:
        # a connection over midnight is of the day it began: the sums of two days must not overlap
        volume.last = min(volume.last, day_end(volume.first))
        self._tally.conversation(FlowKey(ends, transport, known.protocol, known.exchange, day(volume.first)), volume)

    def _remarks(self) -> Iterator[str]:
        if self._bad:
            numbers = ", ".join(map(str, self._first_bad))
            more = " and more" if self._bad > len(self._first_bad) else ""
            yield f"{counted(self._bad, 'line')} could not be read: {numbers}{more}"
        if self._forgotten:
            yield f"{counted(self._forgotten, 'handshake')} forgotten for room before the volume came"
        if self._tally.parts:
            yield f"{counted(self._tally.parts, 'time')} sums of volumes were told in part"

    def _reading(self) -> Reading:
        told = self._tally.sessions or self._tally.flows
        worst = Outcome.UNPARSABLE if self._bad and self._bad == self._lines else Outcome.NONE
        return Reading(outcome=Outcome.SEEN if told else worst, reason="; ".join(self._remarks()))


class EveLog(LineTally):
    """Suricata's eve.json: a flow event comes after the events of its handshake, and names them by `flow_id`."""

    def _line(self, line: bytes) -> None:
        event = eve.event(line)
        if event.event_type == "flow":
            known = self._waiting.pop(event.flow_id, None)
            if known is None and event.app_proto in _SERVICES:
                self._apart += 1
                known = Joined(_SERVICES[event.app_proto], "")
            if known is not None:
                self._flow(eve.ends(event), _transport(event.proto), known, eve.volume(event))
        elif event.event_type in _SERVICES and (seen := eve.session(event)) is not None:
            self._session(eve.ends(event), seen)
            self._wait(event.flow_id, Joined(seen.protocol, seen.exchange.algorithm if seen.exchange else ""))

    def _remarks(self) -> Iterator[str]:
        yield from super()._remarks()
        if self._waiting:
            yield f"{counted(len(self._waiting), 'handshake')} without a volume"
        if self._apart:
            yield f"{counted(self._apart, 'volume')} without a handshake"


class HandshakeLog(LineTally):
    """Zeek's ssl, ssh, quic or x509. Without `volumes` beside it the pairs of ends are told, with no octets.

    With the lines of `quic` beside it, TLS within QUIC is told as what it is.
    """

    def __init__(
        self,
        lines: ZeekLines,
        *,
        volumes: bool,
        quic: Iterator[bytes] | None = None,
        waiting: int = MAX_WAITING,
        totals: int = MAX_TOTALS,
    ) -> None:
        super().__init__(waiting=waiting, totals=totals)
        self._rows, self._volumes = lines, volumes
        self._quic = _Beside("quic.log", quic) if quic is not None else None

    def _line(self, line: bytes) -> None:
        if (row := self._rows.row(line)) is None:
            return
        if self._rows.path == "x509":
            self._certificate(row)
            return
        ends, seen = zeek.ends(row), zeek.session(self._rows.path, row)
        if seen is None:
            return
        if self._rows.path == "ssl" and self._quic is not None and self._is_quic(row, self._quic):
            seen = _within_quic(seen)
        self._session(ends, seen)
        if not self._volumes:
            known = Joined(seen.protocol, seen.exchange.algorithm if seen.exchange else "")
            when = _moment(row)
            transport: Transport = "udp" if seen.protocol in ("quic", "dtls") else "tcp"
            self._flow(ends, transport, known, Volume(first=when, last=when))

    def _is_quic(self, row: Row, quic: "_Beside") -> bool:
        """Return whether the TLS in a row was within QUIC, which Zeek says in the log of QUIC alone."""
        for uid, known in quic.until(_moment(row) + _SLACK_NS):
            self._wait(uid, known)
        return self._waiting.pop(hash(row.get("uid", "")), None) is not None

    def _certificate(self, row: Row) -> None:
        where = f"!certificate:{(row.get('fingerprint') or row.get('id', ''))[:64]}"
        octets = zeek.certificate_octets(row)
        if not self._tally.certificate(where, octets):
            self._tally.uses(where, Strength.NEGOTIATED, zeek.certificate_uses(row))
        self._tally.sessions += 1

    def _remarks(self) -> Iterator[str]:
        yield from super()._remarks()
        if not self._volumes and self._rows.path != "x509":
            yield "no conn log beside it: volumes stay unknown"


class JoinedLog(LineTally):
    """Zeek's conn log, and beside it the logs of handshakes, which are read on as far as each row needs."""

    def __init__(
        self,
        lines: ZeekLines,
        beside: Mapping[str, Iterator[bytes]],
        *,
        waiting: int = MAX_WAITING,
        totals: int = MAX_TOTALS,
    ) -> None:
        super().__init__(waiting=waiting, totals=totals)
        self._rows = lines
        self._beside = {path: _Beside(f"{path}.log", found) for path, found in beside.items()}

    def _line(self, line: bytes) -> None:
        if (row := self._rows.row(line)) is None:
            return
        volume = zeek.volume(row)
        for log in self._beside.values():
            for uid, found in log.until(volume.last + _SLACK_NS):
                before = self._waiting.pop(uid, None)
                self._wait(uid, _both(before, found))
        handshake = self._waiting.pop(hash(row.get("uid", "")), None)
        known = handshake or self._by_service(row)
        if known is not None:
            self._flow(zeek.ends(row), _transport(row.get("proto", "")), known, volume)

    def _by_service(self, row: Row) -> Joined | None:
        """Return what the conn log alone knows: the protocol, nothing of its keys."""
        spoken = [_SERVICES[name] for name in row.get("service", "").split(",") if name in _SERVICES]
        if not spoken:
            return None
        self._apart += 1
        return Joined("quic" if "quic" in spoken else spoken[0], "")

    def _remarks(self) -> Iterator[str]:
        yield from super()._remarks()
        if self._apart:
            yield f"{counted(self._apart, 'connection')} without a handshake in the logs beside"


@lru_cache(maxsize=4096)
def _within_quic(seen: Session) -> Session:
    """Return a handshake of TLS as one of QUIC; the version of QUIC stands in its own log."""
    return seen._replace(protocol="quic", version="")


def _both(one: Joined | None, other: Joined) -> Joined:
    """Return what two logs say of one connection: QUIC is in its own log, and its TLS in that of TLS."""
    if one is None:
        return other
    protocol = "quic" if "quic" in (one.protocol, other.protocol) else other.protocol
    return Joined(protocol, one.exchange or other.exchange)


def _moment(row: Row) -> int:
    try:
        return nanoseconds(row["ts"])
    except (KeyError, ValueError, OverflowError) as error:
        raise BadLine("no time") from error


class _Beside:
    """A log of handshakes that is read only as far as it is asked for."""

    def __init__(self, name: str, lines: Iterator[bytes]) -> None:
        self._rows, self._lines = ZeekLines(name), lines
        self._reached = 0

    def until(self, moment: int) -> Iterator[tuple[int, Joined]]:
        """Yield the connections, by the hash of their uid, of rows up to the first one later than `moment`."""
        while self._reached <= moment and (line := next(self._lines, None)) is not None:
            try:
                if (row := self._rows.row(line)) is None:
                    continue
                self._reached = _moment(row)
                seen = zeek.session(self._rows.path, row)
            except BadLine:
                continue  # it is counted where that log is read for itself
            if seen is not None:
                known = Joined(seen.protocol, seen.exchange.algorithm if seen.exchange else "")
                yield hash(row.get("uid", "")), known
