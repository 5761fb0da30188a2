"""What a key_ID is called in MACsec: the identifier of a SAK, or a CKN, both of 16 octets here."""

import uuid

from keystrand.edge.consumers.base import ConsumerFailure
from keystrand.model.words import shown


def identifier(key_id: str) -> str:
    """Return the 16 octets of a key_ID in hex: it is a UUID (ETSI GS QKD 014, 6.3). Raises `ConsumerFailure`."""
    try:
        return uuid.UUID(key_id).hex
    except ValueError:
        raise ConsumerFailure(f"the key_ID {shown(key_id)} is no UUID: MACsec names a key by 16 octets") from None
