"""How each program becomes a server of the table, and on which port."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.edge.probes.bed import settings
from tests.edge.probes.bed.cases import Case
from tests.edge.probes.bed.certificates import Pair
from tests.edge.probes.bed.programs import HOST, found, free_ports, listening, node, node_servers, running, wait_until
from tests.edge.store.postgres import PostgresServer, binaries

_POSTFIX_MASTER = Path("/usr/lib/postfix/sbin/master")

Pairs = Mapping[str, Pair]
Ports = dict[str, int]
Start = Callable[[contextlib.ExitStack, Sequence[Case], Pairs, Path], Ports]


def _node(stack: contextlib.ExitStack, cases: Sequence[Case], pairs: Pairs, folder: Path) -> Ports:
    chosen = {
        case.name: {
            "keys": [str(pairs[kind].key) for kind in case.server.certificates],
            "certificates": [str(pairs[kind].certificate) for kind in case.server.certificates],
            **dict(case.server.options),
        }
        for case in cases
    }
    return stack.enter_context(node_servers(node() or "node", chosen, folder))


def _openssl(stack: contextlib.ExitStack, cases: Sequence[Case], pairs: Pairs, folder: Path) -> Ports:
    ports: Ports = {}
    for case in cases:
        pair = pairs[case.server.certificates[0]]
        command: list[str | Path] = [
            "openssl",
            "s_server",
            "-www",
            "-accept",
            f"{HOST}:0",
            "-cert",
            pair.certificate,
            "-key",
            pair.key,
        ]
        child = stack.enter_context(running([*command, *case.server.words.split()], folder / "openssl.log"))
        assert child.stdout
        said = next((line for line in child.stdout if line.startswith("ACCEPT")), "")
        assert said, (folder / "openssl.log").read_text(errors="replace")[-1000:]
        ports[case.name] = int(said.rpartition(":")[2])
    return ports


def _nginx(stack: contextlib.ExitStack, cases: Sequence[Case], pairs: Pairs, folder: Path) -> Ports:
    ports = dict(zip((case.name for case in cases), free_ports(len(cases)), strict=True))
    blocks = {ports[case.name]: _block(case, pairs) for case in cases}
    written = folder / "nginx.conf"
    written.write_text(settings.nginx(folder, blocks))
    log = folder / "nginx.log"
    stack.enter_context(listening(["nginx", "-p", folder, "-c", written], max(ports.values()), log))
    return ports


def _block(case: Case, pairs: Pairs) -> str:
    chosen = [pairs[kind] for kind in case.server.certificates]
    files = "".join(f"ssl_certificate {pair.certificate}; ssl_certificate_key {pair.key}; " for pair in chosen)
    return files + case.server.words


def _sshd(stack: contextlib.ExitStack, cases: Sequence[Case], _pairs: Pairs, folder: Path) -> Ports:
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd drops its rights: made at boot, which a container has not
    for kind in {kind for case in cases for kind in case.server.certificates}:
        bits = ["-b", "2048"] if kind == "rsa" else []
        subprocess.run(["ssh-keygen", "-q", "-t", kind, *bits, "-N", "", "-f", folder / f"ssh-{kind}"], check=True)
    ports = dict(zip((case.name for case in cases), free_ports(len(cases)), strict=True))
    for case in cases:
        keys = [f"-oHostKey={folder / f'ssh-{kind}'}" for kind in case.server.certificates]
        chosen = [f"-oKexAlgorithms={case.server.words}"] if case.server.words else []
        options = ["-oUsePAM=no", "-oPidFile=none", "-oMaxStartups=100", f"-oListenAddress={HOST}", *keys, *chosen]
        command: list[str | Path] = [
            found("sshd") or "sshd",
            "-D",
            "-e",
            "-f",
            "/dev/null",
            f"-p{ports[case.name]}",
            *options,
        ]
        stack.enter_context(listening(command, ports[case.name], folder / "sshd.log"))
    return ports


def _postfix(stack: contextlib.ExitStack, cases: Sequence[Case], pairs: Pairs, folder: Path) -> Ports:
    (case,), (port,) = cases, free_ports(1)
    etc, own = folder / "postfix-etc", folder / "postfix"
    for path in (etc, own, folder / "spool"):
        path.mkdir()
    shutil.chown(own, "postfix")
    (etc / "main.cf").write_text(settings.postfix_main(folder, pairs[case.server.certificates[0]]))
    (etc / "master.cf").write_text(settings.postfix_master(port))
    subprocess.run([found("postfix") or "postfix", "-c", etc, "check"], check=True, capture_output=True)
    # its own start would leave our process group, and so outlive us
    command: list[str | Path] = [_POSTFIX_MASTER, "-c", etc, "-d"]
    stack.enter_context(listening(command, port, folder / "postfix-start.log"))
    return {case.name: port}


def _dovecot(stack: contextlib.ExitStack, cases: Sequence[Case], pairs: Pairs, folder: Path) -> Ports:
    imap, pop3 = free_ports(2)
    written = folder / "dovecot.conf"
    written.write_text(settings.dovecot(folder, pairs[cases[0].server.certificates[0]], imap, pop3))
    stack.enter_context(listening(["dovecot", "-F", "-c", written], pop3, folder / "dovecot-start.log"))
    by_program = {"dovecot imap": imap, "dovecot pop3": pop3}
    return {case.name: by_program[case.server.program] for case in cases}


def _postgresql(stack: contextlib.ExitStack, cases: Sequence[Case], pairs: Pairs, folder: Path) -> Ports:
    (case,), (port,) = cases, free_ports(1)
    own, owner = folder / "pg", "postgres" if os.geteuid() == 0 else None  # it refuses to be root's
    own.mkdir()
    copies = Pair(own / "tls.crt", own / "tls.key")
    for source, copy in zip(pairs[case.server.certificates[0]], copies, strict=True):
        shutil.copy(source, copy)
    copies.key.chmod(0o600)
    if owner:
        for path in (own, *copies):
            shutil.chown(path, owner, owner)
    PostgresServer(own, port).make()
    with (own / "db" / "postgresql.conf").open("a") as written:
        written.write(settings.postgresql(copies))
    command: list[str | Path] = [binaries() / "postgres", "-D", own / "db", "-p", str(port), "-k", own, "-h", HOST]
    stack.enter_context(listening(command, port, folder / "postgresql.log", user=owner))
    return {case.name: port}


def _slapd(stack: contextlib.ExitStack, cases: Sequence[Case], pairs: Pairs, folder: Path) -> Ports:
    (case,), (port,) = cases, free_ports(1)
    (folder / "ldap").mkdir()
    written = folder / "slapd.conf"
    written.write_text(settings.slapd(folder, pairs[case.server.certificates[0]]))
    command: list[str | Path] = ["slapd", "-f", written, "-h", f"ldap://{HOST}:{port}", "-d", "0"]
    stack.enter_context(listening(command, port, folder / "slapd.log"))
    return {case.name: port}


def _vsftpd(stack: contextlib.ExitStack, cases: Sequence[Case], pairs: Pairs, folder: Path) -> Ports:
    (case,), (port,) = cases, free_ports(1)
    (folder / "nothing").mkdir()
    written = folder / "vsftpd.conf"
    written.write_text(settings.vsftpd(folder, pairs[case.server.certificates[0]], port))
    stack.enter_context(listening(["vsftpd", written], port, folder / "vsftpd.log"))
    return {case.name: port}


def _prosody(stack: contextlib.ExitStack, cases: Sequence[Case], pairs: Pairs, folder: Path) -> Ports:
    (case,), (client, server) = cases, free_ports(2)
    (folder / "prosody").mkdir()
    written = folder / "prosody.cfg.lua"
    pair = pairs[case.server.certificates[0]]
    written.write_text(settings.prosody(folder, pair, case.host, client, server))
    stack.enter_context(listening(["prosody", "--config", written], client, folder / "prosody-start.log"))
    return {case.name: client}


def _strongswan(stack: contextlib.ExitStack, cases: Sequence[Case], _pairs: Pairs, folder: Path) -> Ports:
    (case,), (port,) = cases, free_ports(1)
    own, written = folder / "strongswan.conf", folder / "swanctl.conf"
    own.write_text(settings.strongswan(folder, port))
    written.write_text(settings.swanctl(case.server.words))
    log = folder / "strongswan.log"
    child = stack.enter_context(running(["charon-systemd"], log, STRONGSWAN_CONF=str(own)))
    load = ["swanctl", "--load-all", "--file", str(written), "--uri", f"unix://{folder}/vici"]
    wait_until(lambda: subprocess.run(load, capture_output=True, check=False).returncode == 0, child, log)
    return {case.name: port}


STARTS: dict[str, Start] = {
    "node": _node,
    "openssl": _openssl,
    "nginx": _nginx,
    "sshd": _sshd,
    "postfix": _postfix,
    "dovecot": _dovecot,
    "postgresql": _postgresql,
    "slapd": _slapd,
    "vsftpd": _vsftpd,
    "prosody": _prosody,
    "charon-systemd": _strongswan,
}
