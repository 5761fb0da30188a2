"""Throughput between two sites by iperf3: TCP, one stream, all out."""

import json
from pathlib import Path

from keystrand.edge.daemons import Daemon, Space, program
from keystrand.model.errors import PeerUnavailable

_LISTENS = "Server listening"
_CONNECT_MS = 3000


def throughput(ends: tuple[Space, Space], host: str, seconds: float, folder: Path, *, source: str = "") -> float:
    """Return the bits a second that reach `host` in the second site from the first; `source`: the address they leave.

    Raises `MissingInput` where iperf3 is not installed, `PeerUnavailable` where nothing comes through.
    """
    near, far = ends
    log = folder / f"iperf-{host}.log"
    log.write_text("")
    server = Daemon(
        [program("iperf3", "iperf3"), "--server", "--one-off", "--bind", host, "--forceflush"], log, prefix=far.prefix
    )
    server.start(lambda: _LISTENS in log.read_text())
    try:
        said = near.run("iperf3", "--client", host, "--time", f"{seconds:g}", "--json", "--connect-timeout",
                        str(_CONNECT_MS), *(("--bind", source) if source else ()))  # fmt: skip
    finally:
        server.stop()
    told = json.loads(said)
    if "error" in told:
        raise PeerUnavailable(f"iperf3: {told['error']}")
    return float(told["end"]["sum_received"]["bits_per_second"])
