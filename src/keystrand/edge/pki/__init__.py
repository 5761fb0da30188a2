"""Identities, the authority that certifies them, and the folder it works in."""

from keystrand.edge.pki.authority import Algorithm, Authority
from keystrand.edge.pki.folder import (
    AUTHORITY_DAYS,
    CRL_DAYS,
    Credentials,
    Issued,
    Pki,
    State,
    create,
    issue,
    issue_pki,
    issued,
    list_ends,
    renew_crl,
    revoke,
)
from keystrand.edge.pki.identity import Identity, Kind, identity_of, party_of
from keystrand.edge.pki.revocation import Revocations, read_revocations

__all__ = [
    "AUTHORITY_DAYS", "CRL_DAYS", "Algorithm", "Authority", "Credentials", "Identity", "Issued", "Kind", "Pki",
    "Revocations", "State", "create", "identity_of", "issue", "issue_pki", "issued", "list_ends", "party_of",
    "read_revocations", "renew_crl", "revoke",
]  # fmt: skip
