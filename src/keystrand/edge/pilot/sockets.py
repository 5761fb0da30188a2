"""Sockets inside a site, for programs that stay outside: the KMEs, the agents and the pilot itself."""

import ctypes
import os
import socket
from concurrent.futures import ThreadPoolExecutor

from keystrand.edge.daemons import Space
from keystrand.model.errors import PeerUnavailable

_CLONE_NEWNET = 0x40000000
"""sched.h: the kind of namespace that setns(2) shall check for."""


def socket_in(space: Space, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """Return a socket that belongs to `space`, whoever uses it. Raises `PeerUnavailable` where that is not permitted.

    A namespace belongs to a thread, and a socket keeps the one it was made in: a thread enters, makes it, and ends.
    """
    with ThreadPoolExecutor(1) as inside:
        try:
            return inside.submit(_made, space.pid, family, kind).result()
        except OSError as error:
            raise PeerUnavailable(f"no socket in {space.name}: {error}", hint="it needs root") from error


def _made(pid: int, family: int, kind: int) -> socket.socket:
    _enter(pid)
    return socket.socket(family, kind)


def _enter(pid: int) -> None:
    # os.setns came with Python 3.12
    libc = ctypes.CDLL(None, use_errno=True)
    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(namespace, _CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(namespace)
