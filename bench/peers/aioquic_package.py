"""What aioquic does, run with the Python that has it: `serve`, `connect` and `open`; each prints one JSON object."""

import asyncio
import json
import os
import ssl
import sys
import time
from pathlib import Path

from aioquic.asyncio.client import connect
from aioquic.asyncio.server import serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import QuicProtocolVersion


async def _serve(port: int, chain: str, key: str) -> None:
    configuration = QuicConfiguration(is_client=False, alpn_protocols=["h3"])
    configuration.load_cert_chain(chain, key)
    await serve("127.0.0.1", port, configuration=configuration)
    print("up", flush=True)
    await asyncio.Event().wait()


async def _connect(port: int, count: int) -> float:
    """Return CPU seconds of this client for each connection."""
    configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"], verify_mode=ssl.CERT_NONE)
    begin = time.process_time()
    for _ in range(count):
        async with connect("127.0.0.1", port, configuration=configuration):
            pass
    return (time.process_time() - begin) / count


def _open(packets: list[tuple[bytes, bytes, int, bool]]) -> float:
    """Return packets opened in a second, with fresh keys for each connection as a bystander needs them."""
    pairs: dict[bytes, CryptoPair] = {}
    begin = time.process_time()
    for destination, packet, number_at, by_client in packets:
        key = destination + bytes((by_client,))
        if key not in pairs:
            pairs[key] = CryptoPair()
            pairs[key].setup_initial(destination, is_client=not by_client, version=QuicProtocolVersion.VERSION_1)
        pairs[key].decrypt_packet(packet, number_at, 0)
    return len(packets) / (time.process_time() - begin)


def main(what: str, *words: str) -> None:
    """Do one of the three."""
    if what == "serve":
        asyncio.run(_serve(int(words[0]), words[1], words[2]))
    elif what == "connect":
        print(json.dumps({"cpu_ms": 1000 * asyncio.run(_connect(int(words[0]), int(words[1])))}))
    else:
        found = json.loads(Path(words[0]).read_text())
        packets = [(bytes.fromhex(a), bytes.fromhex(b), at, by_client) for a, b, at, by_client in found]
        print(json.dumps({"packets_per_s": _open(packets)}))


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    main(*sys.argv[1:])
