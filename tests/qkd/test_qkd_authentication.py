"""Two ends with one key: what they accept, what they refuse, and where each bit of key went."""

import contextlib
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.poly1305 import Poly1305
from hypothesis import given
from hypothesis import strategies as st

from keystrand.qkd import authentication
from keystrand.qkd.authentication import AuthenticationKeyExhausted, AuthenticationPool, MessageRefused, forgery_bound

KEY = bytes(range(256)) * 2


def ends(key: bytes = KEY) -> tuple[AuthenticationPool, AuthenticationPool]:
    """Return both ends of a channel that share `key`."""
    pair = AuthenticationPool(initiator=True, context=b"s"), AuthenticationPool(initiator=False, context=b"s")
    for end in pair:
        end.put(key)
    return pair


def balances(end: AuthenticationPool) -> bool:
    """Return whether the ledger accounts for each bit."""
    said = end.ledger()
    return said.put_in_bits == said.spent_bits + said.discarded_bits + said.left_bits


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=50)), max_size=8))
def test_ends_understand_each_other(messages: list[tuple[bool, bytes]]) -> None:
    """Any messages in any turn arrive as sent, at 256 bits of key each, until a direction has none left."""
    one, two = ends()
    for forth, message in messages:
        sender, receiver = (one, two) if forth else (two, one)
        assert receiver.open(sender.seal(message)) == message
    assert one.ledger() == two.ledger()
    assert one.ledger().spent_bits == 256 * len(messages)


def test_both_may_speak_at_once() -> None:
    """Messages that cross on the way are accepted, and no mask is shared: the tags of equal messages differ."""
    one, two = ends()
    forth, back = one.seal(b"x"), two.seal(b"x")
    assert forth != back
    assert (two.open(forth), one.open(back)) == (b"x", b"x")


@given(st.binary(max_size=40), st.integers(0), st.integers(1, 255))
def test_any_flipped_byte_closes_the_pool(message: bytes, at: int, flip: int) -> None:
    """One octet altered anywhere is refused, and then nothing more is accepted, not even the true frame."""
    one, two = ends()
    frame = one.seal(message)
    forged = bytearray(frame)
    forged[at % len(frame)] ^= flip
    for given_frame in (bytes(forged), frame, one.seal(b"next")):
        with pytest.raises(MessageRefused):
            two.open(given_frame)
    with pytest.raises(MessageRefused):
        two.seal(b"answer")
    assert two.ledger().left_bits == 0
    assert balances(two)


@pytest.mark.parametrize("wrong", ["replayed", "reordered", "cut", "lengthened", "empty", "reflected"])
def test_frames_out_of_place_are_refused(wrong: str) -> None:
    """A true frame in the wrong place, or not whole, is no message."""
    one, two = ends()
    first, second = one.seal(b"first"), one.seal(b"second")
    two.open(first)
    frames = {"replayed": first, "reordered": one.seal(b"third"), "cut": second[:-1], "lengthened": second + b"\0"}
    with pytest.raises(MessageRefused):
        two.open({**frames, "empty": b"", "reflected": two.seal(b"second")}[wrong])
    assert two.closed


def test_another_context_is_refused() -> None:
    """A frame of one session says nothing in another."""
    other = AuthenticationPool(initiator=False, context=b"t")
    other.put(KEY)
    with pytest.raises(MessageRefused):
        other.open(ends()[0].seal(b"x"))


@pytest.mark.parametrize("seen", [1, 2**64 - 1])
def test_transcript_of_the_peer_is_bound(seen: int) -> None:
    """A peer that claims to have accepted what was never sent has seen another transcript: refused."""
    one, two = ends()
    one._accepted = seen
    with pytest.raises(MessageRefused):
        two.open(one.seal(b"x"))


def test_exhausted_pool_says_so_and_goes_on_with_new_key() -> None:
    """Without key nothing is sealed or opened and nothing is lost; new key at both ends mends it."""
    one, two = ends(KEY[:64])
    two.open(one.seal(b"x"))
    with pytest.raises(AuthenticationKeyExhausted, match="no authentication key"):
        one.seal(b"y")
    assert one.ledger().left_bits == 256
    for end in (one, two):
        end.put(KEY[64:128])
    assert two.open(one.seal(b"y")) == b"y"


def test_no_mask_serves_twice_after_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key whose use failed is spent and overwritten; the next message takes another one."""
    one, _ = ends()
    used: list[bytes] = []
    taken: list[bytearray] = []

    def failing(key: bytearray, data: bytes) -> bytes:
        used.append(bytes(key))
        taken.append(key)
        raise RuntimeError(len(data))

    monkeypatch.setattr(authentication, "Poly1305", type("Failing", (), {"generate_tag": staticmethod(failing)}))
    for _ in range(3):
        with pytest.raises(RuntimeError):
            one.seal(b"x")
    assert len(set(used)) == 3
    assert not any(map(any, taken))
    assert one.ledger().spent_bits == 3 * 256
    assert balances(one)


@given(st.lists(st.sampled_from(["put", "seal", "answer", "open", "forge", "close", "bad"]), max_size=40))
def test_ledger_balances_under_any_operations(operations: list[str]) -> None:
    """Whatever is done in whatever order, each bit put in is spent, discarded or left."""
    one, two = ends(KEY[:128])
    frames: list[bytes] = []
    do: dict[str, Callable[[], object]] = {
        "put": lambda: one.put(KEY[:64]),
        "bad": lambda: one.put(KEY[:63]),
        "seal": lambda: frames.append(one.seal(b"m")),
        "answer": lambda: one.open(two.seal(b"m")),
        "open": lambda: two.open(frames.pop(0) if frames else b""),
        "forge": lambda: one.open(bytes(40)),
        "close": two.close,
    }
    for name in operations:
        with contextlib.suppress(MessageRefused, AuthenticationKeyExhausted, ValueError):
            do[name]()
        assert balances(one)
        assert balances(two)


def test_given_buffer_is_overwritten() -> None:
    """The caller's bytearray holds no key afterwards."""
    key = bytearray(KEY)
    AuthenticationPool(initiator=True).put(key)
    assert not any(key)


def test_tag_is_that_of_rfc_8439() -> None:
    """RFC 8439, 2.5.2: the hash under the pool is the published one."""
    key = bytes.fromhex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b")
    made = Poly1305.generate_tag(key, b"Cryptographic Forum Research Group")
    assert made.hex() == "a8061dc1305136c6c22b8baf0c0127a9"


def test_bound_grows_with_the_message() -> None:
    """An empty message in its header of 25 octets takes two blocks; a megabyte stays below 2^-80."""
    assert forgery_bound(0) == 16 / 2**106
    assert forgery_bound(2**20) < 2**-80


@given(st.integers(0, 5), st.integers(0, 5))
def test_unused_key_is_withdrawn_alike(forth: int, back: int) -> None:
    """After equal use both ends withdraw the same unused key, which serves another session; the ledger balances."""
    one, two = ends()
    for _ in range(forth):
        two.open(one.seal(b"x"))
    for _ in range(back):
        one.open(two.seal(b"x"))
    left = one.withdraw()
    assert left == two.withdraw()
    assert len(left) == 64 * (8 - max(forth, back))
    for end in (one, two):
        assert balances(end)
        assert end.ledger().left_bits == 0
        assert end.ledger().put_in_bits == 8 * (len(KEY) - len(left))
        with pytest.raises(MessageRefused):
            end.withdraw()
    if left:
        one, two = ends(left)
        assert two.open(one.seal(b"again")) == b"again"


def test_a_frame_is_recognised_without_spending_key() -> None:
    """The peer's next frame and no other, as often as asked; it is opened by the same key after."""
    one, two = ends()
    first, second = one.seal(b"first"), one.seal(b"second")
    before = two.ledger()
    for _ in range(3):
        assert two.recognises(first)
        for other in (second, first[:-1], first + b"\0", b"", bytes(16), bytes(60)):
            assert not two.recognises(other)
    assert two.ledger() == before
    assert not two.recognises(two.seal(b"own"))
    assert two.open(first) == b"first"
    two.close()
    assert not two.recognises(second)
