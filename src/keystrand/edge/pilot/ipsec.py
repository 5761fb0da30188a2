"""IPsec on trial: strongSwan at both ends, its keys from the agents as post-quantum pre-shared keys (RFC 8784)."""

from collections.abc import Mapping
from contextlib import suppress

from keystrand.edge.consumers.vici import Refused, Vici
from keystrand.edge.pilot.base import A, B
from keystrand.edge.pilot.charons import CHILD, DEVICE, PLUGIN, Charons
from keystrand.edge.pilot.ends import Ends
from keystrand.edge.pilot.tunnel import TunnelTrial
from keystrand.model.stages.recorded import DeedKind

_NAME, _PLAIN = "pilot", "plain"
_INITIATE_MS, _CLOSE_MS = 6000, 1000


class IpsecTrial(TunnelTrial):
    """See `base.Trial`."""

    how = "IPsec by strongSwan, IKEv2 with certificates and a PPK (RFC 8784); for each key an IKE_SA beside the last"
    networks = ("10.1.0.0/24", "10.2.0.0/24")
    packages: Mapping[str, str] = {"charon-systemd": "charon-systemd"}

    def why_not(self) -> str:
        """See `base.Trial`."""
        lacking = "" if PLUGIN.exists() else f"{PLUGIN} is not there: apt-get install libcharon-extra-plugins"
        return super().why_not() or lacking

    def _begin(self, ends: Ends) -> None:
        self._charons = Charons(ends)
        self._charons.begin()
        self._did(DeedKind.COMMAND, "issue a certificate for IKE")
        self._wrote("strongswan.conf", self._charons.confs)
        self._wrote("the connection, with the names of swanctl.conf", [self._charons.file(at) for at in (A, B)])
        self._did(DeedKind.COMMAND, "start charon-systemd")
        self._did(DeedKind.COMMAND, "swanctl --load-creds")

    def begin_plain(self) -> str:
        """See `base.Trial`. Raises `ConsumerFailure`."""
        for at in (B, A):
            with Vici(self._charons.socket(at)) as charon:
                charon.command("load-conn", {_PLAIN: {**self._charons.connection(at), "version": "2"}})
        with Vici(self._charons.socket(A)) as charon:
            asked = {"ike": _PLAIN, "child": CHILD, "timeout": str(_INITIATE_MS), "loglevel": "-1"}
            charon.command("initiate", asked)
        return "the same connection by the same certificates and proposals, without a PPK"

    def end_plain(self) -> None:
        """See `base.Trial`. Raises `ConsumerFailure`."""
        for at in (A, B):
            with Vici(self._charons.socket(at)) as charon:
                charon.command("unload-conn", {"name": _PLAIN})
                with suppress(Refused):  # it ended with the other end's
                    charon.command("terminate", {"ike": _PLAIN, "force": "yes", "timeout": str(_CLOSE_MS)})

    def agent_kind(self) -> str:
        """See `base.Trial`."""
        return "strongswan"

    def agent_settings(self, at: int) -> Mapping[str, str | int | float | bool]:
        """See `base.Trial`."""
        charons = self._charons
        return {
            "name": _NAME, "connection": str(charons.file(at)), "far": self.networks[1 - at], "device": DEVICE,
            "socket": str(charons.socket(at)),
        }  # fmt: skip
