"""What operators ask of a running KME, under `/keystrand/v1/operator/`: look, revoke, rotate, new policy, reload.

Only certificates of the kind `operator` get here, and every change is audited before it is answered. No answer holds
key material: an operator sees key IDs and states, never keys.
"""

import hashlib
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from keystrand import __version__
from keystrand.edge.kme import judging
from keystrand.edge.kme.entity import KeyManagementEntity
from keystrand.edge.kme.rotating import Rotating
from keystrand.edge.kme.server import Request, Response, refuse
from keystrand.edge.pki import Kind
from keystrand.edge.store import peers
from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.holdings import Holding
from keystrand.edge.tls import Peer
from keystrand.formats import etsi014
from keystrand.formats.etsi014 import bad_request
from keystrand.formats.key_policy_toml import key_policy_from_toml
from keystrand.keys.contract import INDEX_DIGITS
from keystrand.keys.lifecycle import KeyEvent
from keystrand.keys.rotation import needs_rotation
from keystrand.keys.rules import PolicyRules
from keystrand.model.errors import InvalidInput, PolicyDenied
from keystrand.model.key import SourceKind
from keystrand.model.words import shown

BASE = "/keystrand/v1/operator/"
_PAGE = 1000
_SAES = 64
"""More SAEs than one order can have at one KME."""
_EVENTS = (KeyEvent.SUSPEND, KeyEvent.RESUME, KeyEvent.REVOKE, KeyEvent.COMPROMISE, KeyEvent.DESTROY)
_TOLD = (KeyEvent.SUSPEND, KeyEvent.RESUME, KeyEvent.REVOKE, KeyEvent.COMPROMISE, KeyEvent.DESTROY)
"""Events that the KME at the other end must follow: all of them, since both ends hold the key."""


class _Body(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bodies refuse members they do not know."""


class PairBody(_Body, frozen=True, kw_only=True):
    """A pair of SAEs; the first is its master."""

    master: str
    slave: str


class KeyBody(_Body, frozen=True, kw_only=True):
    """An event for the keys of an order, named by any of its key IDs, and why."""

    key_id: str
    event: KeyEvent
    why: str = ""


class PolicyBody(_Body, frozen=True, kw_only=True):
    """A key policy as TOML, with the name of its file for messages."""

    file: str
    text: str


Handle = Callable[[Peer, Request, dict[str, str]], Awaitable[Any]]


class Operating:
    """Answers operators of `entity`. `reload` reads certificates and revocation lists again."""

    def __init__(self, entity: KeyManagementEntity, reload: Callable[[], None]) -> None:
        self._entity, self._reload, self._since = entity, reload, time.time()
        self._rotating = Rotating(entity)
        self._gets: dict[str, Handle] = {
            "status": self._status, "keys": self._keys, "rotation": self._rotation, "policy": self._policy,
        }  # fmt: skip
        self._posts: dict[str, Handle] = {
            "keys": self._happen, "rotate": self._rotate, "policy/stage": self._stage,
            "policy/activate": self._activate, "policy/rollback": self._roll_back, "reload": self._reload_files,
        }  # fmt: skip

    async def answer(self, peer: Peer, request: Request) -> Response:
        """Return the answer to an operator. Raises `PolicyDenied` for anybody else."""
        judging.demand(peer, Kind.OPERATOR)
        if peer.identity.id not in {one.id for one in self._entity.network.config.operators}:
            raise PolicyDenied(
                "this KME does not know that operator", hint="name it in an [[operator]] of its configuration"
            )
        path, _, query = request.target.decode("ascii", "replace").removeprefix(BASE).partition("?")
        table = self._gets if request.method == "GET" else self._posts
        handle = table.get(path)
        if handle is None:
            return refuse(404, "no such resource")
        answer = await handle(peer, request, dict(parse_qsl(query, keep_blank_values=True)))
        return Response(status=200, body=msgspec.json.encode(answer))

    # Looking

    async def _status(self, _peer: Peer, _request: Request, _query: dict[str, str]) -> Any:
        entity = self._entity
        session = await entity.store.reader()
        holdings = await entity.store.holdings.counts(session)
        rules = entity.grants.rules
        return {
            "kme_id": entity.network.config.kme_id,
            "version": __version__,
            "up_s": round(time.time() - self._since, 1),
            "store": {"id": entity.store.id, "generation": entity.store.mark.generation, "epoch": entity.store.epoch},
            "policy": {"name": rules.policy.name, "file": rules.file, "revision": rules.revision},
            "links": [await self._link(link_id) for link_id in sorted(entity.links)],
            "keys": [{"role": role, "state": state, "orders": n} for (role, state), n in sorted(holdings.items())],
            "supply": [
                {"link": link, "profile": profile, "state": state.value}
                for (link, profile), state in sorted(entity.grants.fallbacks.states.items())
            ],
        }

    async def _link(self, link_id: str) -> dict[str, Any]:
        link = self._entity.links[link_id]
        stored = {kind.value: await self._entity.stored_bits(link_id, kind) for kind in SourceKind}
        return {
            "id": link_id, "peer_kme": link.peer_kme, "trusted": link.trusted, "trouble": link.trouble,
            "stored_bits": stored, "labels": {kind.value: label.value for kind, label in link.offered.items()},
        }  # fmt: skip

    async def _keys(self, _peer: Peer, _request: Request, query: dict[str, str]) -> Any:
        if key_id := query.get("key_ID"):
            return {"keys": [row for one in await self._of_key(key_id) for row in _rows(one)], "after": ""}
        after, _, sae = query.get("after", "").partition("/")
        limit = query.get("limit", "100")
        # the length first: to read thousands of digits is refused by Python itself
        if not (limit.isdecimal() and len(limit) <= len(str(_PAGE)) and 1 <= int(limit) <= _PAGE):
            raise bad_request(f"must be 1 to {_PAGE}", "limit")
        found = await self._entity.store.holdings.listed(
            await self._entity.store.reader(), sae=query.get("sae", ""), state=query.get("state", ""),
            after=(after, sae), at_most=int(limit),
        )  # fmt: skip
        more = f"{found[-1].order_id}/{found[-1].sae}" if len(found) == int(limit) else ""
        return {"keys": [row for one in found for row in _rows(one)], "after": more}

    async def _of_key(self, key_id: str) -> tuple[Holding, ...]:
        """Return what the SAEs of this KME hold of the order that a key belongs to."""
        order_id, store = key_id.lower()[: 36 - INDEX_DIGITS], self._entity.store
        found = await store.holdings.listed(await store.reader(), after=(order_id, ""), at_most=_SAES)
        return tuple(one for one in found if one.order_id == order_id)

    async def _rotation(self, _peer: Peer, _request: Request, query: dict[str, str]) -> Any:
        pair = (query.get("master", ""), query.get("slave", ""))
        if not all(pair):
            raise bad_request("needed in the query: master and slave", "query")
        session = await self._entity.store.reader()
        row = await session.row("SELECT last, keys, due FROM pair WHERE master = ? AND slave = ?", *pair)
        last, keys, due = row or (None, 0, 0.0)
        judged = needs_rotation(self._entity.grants.rules, pair, last, keys, self._entity.clock())
        asked = bool(due)
        return {
            "due": asked or judged.due, "entry": judged.entry,
            "reason": "an operator asked for it" if asked else judged.reason,
            "last_delivered": last, "keys_since": keys,
        }  # fmt: skip

    async def _policy(self, _peer: Peer, _request: Request, _query: dict[str, str]) -> Any:
        revisions = self._entity.grants.revisions
        return {
            "active": {"file": revisions.active.file, "revision": revisions.active.revision},
            "staged": revisions.staged and {"file": revisions.staged.file, "revision": revisions.staged.revision},
            "earlier": [{"file": one.file, "revision": one.revision} for one in revisions.earlier],
        }

    # Changing

    async def _happen(self, peer: Peer, request: Request, _query: dict[str, str]) -> Any:
        body = etsi014.decode(request.body, KeyBody)
        if body.event not in _EVENTS:
            raise bad_request(f"one of {', '.join(_EVENTS)}", "event")
        order_id, store = body.key_id.lower()[: 36 - INDEX_DIGITS], self._entity.store
        retention_s = float(self._entity.network.config.keys.retention_s)

        async def happen(tx: Transaction) -> tuple[Holding, ...]:
            held = await store.holdings.of_order(tx, order_id)
            if not held:
                raise InvalidInput(f"no key of ID {body.key_id!r} is known here", hint="keys list shows those that are")
            changed = await store.holdings.happen(tx, order_id, body.event)
            kmes = {kme for one in held for kme in one.kmes} - {self._entity.network.config.kme_id}
            for kme in sorted(kmes):
                await peers.tell(tx, order_id, kme, body.event, tx.now + retention_s)
            tx.note(
                f"key_{body.event.value}", peer, order=order_id, why=body.why[:512],
                changed=[{"sae": one.sae, "state": one.state} for one in changed],
            )  # fmt: skip
            return changed

        changed = await store.committer.do(happen)
        for peering in self._entity.peerings.values():
            peering.news()
        return {"keys": [row for one in changed for row in _rows(one)]}

    async def _rotate(self, peer: Peer, request: Request, _query: dict[str, str]) -> Any:
        """Void what the pair has not fetched yet, and have `needs-rotation` say so until it takes a new key."""
        body = etsi014.decode(request.body, PairBody)
        return await self._rotating.rotate(peer, body.master, body.slave)

    async def _stage(self, peer: Peer, request: Request, query: dict[str, str]) -> Any:
        body = etsi014.decode(request.body, PolicyBody)
        digest = hashlib.sha256(body.text.encode()).hexdigest()
        self._entity.grants.stage(key_policy_from_toml(body.text, body.file), body.file, digest)
        return await self._policy_changed(peer, request, query, "policy_staged")

    async def _activate(self, peer: Peer, request: Request, query: dict[str, str]) -> Any:
        self._entity.grants.activate()
        return await self._policy_changed(peer, request, query, "policy_activated")

    async def _roll_back(self, peer: Peer, request: Request, query: dict[str, str]) -> Any:
        self._entity.grants.roll_back()
        return await self._policy_changed(peer, request, query, "policy_rolled_back")

    async def _policy_changed(self, peer: Peer, request: Request, query: dict[str, str], action: str) -> Any:
        revisions = self._entity.grants.revisions
        staged = revisions.staged and told_of(revisions.staged)
        await self._noted(peer, action, active=told_of(revisions.active), staged=staged)
        return await self._policy(peer, request, query)

    async def _reload_files(self, peer: Peer, _request: Request, _query: dict[str, str]) -> Any:
        self._reload()
        await self._noted(peer, "reload")
        return {"reloaded": True}

    async def _noted(self, peer: Peer, action: str, **detail: Any) -> None:
        async def note(tx: Transaction) -> None:
            tx.note(action, peer, **detail)

        await self._entity.store.committer.do(note)


def told_of(rules: PolicyRules) -> dict[str, Any]:
    """Return what the audit says of a policy."""
    return {"file": shown(rules.file), "digest": rules.digest, "revision": rules.revision}


def _rows(one: Holding) -> Iterator[dict[str, Any]]:
    """Yield what is known of each key of a holding; material is no part of it."""
    told = msgspec.json.decode(one.told)
    for at, key_id in enumerate(one.key_ids):
        fetched = bool(one.taken and one.taken[at // 8] >> at % 8 & 1) if one.role == "slave" else True
        yield {
            "key_ID": key_id, "sae": one.sae, "role": one.role, "partner": one.partner, "kme": one.kme,
            "link": one.link, "size": one.size, "state": one.state, "fetched": fetched, "label": told.get("label", ""),
            "profile": told.get("profile", ""), "since": one.since, "until": one.until,
        }  # fmt: skip
