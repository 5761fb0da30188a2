"""Pings from one site to a host far away, at a steady pace, read while they run."""

import sys
import time
from pathlib import Path

import numpy as np

from keystrand.edge.daemons import Daemon, Space
from keystrand.edge.pilot import pinger
from keystrand.edge.pilot.base import Traffic
from keystrand.pilot.traffic import Packets

_LATE_S = 0.25
"""An answer that has not come within this is lost; on a slower way, within twice its slowest answer."""
_SAMPLES = 1000
_RECORD = np.dtype([("number", "<i8"), ("at_s", "<f8")])


class Pings:
    """Pings from `space` to `host`, `per_s` a second, until they are stopped. `source`: the address they come from."""

    def __init__(self, space: Space, host: str, per_s: float, folder: Path, *, source: str = "") -> None:
        self._file = folder / f"pings-{host}.records"
        self._file.unlink(missing_ok=True)
        command = [sys.executable, "-m", pinger.__name__, host, str(per_s), str(self._file), *filter(None, [source])]
        self._program = Daemon(command, folder / f"pings-{host}.log", prefix=space.prefix)
        self._read = 0
        self._sent, self._answered = np.empty(0), np.empty(0)

    def start(self) -> None:
        """Begin. Raises `PeerUnavailable`."""
        self._program.start(lambda: self._file.exists() and self._file.stat().st_size > 0)

    def stop(self) -> None:
        """End them; what they saw stays."""
        self._program.stop()

    def packets(self) -> Packets:
        """Return everything so far: the last ones may still be answered."""
        with self._file.open("rb") as file:
            file.seek(self._read)
            octets = file.read()
        octets = octets[: len(octets) // _RECORD.itemsize * _RECORD.itemsize]
        self._read += len(octets)
        came = np.frombuffer(octets, _RECORD)
        sent, answers = came[came["number"] > 0], came[came["number"] < 0][::-1]
        self._sent = np.concatenate((self._sent, sent["at_s"]))
        self._answered = np.concatenate((self._answered, np.full(len(sent), np.nan)))
        fresh = np.isnan(self._answered[-answers["number"] - 1])
        # backwards: of an answer that came twice the first one stands
        self._answered[-answers["number"][fresh] - 1] = answers["at_s"][fresh]
        return Packets(self._sent, self._answered)

    def settled(self, to_s: float) -> Packets:
        """Return everything so far, once what was sent until `to_s` has been answered or is lost."""
        ways_s = self.packets().between(to_s - 10, to_s).ways_s
        late_s = max(_LATE_S, 2 * float(ways_s.max(initial=0.0)))
        time.sleep(max(to_s + late_s - time.time(), 0.0))
        return self.packets()

    def traffic(self, from_s: float, to_s: float) -> Traffic:
        """Return what went through between two moments; of the ways there and back at most 1,000, evenly chosen."""
        packets = self.settled(to_s)
        sent = packets.between(from_s, to_s)
        ways_s = sent.ways_s
        chosen = ways_s[:: max(1, -(-len(ways_s) // _SAMPLES))]
        return Traffic(
            tried=len(sent.sent_s), failed=sent.lost, longest_gap_s=packets.longest_gap_s(from_s, to_s),
            operation_s=tuple(map(float, chosen)),
        )  # fmt: skip
