"""What the test of MACsec does in the virtual machine: two sites, a device at each, our own consumer at each.

It prints what it saw as one line of JSON; who started the machine judges it.
"""

import json
import re
import secrets
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers import guard
from keystrand.edge.consumers.base import ConsumerFailure, NewKey, Role
from keystrand.edge.consumers.registry import make
from keystrand.edge.daemons import Daemon, Daemons, Space, program

RUN = Path("/run")
FAR, FAR_HOST = "10.2.0.0/24", "10.2.0.1"
INSIDE, OUTSIDE = ("10.9.0.1", "10.9.0.2"), ("192.0.2.1", "192.0.2.2")
ROTATIONS = 12
MKA_S = 60.0
"""How long MKA may take to agree: seconds, and many more where the machine is slow."""
SUPPLICANT = """ctrl_interface=/run/supplicant-{at}
eapol_version=3
ap_scan=0
network={{
    key_mgmt=NONE
    eapol_flags=0
    macsec_policy=1
    macsec_integ_only=0
    mka_cak={cak}
    mka_ckn={ckn}
    mka_priority={priority}
}}
"""
SENDER = f"""
import contextlib, socket, sys
line, tried = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0
for number in range(int(sys.argv[1])):
    with contextlib.suppress(PermissionError):  # the guard
        line.sendto(b"keystrand", ("{FAR_HOST}", 9))
    tried += 1
print(tried)
"""


def end(role: str, settings: str) -> None:
    """Serve one consumer in the namespace we run in: a line of JSON in, a line out."""
    told = json.loads(settings)
    consumer = make("macsec", told, Role(role))
    for line in sys.stdin:
        verb, *words = json.loads(line)
        try:
            match verb:
                case "install":
                    consumer.install(NewKey(words[0], "qkd", Secret(bytes.fromhex(words[1]))))
                    said: Any = ""
                case "prove":
                    proof = consumer.prove(*words)
                    said = [proof.in_use, proof.shown_by]
                case "unguard":
                    guard.take_down(told["device"])
                    said = ""
                case _:
                    said = getattr(consumer, verb)(*words)
        except ConsumerFailure as error:
            said = f"failed: {error.message}"
        _say(said)


class Site:
    """One end: its namespace, its consumer in a program of its own."""

    def __init__(self, space: Space, role: Role, **settings: str) -> None:
        self.space = space
        told = json.dumps({"far": f"{FAR} 10.9.0.0/24", **settings})
        command = [*space.prefix, sys.executable, "-B", __file__, "end", role.value, told]
        self.program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words: str) -> Any:
        """Have a verb done and return what came of it."""
        assert self.program.stdin
        assert self.program.stdout
        self.program.stdin.write(json.dumps(words) + "\n")
        self.program.stdin.flush()
        return json.loads(self.program.stdout.readline())


class Corridor:
    """Both ends, and what a change of key is to them. `device`: the MACsec device at each."""

    def __init__(self, a: Space, b: Space, device: str) -> None:
        self.spaces, self.device = (a, b), device
        for space in (a, b):
            space.start()
        a.run("ip", "link", "add", "name", "fibre", "type", "veth", "peer", "name", "fibre", "netns", str(b.pid))
        for at, space in enumerate((a, b)):
            space.run("ip", "address", "add", f"{OUTSIDE[at]}/24", "dev", "fibre")
            space.run("ip", "link", "set", "fibre", "up")
        b.run("ip", "address", "add", f"{FAR_HOST}/24", "dev", "lo")
        a.run("ip", "route", "add", FAR, "via", OUTSIDE[1], "metric", "100")
        rule = f'chain in {{ type filter hook prerouting priority raw; iifname "fibre" ip daddr {FAR} counter; }};'
        b.run("nft", f"table inet seen {{ {rule} }}")
        self.addresses = [json.loads(s.run("ip", "-j", "link", "show", "fibre"))[0]["address"] for s in (a, b)]

    def join(self, **settings: tuple[str, str]) -> None:
        """Start the consumers, with these settings at each end."""
        self.a, self.b = (
            Site(space, role, device=self.device, **{name: pair[at] for name, pair in settings.items()})
            for at, (space, role) in enumerate(zip(self.spaces, (Role.INITIATOR, Role.RESPONDER), strict=True))
        )

    def use_device(self) -> None:
        """Give the MACsec devices their addresses, and the far network its route through them."""
        for at, space in enumerate(self.spaces):
            space.run("ip", "address", "replace", f"{INSIDE[at]}/24", "dev", self.device)
            space.run("ip", "link", "set", self.device, "up")
        self.spaces[0].run("ip", "route", "replace", FAR, "via", INSIDE[1], "metric", "10")

    def change(self, *, other: bool = False) -> str:
        """Install a new key at both ends, the responder first; `other`: not the same. Return its ID."""
        name, octets = str(uuid.uuid4()), secrets.token_hex(32)
        for site, key in ((self.b, secrets.token_hex(32) if other else octets), (self.a, octets)):
            said = site.ask("install", name, key)
            assert said == "", said
        return name

    def proven(self, name: str, within_s: float = 10.0, site: Site | None = None) -> tuple[bool, str]:
        """Return whether the initiator, or another, proves it in time, and what it says."""
        deadline = time.monotonic() + within_s
        while True:
            in_use, why = (site or self.a).ask("prove", name)
            if in_use or time.monotonic() > deadline:
                return in_use, why
            time.sleep(0.1)

    def flood(self, count: int) -> int:
        """Send so many pings to the far host, and return how many were answered."""
        said = self.a.space.run("sh", "-c", f"ping -n -q -i 0.01 -c {count} -W 0.3 {FAR_HOST} || true")
        return int(found[1]) if (found := re.search(r"(\d+) received", said)) else 0

    def send(self, count: int) -> int:
        """Try to send so many datagrams to the far host; return how many were tried."""
        return int(self.a.space.run(sys.executable, "-c", SENDER, str(count)))

    def in_clear(self) -> int:
        """Return how many packets for the far host have come over the carrier unprotected."""
        return int(re.findall(r"packets (\d+)", self.b.space.run("nft", "list", "table", "inet", "seen"))[0])

    def shown(self, site: Site) -> Any:
        """Return what the device at an end says of itself."""
        return json.loads(site.space.run("ip", "-j", "-s", "macsec", "show", self.device))[0]


def saks(a: Space, b: Space, care: Daemons) -> dict[str, Any]:
    """Key two devices by SAKs: do everything in its turn and return what was seen."""
    made, seen = Corridor(a, b, "sec0"), dict[str, Any]()
    for space in (a, b):
        kind = "type macsec port 1 cipher gcm-aes-256 replay on window 64"
        space.run("ip", "link", "add", "link", "fibre", "sec0", *kind.split())
    made.use_device()
    made.join(peer=(made.addresses[1], made.addresses[0]))
    # a key of a stranger's stands in both devices before we come
    strange = f"1 pn 1 on key {uuid.uuid4().hex} {'11' * 32}"
    for site, peer in ((made.a, made.addresses[1]), (made.b, made.addresses[0])):
        for words in (f"rx port 1 address {peer}", f"rx port 1 address {peer} sa {strange}", f"tx sa {strange}"):
            site.space.run("ip", "macsec", "add", "sec0", *words.split())
        site.space.run("ip", "link", "set", "sec0", "type", "macsec", "encodingsa", "1")
    seen["strange"] = made.flood(5)
    seen["prepared"] = [made.b.ask("prepare"), made.a.ask("prepare")]
    seen["before"] = made.flood(5)
    # an idle link: the first key, and one after it
    first = made.change()
    seen["first"] = made.proven(first)
    second = made.change()
    seen["idle"] = made.proven(second)
    seen["responder"] = made.b.ask("prove", second)
    seen["retired first"] = [site.ask("retire", first) for site in (made.a, made.b)]
    seen["answered"] = made.flood(20)
    seen["rotations"] = rotations(made, care, second)
    good = seen["rotations"]["last"]
    # another key at one end
    wrong = made.change(other=True)
    seen["wrong"] = made.proven(wrong, 2.0)
    seen["wrong at the responder"] = made.b.ask("prove", wrong)
    seen["wrong answered"] = made.flood(5)
    # only the responder has it
    lone = str(uuid.uuid4())
    made.b.ask("install", lone, secrets.token_hex(32))
    healed = made.change()
    seen["healed"] = made.proven(healed)
    seen["healed answered"] = made.flood(20)
    for name in (good, wrong, lone):
        seen[f"retired {len(seen)}"] = [site.ask("retire", name) for site in (made.a, made.b)]
    seen["still answered"] = made.flood(20)
    seen["again"] = [made.a.ask("prepare"), made.b.ask("prepare"), made.flood(20)]
    seen["short"] = made.a.ask("install", str(uuid.uuid4()), "22" * 16)
    # the last one goes
    seen["retired last"] = [site.ask("retire", healed) for site in (made.a, made.b)]
    seen["after"] = made.flood(5)
    seen["set again"] = made.a.ask("install", healed, "33" * 32)
    seen["proof after"] = made.a.ask("prove", healed)
    made.a.space.run("ip", "link", "set", "sec0", "down")
    seen["tried"] = made.send(1000)
    seen["leaked"] = made.in_clear()
    made.a.ask("unguard")
    made.send(10)
    seen["leaked without guard"] = made.in_clear()
    return seen


def rotations(made: Corridor, care: Daemons, old: str) -> dict[str, Any]:
    """Change the key again and again under pings, and return what was lost and which places were used."""
    log = RUN / "pings.log"
    ping = Daemon(
        [program("ping", "iputils-ping"), "-n", "-q", "-i", "0.01", "-W", "1", FAR_HOST],
        log,
        prefix=made.a.space.prefix,
    )
    care.add(ping)
    ping.start()
    places, named = [], []
    for _ in range(ROTATIONS):
        new = made.change()
        proven, why = made.proven(new)
        assert proven, why
        for site in (made.a, made.b):
            site.ask("retire", old)
        shown = made.shown(made.a)
        places.append(shown["encoding_sa"])
        named.append([uuid.UUID(one["key"]).hex == uuid.UUID(new).hex for one in shown["sa_list"]])
        old = new
    ping.signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        while ping.running:
            time.sleep(0.05)
    sent, received = re.findall(r"(\d+) packets transmitted, (\d+) received", log.read_text())[0]
    return {"sent": int(sent), "received": int(received), "places": places, "named": named, "last": old}


def mka(a: Space, b: Space, care: Daemons) -> dict[str, Any]:
    """Key two ends by MKA, as `saks` does."""
    made, seen = Corridor(a, b, "macsec0"), dict[str, Any]()
    for at, space in enumerate((a, b)):
        file = RUN / f"supplicant-{at}.conf"
        file.write_text(
            SUPPLICANT.format(at=at, cak=secrets.token_hex(16), ckn=secrets.token_hex(16), priority=16 + at)
        )
        command = [program("wpa_supplicant", "wpasupplicant"), "-Dmacsec_linux", "-ifibre", f"-c{file}"]
        daemon = Daemon(command, RUN / f"supplicant-{at}.log", prefix=space.prefix)
        care.add(daemon)
        daemon.start((RUN / f"supplicant-{at}/fibre").exists, within_s=100.0)
    made.join(control=(str(RUN / "supplicant-0/fibre"), str(RUN / "supplicant-1/fibre")))
    seen["prepared"] = [made.b.ask("prepare"), made.a.ask("prepare")]
    for name in ("first", "second"):
        began_s = time.monotonic()
        key = made.change()
        seen[name] = made.proven(key, MKA_S)
        seen[f"{name} after s"] = round(time.monotonic() - began_s, 1)
        seen[f"{name} at the responder"] = made.proven(key, MKA_S, made.b)
        made.use_device()
        seen[f"{name} answered"] = made.flood(20)
    seen["again"] = [made.a.ask("prepare"), made.a.ask("prove", key)]
    seen["short"] = made.a.ask("install", str(uuid.uuid4()), "22" * 20)
    seen["wrong"] = made.proven(made.change(other=True), 10.0)
    right = made.change()
    seen["healed"] = made.proven(right, MKA_S)
    seen["retired"] = [site.ask("retire", right) for site in (made.a, made.b)]
    seen["after"] = made.a.ask("prove", right)
    seen["tried"] = made.send(1000)
    seen["leaked"] = made.in_clear()
    made.a.ask("unguard")
    made.send(10)
    seen["leaked without guard"] = made.in_clear()
    return seen


def main() -> None:
    """Serve one end, where arguments say which, or see everything."""
    mode, *words = sys.argv[1:]
    if mode == "end":
        end(*words)
        return
    began_s = time.monotonic()
    with Daemons() as care:
        a, b = Space("site-a", RUN), Space("site-b", RUN)
        care.add(a)
        care.add(b)
        seen = {"saks": saks, "mka": mka}[mode](a, b, care)
    _say({**seen, "seconds": round(time.monotonic() - began_s, 1)})


def _say(what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
