"""The one tree of domain-separation labels: what is derived or sealed for one use can serve no other.

A label is a path below `keystrand/v1`; a use of it is written as the label and its parts, each with its length in
front, so that no two different lists of parts give the same bytes.
"""

_ROOT = "keystrand/v1"

STORE = f"{_ROOT}/kme/store"
STORE_BLOCK = f"{STORE}/block"
"""Binds a sealed block to its row; parts: store id, block id, label, QBER."""
STORE_KEY = f"{STORE}/key"
"""Binds a sealed key to its row; parts: store id, order id, SAE, other SAE, provenance."""

KEYRING_WRAPPING_KEY = f"{_ROOT}/kme/keyring/wrapping-key"
"""Derives the key that wraps data keys from the master key; parts: store id."""
KEYRING_TAG_KEY = f"{_ROOT}/kme/keyring/tag-key"
"""Derives the key that authenticates the keyring's file from the master key; parts: store id."""
KEYRING_ENTRY = f"{_ROOT}/kme/keyring/entry"
"""Binds a wrapped data key to its place; parts: store id, epoch, format."""
AGE_FILE_KEY = f"{_ROOT}/consumer/age/file-key"
"""Derives what wraps the file key of an age file from one key; parts: master SAE, slave SAE, key ID."""
TICKET_KEY = f"{_ROOT}/consumer/haproxy/ticket-key"
"""Derives a session ticket key of HAProxy from one key; parts: key ID."""
AUDIT_CHECKPOINT = f"{_ROOT}/kme/audit/checkpoint"
"""Binds a checkpoint's signature; parts: store id, sequence number, generation, time, hash of the line before."""

STORE_MARK = f"{_ROOT}/kme/store-mark"
"""Begins what the proof of a store's mark says; parts: store id, writer, start, generation at it, generation."""

REPETITION = f"{_ROOT}/kme/repetition"
"""Tells one Get key with key IDs from another; parts: master SAE, key IDs. Before it: the caller's certificate."""
BLOCK_CONFIRMATION = f"{_ROOT}/kme/block-confirmation"
"""Begins what the tag of a block says; parts: link, block id, source, number, label."""
SEALED_ORDER = f"{_ROOT}/kme/sealed-order"
"""Begins what the tag of sealed keys says; parts: order id, size, count, profile, master SAE, origin, slave SAEs."""
AGREED_BLOCK = f"{_ROOT}/kme/agreed-block"
"""Derives a block from a key agreement between two KMEs; parts: source, link, block id, both KMEs, both shares."""
AGENT_PROOF = f"{_ROOT}/agent/proof"
"""Derives from a key the one that proves to the other agent that we hold it, and begins what the proof says."""
AGENT_AGREED_KEY = f"{_ROOT}/agent/agreed-key"
"""Derives a key from a key agreement between two agents; parts: consumer, key id, both agents, both shares."""
AGENT_EXCEPTION = f"{_ROOT}/agent/exception"
"""Begins what the signature of an exception signs."""
COMBINED_KEY = f"{_ROOT}/key/combined"
"""Twists several strands into one key; what it is bound to stands in `crypto.combiner.Binding`."""


def bound(label: str, *parts: str) -> bytes:
    """Return the bytes of `label` used for `parts`: each with its length in bytes (32 bit, big-endian) in front."""
    return b"".join([len(piece).to_bytes(4, "big") + piece for piece in map(str.encode, (label, *parts))])
