"""What a KME decides, on values alone: who may ask for what, which bytes to cut, which answer an error becomes.

ETSI GS QKD 014 V1.1.1 clauses 5.4 and 6; where it is silent the decision stands beside the code.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import UNSET, Struct

from keystrand.edge.kme.config import KeyLimits, KmeConfig, LinkEnd
from keystrand.edge.kme.messages import SLICES, Assign, Block, Slice
from keystrand.edge.pki import Kind
from keystrand.edge.tls import Peer
from keystrand.formats import etsi014
from keystrand.formats.etsi014 import Extension, KeyRequest, Status, bad_request
from keystrand.model.errors import (
    InvalidInput,
    KeystrandError,
    NoKeyAvailable,
    PeerUnavailable,
    PolicyDenied,
    Problem,
)

LABEL_EXTENSION = "keystrand_label"
"""The one extension_mandatory we know: every bit of the keys must come from blocks of this label."""
RETRY_AFTER_S = 1


class PoolTooSmall(NoKeyAvailable):
    """The pool holds fewer bits than asked for; nothing was consumed."""

    def __init__(self, stored_key_count: int) -> None:
        super().__init__("not enough keys are stored")
        self.stored_key_count = stored_key_count


class LiveBlock(Struct, frozen=True, kw_only=True):
    """A block that still holds key: bytes `cursor` to `length` are unused."""

    block_id: str
    cursor: int
    length: int
    label: str


class KeyOrder(Struct, frozen=True, kw_only=True):
    """A Get key that was judged: `number` keys of `size` bits over `link`, all of `label` where one is demanded."""

    link: LinkEnd
    master_sae: str
    slave_sae: str
    number: int
    size: int
    label: str | None = None

    @property
    def octets(self) -> int:
        """How many bytes of key it takes."""
        return self.number * self.size // 8


class KeyRow(Struct, frozen=True, kw_only=True):
    """What the store knows of a key ID. `waiting`: its slave may fetch it."""

    master_sae: str
    slave_sae: str
    waiting: bool


# Who may


def demand(config: KmeConfig, peer: Peer, kind: Kind) -> None:
    """Raise `PolicyDenied` unless the caller is of `kind` and came by a key exchange that is allowed for it."""
    if peer.identity.kind is not kind:
        raise PolicyDenied(f"this is for {kind} certificates; yours is {peer.identity.urn}")
    if not peer.post_quantum and (kind is not Kind.SAE or config.tls.require_post_quantum_saes):
        raise PolicyDenied(f"the key exchange group {peer.group or 'unknown'} is not post-quantum")


def demand_valid(peer: Peer, now: float) -> None:
    """Raise `PolicyDenied` where the certificate that the connection was opened with has expired since."""
    if now >= peer.valid_until_s:
        raise PolicyDenied("the certificate of this connection has expired")


def link_between(config: KmeConfig, peer: Peer, other_sae: str) -> LinkEnd:
    """Return the link that joins the calling SAE's KME (this one) to that of `other_sae`.

    Raises `PolicyDenied`, in the same words whether the other SAE is unknown or not associated: 014 is silent, and
    existence is nobody's business.
    """
    demand(config, peer, Kind.SAE)
    if config.kme_of(peer.identity.id) != config.kme_id:
        raise PolicyDenied("this KME does not serve the calling SAE")
    link = config.link_to(config.kme_of(other_sae))
    if link is None:
        raise PolicyDenied("the calling SAE has no association with the SAE named in the URL")
    return link


def judge_block(config: KmeConfig, peer: Peer, block: Block) -> None:
    """Raise `PolicyDenied` unless the caller is a module of the block's link; `InvalidInput` where the block is empty
    or no end of the link is its master.
    """
    demand(config, peer, Kind.MODULE)
    if block.link not in {module.link for module in config.modules if module.id == peer.identity.id}:
        raise PolicyDenied("this module does not deliver for that link")
    ends = {config.kme_id, *(end.peer_kme for end in config.links if end.id == block.link)}
    if block.master_kme not in ends:
        raise bad_request("neither end of the link", "master_kme")
    if not len(block.key_bits):
        raise bad_request("empty", "key_bits")


def judge_assign(config: KmeConfig, peer: Peer, message: Assign) -> None:
    """Raise `PolicyDenied` unless the caller is the KME at the other end of the link and the SAEs are each at home.

    Raises `InvalidInput` where the slices do not give the keys.
    """
    demand(config, peer, Kind.KME)
    link = next((end for end in config.links if end.id == message.link), None)
    if link is None or link.peer_kme != peer.identity.id:
        raise PolicyDenied("this KME is not the other end of that link")
    if config.kme_of(message.master_sae) != link.peer_kme or config.kme_of(message.slave_sae) != config.kme_id:
        raise PolicyDenied("the master SAE must be at the calling KME and the slave SAE at this one")
    check_size(config.keys, len(message.key_ids), message.size)
    if 8 * sum(piece.length for piece in message.slices) != len(message.key_ids) * message.size:
        raise bad_request("they hold more or fewer bits than the keys", "slices")
    if len(set(message.key_ids)) != len(message.key_ids):
        raise bad_request("a key ID appears twice", "key_ids")


# What is asked


def check_size(limits: KeyLimits, number: int, size: int) -> None:
    """Raise `InvalidInput` unless `number` keys of `size` bits may be asked for at once."""
    if not 1 <= number <= limits.max_key_per_request:
        raise bad_request(f"must be 1 to {limits.max_key_per_request}", "number")
    if not limits.min_key_size <= size <= limits.max_key_size:
        raise bad_request(f"must be {limits.min_key_size} to {limits.max_key_size} bits", "size")
    if size % 8:
        raise bad_request("this KME hands out whole octets", "size", etsi014.SIZE_NOT_A_MULTIPLE)


def _demanded_label(extensions: Sequence[Extension]) -> str | None:
    named = [(name, value) for extension in extensions for name, value in extension.items()]
    for name, _ in named:
        if name != LABEL_EXTENSION:
            where = "extension_mandatory_unsupported"
            raise bad_request(f"{name} is not supported", where, etsi014.MANDATORY_UNSUPPORTED)
    labels = {value if isinstance(value, str) else "" for _, value in named}
    if "" in labels or len(labels) > 1:
        raise bad_request("must be one label in quotes", LABEL_EXTENSION)
    return labels.pop() if labels else None


def order_keys(config: KmeConfig, link: LinkEnd, master_sae: str, slave_sae: str, request: KeyRequest) -> KeyOrder:
    """Return what a Get key asks for that `link_between` permitted. Raises `InvalidInput` as clause 6 says.

    Multicast is not offered (`max_SAE_ID_count` 0). Unknown optional extensions are ignored, as the text allows.
    """
    size = config.keys.key_size if request.size is UNSET else request.size
    check_size(config.keys, request.number, size)
    if request.additional_slave_sae_ids:
        raise bad_request("max_SAE_ID_count is 0: this KME serves one slave a key", "additional_slave_SAE_IDs")
    return KeyOrder(
        link=link, master_sae=master_sae, slave_sae=slave_sae, number=request.number, size=size,
        label=_demanded_label(request.extension_mandatory),
    )  # fmt: skip


def judge_ids(config: KmeConfig, key_ids: Sequence[str]) -> None:
    """Raise `InvalidInput` where more keys are asked for at once than status allows."""
    if len(key_ids) > config.keys.max_key_per_request:
        raise bad_request(f"at most {config.keys.max_key_per_request}", "key_IDs")


def judge_take(rows: Mapping[str, KeyRow], key_ids: Sequence[str], master_sae: str, slave_sae: str) -> None:
    """Raise unless every key may be handed out, all or none.

    `PolicyDenied` where one ID was never meant for the caller (clause 5.4: the requestor must have been supplied to
    Get key for each ID), then `InvalidInput` where one is unknown, gone, or of another master.
    """
    if any(rows[key_id].slave_sae != slave_sae for key_id in key_ids if key_id in rows):
        raise PolicyDenied("a key ID was not supplied for the calling SAE")
    absent = [i for i in key_ids if i not in rows or not rows[i].waiting or rows[i].master_sae != master_sae]
    if absent:
        problems = tuple(Problem(message=key_id, field="key_ID") for key_id in absent)
        raise InvalidInput(etsi014.KEYS_NOT_FOUND, problems=problems)


# What is cut


def allocate(blocks: Iterable[LiveBlock], order: KeyOrder) -> tuple[Slice, ...]:
    """Return the slices that give the order's keys: `blocks` in their order, each from its cursor.

    Reads no more blocks than it needs. Raises `PoolTooSmall` where they end before, and `InvalidInput` where a block
    on the way is not of the label demanded or the blocks are too small for so many bits at once.
    """
    slices: list[Slice] = []
    missing = order.octets
    for block in blocks:
        if order.label is not None and block.label != order.label:
            fault = f"the next keys are {block.label}"
            raise bad_request(fault, LABEL_EXTENSION, etsi014.MANDATORY_UNMET)
        length = min(missing, block.length - block.cursor)
        slices.append(Slice(block_id=block.block_id, offset=block.cursor, length=length))
        missing -= length
        if not missing:
            return tuple(slices)
        if len(slices) == SLICES:
            raise bad_request("the stored blocks are too small for so many bits at once: ask for fewer", "number")
    raise PoolTooSmall((order.octets - missing) * 8 // order.size)


# What is answered


def status_of(config: KmeConfig, peer: Peer, link: LinkEnd, slave_sae: str, stored_bits: int) -> Status:
    """Return Table 9 for the caller; the extension says which key exchange its own connection has."""
    keys = config.keys
    return Status(
        source_kme_id=config.kme_id, target_kme_id=link.peer_kme, master_sae_id=peer.identity.id,
        slave_sae_id=slave_sae, key_size=keys.key_size, stored_key_count=stored_bits // keys.key_size,
        max_key_count=keys.max_key_count, max_key_per_request=keys.max_key_per_request,
        max_key_size=keys.max_key_size, min_key_size=keys.min_key_size, max_sae_id_count=0,
        status_extension={"keystrand_tls_group": peer.group, "keystrand_stored_bits": stored_bits},
    )  # fmt: skip


def refusal(error: KeystrandError) -> tuple[int, etsi014.Error]:
    """Return status and body for `error`: 400, 401 or 503, the only ones that clauses 5 and 6 know."""
    if isinstance(error, InvalidInput):
        return 400, etsi014.error_of(error)
    if isinstance(error, PolicyDenied):
        return 401, etsi014.Error(message=error.message)
    if isinstance(error, PoolTooSmall):
        return 503, etsi014.Error(message=error.message, details=({"stored_key_count": error.stored_key_count},))
    # what is wrong behind this KME is for its log, not for its callers
    peer = "the KME at the other end of the link cannot be reached"
    return 503, etsi014.Error(message=peer if isinstance(error, PeerUnavailable) else "error on server side")
