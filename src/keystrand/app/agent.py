"""Run an agent and its installer, look at them, and permit what only a signature may."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from functools import partial
from importlib.resources import files
from pathlib import Path
from threading import Event, Thread
from typing import Any

import msgspec

from keystrand.edge.agent.certificates import certificate_ends
from keystrand.edge.agent.config import AgentConfig, host_and_port, load_agent
from keystrand.edge.agent.exception import Permission, sign_exception
from keystrand.edge.agent.installer import Installer, check_consumers, user_of
from keystrand.edge.agent.kme_access import KmeAccess
from keystrand.edge.agent.route import demand_outside
from keystrand.edge.agent.running import become, run
from keystrand.edge.agent.standing import Standing, agent_runs, standings
from keystrand.edge.files import demand_own, write_atomic
from keystrand.edge.telemetry.agent_metrics import agent_metrics
from keystrand.edge.tls import LiveContext
from keystrand.edge.undumpable import hide_memory
from keystrand.model.errors import InvalidInput, KeystrandError, PeerUnavailable, Problem

Row = dict[str, Any]
_KME_S = 10.0
_COLLECTED = ".prom"


def write_starter(file: Path) -> None:
    """Write a commented file to begin with. Raises `InvalidInput` where there is one."""
    if file.exists():
        raise InvalidInput(f"{file} is there already", hint="name another; it is never replaced")
    write_atomic(file, (files("keystrand.edge") / "starter" / "agent.toml").read_bytes(), mode=0o600)


def run_agent(file: Path, ready: Callable[[str], None], *, with_installer: bool = False) -> None:
    """Run the agent of `file` until SIGTERM; `ready` is told where it listens.

    With `with_installer` its privileged part is started beside it, and ends with it. Raises `KeystrandError`.
    """
    hide_memory()
    config = load_agent(file)
    with _installer_of(file) if with_installer else nullcontext():
        become(config.agent.user)
        asyncio.run(_until_told(config, ready))


@contextmanager
def _installer_of(file: Path) -> Iterator[None]:
    """Have an installer beside us. It ends when its standard input does: as ordinary users we could not end root's."""
    # -P: what lies in the folder that we were started in is no module of root's
    command = (sys.executable, "-P", "-m", "keystrand.cli.main", "agent", "installer", "--until-stdin-closes")
    with subprocess.Popen(  # noqa: S603  # our own interpreter, module and file
        (*command, "--config", str(file)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        if child.stdout is None or not child.stdout.readline().startswith("ready "):
            raise KeystrandError("the installer did not start", hint="what it said stands above")
        yield


async def _until_told(config: AgentConfig, ready: Callable[[str], None]) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await run(config, ready, stop)


def run_installer(file: Path, ready: Callable[[str], None], stop: Event, *, until_stdin_closes: bool = False) -> None:
    """Serve the agent of `file` as its privileged part until `stop` is set, or standard input ends where that is asked.

    Raises `PolicyDenied` where others can change the file, and `InvalidInput` for what a consumer's settings get wrong.
    """
    hide_memory()
    config = load_agent(file)
    demand_own(file)
    installer = Installer(config, file)
    if until_stdin_closes:
        Thread(target=_set_at_end, args=(stop,), daemon=True).start()
    try:
        installer.start()
        ready(config.agent.installer)
        stop.wait()
    finally:
        installer.close()


def _set_at_end(stop: Event) -> None:
    while sys.stdin.read(1024):
        pass
    stop.set()


def check_agent(file: Path) -> list[Row]:
    """Return one row for each thing that an agent needs: whether it is there, and what is wrong with it.

    Raises `InvalidInput` where the file itself is wrong. Nothing is installed, and no key is taken.
    """
    config = load_agent(file)
    looks: list[tuple[str, Callable[[], str]]] = [
        ("certificate", lambda: _tls(config)),
        ("user", lambda: _user(config)),
        ("file", lambda: _own(file)),
        ("settings", lambda: check_consumers(config, file)),
        ("way to the peer", lambda: _way(config)),
        *(("kme", partial(_stock, config, one)) for one in dict.fromkeys(t.peer_sae for t in config.consumers)),
    ]
    return [_looked(what, look) for what, look in looks]


def _looked(what: str, look: Callable[[], str]) -> Row:
    try:
        return {"what": what, "well": True, "told": look()}
    except KeystrandError as error:
        told = "; ".join(
            [error.message, *(f"{p.field}: {p.message}" for p in error.problems if isinstance(p, Problem))]
        )
        return {"what": what, "well": False, "told": told + (f" ({error.hint})" if error.hint else "")}


def _tls(config: AgentConfig) -> str:
    LiveContext(config.credentials, server=True, own=config.identity)
    return f"{config.agent.certificate} is that of {config.identity.urn}"


def _user(config: AgentConfig) -> str:
    return f"runs as user {user_of(config.agent.user)[0]}"


def _own(file: Path) -> str:
    demand_own(file)
    return "nobody else can change it"


def _way(config: AgentConfig) -> str:
    host, _ = host_and_port(config.agent.peer_address)
    demand_outside(host, config.devices)
    return f"{config.agent.peer_address} is not reached through a tunnel of ours"


def _stock(config: AgentConfig, peer_sae: str) -> str:
    with KmeAccess(config.kme, _KME_S).client() as client:
        status = client.status(peer_sae)
    if not status.stored_key_count:
        raise PeerUnavailable(f"{status.source_kme_id} has no key for {peer_sae} now")
    return f"{status.source_kme_id} has {status.stored_key_count} keys for {peer_sae}"


def status_of(file: Path, metrics: Path | None = None) -> tuple[Standing, ...]:
    """Return how the consumers of the agent of `file` stand, whether it runs or not.

    `metrics`: a file for Prometheus to write it to as well. Raises `InvalidInput` for a name that its collector passes
    over, `StoreFailure` where it cannot be written.
    """
    config = load_agent(file)
    told = standings(config)
    if metrics:
        if metrics.suffix != _COLLECTED:
            raise InvalidInput(
                f"--metrics {metrics}: the node exporter reads files *{_COLLECTED} alone",
                hint=f"name it {metrics.with_suffix(_COLLECTED)}",
            )
        write_atomic(metrics, agent_metrics(told, certificate_ends(config), runs=agent_runs(config)))
    return told


def status_rows(told: tuple[Standing, ...]) -> list[Row]:
    """Return one row a consumer."""
    return [
        {
            "consumer": one.consumer,
            "role": one.role,
            "policy": one.policy,
            "footing": one.footing.value,
            "label": one.label,
            "age_s": one.age_s,
            "left_s": one.left_s,
            "last_changeover_s": one.last_changeover_s,
            "keys": len(one.keys),
            "alarms": list(one.alarms),
        }
        for one in told
    ]


def permit(file: Path, key: Path, consumer: str, *, by: str, reason: str, expires: str) -> Row:
    """Write a signed exception for `fail-open`. Raises `InvalidInput` where it has no end ahead."""
    try:
        when = datetime.fromisoformat(expires)
    except ValueError:
        raise InvalidInput(
            f"--expires {expires!r} is no date or time", hint="write it as 2026-12-31T18:00:00Z"
        ) from None
    ends = (when.astimezone(UTC) if when.tzinfo else when).replace(tzinfo=None, microsecond=0)
    if ends <= datetime.now(UTC).replace(tzinfo=None):
        raise InvalidInput(f"--expires {expires} is over", hint="an exception ends in the future")
    told = Permission(consumer=consumer, approved_by=by, reason=reason, expires=ends)
    sign_exception(file, key, msgspec.convert(msgspec.to_builtins(told), Permission))
    return {"exception": str(file), "consumer": consumer, "expires": f"{ends.isoformat()}Z"}
