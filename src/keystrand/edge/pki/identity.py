"""Who a certificate speaks for: the URI `urn:keystrand:<kind>:<ID>` among its alternative names, and no header ever.

Profile: RFC 5280. Where a deployment says so, a leaf of an older PKI that holds no such URI stands for the SAE that its
common name names; a KME, a module or an operator is never known by a common name.
"""

import contextlib
from enum import StrEnum
from functools import lru_cache
from urllib.parse import quote, unquote

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from keystrand.model.errors import PolicyDenied

_URN = "urn:keystrand:"


class Kind(StrEnum):
    """Who a certificate can belong to."""

    KME = "kme"
    SAE = "sae"
    MODULE = "module"
    OPERATOR = "operator"
    AGENT = "agent"


USES = {
    Kind.KME: (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
    Kind.SAE: (ExtendedKeyUsageOID.CLIENT_AUTH,),
    Kind.MODULE: (ExtendedKeyUsageOID.CLIENT_AUTH,),
    Kind.OPERATOR: (ExtendedKeyUsageOID.CLIENT_AUTH,),
    Kind.AGENT: (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
}
"""The TLS roles of each kind; a certificate must name all of its kind's (RFC 5280, 4.2.1.12)."""


class Identity(Struct, frozen=True, kw_only=True):
    """Who the holder of a verified certificate is."""

    kind: Kind
    id: str

    @property
    def urn(self) -> str:
        """The identity as its certificate says it; characters beyond RFC 3986's unreserved ones are escaped."""
        return _urn(self.kind, self.id)


@lru_cache(maxsize=1024)
def _urn(kind: Kind, name: str) -> str:
    return f"{_URN}{kind}:{quote(name, safe='')}"


def identity_of(certificate: x509.Certificate, *, common_name_saes: bool = False) -> Identity:
    """Return whose `certificate` it is. Only meaningful for the leaf of a chain that TLS has verified.

    Raises `PolicyDenied` unless exactly one of its URI names is `urn:keystrand:<kind>:<ID>` in its one normal form, or,
    with `common_name_saes`, it has no such URI at all and exactly one common name: that is then an SAE's ID.
    """
    # a URN's first two parts are the same in any case (RFC 8141, 3.1): such a name is one of ours, spelt wrongly
    ours = [uri for uri in _uris(certificate) if uri.lower().startswith(_URN)]
    if not ours and common_name_saes:
        return Identity(kind=Kind.SAE, id=_common_name(certificate))
    if len(ours) != 1:
        raise PolicyDenied(f"the certificate holds {len(ours)} {_URN} names where it must hold one")
    kind, _, escaped = ours[0].removeprefix(_URN).partition(":")
    if kind not in set(Kind):
        raise PolicyDenied("the certificate names an identity of no known kind")
    identity = Identity(kind=Kind(kind), id=unquote(escaped))
    # one identity, one spelling: an escape that could be written plainly would make two names of one
    if not identity.id or identity.urn != ours[0]:
        raise PolicyDenied("the certificate's identity is not in its normal form")
    return identity


def _uris(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    except ValueError:
        # what cannot be read might have named somebody else
        raise PolicyDenied("the certificate's alternative names cannot be read") from None
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _common_name(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = names[0].value if len(names) == 1 else ""
    # what looks like another kind's name, or differs from another ID only in what nobody sees, names nobody
    if not isinstance(name, str) or not name.isprintable() or name != name.strip() or name.lower().startswith("urn:"):
        raise PolicyDenied("the certificate's common name cannot be an SAE ID")
    if not name:
        raise PolicyDenied("the certificate names no identity")
    return name


def party_of(certificate: x509.Certificate, *, common_name_saes: bool = False) -> Identity:
    """Return whose `certificate` it is, where its profile lets it stand for that party in TLS.

    Raises `PolicyDenied` as `identity_of` does, for an authority's certificate (RFC 5280, 4.2.1.9), and for one whose
    extended key usage does not name every role of its kind (4.2.1.12): no such extension names none.
    """
    identity = identity_of(certificate, common_name_saes=common_name_saes)
    extensions = certificate.extensions
    with contextlib.suppress(x509.ExtensionNotFound):
        if extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            raise PolicyDenied("the certificate is an authority's, not a party's")
    try:
        uses = set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        uses = set()
    if not uses.issuperset(USES[identity.kind]):
        raise PolicyDenied(f"the certificate's extended key usage is not that of a {identity.kind}")
    return identity
