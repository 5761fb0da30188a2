"""An agent that stops for good at one step: just before or just after its journal says so. For tests that kill it.

`python stopping_agent.py CONFIG STATE before|after MARK`: at the first journal entry that comes from another state to
STATE it writes the file MARK and goes no further. STATE `begin` is the very first entry.
"""

import signal
import sys
import time
from pathlib import Path

from keystrand.app.agent import run_agent
from keystrand.edge.agent.journal import Journal
from keystrand.keys.agent_memory import Memory

config, state, when, mark = sys.argv[1:5]
write = Journal.write
seen: list[str] = []


def _stop() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Path(mark).touch()
    time.sleep(1000)


def _write(self: Journal, consumer: str, role: str, memory: Memory) -> None:
    before = seen[-1] if seen else None
    seen.append(memory.state)
    wanted = (before is None) if state == "begin" else (before not in (None, state) and memory.state == state)
    if wanted and when == "before":
        _stop()
    write(self, consumer, role, memory)
    if wanted and when == "after":
        _stop()


Journal.write = _write  # type: ignore[method-assign]  # the point of this program
run_agent(Path(config), lambda place: print(f"ready {place}", flush=True))  # noqa: T201  # as the command does
