"""Blocks from a key agreement between the two KMEs of a link: ML-KEM-768 (FIPS 203), or X25519 (RFC 7748).

For every block the master KME makes a fresh key pair and sends its public half; the other end answers with its own
share. Both derive the block from the shared secret, bound to everything that was said. Who the other end is stands on
the mutual TLS channel that carries it. Nothing of an agreement outlives its block: both halves of it are forgotten.
"""

import time
import uuid
from collections.abc import Callable, Mapping
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keystrand.crypto.labels import AGREED_BLOCK, bound
from keystrand.crypto.secret import Secret
from keystrand.edge.devices.source import WAIT_S, Feed
from keystrand.edge.kme import judging
from keystrand.edge.kme.denials import Allowance
from keystrand.edge.kme.entity import ok
from keystrand.edge.kme.judging import Network
from keystrand.edge.kme.messages import AGREE_URL, AGREED_OCTETS, NO_QBER, Agree, AgreeAnswer, Block
from keystrand.edge.kme.server import Request, Response, refuse
from keystrand.edge.tls import Peer
from keystrand.formats import etsi014
from keystrand.formats.etsi014 import bad_request
from keystrand.model.errors import PeerUnavailable, PolicyDenied
from keystrand.model.key import CEILING, SourceKind

_TIMEOUT_S = 3.0
_SALT = AGREED_BLOCK.encode()
_LEAST, _TIMES, _PERIOD_S = 60, 4, 60.0
"""The other end has so many blocks made here in so long, or so many times what this end makes in it: it may be several
processes, and ask again where an answer was lost."""

Finish = Callable[[bytes], bytes]
"""From the other end's share to the secret. Raises `ValueError` for what is no share."""


class Agreement(NamedTuple):
    """One way to agree. `begin` gives our share and what finishes; `answer` takes a share, gives secret and ours."""

    begin: Callable[[], tuple[bytes, Finish]]
    answer: Callable[[bytes], tuple[bytes, bytes]]


def _begin_ml_kem() -> tuple[bytes, Finish]:
    key = MLKEM768PrivateKey.generate()
    return key.public_key().public_bytes_raw(), key.decapsulate


def _answer_ml_kem(share: bytes) -> tuple[bytes, bytes]:
    return MLKEM768PublicKey.from_public_bytes(share).encapsulate()


def _begin_x25519() -> tuple[bytes, Finish]:
    key = X25519PrivateKey.generate()
    return key.public_key().public_bytes_raw(), lambda share: key.exchange(X25519PublicKey.from_public_bytes(share))


def _answer_x25519(share: bytes) -> tuple[bytes, bytes]:
    own, finish = _begin_x25519()
    return finish(share), own


AGREEMENTS: Mapping[SourceKind, Agreement] = {
    SourceKind.PQC: Agreement(begin=_begin_ml_kem, answer=_answer_ml_kem),
    SourceKind.CLASSICAL: Agreement(begin=_begin_x25519, answer=_answer_x25519),
}
"""What each source agrees by. A block's label is the most that its source can be: it cannot claim another's."""


def agreed_block(secret: bytes, asked: Agree, answer: bytes, *, master_kme: str, slave_kme: str) -> Block:
    """Return the block of one agreement: HKDF-SHA-512 (RFC 5869) over the secret, bound to all that was said.

    Another link, direction, source, share or answer is another block, so an end that was told something else holds
    something else, and the confirmation finds it.
    """
    told = (asked.source.value, asked.link, asked.block_id, master_kme, slave_kme, asked.share, answer.hex())
    made = bytearray(AGREED_OCTETS)
    try:
        HKDF(SHA512(), AGREED_OCTETS, _SALT, bound(AGREED_BLOCK, *told)).derive_into(secret, made)
        return Block(
            link=asked.link, block_id=asked.block_id, master_kme=master_kme, key_bits=Secret(made), qber=NO_QBER,
            label=CEILING[asked.source], source=asked.source,
        )  # fmt: skip
    finally:
        made[:] = bytes(AGREED_OCTETS)


class AgreedSource:
    """The master's side: a block of `source` whenever one is due at `bits_per_s` and this end's pool has room."""

    def __init__(self, feed: Feed, source: SourceKind, bits_per_s: int) -> None:
        self._feed, self._source = feed, source
        self._interval_s = 8 * AGREED_OCTETS / bits_per_s
        self.name = f"source {source} of link {feed.link}"

    async def step(self) -> float:
        """Agree on a block with the other end, which stores it first: a master holds nothing that its slave has not."""
        feed, begun = self._feed, time.monotonic()
        if not feed.trusted or not await feed.room(self._source, feed.own_kme, AGREED_OCTETS):
            return WAIT_S
        share, finish = AGREEMENTS[self._source].begin()
        asked = Agree(link=feed.link, block_id=str(uuid.uuid4()), source=self._source, share=share.hex())
        answer = bytes.fromhex((await feed.ask(AGREE_URL, asked, AgreeAnswer, timeout_s=_TIMEOUT_S)).share)
        try:
            secret = finish(answer)
        except ValueError as error:
            raise PeerUnavailable(f"{feed.other_kme} answered what is no share: {error}") from None
        await feed.add(agreed_block(secret, asked, answer, master_kme=feed.own_kme, slave_kme=feed.other_kme))
        return max(0.0, self._interval_s - (time.monotonic() - begun))

    def close(self) -> None:
        """Let go of the connection."""
        self._feed.close()


def allowance(bits_per_s: int) -> Allowance:
    """Return how many blocks the other end may have made here, where this end makes `bits_per_s` of its own.

    Of all key this alone comes whenever a peer wants it. Every order of it costs this end's disk a row and a line for
    each few bytes of key, so as long as the key is bounded they are, and orders of other key are never counted.
    """
    return Allowance(max(_LEAST, int(_TIMES * bits_per_s * _PERIOD_S) // (8 * AGREED_OCTETS)), _PERIOD_S)


class Agreeing:
    """The slave's side: answers for the links and sources in `feeds`, as often as is allowed each, and for no other."""

    def __init__(self, network: Network, feeds: Mapping[tuple[str, SourceKind], tuple[Feed, Allowance]]) -> None:
        self._network, self._feeds = network, feeds

    async def answer(self, peer: Peer, request: Request) -> Response:
        """Answer one agreement. Raises `PolicyDenied` where this end was not told to agree on that link."""
        asked = etsi014.decode(request.body, Agree)
        judging.link_of_peer(self._network, peer, asked.link)
        found = self._feeds.get((asked.link, asked.source))
        if found is None:
            raise PolicyDenied(f"this end has no [[pqc_source]] of {asked.source} keys on that link")
        feed, allowed = found
        if not await feed.room(asked.source, feed.other_kme, AGREED_OCTETS):
            return refuse(503, "the pool at this end is full")
        if not allowed.take(feed.other_kme):
            return refuse(503, "that is far more key than this end makes: both ends should make about the same")
        try:
            secret, share = AGREEMENTS[asked.source].answer(bytes.fromhex(asked.share))
        except ValueError as error:
            raise bad_request(str(error), "share") from None
        block = agreed_block(secret, asked, share, master_kme=feed.other_kme, slave_kme=feed.own_kme)
        if not await feed.add(block):
            return refuse(503, "the pool at this end is full")
        return ok(etsi014.encode(AgreeAnswer(share=share.hex())))
