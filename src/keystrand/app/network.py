"""Run a network's twin for hours or years, and play one of its links to two live key management entities."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from keystrand.edge.devices.twin_source import TwinSource
from keystrand.edge.files import open_for_append, write_atomic
from keystrand.edge.kme.pair import start_pair
from keystrand.edge.toml_files import read_text
from keystrand.formats.decode import Fault
from keystrand.formats.telemetry_text import telemetry_lines
from keystrand.formats.toml_input import read_toml
from keystrand.model.errors import InvalidInput, StoreFailure
from keystrand.pilot.link_blocks import block_steps
from keystrand.pilot.network import Network, name_faults
from keystrand.pilot.network_run import NetworkRun, demand_summaries, link_summaries, run, telemetry
from keystrand.pilot.series_twin import SeriesTwin

SAES = ("sae-a", "sae-b")
_LOOK_S = 0.2


class Feed(NamedTuple):
    """What to play: one link of a run, at `speed`, for `seconds` of this clock at most."""

    link: str
    speed: float
    seconds: float


def load_network(path: Path) -> Network:
    """Read a network. Raises `InvalidInput` with every problem: file, line, field."""
    text = read_text(path, what="the network", hint="examples/quantum/metro-network.toml is a complete one").text
    return read_toml(text, Network, file=str(path), what="the network", further=_wrong_names)


def _wrong_names(raw: dict[str, Any]) -> list[Fault]:
    try:
        network = msgspec.convert(raw, Network)
    except msgspec.ValidationError:
        return []  # said already, with their places
    return [Fault(one.path, one.message, one.hint) for one in name_faults(network)]


def run_network(network: Network, *, days: float, seed: int, drawn: bool = True) -> NetworkRun:
    """Run the twin. Raises `InvalidInput` for a time it cannot span."""
    try:
        return run(network, days * 86_400.0, seed=seed, drawn=drawn)
    except ValueError as error:
        raise InvalidInput(
            f"{days:g} days cannot be run: {error}", hint=f"one step is {network.step_s:g} s; give --days"
        ) from error


def network_value(made: NetworkRun, *, days: float, seed: int, drawn: bool) -> dict[str, Any]:
    """Return the result with what it rests on."""
    return {
        "simulated": True,
        "network": made.network.name,
        "days": days,
        "seed": seed,
        "drawn": drawn,
        "links": link_summaries(made),
        "demands": demand_summaries(made),
    }


def write_telemetry(made: NetworkRun, path: Path) -> int:
    """Write every link's reports as JSON lines, link by link; return how many. Whole or not at all."""
    parts = [telemetry_lines(telemetry(made, n)) for n in range(len(made.network.link))]
    write_atomic(path, b"".join(parts))
    return sum(part.count(b"\n") for part in parts)


def feed_pair(
    made: NetworkRun, feed: Feed, folder: Path, stop: threading.Event, ready: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Start two key management entities in `folder`, feed them what a link makes, and report what it reports.

    Reports go to FOLDER/telemetry.jsonl as they come due. `ready` is called with what a client needs once both entities
    answer. Ends with the series, after `feed.seconds`, or when `stop` is set. Raises `InvalidInput` for a link that is
    not there or a speed that cannot be, `PeerUnavailable` where an entity does not start.
    """
    names = [link.id for link in made.network.link]
    if feed.link not in names or not 0 < feed.speed < float("inf") or not feed.seconds > 0:
        raise InvalidInput(
            f"link {feed.link!r} cannot be fed at a speed of {feed.speed:g}", hint=f"the links: {', '.join(names)}"
        )
    n = names.index(feed.link)
    step_s = made.network.step_s
    interval_s = block_steps(step_s, made.network.device_of(made.network.link[n]).distillation) * step_s
    rate = float(made.blocks[n].key_bits.max(initial=0)) / interval_s * feed.speed

    def played(block_bits: int, now_s: float) -> SeriesTwin:
        return SeriesTwin(
            made.blocks[n],
            interval_s=interval_s,
            block_bits=block_bits,
            now_s=now_s - interval_s / feed.speed,
            speed=feed.speed,
        )

    if not rate:
        raise InvalidInput(f"link {feed.link!r} makes no key in this run", hint="choose another link, or run longer")
    with (
        start_pair(folder, saes=SAES, link=feed.link) as pair,
        TwinSource(feed.link, pair.source_ends, bits_per_s=rate, qber=0.0, twin=played) as source,
    ):
        ready({"kmes": list(pair.urls), "saes": list(SAES), "folder": str(folder)})
        path = folder / "telemetry.jsonl"
        try:
            reports = _report(made, n, feed, path, stop)
        except OSError as error:
            raise StoreFailure(f"{path} could not be written: {error.strerror}") from error
        return {"simulated": True, "link": feed.link, "reports": reports, "pushed_bits": source.pushed_bits,
                "accepted_bits": source.accepted_bits, "trouble": source.trouble}  # fmt: skip


def _report(made: NetworkRun, n: int, feed: Feed, path: Path, stop: threading.Event) -> int:
    """Append each report when it is due, until the feed is over; return how many."""
    begin, count = time.monotonic(), 0
    first = made.blocks[n].at_s[0] if made.blocks[n].at_s.size else 0.0
    with open_for_append(path) as file:
        for report in telemetry(made, n):
            due = begin + (report.at_s - first) / feed.speed
            while time.monotonic() < due:
                waited = stop.wait(min(_LOOK_S, max(due - time.monotonic(), 0.0)))
                if waited or time.monotonic() - begin > feed.seconds:
                    return count
            file.write(telemetry_lines([report]))
            file.flush()
            count += 1
    return count
