"""Key confirmation: both ends of a link make sure that they hold the same block before a bit of it is used.

The block's first 32 bytes are the one-time key of a Poly1305 tag (RFC 8439, 2.5) over its name, its label and the
rest. They are used for this alone and never handed out, so the tag says nothing about the keys, whatever computer
looks at it; two different blocks pass for the same with a probability below 2**-80 for any size that fits a request.
"""

from collections.abc import Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.poly1305 import Poly1305

from keystrand.crypto.labels import BLOCK_CONFIRMATION, bound
from keystrand.crypto.secret import Secret
from keystrand.edge.kme.denials import Sparing
from keystrand.edge.kme.messages import BlockTag, Confirm, ConfirmAnswer
from keystrand.edge.store.blocks import BlockDamaged, Fresh, give_up
from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.keystore import KeyStore
from keystrand.edge.store.pools import CONFIRMATION_OCTETS
from keystrand.edge.store.session import Session
from keystrand.edge.tls import Peer
from keystrand.model.key import Strength

SAME, ABSENT, DIFFERENT = "same", "absent", "different"
AT_ONCE = 64


def _told(link: str, block: Fresh | BlockTag, content: Secret) -> bytes:
    name = bound(BLOCK_CONFIRMATION, link, block.block_id, block.source.value, str(block.no), block.label)
    return name + content.view()[CONFIRMATION_OCTETS:]


def tag_of(link: str, block: Fresh, content: Secret) -> BlockTag:
    """Return the tag of a block by which its master KME asks whether the other end has the same."""
    key = content.view()[:CONFIRMATION_OCTETS]
    tag = Poly1305.generate_tag(key, _told(link, block, content))
    return BlockTag(
        block_id=block.block_id, source=block.source, no=block.no, length=block.length, label=Strength(block.label),
        tag=tag.hex(),
    )  # fmt: skip


async def tags_of(
    store: KeyStore, session: Session, link: str, blocks: Sequence[Fresh]
) -> tuple[tuple[BlockTag, ...], frozenset[str]]:
    """Return the tags of blocks, and the names of those that do not open. Raises `BlockGone` or `StoreFailure`."""
    tags, damaged = list[BlockTag](), set[str]()
    for one in blocks:
        try:
            tags.append(tag_of(link, one, await store.pools.content(session, one.name)))
        except BlockDamaged:
            damaged.add(one.name)
    return tuple(tags), frozenset(damaged)


def agrees(link: str, told: BlockTag, content: Secret) -> bool:
    """Return whether `content` is the block that was tagged. The comparison takes the same time for any tag."""
    key = content.view()[:CONFIRMATION_OCTETS]
    try:
        Poly1305.verify_tag(key, _told(link, told, content), bytes.fromhex(told.tag))
    except InvalidSignature:
        return False
    return True


async def confirm(store: KeyStore, message: Confirm, peer: Peer, sparing: Sparing) -> ConfirmAnswer:
    """Judge the tags of a master KME's blocks; those that are the same here can be used from then on."""

    async def confirm_all(tx: Transaction) -> tuple[str, ...]:
        return tuple([await _confirm_one(store, tx, message.link, told, peer, sparing) for told in message.blocks])

    return ConfirmAnswer(verdicts=await store.committer.do_undoable(confirm_all))


async def _confirm_one(
    store: KeyStore, tx: Transaction, link: str, told: BlockTag, peer: Peer, sparing: Sparing
) -> str:  # fmt: skip
    held = await store.pools.waiting(tx.session, told.block_id, link, told.source, peer.identity.id)
    if held is None:
        return ABSENT
    if held.ready:
        return SAME if held.no == told.no else DIFFERENT
    numbered = await store.pools.numbered(tx, held.name, told.no)
    # last: what was opened may be cleared while something else is waited for
    try:
        content = await store.pools.content(tx.session, held.name)
    except BlockDamaged:
        await give_up(tx, store.pools.destroy, [held.name])
        return DIFFERENT
    same = (held.length, held.label) == (told.length, told.label)
    if numbered or not same or not agrees(link, told, content):
        await store.pools.destroy(tx, [held.name])
        sparing.note(tx, "block_differs", peer.identity.id, peer, link=link, block=told.block_id)
        return DIFFERENT
    await store.pools.make_ready(tx, held.name, told.no)
    return SAME


async def settle(
    store: KeyStore, link: str, blocks: Sequence[Fresh], verdicts: Sequence[str], sparing: Sparing
) -> int:  # fmt: skip
    """Carry out the other end's verdicts at the master KME; return how many blocks can be used now."""

    async def settle_all(tx: Transaction) -> int:
        ready = 0
        for block, verdict in zip(blocks, verdicts, strict=True):
            if verdict == SAME:
                await store.pools.make_ready(tx, block.name, block.no)
                ready += 1
            elif verdict != ABSENT:
                await store.pools.destroy(tx, [block.name])
                sparing.note(tx, "block_differs", link, None, link=link, block=block.block_id)
        return ready

    return await store.committer.do(settle_all)
