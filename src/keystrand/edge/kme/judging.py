"""What a KME decides about a caller and a request, on values alone, and which answer an error becomes.

ETSI GS QKD 014 V1.1.1 clauses 5.4 and 6; where it is silent the decision stands beside the code. What a key policy
decides is in `keys.policy`.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct, UnsetType

from keystrand.edge.kme.config import KeyLimits, KmeConfig, LinkEnd
from keystrand.edge.kme.messages import Block, Order
from keystrand.edge.pki import Kind
from keystrand.edge.tls import Peer
from keystrand.formats import etsi014
from keystrand.formats.etsi014 import KeyRequest, Status, bad_request
from keystrand.keys.allocation import PoolTooSmall
from keystrand.keys.fallback import FallbackClosed
from keystrand.keys.quota import QuotaExceeded
from keystrand.keys.rules import PolicyRules
from keystrand.model.errors import InvalidInput, KeystrandError, PeerUnavailable, PolicyDenied
from keystrand.model.key import Strand

RETRY_AFTER_S = 1


class Network(Struct, frozen=True, kw_only=True):
    """The configuration's look-up tables."""

    config: KmeConfig
    homes: Mapping[str, str]
    links: Mapping[str, LinkEnd]
    by_peer: Mapping[str, LinkEnd]


def network_of(config: KmeConfig) -> Network:
    """Return the look-up tables of `config`."""
    return Network(
        config=config, homes=config.homes(), links={link.id: link for link in config.links},
        by_peer={link.peer_kme: link for link in config.links},
    )  # fmt: skip


# Who may


def demand(peer: Peer, kind: Kind, *, post_quantum: bool = True) -> None:
    """Raise `PolicyDenied` unless the caller is of `kind` and came by a key exchange that is allowed for it."""
    if peer.identity.kind is not kind:
        raise PolicyDenied(f"this is for {kind} certificates; yours is {peer.identity.urn}")
    if post_quantum and not peer.post_quantum:
        raise PolicyDenied(f"the key exchange group {peer.group or 'unknown'} is not post-quantum")


def demand_valid(peer: Peer, now: float) -> None:
    """Raise `PolicyDenied` where the certificate that the connection was opened with has expired since."""
    if now >= peer.valid_until_s:
        raise PolicyDenied("the certificate of this connection has expired")


def demand_served(network: Network, peer: Peer, *, post_quantum: bool) -> None:
    """Raise `PolicyDenied` unless the caller is an SAE of this KME."""
    demand(peer, Kind.SAE, post_quantum=post_quantum)
    if network.homes.get(peer.identity.id) != network.config.kme_id:
        raise PolicyDenied("this KME does not serve the calling SAE")


def link_between(network: Network, peer: Peer, other_sae: str, *, post_quantum: bool) -> LinkEnd:
    """Return the link that joins the calling SAE's KME (this one) to that of `other_sae`.

    Raises `PolicyDenied`, in the same words whether the other SAE is unknown or not associated: 014 is silent, and
    existence is nobody's business.
    """
    demand_served(network, peer, post_quantum=post_quantum)
    link = network.by_peer.get(network.homes.get(other_sae, ""))
    if link is None:
        raise PolicyDenied("the calling SAE has no association with the SAE named in the URL")
    return link


def slaves_of(network: Network, caller: str, first: str, additional: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return every slave SAE with its KME, the one of the URL first.

    Raises `InvalidInput` for too many or one named twice, `PolicyDenied` for one without an association.
    """
    limit = network.config.keys.max_additional_saes
    if len(additional) > limit:
        raise bad_request(f"max_SAE_ID_count is {limit}", "additional_slave_SAE_IDs")
    named = (first, *additional)
    if len(set(named)) != len(named) or caller in named:
        raise bad_request("an SAE is named twice, or is the caller", "additional_slave_SAE_IDs")
    found = [(sae, network.homes.get(sae, "")) for sae in named]
    if any(kme != network.config.kme_id and kme not in network.by_peer for _, kme in found):
        raise PolicyDenied("the calling SAE has no association with an SAE of additional_slave_SAE_IDs")
    return tuple(found)


def judge_block(network: Network, peer: Peer, block: Block) -> None:
    """Raise `PolicyDenied` unless the caller is a module of the block's link.

    Raises `InvalidInput` where no end of the link is its master, or its label claims more than its source can give.
    """
    demand(peer, Kind.MODULE)
    places = [one for one in network.config.modules if (one.id, one.link) == (peer.identity.id, block.link)]
    if not places:
        raise PolicyDenied("this module does not deliver for that link")
    if not any(block.source in place.sources for place in places):
        raise PolicyDenied(f"this module does not deliver {block.source} keys")
    if block.master_kme not in (network.config.kme_id, network.links[block.link].peer_kme):
        raise bad_request("neither end of the link", "master_kme")
    try:
        Strand(source=block.source, strength=block.label)
    except ValueError as error:
        raise bad_request(str(error), "label") from None


def link_of_peer(network: Network, peer: Peer, link: str = "") -> LinkEnd:
    """Return the link to the calling KME. Raises `PolicyDenied` where there is none, or another is named."""
    demand(peer, Kind.KME)
    found = network.by_peer.get(peer.identity.id)
    if found is None or link not in ("", found.id):
        raise PolicyDenied("this KME is not the other end of that link")
    return found


def denial_of(rules: PolicyRules, order: Order, link: str) -> str:
    """Return why this end's own policy does not let a peer's order be assigned; empty where it does.

    What it denies is denied at both ends, a key that travels under a pad for what it was made of too. Which of the
    profiles that it allows is taken is the master's to choose.
    """
    sources = {strand.source for strand in order.strands}
    if order.sealed and order.told:
        sources.update(order.told.sources)
    for slave in order.slave_saes:
        for denial in rules.denials(order.master_sae, slave, link):
            everything = not denial.sources and not denial.profiles
            if everything or order.profile in denial.profiles or sources & set(denial.sources):
                return f"the key policy of this end denies it ({denial.id})"
        if rules.entitlement(order.master_sae, slave, link) is None:
            return "the key policy of this end has no entry for it"
    return ""


# What is asked


def check_size(limits: KeyLimits, request: KeyRequest) -> int:
    """Return the size in bits. Raises `InvalidInput` unless so many keys of that size may be asked for at once."""
    size = limits.key_size if isinstance(request.size, UnsetType) else request.size
    if not 1 <= request.number <= limits.max_key_per_request:
        raise bad_request(f"must be 1 to {limits.max_key_per_request}", "number")
    if size % 8:
        raise bad_request("this KME hands out whole octets", "size", etsi014.SIZE_NOT_A_MULTIPLE)
    if not limits.min_key_size <= size <= limits.max_key_size:
        raise bad_request(f"must be {limits.min_key_size} to {limits.max_key_size} bits", "size")
    return size


def judge_ids(limits: KeyLimits, key_ids: Sequence[str]) -> None:
    """Raise `InvalidInput` where more keys are asked for at once than status allows."""
    if len(key_ids) > limits.max_key_per_request:
        raise bad_request(f"at most {limits.max_key_per_request}", "key_IDs")


# What is answered


def status_of(network: Network, peer: Peer, link: LinkEnd, slave_sae: str, stored_bits: int) -> Status:
    """Return Table 9 for the caller; the extension says which key exchange its own connection has."""
    keys = network.config.keys
    return Status(
        source_kme_id=network.config.kme_id, target_kme_id=link.peer_kme, master_sae_id=peer.identity.id,
        slave_sae_id=slave_sae, key_size=keys.key_size,
        stored_key_count=min(stored_bits // keys.key_size, keys.max_key_count), max_key_count=keys.max_key_count,
        max_key_per_request=keys.max_key_per_request, max_key_size=keys.max_key_size, min_key_size=keys.min_key_size,
        max_sae_id_count=keys.max_additional_saes,
        status_extension={"keystrand_tls_group": peer.group, "keystrand_stored_bits": stored_bits},
    )  # fmt: skip


def refusal(error: KeystrandError, key_size: int) -> tuple[int, etsi014.Error]:
    """Return status and body for `error`: 400, 401 or 503, the only ones that clauses 5 and 6 know."""
    if isinstance(error, InvalidInput):
        return 400, etsi014.error_of(error)
    if isinstance(error, PolicyDenied):
        hint = ({"hint": error.hint},) if error.hint else ()
        return 401, etsi014.Error(message=error.message, details=hint)
    if isinstance(error, PoolTooSmall):
        count = 8 * error.stored_octets // key_size
        return 503, etsi014.Error(message=error.message, details=({"stored_key_count": count},))
    if isinstance(error, QuotaExceeded | FallbackClosed):
        return 503, etsi014.Error(message=error.message, details=({"hint": error.hint},))
    # what is wrong behind this KME is for its log, not for its callers
    peer = "the KME at the other end of the link cannot be reached"
    return 503, etsi014.Error(message=peer if isinstance(error, PeerUnavailable) else "error on server side")


def retry_after_s(error: KeystrandError) -> int:
    """Return after how many seconds another try makes sense."""
    if isinstance(error, QuotaExceeded | FallbackClosed) and error.retry_after_s is not None:
        return max(RETRY_AFTER_S, round(error.retry_after_s + 0.5))
    return RETRY_AFTER_S
