"""What this machine can do, found out by doing it."""

import importlib.util
import platform
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.backends.openssl import backend
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

from keystrand.edge.consumers.psk_ends import external_psk_supported
from keystrand.edge.files import write_atomic
from keystrand.edge.tls import default_group


class Check(NamedTuple):
    """One thing that was tried. `state` is ok, absent (an extra that is not installed) or failed."""

    name: str
    state: str
    detail: str


def _python() -> str:
    return platform.python_version()


def _openssl() -> str:
    return backend.openssl_version_text()


def _post_quantum_tls() -> str:
    group = default_group()
    if "MLKEM" not in group.upper():
        raise RuntimeError(f"two ends of this machine agree on {group}, which is not post-quantum")
    return f"two ends agree on {group}"


def _signatures() -> str:
    key = MLDSA65PrivateKey.generate()
    key.public_key().verify(key.sign(b"keystrand doctor"), b"keystrand doctor")
    return "ML-DSA-65 signs and verifies"


def _encapsulation() -> str:
    key = MLKEM768PrivateKey.generate()
    secret, ciphertext = key.public_key().encapsulate()
    if key.decapsulate(ciphertext) != secret:
        raise RuntimeError("ML-KEM-768 does not return the secret it made")
    return "ML-KEM-768 encapsulates and decapsulates"


def _external_psk() -> str:
    if not external_psk_supported():
        raise RuntimeError("the installed cryptography wheel does not offer TLS 1.3 external keys")
    return "TLS 1.3 external keys are offered"


def _durable_files() -> str:
    with tempfile.TemporaryDirectory() as folder:
        write_atomic(Path(folder) / "probe", b"content")
        connection = sqlite3.connect(Path(folder) / "probe.db")
        mode = connection.execute("pragma journal_mode=wal").fetchone()[0]
        connection.close()
    if mode != "wal":
        raise RuntimeError(f"SQLite offers journal mode {mode}, not wal")
    return f"SQLite {sqlite3.sqlite_version} with a write-ahead log"


_CHECKS: tuple[tuple[str, Callable[[], str]], ...] = (
    ("Python", _python),
    ("OpenSSL inside cryptography", _openssl),
    ("post-quantum TLS", _post_quantum_tls),
    ("post-quantum key encapsulation", _encapsulation),
    ("post-quantum signatures", _signatures),
    ("external keys in TLS", _external_psk),
    ("durable store", _durable_files),
)
_EXTRAS = (
    ("asyncssh", "demo", "the demonstration's SSH server"),
    ("uvloop", "fast", "a faster event loop for the KME"),
    ("asyncpg", "postgres", "the key store in PostgreSQL"),
    ("pkcs11", "hsm", "the master key in a PKCS#11 token"),
    ("resvg_py", "png", "charts as PNG"),
    ("ray", "ray", "sweeps on a Ray cluster"),
)


def _try(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, "ok", check())
    except Exception as error:  # whatever fails is exactly what this command is for
        return Check(name, "failed", f"{type(error).__name__}: {error}")


def examine() -> tuple[Check, ...]:
    """Try everything and return what came of it, in a fixed order."""
    extras = (
        Check(
            module, "ok" if importlib.util.find_spec(module) else "absent", f"{what}: pip install 'keystrand[{extra}]'"
        )
        for module, extra, what in _EXTRAS
    )
    return (*(_try(name, check) for name, check in _CHECKS), *extras)
