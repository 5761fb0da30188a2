"""The whole way on the bundled estate, against servers started for the purpose."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

from keystrand.app.run import Run, run_all
from keystrand.edge.demo_endpoints import DemoEndpoints
from keystrand.edge.estate_folder import example_folder


def run_demo(out: Path, *, as_of: date, say: Callable[[str], None]) -> Run:
    """Start the demonstration's servers, run every stage on the bundled estate into `out`, and stop them."""
    with example_folder("regional-bank") as folder, DemoEndpoints() as endpoints:
        for place, posture in endpoints.postures.items():
            say(f"  {place}: {posture}")
        return run_all(folder, out, as_of=as_of, connect_to=endpoints.connect_to, stage=lambda name: say(f"[{name}]"))
