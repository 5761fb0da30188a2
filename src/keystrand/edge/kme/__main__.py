"""`python -m keystrand.edge.kme --config FILE`: one key management entity, until SIGTERM.

Prints `ready URL` on standard output once it answers; everything else goes to standard error.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from keystrand.edge.kme.config import KmeConfig, load_config
from keystrand.edge.kme.running import Server
from keystrand.edge.kme.transport import Limits
from keystrand.edge.loop import runner
from keystrand.edge.undumpable import hide_memory
from keystrand.model.errors import KeystrandError

_SWITCH_S = 0.0005
"""How long one thread may keep the interpreter from another: the time of a sync of the disk, not ten times that."""


async def run(config: KmeConfig, *, until_stdin_closes: bool = False, limits: Limits | None = None) -> None:
    """Serve until SIGTERM or SIGINT, or until standard input ends where that is asked for."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = Server(config, limits or Limits())
    url = await server.start()
    server.failed.add_done_callback(lambda _: stop.set())
    if until_stdin_closes:
        loop.add_reader(sys.stdin.fileno(), _end_with, sys.stdin.fileno(), stop)
    sys.stdout.write(f"ready {url}\n")
    sys.stdout.flush()
    await stop.wait()
    await server.stop()
    if server.failed.done():
        raise server.failed.result()


def _end_with(descriptor: int, stop: asyncio.Event) -> None:
    if not os.read(descriptor, 1024):
        stop.set()


def serve(config: Path, *, until_stdin_closes: bool = False) -> None:
    """Run the KME that `config` describes until SIGTERM.

    Raises `InvalidInput`, `MissingInput` or `StoreFailure` before it answers.
    """
    hide_memory()
    # what the disk's threads have done must not wait for the loop's next pause, which a busy loop does not make
    sys.setswitchinterval(_SWITCH_S)
    runner()(run(load_config(config), until_stdin_closes=until_stdin_closes))


def main() -> int:
    """Run the command; errors are told with their place and next step."""
    parser = argparse.ArgumentParser(prog="python -m keystrand.edge.kme", description=__doc__.partition("\n")[0])
    parser.add_argument("--config", type=Path, required=True, metavar="FILE")
    parser.add_argument("--until-stdin-closes", action="store_true", help="stop when the process that started it ends")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    try:
        serve(arguments.config, until_stdin_closes=arguments.until_stdin_closes)
    except KeystrandError as error:
        lines = (error.message, *map(str, error.problems), *([error.hint] if error.hint else []))
        sys.stderr.write("".join(f"{line}\n" for line in lines))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
