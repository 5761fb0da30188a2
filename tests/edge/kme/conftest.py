"""Real KMEs for the tests: two processes on loopback, and direct ways to ask them anything."""

import http.client
import json
import secrets
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from keystrand.crypto.secret import Secret
from keystrand.edge import tls
from keystrand.edge.kme import wire
from keystrand.edge.kme.channel import Channel
from keystrand.edge.kme.client import Client014
from keystrand.edge.kme.messages import BLOCKS_URL, Block
from keystrand.edge.kme.pair import KME_IDS, MODULE_IDS, Pair, start_pair
from keystrand.edge.pki import Kind
from keystrand.model.key import Strength


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as builtins."""
        return json.loads(self.body)


Ask = Callable[..., Answer]
Fill = Callable[..., None]


@pytest.fixture(scope="module")
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two running KMEs with empty pools of at most 256 keys a direction; the module may name their SAEs."""
    saes = getattr(request.module, "SAES", ("sae-a", "sae-b"))
    with start_pair(tmp_path_factory.mktemp("pair") / "run", saes=saes, max_key_count=256) as running:
        yield running


@pytest.fixture(scope="module")
def a(pair: Pair) -> Iterator[Client014]:
    """Return the client of the first SAE at its KME."""
    with pair.client(pair.saes[0]) as client:
        yield client


@pytest.fixture(scope="module")
def b(pair: Pair) -> Iterator[Client014]:
    """Return the client of the second SAE at its KME."""
    with pair.client(pair.saes[1]) as client:
        yield client


@pytest.fixture(scope="module")
def ask(pair: Pair) -> Ask:
    """Return a function that asks a KME over our TLS and Python's own HTTP, as any party of the PKI."""

    def one(
        at: int, kind: Kind, name: str, method: str, target: str, body: bytes = b"", **headers: str
    ) -> Answer:  # fmt: skip
        context = tls.client_context(pair.credentials(kind, name))
        stream, _ = tls.connect(context, "127.0.0.1", pair.port(at), timeout_s=10, kme_id=KME_IDS[at])
        connection = http.client.HTTPConnection("127.0.0.1")
        connection.sock = stream
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if body and not fields:
            fields = {"Content-Type": "application/json"}
        connection.request(method, target, body=body or None, headers=fields)
        answer = connection.getresponse()
        made = Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        connection.close()
        return made

    return one


@pytest.fixture(scope="module")
def fill(pair: Pair) -> Fill:
    """Return a function that gives both KMEs one block of `bits`, of which KME number `master` may cut keys."""

    def stored(master: int) -> int:
        with pair.client(pair.saes[master]) as client:
            extension = client.status(pair.saes[1 - master]).status_extension
        assert isinstance(extension, dict)
        return int(extension["keystrand_stored_bits"])

    def one(master: int, bits: int, label: str = "simulated") -> None:
        """Give one block that holds `bits` of key beside what confirms it."""
        bits, before = bits + 256, stored(master)
        block = Block(
            link=pair.link, block_id=str(uuid.uuid4()), master_kme=KME_IDS[master],
            key_bits=Secret(secrets.token_bytes(bits // 8)), qber=0.01, label=Strength(label),
        )  # fmt: skip
        for at in (1 - master, master):
            files = pair.credentials(Kind.MODULE, MODULE_IDS[at])
            channel = Channel(pair.urls[at], files, kme_id=KME_IDS[at])
            status, answer = channel.exchange("POST", BLOCKS_URL, wire.encode(block))
            channel.close()
            assert (status, json.loads(answer)["accepted"]) == (200, True)
        deadline = time.monotonic() + 10
        while stored(master) < before + bits - 256:
            assert time.monotonic() < deadline, "the block was not confirmed in ten seconds"
            time.sleep(0.005)

    return one


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder that does not exist yet."""
    return tmp_path / "new"
