"""A packet capture, read from its first octet to its last: facts of the cryptography in it, and what was not read."""

from typing import Literal

from keystrand.formats.capture_file import CaptureFile
from keystrand.formats.capture_flows import MAX_FLOWS, Flow, FlowTable, Told
from keystrand.formats.capture_session import Session
from keystrand.formats.capture_tally import MAX_TOTALS, FlowKey, Tally, Volume, ends_of
from keystrand.formats.wording import counted
from keystrand.model.observation import Outcome
from keystrand.model.reading import Found, Reading

_TRANSPORTS: dict[str, Literal["tcp", "udp", "other"]] = {"tcp": "tcp", "udp": "udp"}


class Capture:
    """Takes a capture as it is read. `feed` and `end` return what can be told then; neither raises.

    At most twice `flows` conversations are held, and `totals` sums of volumes.
    """

    def __init__(self, *, flows: int = MAX_FLOWS, totals: int = MAX_TOTALS) -> None:
        self._file = CaptureFile()
        self._tally = Tally(limit=totals)
        self._table = FlowTable(self._seen, self._concluded, limit=flows)

    @property
    def faulty(self) -> bool:
        """Return whether nothing more is read, whatever comes."""
        return bool(self._file.fault)

    def feed(self, octets: bytes) -> list[Found]:
        """Take the next octets of the file."""
        take = self._table.take
        for packet in self._file.feed(octets):
            take(packet)
        return self._ready()

    def end(self) -> list[Found | Reading]:
        """Return what is left to tell; the last of it is the reading of the whole file."""
        self._file.end()
        self._table.end()
        self._tally.end()
        return [*self._ready(), self._reading()]

    def _ready(self) -> list[Found]:
        ready, self._tally.ready = self._tally.ready, []
        return ready

    def _seen(self, flow: Flow, session: Session) -> None:
        self._tally.session(ends_of(flow)[0], session)

    def _concluded(self, flow: Flow) -> None:
        if not flow.protocol:
            return
        ends, client_first = ends_of(flow)
        to_server, to_client = flow.ways if client_first else flow.ways[::-1]
        volume = Volume(
            to_server=to_server.octets,
            to_client=to_client.octets,
            packets=to_server.packets + to_client.packets,
            first=flow.begun,
            last=max(to_server.last, to_client.last),
        )
        transport = _TRANSPORTS.get(flow.transport, "other")
        self._tally.conversation(FlowKey(ends, transport, flow.protocol, flow.exchange), volume)

    def _reading(self) -> Reading:
        told, tally, fault = self._table.told, self._tally, self._file.fault
        seen = tally.sessions > 0
        reason = "; ".join(filter(None, (fault, *_remarks(told, tally.parts))))
        if seen:
            return Reading(outcome=Outcome.SEEN, reason=reason)
        return Reading(outcome=Outcome.UNPARSABLE if fault else Outcome.NONE, reason=reason)


def _remarks(told: Told, parts: int) -> list[str]:
    """Return what a reader must know of the packets that were not, or not wholly, read."""
    counts = (
        (told.unread_links, "packet of a link type that is not read", "packets of link types that are not read"),
        (told.cut, "packet cut short", "packets cut short"),
        (told.fragments, "IP fragment not put together", "IP fragments not put together"),
        (told.gaps, "direction with a gap in its head", "directions with gaps in their heads"),
        (told.midstream, "connection begun before the capture", "connections begun before the capture"),
        (told.evicted, "conversation given up for room", "conversations given up for room"),
        (told.unknown_flows, "conversation of no protocol known here", "conversations of no protocol known here"),
        (parts, "time sums of volumes were told in part", "times sums of volumes were told in part"),
    )
    return [counted(count, one, many) for count, one, many in counts if count]
