"""WireGuard on trial: wireguard-go at both ends, its pre-shared keys from the agents."""

import secrets
import time
from base64 import b64decode
from collections.abc import Mapping

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers.wireguard_device import PSK_OCTETS
from keystrand.edge.pilot.base import A, B
from keystrand.edge.pilot.ends import Ends
from keystrand.edge.pilot.tunnel import TunnelTrial
from keystrand.edge.pilot.wireguards import WireGuards
from keystrand.model.errors import PeerUnavailable
from keystrand.model.stages.recorded import DeedKind

_TRIES = 6
_ANSWER_S, _LOOK_S = 1.0, 0.01


class WireGuardTrial(TunnelTrial):
    """See `base.Trial`."""

    how = "WireGuard with a pre-shared key (IKpsk2); each key makes a new handshake at once"
    networks = ("10.3.0.0/24", "10.4.0.0/24")
    packages: Mapping[str, str] = {"wireguard-go": "wireguard-go", "wg": "wireguard-tools"}

    def _begin(self, ends: Ends) -> None:
        self._pair = WireGuards(ends)
        self._pair.begin()
        self._wrote("wg.conf", [self._pair.file(at) for at in (A, B)])
        for command in ("start wireguard-go", "wg setconf", "ip link set up", "ip route add"):
            self._did(DeedKind.COMMAND, command)

    def begin_plain(self) -> str:
        """See `base.Trial`. Raises `ConsumerFailure`, `PeerUnavailable` where no handshake is made."""
        with Secret(bytes(PSK_OCTETS)) as none:
            self._put_back(B, none)
            for _ in range(_TRIES):
                self._put_back(A, none)
                if self._shakes_hands():
                    return "the same peers without a pre-shared key"
        raise PeerUnavailable("WireGuard made no handshake", hint=f"its logs are in {self.ends.folder}")

    def end_plain(self) -> None:
        """See `base.Trial`. Raises `ConsumerFailure`."""
        for at in (A, B):
            # each its own, as in the file: no handshake is possible before an agent gives both the same
            with Secret(secrets.token_bytes(PSK_OCTETS)) as nobodys:
                self._put_back(at, nobodys)

    def agent_kind(self) -> str:
        """See `base.Trial`."""
        return "wireguard"

    def agent_settings(self, at: int) -> Mapping[str, str | int | float | bool]:
        """See `base.Trial`."""
        pair = self._pair
        return {
            "device": pair.devices[at], "peer": pair.publics[1 - at], "far": self.networks[1 - at],
            "change": "forced", "socket": str(pair.socket(at)), "run": str(self.ends.folder / f"run-{at}"),
        }  # fmt: skip

    def _peer(self, at: int) -> bytes:
        return b64decode(self._pair.publics[1 - at])

    def _put_back(self, at: int, key: Secret) -> None:
        self._pair.device(at).set_key(self._peer(at), key, anew=True)

    def _shakes_hands(self) -> bool:
        deadline = time.monotonic() + _ANSWER_S
        while time.monotonic() < deadline:
            if self._pair.device(A).peer(self._peer(A)).handshake_s:
                return True
            time.sleep(_LOOK_S)
        return False
