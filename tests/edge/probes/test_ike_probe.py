"""The IKE probe against a hand-written responder with post-quantum exchanges, and against strongSwan if installed."""

import ctypes
import os
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.edge.probes.datagram_ends import (
    FULL,
    HOST,
    QUICK,
    facts,
    free_port,
    probe,
    responding,
    target_at,
    uses,
)
from tests.edge.probes.ike_gateway import (
    CLASSICAL,
    HYBRID,
    MARKER,
    Gateway,
    One,
    answer,
    main_mode_answer,
    notify,
    read,
    saying,
    security,
)

from keystrand.edge.probes.ike import MAX_TALKS, IkeProbe
from keystrand.edge.probes.ike_questions import INQUIRIES, MAX_COOKIES, IkeConversation, MainModeConversation, Question
from keystrand.model.estate import ProbeKind
from keystrand.model.observation import Endpoint, Outcome, Strength

NEGOTIATED, OFFERED = Strength.NEGOTIATED, Strength.OFFERED
IKE = ProbeKind.IKE


@pytest.mark.system
class TestHandWritten:
    """Against responders of which each transform is known."""

    def test_an_additional_exchange_with_ml_kem_is_seen_with_everything_around_it(self) -> None:
        """Cookie returned, share of the group asked for, ADDKE, both ways of pre-shared keys."""
        gateway = Gateway(HYBRID, (16438, 16435, 16445), cookie=b"c" * 20)
        with responding(gateway) as port:
            seen, ended, answers = probe(IkeProbe(), target_at(port, IKE))
        assert ended.outcome is Outcome.SEEN
        assert ended.reason == ""
        assert ended.place == f"ike://{HOST}:{port}"
        assert facts(seen, Endpoint) == [
            Endpoint(
                protocol="ike",
                host=HOST,
                port=port,
                versions=("IKEv2",),
                supports_post_quantum=True,
                negotiates_post_quantum=True,
                prefers_post_quantum=False,
            )
        ]
        assert uses(seen) == {
            (NEGOTIATED, "ECDH-P-384+ML-KEM-768", "20+36"),
            (NEGOTIATED, "AES-256-GCM", "20"),
            (NEGOTIATED, "HMAC-SHA-256", "5"),
            (OFFERED, "ECDH-P-384", "20"),
            (OFFERED, "PPK (RFC 8784)", "16435"),
            (OFFERED, "PPK (RFC 9867)", "16445"),
            (OFFERED, "SHA-256", "2"),
            (OFFERED, "SHA-512", "4"),
        }
        assert [request.group for request in gateway.requests[:3]] == [31, 31, 20]
        assert {request.notes.get(16390) for request in gateway.requests[1:3]} == {b"c" * 20}
        assert len(answers) <= 4

    def test_a_classical_gateway_does_not_support_and_pre_shared_keys_stay_unknown(self) -> None:
        """Refused without a classical way out, and nothing said of PPK: only the first is a no."""
        with responding(Gateway(CLASSICAL)) as port:
            seen, ended, answers = probe(IkeProbe(), target_at(port, IKE, mode=QUICK))
        (endpoint,) = facts(seen, Endpoint)
        assert (endpoint.supports_post_quantum, endpoint.negotiates_post_quantum) == (False, False)
        assert endpoint.prefers_post_quantum is None
        assert "not shown, which does not prove" in ended.reason
        assert not {name for _, name, _ in uses(seen) if name.startswith("PPK")}
        assert len(answers) == 2

    def test_a_gateway_that_takes_nothing_without_ml_kem_is_not_lost(self) -> None:
        """It also takes ML-KEM as its first exchange, and two additional ones."""
        accepts = CLASSICAL | {4: (31, 37), 6: (37, 35), 7: (35,)}
        gateway = Gateway(accepts, only_hybrid=True)
        with responding(gateway) as port:
            seen, _, answers = probe(IkeProbe(), target_at(port, IKE, mode=FULL))
        names = {name for _, name, _ in uses(seen)}
        assert {"X25519+ML-KEM-1024", "X25519+ML-KEM-512"} <= names
        assert facts(seen, Endpoint)[0].supports_post_quantum is True
        assert len(answers) <= MAX_TALKS

    def test_every_exchange_accepted_is_found_in_one_request_each_and_one_more(self) -> None:
        """By what the responder asks a share for: it computes nothing."""
        gateway = Gateway(CLASSICAL | {4: (19, 31, 14, 20, 21)})
        with responding(gateway) as port:
            seen, _, answers = probe(IkeProbe(), target_at(port, IKE, mode=FULL))
        exchanges = {name for _, name, _ in uses(seen) if name.startswith(("ECDH", "X25519", "FFDH"))}
        assert exchanges == {"ECDH-P-256", "X25519", "FFDH-2048", "ECDH-P-384", "ECDH-P-521"}
        asked = [one for one in answers if one.job.question.startswith(Question.GROUPS)]
        assert len(asked) == 5

    @pytest.mark.parametrize(
        ("respond", "why"),
        [
            (lambda datagram: main_mode_answer(datagram, (7, 4, 3, 36), bits=256), "not offered"),
            (lambda datagram: main_mode_answer(datagram, (7, 4, 3, 14), bits=17), "not offered"),
            (lambda datagram: [datagram], "no cookie"),
        ],
        ids=["ML-KEM, which version 1 does not have", "a key of 17 bits", "an echo"],
    )
    def test_a_choice_in_version_1_that_was_not_offered_is_not_believed(
        self, respond: Callable[[bytes], list[bytes]], why: str
    ) -> None:
        """Nobody becomes safe by naming a number, and what sends back every datagram is no gateway."""
        with responding(respond) as port:
            seen, ended, _ = probe(IkeProbe(), target_at(port, IKE), timeout_s=1.5)
        assert seen == []
        assert ended.outcome is Outcome.UNPARSABLE
        assert why in ended.reason

    def test_a_silent_gateway_is_asked_in_version_1_and_that_is_told(self) -> None:
        """Main Mode's answer: its transform, and no version 2."""
        with responding(lambda datagram: main_mode_answer(datagram, (5, 1, 3, 2))) as port:
            seen, ended, _ = probe(IkeProbe(), target_at(port, IKE), timeout_s=1.5)
        (endpoint,) = facts(seen, Endpoint)
        assert endpoint.versions == ("IKEv1",)
        assert endpoint.supports_post_quantum is None
        assert {(NEGOTIATED, "FFDH-1024", "2"), (NEGOTIATED, "3DES-168-CBC", "5"), (NEGOTIATED, "MD5", "1")} <= uses(
            seen
        )
        assert (NEGOTIATED, "RSA", "3") in uses(seen)
        assert "modern-initiator: unknown" in ended.reason

    def test_refusal_silence_and_another_protocol_are_three_things(self) -> None:
        """None of them is seen."""
        with responding(Gateway({})) as port:
            _, ended, _ = probe(IkeProbe(), target_at(port, IKE))
        assert ended.outcome is Outcome.UNREADABLE
        assert "NO_PROPOSAL_CHOSEN (14)" in ended.reason
        with responding(lambda _: []) as port:
            _, ended, _ = probe(IkeProbe(), target_at(port, IKE), timeout_s=0.3)
        assert ended.outcome is Outcome.TIMED_OUT
        with responding(lambda _: [b"SIP/2.0 400 Bad Request\r\n\r\n" * 2]) as port:
            _, ended, _ = probe(IkeProbe(), target_at(port, IKE), timeout_s=1)
        assert ended.outcome is Outcome.NONE
        _, ended, _ = probe(IkeProbe(), target_at(free_port(), IKE), timeout_s=0.3)
        assert ended.outcome is Outcome.UNREACHABLE

    def test_a_choice_that_was_not_offered_is_not_believed(self) -> None:
        """Another cipher, two of one type, one type missing."""
        whole: list[One] = [(1, 20, 256), (2, 5, None), (4, 31, None), (6, 36, None)]
        for chosen in ([(1, 99, 256), *whole[1:]], [*whole, (2, 6, None)], [whole[0], whole[2]]):
            with responding(partial(saying, chosen)) as port:
                seen, ended, _ = probe(IkeProbe(), target_at(port, IKE))
            assert not seen
            assert ended.outcome is Outcome.UNPARSABLE


class TestConversation:
    """One question, datagrams in memory."""

    def test_what_an_outsider_could_send_changes_nothing(self) -> None:
        """Another SPI, another exchange, a request, half a message; the responder's own answer still counts."""
        talk = IkeConversation(INQUIRIES[Question.MODERN], marker=False)
        request = read(talk.begin())
        refusal = answer(request.spi, notify(14))
        for other in (
            b"x" + refusal[1:],
            refusal[:18] + b"\x23" + refusal[19:],
            refusal[:-1],
            b"",
            b"\xff",
            talk.begin(),
        ):
            assert talk.receive(other) == b""
            assert not talk.done
        talk.receive(answer(request.spi, security([(1, 20, 256), (2, 5, None), (4, 31, None)])))
        assert talk.done
        assert not talk.fault

    def test_cookies_without_end_and_shares_without_end_are_left(self) -> None:
        """A few cookies; one other share; and none for an exchange that was not offered."""
        talk = IkeConversation(INQUIRIES[Question.MODERN], marker=True)
        spi = read(talk.begin()).spi
        for count in range(MAX_COOKIES):
            cookie = bytes((count,)) * 8
            assert read(talk.receive(MARKER + answer(spi, notify(16390, cookie)))).notes[16390] == cookie
        assert talk.receive(MARKER + answer(spi, notify(16390, b"again"))) == b""
        assert talk.done
        assert "cookie number 4" in talk.fault
        talk = IkeConversation(INQUIRIES[Question.MODERN], marker=False)
        spi = read(talk.begin()).spi
        assert read(talk.receive(answer(spi, notify(17, b"\0\x13")))).group == 19
        assert talk.receive(answer(spi, notify(17, b"\0\x14"))) == b""
        assert talk.done
        talk = IkeConversation(INQUIRIES[Question.MODERN], marker=False)
        talk.receive(answer(read(talk.begin()).spi, notify(17, b"\xff\xff")))
        assert "65535, which was not offered" in talk.fault

    @given(
        st.lists(st.binary(max_size=200), max_size=4), st.sampled_from(list(INQUIRIES)), st.sampled_from([33, 34, 41])
    )
    def test_no_datagram_makes_it_raise(self, octets: list[bytes], question: Question, kind: int) -> None:
        """Bare, and in a payload of an answer that is due."""
        talk = IkeConversation(INQUIRIES[question], marker=False)
        spi = read(talk.begin()).spi
        for content in octets:
            talk.receive(content)
            talk.receive(answer(spi, (kind, content)))
        older = MainModeConversation(marker=False)
        spi = older.begin()[:8]
        for content in octets:
            older.receive(content)
            older.receive(
                spi + b"responds" + bytes((1, 0x10, 2, 0)) + bytes(4) + struct.pack(">I", 28 + len(content)) + content
            )


STRONGSWAN = """
charon-systemd {{
  load = random nonce openssl pem pkcs1 pubkey x509 constraints hmac kdf sha1 sha2 aes gmp curve25519 kernel-netlink \
socket-default vici
  install_routes = no
  install_virtual_ip = no
  cookie_threshold = 1
  plugins {{ vici {{ socket = {socket} }} }}
}}
"""
CONNECTION = """
connections {
  gateway {
    version = 0
    local_addrs = 127.0.0.1
    proposals = aes256-sha256-ecp384-x25519,aes256gcm16-prfsha256-ecp256-modp2048,aes128-sha1-modp1024
    ppk_id = link-1
    ppk_required = no
    local { auth = psk }
    remote { auth = psk }
  }
}
secrets {
  ppk-1 {
    id = link-1
    secret = 0x0102030405060708
  }
}
"""


def _runs(command: list[str], environment: dict[str, str]) -> bool:
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0


@contextmanager
def by_strongswan(folder: Path) -> Iterator[int]:
    """Run strongSwan's daemon on ports 500 and 4500 of a network namespace of its own; yield its process id."""
    programs = {name: shutil.which(name) for name in ("charon-systemd", "swanctl", "unshare", "ip")}
    if os.geteuid() != 0 or None in programs.values():
        pytest.skip("strongSwan is not installed, or this is not root")
    socket = f"unix://{folder}/vici"
    (folder / "strongswan.conf").write_text(STRONGSWAN.format(socket=socket))
    (folder / "swanctl.conf").write_text(CONNECTION)
    environment = os.environ | {"STRONGSWAN_CONF": str(folder / "strongswan.conf")}
    command = ["unshare", "--net", "sh", "-c", "ip link set lo up && exec charon-systemd"]
    with (folder / "log").open("w") as log:
        daemon = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            for _ in range(200):
                assert daemon.poll() is None, (folder / "log").read_text()
                load = ["swanctl", "--load-all", "--file", str(folder / "swanctl.conf"), "--uri", socket]
                if (folder / "vici").exists() and _runs(load, environment):
                    break
                time.sleep(0.05)
            yield daemon.pid
        finally:
            daemon.terminate()
            daemon.wait(20)


def within(pid: int, run: Callable[[], None]) -> None:
    """Run something in the network namespace of a process; only its own thread enters it."""
    failed: list[BaseException] = []

    def enter() -> None:
        try:
            with Path(f"/proc/{pid}/ns/net").open() as namespace:
                assert ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0x40000000) == 0
            run()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


@pytest.mark.system
@pytest.mark.parametrize("port", [500, 4500])
def test_strongswan_is_mapped_with_its_pre_shared_keys(tmp_path: Path, port: int) -> None:
    """Every exchange of its proposals and no other, IKEv1, and PPK, on both ports; its cookies are returned."""

    def check() -> None:
        probe(IkeProbe(), target_at(port, IKE, mode=QUICK), timeout_s=5)
        seen, ended, answers = probe(IkeProbe(), target_at(port, IKE, mode=FULL), timeout_s=5)
        assert ended.outcome is Outcome.SEEN
        (endpoint,) = facts(seen, Endpoint)
        assert endpoint.versions == ("IKEv2", "IKEv1")
        assert (endpoint.supports_post_quantum, endpoint.negotiates_post_quantum) == (False, False)
        exchanges = {name for _, name, _ in uses(seen) if name.startswith(("ECDH", "X25519", "FFDH"))}
        assert exchanges == {"ECDH-P-384", "X25519", "ECDH-P-256", "FFDH-2048", "FFDH-1024"}
        assert (NEGOTIATED, "ECDH-P-384", "20") in uses(seen)
        assert (OFFERED, "PPK (RFC 8784)", "16435") in uses(seen)
        talks = [one.conversation for one in answers if isinstance(one.conversation, IkeConversation)]
        assert sum(talk.cookies for talk in talks) > 0

    with by_strongswan(tmp_path) as pid:
        within(pid, check)
