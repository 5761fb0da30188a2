"""The keys of one consumer between where they come from and where they are installed, and the proofs about them.

A key comes from the KME, or from an ML-KEM-768 agreement (FIPS 203) with the other agent, whose shares stand on the
mutual TLS channel that carries them.
"""

import contextlib
import hmac
import secrets
import uuid
from collections.abc import Callable, Collection
from typing import NamedTuple

from msgspec import UNSET, Struct
from msgspec.structs import replace

from keystrand.crypto.key_proof import agreed_key, key_proof
from keystrand.crypto.secret import Secret
from keystrand.edge.agent.config import ConsumerTable
from keystrand.edge.agent.kme_access import KmeAccess
from keystrand.edge.agent.words import NONCE_OCTETS, Agree, Agreed, Confirm, Offer
from keystrand.edge.consumers.base import Role
from keystrand.edge.devices.pqc import AGREEMENTS
from keystrand.edge.kme.wire import SecretKey
from keystrand.formats.etsi014_extensions import provenance_in
from keystrand.keys.agent_memory import Note
from keystrand.model.errors import InvalidInput, PolicyDenied
from keystrand.model.key import SourceKind

PQC = SourceKind.PQC.value


class Fresh(Struct, frozen=True, kw_only=True):
    """A key that has come: what it is made of, and whether it stands in for one from quantum links."""

    key_id: str
    label: str
    substitute: bool


class _Held(NamedTuple):
    """A key, and the nonce of our own word about it."""

    key: Secret
    nonce: str


class _Begun(NamedTuple):
    """An agreement that waits for the other share."""

    key_id: str
    share: str
    finish: Callable[[bytes], bytes]


class Holding:
    """The keys of the consumer of `table`. `parties`: the initiating and the responding agent, by name."""

    def __init__(self, table: ConsumerTable, parties: tuple[str, str], kme: KmeAccess) -> None:
        self._table, self._parties, self._kme = table, parties, kme
        self._keys: dict[str, _Held] = {}
        self._begun: _Begun | None = None
        self._agreed: tuple[str, Secret] | None = None
        self.offer: Offer | None = None
        """The one that is under way."""

    def pop(self, key_id: str) -> Secret:
        """Return a key that is held no longer: clear it. Raises `InvalidInput` where it is not here."""
        if key_id not in self._keys:
            raise InvalidInput("the key is gone already", hint="another follows")
        return self._keys.pop(key_id).key

    def keep_only(self, key_ids: Collection[str]) -> None:
        """Clear every key but these."""
        for key_id in [one for one in self._keys if one not in key_ids]:
            self._keys.pop(key_id).key.zeroise()

    def close(self) -> None:
        """Clear everything."""
        self.keep_only(())
        self._set_agreed(None)
        self._kme.close()

    def hold(self, key_id: str, key: Secret) -> None:
        """Hold a key that has come."""
        self._keys[key_id] = _Held(key, secrets.token_hex(NONCE_OCTETS))

    # From the KME: these block, and what they return is held only by whoever called

    def take(self) -> tuple[Fresh, Secret]:
        """Ask our KME for a key to share with the other agent's SAE. Raises what `Client014.enc_keys` raises."""
        (key,) = self._kme.client().enc_keys(self._table.peer_sae, size=self._table.key_bits)
        return fresh_of(key), key.key

    def fetch(self, key_id: str) -> tuple[Fresh, Secret]:
        """Ask our KME for the key that the other agent's SAE was given. Raises what `Client014.dec_keys` raises."""
        (key,) = self._kme.client().dec_keys(self._table.peer_sae, [key_id], retry=True)
        return fresh_of(key), key.key

    def stock(self) -> int:
        """Return how many keys our KME has left to share with the other agent's SAE. Raises what `status` raises."""
        return self._kme.client().status(self._table.peer_sae).stored_key_count

    def accept(self, offer: Offer, fresh: Fresh, key: Secret) -> None:
        """Hold the key that is offered. Raises `PolicyDenied` where it is not what the peer says and proves."""
        if (offer.label, offer.substitute) != (fresh.label, fresh.substitute):
            key.zeroise()
            raise PolicyDenied(f"the peer calls a key {offer.label!r} that is {fresh.label!r} here")
        if not hmac.compare_digest(bytes.fromhex(offer.proof), self._tag(key, offer)):
            key.zeroise()
            raise PolicyDenied("the two ends hold different keys under this ID")
        self.hold(offer.key_id, key)

    # By agreement

    def begin_agreement(self) -> Agree:
        """Return our share, as the initiator."""
        share, finish = AGREEMENTS[SourceKind.PQC].begin()
        self._begun = _Begun(str(uuid.uuid4()), share.hex(), finish)
        return Agree(consumer=self._table.id, key_id=self._begun.key_id, share=self._begun.share)

    def answer_agreement(self, word: Agree) -> Agreed:
        """Return our share, as the responder, and have the key ready for its offer. Raises `PolicyDenied`."""
        try:
            secret, share = AGREEMENTS[SourceKind.PQC].answer(bytes.fromhex(word.share))
        except ValueError:
            raise PolicyDenied("that is no share") from None
        self._set_agreed((word.key_id, self._derived(secret, word.key_id, word.share, share.hex())))
        return Agreed(consumer=self._table.id, key_id=word.key_id, share=share.hex())

    def finish_agreement(self, word: Agreed) -> Fresh | None:
        """Return the key that the other share makes; None where no such agreement is under way.

        Raises `PolicyDenied`.
        """
        if not self.agreeing_on(word.key_id) or self._begun is None:
            return None
        begun, self._begun = self._begun, None
        try:
            secret = begun.finish(bytes.fromhex(word.share))
        except ValueError:
            raise PolicyDenied("the peer answered what is no share") from None
        self.hold(begun.key_id, self._derived(secret, begun.key_id, begun.share, word.share))
        return Fresh(key_id=begun.key_id, label=PQC, substitute=True)

    def agreed(self, key_id: str) -> tuple[Fresh, Secret] | None:
        """Return the key of an agreement that we answered, once; None where it is none."""
        if self._agreed is None or self._agreed[0] != key_id:
            return None
        (_, key), self._agreed = self._agreed, None
        return Fresh(key_id=key_id, label=PQC, substitute=True), key

    def agreeing_on(self, key_id: str) -> bool:
        """Return whether an agreement on this key is under way."""
        return self._begun is not None and self._begun.key_id == key_id

    def _derived(self, secret: bytes, key_id: str, *shares: str) -> Secret:
        return agreed_key(secret, self._table.key_bits // 8, self._table.id, key_id, *self._parties, *shares)

    def _set_agreed(self, agreed: tuple[str, Secret] | None) -> None:
        if self._agreed:
            self._agreed[1].zeroise()
        self._agreed = agreed

    # Proofs

    def make_offer(self, new: Note, number: int) -> Offer:
        """Return the offer of a key that we hold, with our proof."""
        held = self._keys[new.key_id]
        bare = Offer(
            consumer=self._table.id, key_id=new.key_id, label=new.label, substitute=new.substitute, number=number,
            nonce=held.nonce, proof="",
        )  # fmt: skip
        self.offer = replace(bare, proof=self._tag(held.key, bare).hex())
        return self.offer

    def make_confirmation(self, offer: Offer) -> Confirm:
        """Return our proof for an offer whose key we hold."""
        held = self._keys[offer.key_id]
        proof = self._tag(held.key, offer, held.nonce).hex()
        return Confirm(consumer=self._table.id, key_id=offer.key_id, nonce=held.nonce, proof=proof)

    def confirms(self, word: Confirm) -> bool:
        """Return whether the responder proves that it holds the key of the offer under way."""
        held, offer = self._keys.get(word.key_id), self.offer
        if held is None or offer is None or offer.key_id != word.key_id:
            return False
        return hmac.compare_digest(bytes.fromhex(word.proof), self._tag(held.key, offer, word.nonce))

    def _tag(self, key: Secret, offer: Offer, answer: str = "") -> bytes:
        """Return the tag over all that was said: the initiator's without, the responder's with its nonce `answer`."""
        side = Role.RESPONDER if answer else Role.INITIATOR
        told = (
            offer.consumer,
            offer.key_id,
            offer.label,
            str(offer.substitute),
            str(offer.number),
            offer.nonce,
            answer,
        )
        return key_proof(key, side.value, *self._parties, *told)


def fresh_of(key: SecretKey) -> Fresh:
    """Return what a key is made of by what its KME says.

    One of another make says nothing of it: its keys count as from quantum links.
    """
    sources: tuple[SourceKind, ...] = (SourceKind.QKD,)
    if key.key_extension is not UNSET:
        with contextlib.suppress(InvalidInput):
            sources = provenance_in(key.key_extension).sources
    return Fresh(key_id=key.key_id, label="+".join(sources), substitute=SourceKind.QKD not in sources)
