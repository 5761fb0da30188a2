"""Real servers on the loopback interface for the demonstration: several cryptographic postures, fresh keys each run."""

import asyncio
import importlib
import importlib.util
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from tempfile import NamedTemporaryFile
from types import TracebackType
from typing import Any, NamedTuple, Self
from weakref import WeakSet

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from OpenSSL import SSL

Address = tuple[str, int]
_Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | mldsa.MLDSA65PrivateKey

LOOPBACK = "127.0.0.1"
PATIENCE_S = 15.0
"""A client that says nothing for so long is let go: well above any prober's timeout."""
VALID_DAYS, LAPSED_DAYS = 90, 30
"""How long a certificate lasts, and how long ago the expired one ended."""


class Posture(StrEnum):
    """What a server of the demonstration speaks."""

    TLS_RSA = "TLS, RSA-2048 certificate, classical key exchange only (P-256)"
    TLS_ECDSA = "TLS, ECDSA certificate, classical key exchange only (P-384)"
    TLS_EXPIRED = "TLS, expired certificate, classical key exchange only (P-256)"
    TLS_HYBRID = "TLS, ECDSA certificate, hybrid post-quantum key exchange preferred (X25519MLKEM768)"
    TLS_ML_DSA = "TLS, ML-DSA-65 certificate, hybrid post-quantum key exchange preferred (X25519MLKEM768)"
    SSH_CLASSICAL = "SSH, RSA host key, classical key exchange only"
    SSH_HYBRID = "SSH, Ed25519 host key, hybrid post-quantum key exchange preferred (mlkem768x25519-sha256)"
    CLOSED = "closed: nothing listens"
    LEFT_OUT = "not started: the SSH server comes with the extra 'demo' (pip install 'keystrand[demo]')"

    @property
    def is_ssh(self) -> bool:
        """Return whether an SSH server stands there."""
        return self in (Posture.SSH_CLASSICAL, Posture.SSH_HYBRID)


DOMAIN = "regional-bank.example"
STAND_INS: dict[Address, Posture] = {
    (f"{name}.{DOMAIN}", port): posture
    for name, port, posture in (
        ("banking", 443, Posture.TLS_HYBRID),
        ("login", 443, Posture.TLS_HYBRID),
        ("www", 443, Posture.TLS_HYBRID),
        ("api", 443, Posture.TLS_ECDSA),
        ("payments", 8443, Posture.TLS_RSA),
        ("mesh", 8443, Posture.TLS_ML_DSA),
        ("sso", 443, Posture.TLS_RSA),
        ("mail", 465, Posture.TLS_ECDSA),
        ("objects", 9000, Posture.TLS_ECDSA),
        ("logs", 6514, Posture.TLS_RSA),
        ("replication", 7443, Posture.TLS_RSA),
        ("clearing", 4433, Posture.TLS_EXPIRED),
        ("reporting", 443, Posture.TLS_ECDSA),
        ("remote", 443, Posture.TLS_HYBRID),
        ("ledger-db", 5432, Posture.CLOSED),
        ("jump", 22, Posture.SSH_CLASSICAL),
        ("hub-kempten", 22, Posture.SSH_CLASSICAL),
        ("files", 2222, Posture.SSH_HYBRID),
        ("console-reutte", 22, Posture.CLOSED),
    )
}
"""What stands in for each network target of the bundled estate."""


class DemoEndpoints:
    """Context manager: starts the servers, and stops them and everything they hold at its end.

    `connect_to` says where each named host and port really is; `postures` what stands there, for people.
    """

    def __init__(self, stand_ins: dict[Address, Posture] = STAND_INS) -> None:
        with_ssh = importlib.util.find_spec("asyncssh") is not None
        self._stand_ins = {
            name: Posture.LEFT_OUT if posture.is_ssh and not with_ssh else posture
            for name, posture in stand_ins.items()
        }
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="demo-endpoints", daemon=True)
        self._ssh_connections: WeakSet[Any] = WeakSet()
        self._cleanup = ExitStack()
        self.connect_to: dict[Address, Address] = {}

    @property
    def postures(self) -> dict[str, str]:
        """Return what stands at each `host:port`, left-out and closed ones included."""
        return {f"{host}:{port}": posture.value for (host, port), posture in self._stand_ins.items()}

    def __enter__(self) -> Self:
        self._thread.start()
        self._cleanup.callback(self._end_loop)
        try:
            for name, posture in self._stand_ins.items():
                self.connect_to[name] = self._start(name[0], posture)
        except BaseException:
            self._cleanup.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    def _run(self, work: Awaitable[Any]) -> Any:
        """Await `work` on the servers' loop and return its result."""

        async def awaited() -> Any:
            return await work

        return asyncio.run_coroutine_threadsafe(awaited(), self._loop).result(timeout=60)

    def _start(self, host: str, posture: Posture) -> Address:
        if posture in (Posture.CLOSED, Posture.LEFT_OUT):
            return self._closed_port()
        server = self._run(self._listen_ssh(posture) if posture.is_ssh else self._listen_tls(host, posture))
        self._cleanup.callback(self._loop.call_soon_threadsafe, server.close)
        return LOOPBACK, server.sockets[0].getsockname()[1]

    def _closed_port(self) -> Address:
        """Hold a port without listening: nobody else can open it while the demonstration runs."""
        holder = self._cleanup.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        holder.bind((LOOPBACK, 0))
        return LOOPBACK, holder.getsockname()[1]

    async def _listen_tls(self, host: str, posture: Posture) -> asyncio.Server:
        context = _tls_context(host, posture)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await _serve_tls(context, reader, writer)

        return await asyncio.start_server(serve, LOOPBACK, 0)

    async def _listen_ssh(self, posture: Posture) -> Any:
        asyncssh: Any = importlib.import_module("asyncssh")  # an extra: loaded only where it was found
        host_key, key_exchanges = _SSH_SETTINGS[posture]
        key = asyncssh.generate_private_key(host_key)

        def attend() -> Any:
            server = asyncssh.SSHServer()  # as it stands it lets nobody in
            server.connection_made = self._ssh_connections.add
            return server

        return await asyncssh.listen(
            LOOPBACK,
            0,
            server_factory=attend,
            server_host_keys=[key],
            kex_algs=key_exchanges,
            login_timeout=PATIENCE_S,
            gss_host=None,
        )

    def _end_loop(self) -> None:
        self._run(self._end_connections())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end_connections(self) -> None:
        for connection in list(self._ssh_connections):
            connection.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()


# TLS


async def _serve_tls(context: SSL.Context, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Shake hands, wait until the client speaks or leaves, and say goodbye. A broken handshake ends quietly."""
    connection = SSL.Connection(context, None)
    connection.set_accept_state()
    try:
        with suppress(SSL.Error, OSError, TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                if await _handshake(connection, reader, writer):
                    await reader.read(1)
                    connection.shutdown()
                    await _flush(connection, writer)
    finally:
        writer.close()


async def _handshake(connection: SSL.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Return whether the handshake was done; False where the client left before its end."""
    while True:
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            await _flush(connection, writer)
        except SSL.Error:
            await _flush(connection, writer)  # the alert that says why
            raise
        else:
            await _flush(connection, writer)
            return True
        received = await reader.read(16384)
        if not received:
            return False
        connection.bio_write(received)


async def _flush(connection: SSL.Connection, writer: asyncio.StreamWriter) -> None:
    with suppress(SSL.WantReadError):
        while True:
            writer.write(connection.bio_read(65536))
    await writer.drain()


class _TlsSettings(NamedTuple):
    """How a TLS posture is made. `only_curve`: None leaves OpenSSL's own order, X25519MLKEM768 first."""

    make_key: Callable[[], _Key]
    only_curve: ec.EllipticCurve | None
    expired: bool = False


def _rsa_key() -> _Key:
    return rsa.generate_private_key(65537, 2048)


def _ecdsa_key() -> _Key:
    return ec.generate_private_key(ec.SECP256R1())


_TLS_SETTINGS: dict[Posture, _TlsSettings] = {
    Posture.TLS_RSA: _TlsSettings(_rsa_key, ec.SECP256R1()),
    Posture.TLS_ECDSA: _TlsSettings(_ecdsa_key, ec.SECP384R1()),
    Posture.TLS_EXPIRED: _TlsSettings(_rsa_key, ec.SECP256R1(), expired=True),
    Posture.TLS_HYBRID: _TlsSettings(_ecdsa_key, None),
    Posture.TLS_ML_DSA: _TlsSettings(mldsa.MLDSA65PrivateKey.generate, None),
}
_SSH_SETTINGS: dict[Posture, tuple[str, list[str]]] = {
    Posture.SSH_CLASSICAL: ("ssh-rsa", ["curve25519-sha256", "ecdh-sha2-nistp256", "diffie-hellman-group14-sha256"]),
    Posture.SSH_HYBRID: ("ssh-ed25519", ["mlkem768x25519-sha256", "curve25519-sha256"]),
}


def _tls_context(host: str, posture: Posture) -> SSL.Context:
    settings = _TLS_SETTINGS[posture]
    key = settings.make_key()
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.use_certificate(_certificate(host, key, expired=settings.expired))
    if isinstance(key, mldsa.MLDSA65PrivateKey):
        _use_key_by_file(context, key)
    else:
        context.use_privatekey(key)
    if settings.only_curve is not None:
        context.set_tmp_ecdh(settings.only_curve)
    return context


def _use_key_by_file(context: SSL.Context, key: mldsa.MLDSA65PrivateKey) -> None:
    """Load a key of a type that pyOpenSSL takes from files only, by a file that nobody else may read."""
    with NamedTemporaryFile(suffix=".pem") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.flush()
        context.use_privatekey_file(file.name)


def _certificate(host: str, key: _Key, *, expired: bool) -> x509.Certificate:
    end = datetime.now(UTC) + timedelta(days=-LAPSED_DAYS if expired else VALID_DAYS)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(days=VALID_DAYS + 1))
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    )
    return builder.sign(key, None if isinstance(key, mldsa.MLDSA65PrivateKey) else hashes.SHA256())
