"""IKE messages: what we make is read back by hand, and no octets make the readers raise anything but unreadable."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.formats.ike_codepoints import cipher_name, exchange_name, integrity_name, notify_name, prf_name
from keystrand.formats.ike_messages import (
    IKE_2,
    MAX_PAYLOADS,
    SA_INIT,
    IkeUnreadable,
    Notification,
    Transform,
    answer_to,
    head_of,
    main_mode,
    sa_init,
    said,
    said_1,
)

SPI = b"initator"
OFFER = (Transform(1, 20, 256), Transform(2, 5), Transform(4, 31), Transform(6, 36))
transforms = st.lists(
    st.builds(Transform, st.integers(0, 255), st.integers(0, 65535), st.none() | st.integers(0, 65535)),
    min_size=1,
    max_size=40,
).map(tuple)


def message(first: int, body: bytes, version: int = IKE_2, exchange: int = SA_INIT, flags: int = 0x20) -> bytes:
    """Return an IKE message with any body."""
    head = SPI + b"responde" + bytes((first, version, exchange, flags)) + bytes(4)
    return head + struct.pack(">I", 28 + len(body)) + body


@given(transforms, st.binary(max_size=300), st.lists(st.binary(max_size=40), max_size=4))
def test_a_request_reads_back(offer: tuple[Transform, ...], share: bytes, contents: list[bytes]) -> None:
    """The first proposal, the group of the share, and all notifications, a cookie first (RFC 7296, 2.6)."""
    notes = tuple(Notification(16430 + at, content) for at, content in enumerate(contents))
    request = sa_init(SPI, (offer, OFFER), (31, share), bytes(32), (*notes, Notification(16390, b"cookie")))
    head = head_of(request)
    assert (head.initiator, head.responder, head.version, head.exchange, head.response) == (
        SPI,
        bytes(8),
        IKE_2,
        SA_INIT,
        False,
    )
    assert said(request) == (offer, 31, (Notification(16390, b"cookie"), *notes))
    assert head.first == 41


def test_the_octets_of_a_proposal_are_those_of_the_standard() -> None:
    """By hand, after the drawings of RFC 7296, 3.3.1 and 3.3.2."""
    request = sa_init(SPI, ((Transform(1, 12, 128), Transform(4, 14)),), (14, b"s"), b"n", ())
    by_hand = (
        "00 00 001c 01 01 00 02"  # last proposal, 28 octets, number 1, for IKE, no SPI, two transforms
        "03 00 000c 01 00 000c 800e0080"  # more follow: AES-CBC with 128 bits
        "00 00 0008 04 00 000e"  # the last: group 14
    )
    assert bytes.fromhex(by_hand) in request


@given(st.binary(max_size=300), st.sampled_from([33, 34, 41, 1, 11, 7, 0]))
def test_no_octets_make_the_readers_raise_anything_but_unreadable(octets: bytes, kind: int) -> None:
    """Bare, and as the body of a message of either version."""
    for whole in (octets, message(kind, octets), message(kind, struct.pack(">BBH", 0, 0, 4 + len(octets)) + octets)):
        for read in (head_of, said, said_1, lambda one: answer_to(SPI, one)):
            try:
                read(whole)
            except IkeUnreadable:
                continue


def test_what_answers_something_else_is_no_answer() -> None:
    """Another SPI, a request, another exchange, another message number, another length."""
    good = message(0, b"")
    assert answer_to(SPI, good)[0].response
    for bad, words in (
        (b"x" + good[1:], "somebody else"),
        (message(0, b"", flags=0x08), "answers nothing"),
        (message(0, b"", exchange=35), "answers nothing"),
        (good[:20] + b"\0\0\0\1" + good[24:], "answers nothing"),
        (good + b"x", "length"),
        (message(0, b"", version=0x30), "version 3"),
    ):
        with pytest.raises(IkeUnreadable, match=words):
            answer_to(SPI, bad)


def test_payloads_without_end_and_proposals_that_do_not_fit_are_refused() -> None:
    """Bounded work, whatever a message claims of itself."""
    with pytest.raises(IkeUnreadable, match="more than"):
        said(message(43, b"\x2b\0\0\4" * (MAX_PAYLOADS + 1)))
    with pytest.raises(IkeUnreadable, match="a payload of 3"):
        said(message(33, b"\0\0\0\3"))
    with pytest.raises(IkeUnreadable, match="a proposal of 4"):
        said(message(33, b"\0\0\0\x0c\0\0\0\4\1\1\0\1"))
    with pytest.raises(IkeUnreadable, match="a transform of 7"):
        said(message(33, b"\0\0\0\x14\0\0\0\x10\1\1\0\1\0\0\0\7\1\0\0\x0c"))


def test_version_1_reads_its_own_choice_and_its_refusal() -> None:
    """The transform of Main Mode's answer; or a notification, NO-PROPOSAL-CHOSEN above all."""
    ours = main_mode(SPI, (((1, 7), (2, 4), (3, 3), (4, 14), (14, 256)),))
    chosen, refused = said_1(ours)
    assert chosen == (7, 256, 4, 3, 14)
    assert refused is None
    body = struct.pack(">BBHIBBH", 0, 0, 12, 1, 1, 0, 14)
    assert said_1(message(11, body, version=0x10, exchange=5, flags=0)) == (None, 14)


def test_numbers_are_named_and_strange_ones_kept() -> None:
    """As `model.algorithm` calls them."""
    assert [cipher_name(20, 256), cipher_name(12, 128), cipher_name(3, None), cipher_name(28, None)] == [
        "AES-256-GCM",
        "AES-128-CBC",
        "3DES-168-CBC",
        "ChaCha20-Poly1305",
    ]
    assert cipher_name(12, None) == "AES-CBC"
    assert [exchange_name(36), exchange_name(31), exchange_name(65001)] == [
        "ML-KEM-768",
        "X25519",
        "IKE-key-exchange-65001",
    ]
    assert [prf_name(7), integrity_name(12), prf_name(99)] == ["HMAC-SHA-512", "HMAC-SHA-256", "IKE-prf-99"]
    assert [notify_name(14), notify_name(4000)] == ["NO_PROPOSAL_CHOSEN (14)", "notification (4000)"]
