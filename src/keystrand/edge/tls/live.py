"""A context that follows its files: renewed certificates, authorities and revocation lists count without a restart."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from OpenSSL import SSL

from keystrand.edge.pki import Credentials, Identity, Revocations, party_of, read_revocations
from keystrand.edge.tls.contexts import client_context, server_context
from keystrand.edge.tls.peer import Peer, read_certificate
from keystrand.model.errors import InvalidInput, KeystrandError

_log = logging.getLogger(__name__)

_LOOK_S = 1.0
"""The files are looked at once in so long, and not for every connection."""

_Seen = tuple[tuple[int, int, int] | None, ...]


class LiveContext:
    """The current context made of `credentials`: for a server, or for a client where `server` is false.

    `own`, where given, is whom the certificate must name. Files that do not load, or belong to somebody else, raise
    `MissingInput` or `InvalidInput` at the start; later the earlier context stays, with a warning in the log. One
    thread at a time.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        server: bool,
        common_name_saes: bool = False,
        own: Identity | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._credentials, self._own, self._clock = credentials, own, clock
        self._server, self._common_name_saes = server, common_name_saes
        self._files = [credentials.ca, credentials.certificate, credentials.key]
        self._files += [credentials.crl] if credentials.crl else []
        self._look_at_s = clock() + _LOOK_S
        self._seen = self._look()
        self._context, self._revocations = self._load()

    def current(self) -> SSL.Context:
        """Return the context for a new connection."""
        if self._clock() >= self._look_at_s:
            self.refresh()
        return self._context

    def refusal_of(self, peer: Peer) -> str:
        """Return why an open connection of `peer` may not go on; empty where it may."""
        if self._clock() >= self._look_at_s:
            self.refresh()
        return "the certificate of this connection was revoked" if self._revocations.names(peer) else ""

    def refresh(self) -> bool:
        """Look at the files now; return whether they have changed and count from now on."""
        self._look_at_s = self._clock() + _LOOK_S
        # looked at before they are read: what changes in between is seen the next time
        seen = self._look()
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            self._context, self._revocations = self._load()
        except KeystrandError as error:
            _log.warning("the changed TLS files are not used, the earlier ones stay in force: %s", error.message)
            return False
        _log.info("the TLS files have changed and are in force: %s", ", ".join(map(str, self._files)))
        return True

    def _look(self) -> _Seen:
        return tuple(map(_mark, self._files))

    def _load(self) -> tuple[SSL.Context, Revocations]:
        files = self._credentials
        if self._server:
            context = server_context(files, common_name_saes=self._common_name_saes)
        else:
            context = client_context(files)
        self._check_owner()
        return context, read_revocations(files.crl)[1] if files.crl else Revocations()

    def _check_owner(self) -> None:
        if self._own is None:
            return
        holder = party_of(read_certificate(self._credentials.certificate))
        if holder != self._own:
            raise InvalidInput(
                f"{self._credentials.certificate} belongs to {holder.urn}, not to {self._own.urn}",
                hint="name the certificate and key of this party",
            )


def _mark(file: Path) -> tuple[int, int, int] | None:
    """Return what changes when the file does; None where it cannot be seen."""
    try:
        seen = file.stat()
    except OSError:
        return None
    return seen.st_mtime_ns, seen.st_size, seen.st_ino
