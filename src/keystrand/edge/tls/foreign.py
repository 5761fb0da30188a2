"""The client's end towards a KME of another make, whose certificate knows nothing of our identities.

Of such a server only this is known: a certificate of the authority that was named for it, which covers its address. TLS
1.2 is allowed, since ETSI GS QKD 014 asks for no more, and many such KMEs have no more; what was negotiated is told.
"""

from OpenSSL import SSL
from OpenSSL.crypto import X509

from keystrand.edge.pki import Credentials, Identity, Kind
from keystrand.edge.tls.contexts import use_files
from keystrand.edge.tls.peer import covers_host, leaf_of, reason_of_code


class _Check:
    """A verified leaf must cover the host. Then it counts as the certificate of a KME with the host's name."""

    def __init__(self, host: str) -> None:
        self._host = host

    def __call__(self, connection: SSL.Connection, certificate: X509, error: int, depth: int, verified: int) -> bool:
        """Refuse inside the handshake: OpenSSL calls this for each certificate of the chain, the leaf last."""
        if not verified:
            connection.set_app_data(reason_of_code(error))
        elif depth == 0:
            try:
                leaf = certificate.to_cryptography()
                covered = covers_host(leaf, self._host)
            except Exception as refused:  # what is raised here would surface in some other place
                connection.set_app_data(str(refused) or type(refused).__name__)
                return False
            if not covered:
                connection.set_app_data(f"its certificate does not name {self._host} among its alternative names")
                return False
            connection.set_app_data(leaf_of(leaf, Identity(kind=Kind.KME, id=self._host)))
        return bool(verified)


def foreign_context(credentials: Credentials, host: str) -> SSL.Context:
    """Return a client context for the server at `host` alone, whose authority is `credentials.ca`.

    Raises `InvalidInput` where the files are not a certificate, its key and an authority.
    """
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION)
    use_files(context, credentials)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _Check(host))
    return context
