"""The contexts of both ends: TLS 1.3 only, no resumption, a certificate asked of everybody, judged in the handshake."""

import contextlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from OpenSSL.crypto import FILETYPE_ASN1, X509, X509StoreFlags, dump_certificate

from keystrand.edge.pki import Credentials, read_revocations
from keystrand.edge.tls.peer import RECORD_BYTES, Leaf, group_name, read_leaf, reason_of_code
from keystrand.formats.wording import joined
from keystrand.model.errors import InvalidInput

_LEAVES = 512
"""How many certificates are remembered as read. A few KiB each."""


class _Check:
    """A verified leaf must be a party of ours. Who it is, or the reason against it, stays with the connection.

    What a certificate says is read once, not for every connection; whether it is verified is asked each time.
    """

    def __init__(self, *, common_name_saes: bool) -> None:
        self._common_name_saes = common_name_saes
        self._read: dict[bytes, Leaf] = {}

    def __call__(self, connection: SSL.Connection, certificate: X509, error: int, depth: int, verified: int) -> bool:
        """Refuse inside the handshake: OpenSSL calls this for each certificate of the chain, the leaf last."""
        if not verified:
            connection.set_app_data(reason_of_code(error))
        elif depth == 0:
            try:
                connection.set_app_data(self._leaf(dump_certificate(FILETYPE_ASN1, certificate)))
            except Exception as refused:
                # whatever cannot be read is nobody's; what is raised here would surface in some other place
                connection.set_app_data(str(refused) or type(refused).__name__)
                return False
        return bool(verified)

    def _leaf(self, der: bytes) -> Leaf:
        leaf = self._read.get(der)
        if leaf is None:
            leaf = read_leaf(der, common_name_saes=self._common_name_saes)
            if len(self._read) >= _LEAVES:
                self._read.clear()
            self._read[der] = leaf
        return leaf


def _context(method: int, credentials: Credentials, *, common_name_saes: bool) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_max_proto_version(SSL.TLS1_3_VERSION)
    # no resumption: every connection proves its certificate anew
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET)
    use_files(context, credentials)
    _set_store(context, credentials.crl)
    context.set_verify(
        SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _Check(common_name_saes=common_name_saes)
    )  # fmt: skip
    return context


def use_files(context: SSL.Context, credentials: Credentials) -> None:
    """Have `context` show the certificate of `credentials` and trust its authority. Raises `InvalidInput`."""
    try:
        context.use_certificate_chain_file(str(credentials.certificate))
        context.use_privatekey_file(str(credentials.key))
        context.check_privatekey()
        context.load_verify_locations(str(credentials.ca))
    except SSL.Error:
        files = credentials.certificate, credentials.key, credentials.ca
        unread = [str(file) for file in files if not os.access(file, os.R_OK)]
        raise InvalidInput(
            f"{joined(list(map(str, files)))} are no usable certificate, its key and its authority"
            + (f": {joined(unread)} cannot be read" if unread else ""),
            hint="name three PEM files that belong together; issue a new set where they do not",
        ) from None


def _set_store(context: SSL.Context, crl: Path | None) -> None:
    store = context.get_cert_store()
    if store is None:
        raise InvalidInput("OpenSSL gives no store to put authorities in")
    store.set_flags(X509StoreFlags.X509_STRICT)
    if crl:
        for one in read_revocations(crl)[0]:
            store.add_crl(one)
        # of the leaf's issuer: no list there, or one that has ended, is a refusal
        store.set_flags(X509StoreFlags.CRL_CHECK)


def server_context(credentials: Credentials, *, common_name_saes: bool = False) -> SSL.Context:
    """Return a TLS 1.3 server context that demands a client certificate of the same authority.

    With `common_name_saes` a client whose certificate holds no URI of ours is the SAE of its common name. Raises
    `MissingInput` or `InvalidInput` where the files are not a certificate, its key, its authority and revocation lists.
    """
    context = _context(SSL.TLS_SERVER_METHOD, credentials, common_name_saes=common_name_saes)
    # a client that tries to resume all the same gets a full handshake instead of an error
    context.set_session_id(b"keystrand")
    return context


def client_context(credentials: Credentials) -> SSL.Context:
    """Return the client's counterpart of `server_context`."""
    return _context(SSL.TLS_CLIENT_METHOD, credentials, common_name_saes=False)


def default_group() -> str:
    """Return the key exchange group that two ends of this machine agree on when nobody asks for any, found by doing it.

    Raises `SSL.Error` where they do not come together at all.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "probe")]), datetime.now(UTC)
    builder = x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key(), serial_number=1)
    certificate = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA256())
    server_side = SSL.Context(SSL.TLS_SERVER_METHOD)
    server_side.use_certificate(certificate)
    server_side.use_privatekey(key)
    client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    server = SSL.Connection(server_side, None)
    client.set_connect_state()
    server.set_accept_state()
    # three flights: the client's hello, the server's answer, the client's end
    for sender, receiver in ((client, server), (server, client), (client, server)):
        with contextlib.suppress(SSL.WantReadError):
            sender.do_handshake()
        receiver.bio_write(sender.bio_read(RECORD_BYTES))
    server.do_handshake()
    return group_name(server)
