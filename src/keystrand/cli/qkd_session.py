"""`keystrand qkd session`: two machines turn their records of one run into one key."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from keystrand.cli.output import Output, OutputOption, emit, say


class End(StrEnum):
    """The two ends."""

    ALICE = "alice"
    BOB = "bob"


_End = Annotated[End, typer.Argument(help="Alice sent the pulses, Bob detected them.")]

_Record = Annotated[Path, typer.Option("--record", metavar="FILE", help="This end's photon record; it is used up.")]
_AuthKey = Annotated[
    Path, typer.Option("--auth-key", metavar="FILE", help="Pre-shared authentication key, mode 0600; it is used up.")
]
_AuthOctets = Annotated[
    int, typer.Option("--auth-octets", metavar="N", help="Take only so much of it; alike at both ends.  [0: all]")
]
_Out = Annotated[Path, typer.Option("--out", metavar="KEYFILE", help="New file for the key; never overwritten.")]
_Listen = Annotated[str, typer.Option("--listen", metavar="HOST:PORT", help="Wait for the other end here.")]
_Connect = Annotated[str, typer.Option("--connect", metavar="HOST:PORT", help="Where the other end waits.")]
_Secrecy = Annotated[float, typer.Option("--secrecy", metavar="EPS", help="Epsilon of secrecy; alike at both ends.")]
_Correctness = Annotated[float, typer.Option("--correctness", metavar="EPS", help="Epsilon of correctness; alike.")]
_Limit = Annotated[
    float, typer.Option("--epsilon-limit", metavar="EPS", help="Most all epsilons may add up to; alike.")
]
_FrameBits = Annotated[int, typer.Option("--frame-bits", metavar="N", help="Bits corrected as one frame; alike.")]
_Sequential = Annotated[
    bool, typer.Option("--sequential", help="Fewer disclosed bits, thousands of round trips; alike at both ends.")
]
_Ldpc = Annotated[
    bool, typer.Option("--ldpc", help="Correct by LDPC codes: a few messages, more disclosed; alike at both ends.")
]
_Wait = Annotated[float, typer.Option("--wait", metavar="SECONDS", help="How long to wait for the other end.")]
_Silence = Annotated[float, typer.Option("--silence", metavar="SECONDS", help="Silence after which it is given up.")]


def session(  # noqa: PLR0913, PLR0917 - Typer reads one option from each parameter
    end: _End,
    record: _Record,
    auth_key: _AuthKey,
    out: _Out,
    listen: _Listen = "",
    connect: _Connect = "",
    auth_octets: _AuthOctets = 0,
    secrecy: _Secrecy = 1e-9,
    correctness: _Correctness = 1e-15,
    epsilon_limit: _Limit = 1e-8,
    frame_bits: _FrameBits = 65_536,
    sequential: _Sequential = False,
    ldpc: _Ldpc = False,
    wait: _Wait = 60.0,
    silence: _Silence = 120.0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Turn two records of one run into one key, as Alice or as Bob, with the other end over TCP.

    Ledger and epsilon budget go to stdout; exit code 13 where the block gives no key.
    """
    from keystrand.app import qkd_session

    request = qkd_session.SessionRequest(
        end=end.value,
        record=record,
        authentication=auth_key,
        out=out,
        endpoint=qkd_session.endpoint(listen, connect),
        agreed={
            "security": {"secrecy": secrecy, "correctness": correctness},
            "epsilon_limit": epsilon_limit,
            "frame_bits": frame_bits,
            "batched": not sequential,
            "correction": "ldpc" if ldpc else "cascade",
        },
        authentication_octets=auth_octets,
        wait_s=wait,
        silence_s=silence,
    )
    result = qkd_session.run_session(request, say)
    emit(output, qkd_session.ledger_rows(result), value=qkd_session.result_value(result))
    if error := qkd_session.no_key(result):
        raise error
    say(f"wrote {out} (block {result.block}); a key from simulated photons protects nothing")
