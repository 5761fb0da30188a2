"""Two MACsec devices and their consumers as values, for properties of what ip(8) is told."""

import re
from collections.abc import Callable

from hypothesis import strategies as st

from keystrand.edge.consumers.macsec import Ends
from keystrand.edge.consumers.macsec_device import Association, Channel, Peer, Shown

ADDRESSES = ("02:00:00:00:00:0a", "02:00:00:00:00:0b")
_LINE = re.compile(
    r"link set dev sec0 type macsec encodingsa (?P<send>[0-3])|"
    r"macsec (?P<verb>add|set|del) sec0 (?P<way>tx|rx port 1 address (?P<peer>[0-9a-f:]{17})) sa (?P<an>[0-3])"
    r"(?P<rest>| off| pn 1 on key (?P<key>[0-9a-f]{32}) KEY)\Z"
)
"""The grammar of ip-macsec(8), as far as we use it."""


class Modelled:
    """One end: a device that takes the lines as the kernel does (drivers/net/macsec.c), and our consumer's choices.

    A place that is taken is not taken again, and none is emptied that is on.
    """

    def __init__(self, at: int) -> None:
        self.peer, self.at_once = Peer(ADDRESSES[1 - at], 1), at == 0
        self.sending: dict[int, tuple[str, str]] = {}
        self.receiving: dict[int, tuple[str, str]] = {}
        self.off: set[tuple[str, int]] = set()
        self.good: dict[int, int] = {}
        self.place = 0
        self.awaited = ""

    def ends(self) -> Ends:
        """Return the device as our consumer sees it."""
        sending = tuple(Association(an, key) for an, (key, _) in sorted(self.sending.items()))
        receiving = tuple(Association(an, key, self.good.get(an, 0)) for an, (key, _) in sorted(self.receiving.items()))
        channels = (Channel(f"0x{self.peer.sci:x}", receiving),)
        shown = Shown(
            sci="0x1", encoding_sa=self.place, cipher_suite="GCM-AES-256", protect=True, encrypt=True,
            validate="strict", sa_list=sending, rx_sc=channels,
        )  # fmt: skip
        return Ends("sec0", self.peer, shown)

    def take(self, line: str, octets: str) -> None:
        """Carry out one line, with a key of which only equality matters."""
        found = _LINE.match(line)
        assert found, line
        if found["send"]:
            self.place = int(found["send"])
            return
        assert found["peer"] in (None, self.peer.address)
        way, an = found["way"][:2], int(found["an"])
        table = self.sending if way == "tx" else self.receiving
        match found["verb"]:
            case "add":
                assert an not in table
                table[an] = (found["key"], octets)
            case "set":
                assert an in table
                self.off.add((way, an))
            case _:
                self.off.remove((way, an))
                del table[an]
                if way == "rx":
                    self.good.pop(an, None)

    def install(self, key: str, octets: str, most: int = 99, between: Callable[[], None] = lambda: None) -> None:
        """Install, as far as the line `most`: there it was killed."""
        self.awaited = key
        ends = self.ends()
        at_once = self.at_once or ends.sent_under not in ends.heard
        for line in ends.installing(key, at_once=at_once)[:most]:
            self.take(line, octets)
            between()

    def follow(self) -> None:
        """As the responder: send under the new key where the peer does."""
        if not self.at_once:
            for line in self.ends().following(self.awaited):
                self.take(line, "")

    def retire(self, key: str, between: Callable[[], None] = lambda: None) -> None:
        """Forget a key; `between` is called after every line."""
        for line in self.ends().forgetting({key}):
            self.take(line, "")
            between()

    def proves(self, key: str) -> bool:
        """Return whether this end would prove it."""
        ends = self.ends()
        return ends.sent_under == key and key in ends.heard


def send(sender: Modelled, receiver: Modelled) -> bool:
    """Send one frame, and return whether it was taken."""
    key = sender.sending.get(sender.place)
    if key is None or ("tx", sender.place) in sender.off or receiver.receiving.get(sender.place) != key:
        return False
    if ("rx", sender.place) in receiver.off:
        return False
    receiver.good[sender.place] = receiver.good.get(sender.place, 0) + 1
    return True


def exchange(a: Modelled, b: Modelled) -> None:
    """Let frames go both ways until nothing changes."""
    for _ in range(2):
        send(a, b)
        b.follow()
        send(b, a)


def name_of(n: int) -> str:
    """Return the identifier of the nth key."""
    return f"{n:032x}"


HISTORIES = st.lists(
    st.tuples(
        st.sampled_from(["change", "change and retire", "responder only", "different keys", "killed", "forget all"]),
        st.integers(0, 9), st.integers(0, 12), st.booleans(),
    ),
    max_size=8,
)  # fmt: skip
"""What happened before: which event, which end or how far, and whether frames went in between."""


def lived(history: list[tuple[str, int, int, bool]]) -> tuple[Modelled, Modelled, int]:
    """Return both ends after a history, and how many keys it had."""
    a, b = Modelled(0), Modelled(1)
    for n, (what, who, far, frames) in enumerate(history, 1):
        _happen(what, (a, b), name_of(n), (who, far))
        if frames:
            exchange(a, b)
    return a, b, len(history)


def _happen(what: str, ends: tuple[Modelled, Modelled], name: str, where: tuple[int, int]) -> None:
    a, b = ends
    before = [key for key, _ in a.sending.values()]
    match what:
        case "responder only":
            b.install(name, name)
        case "different keys":
            b.install(name, name)
            a.install(name, "other")
        case "killed":
            ends[where[0] % 2].install(name, name, most=where[1])
        case "forget all":
            _forget_all(ends)
        case _:
            b.install(name, name)
            a.install(name, name)
            exchange(a, b)
            if what == "change and retire" and a.proves(name):
                for key in before:
                    a.retire(key)
                    b.retire(key)


def _forget_all(ends: tuple[Modelled, Modelled]) -> None:
    for end in ends:
        for key in {key for key, _ in (*end.sending.values(), *end.receiving.values())}:
            end.retire(key)
