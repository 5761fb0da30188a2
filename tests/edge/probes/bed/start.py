"""Starts all servers of the table at once, each as its program wants it, and says where each listens."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.edge.probes.bed.cases import Case
from tests.edge.probes.bed.certificates import certificates
from tests.edge.probes.bed.daemons import STARTS, Ports
from tests.edge.probes.bed.programs import cache, found, guarded, node
from tests.edge.store.postgres import binaries

PACKAGES = {
    "openssl": "openssl",
    "nginx": "nginx",
    "sshd": "openssh-server",
    "postfix": "postfix",
    "dovecot imap": "dovecot-imapd",
    "dovecot pop3": "dovecot-pop3d",
    "postgresql": "postgresql",
    "slapd": "slapd",
    "vsftpd": "vsftpd",
    "prosody": "prosody",
    "charon-systemd": "charon-systemd and strongswan-swanctl",
}
_AS_ROOT = ("postfix", "dovecot imap", "dovecot pop3", "vsftpd", "charon-systemd")


def missing() -> Mapping[str, str]:
    """Return why a program of the table cannot be a server here, for each that cannot."""
    absent = {name: f"not installed (Debian: {package})" for name, package in PACKAGES.items() if not _there(name)}
    absent |= {name: "needs the superuser" for name in _AS_ROOT if name not in absent and os.geteuid() != 0}
    return absent if node() else absent | {"node": f"npm could not install it to {cache()}"}


def _there(name: str) -> bool:
    if name == "postgresql":
        with contextlib.suppress(AssertionError):
            return bool(binaries())
        return False
    program, _, service = name.partition(" ")
    return found(program) is not None and (not service or Path(f"/usr/lib/dovecot/{service}-login").exists())


@contextlib.contextmanager
def served(cases: Sequence[Case]) -> Iterator[Ports]:
    """Start the servers of all `cases`; yields the ports of those that do start, by the case's name."""
    with contextlib.ExitStack() as stack:
        # not below pytest's folder: other users must get there
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="keystrand-bed-", ignore_cleanup_errors=True))
        )
        folder.chmod(0o755)
        stack.enter_context(guarded(folder))
        pairs = certificates(folder)
        wanted = {program: [one for one in cases if one.server.program.split()[0] == program] for program in STARTS}
        with ThreadPoolExecutor() as pool:
            started = [
                pool.submit(STARTS[program], stack, some, pairs, folder) for program, some in wanted.items() if some
            ]
        ports: Ports = {}
        for one in started:
            if (error := one.exception()) is None:
                ports |= one.result()
            else:
                sys.stderr.write(f"a server does not start: {error}\n")
        yield ports
