"""`keystrand pki`: certificates for the key management entities and everybody who talks to them."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keystrand.cli.output import Output, OutputOption, emit, say

if TYPE_CHECKING:
    from keystrand.edge.pki import Issued

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


class PartyKind(StrEnum):
    """Who a certificate can be for."""

    KME = "kme"
    SAE = "sae"
    MODULE = "module"
    OPERATOR = "operator"
    AGENT = "agent"


class Signature(StrEnum):
    """What a certificate is signed with."""

    ECDSA_P256 = "ecdsa-p256"
    ML_DSA_65 = "ml-dsa-65"


FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the authority.")]
KindOption = Annotated[PartyKind, typer.Option("--kind", help="What the party is.")]
IdOption = Annotated[str, typer.Option("--id", metavar="ID", help="The party's ID, unique in the network.")]


@app.command()
def init(
    folder: FolderArgument,
    algorithm: Annotated[Signature, typer.Option(help="ML-DSA resists a quantum computer.")] = Signature.ECDSA_P256,
    days: Annotated[int, typer.Option(metavar="N", help="Life of the authority.")] = 3650,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make an authority in DIR, with an empty revocation list. One that is there is never replaced."""
    from keystrand.app.pki import init_pki

    made = init_pki(folder, algorithm, days)
    emit(output, [{"authority": str(made.ca), "revocation_list": str(made.crl), "algorithm": algorithm.value}])
    say(f"keep {folder / 'ca.key'} where only you can read it\nnext: keystrand pki issue {folder} --kind kme --id ID")


@app.command()
def issue(
    folder: FolderArgument,
    kind: KindOption,
    name: IdOption,
    host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME_OR_IP", help="Where a KME or agent is reached; repeatable.  [default: localhost]"),
    ] = None,
    days: Annotated[
        int | None, typer.Option(metavar="N", help="Life of the certificate.  [default: 365, or the authority's]")
    ] = None,
    algorithm: Annotated[
        Signature | None, typer.Option(help="Of the party's own key.  [default: the authority's]")
    ] = None,
    renew: Annotated[bool, typer.Option("--renew", help="Replace the files of a valid certificate.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a key and a certificate for one party. A valid certificate is replaced only with --renew."""
    from keystrand.app.pki import issue_certificate

    made, files = issue_certificate(folder, kind, name, host or (), days=days, algorithm=algorithm, renew=renew)
    emit(output, [{**_row(made), "certificate": str(files.certificate), "key": str(files.key)}])


@app.command()
def revoke(folder: FolderArgument, kind: KindOption, name: IdOption, output: OutputOption = Output.TABLE) -> None:
    """Take back every valid certificate of a party, and write DIR/ca.crl anew."""
    from keystrand.app.pki import revoke_certificates

    revoked = revoke_certificates(folder, kind, name)
    emit(output, [{**_row(one), "state": "revoked"} for one in revoked])
    say(f"{folder / 'ca.crl'} is new: put it where each entity's configuration names it" if revoked
        else f"all were revoked before; {folder / 'ca.crl'} is new")  # fmt: skip


@app.command()
def crl(
    folder: FolderArgument,
    days: Annotated[int, typer.Option(metavar="N", help="How long the list is good for.")] = 30,
    output: OutputOption = Output.TABLE,
) -> None:
    """Write the revocation list anew. Where it has ended, nobody is let in until there is a newer one."""
    from keystrand.app.pki import renew_list

    until = renew_list(folder, days)
    emit(output, [{"revocation_list": str(folder / "ca.crl"), "not_after": f"{until:%Y-%m-%dT%H:%M:%SZ}"}])


@app.command()
def show(folder: FolderArgument, output: OutputOption = Output.TABLE) -> None:
    """List what was issued: kind, ID, serial number, end, state."""
    from keystrand.app.pki import issued_certificates

    found, until = issued_certificates(folder)
    emit(output, [{**_row(one), "state": one.state.value} for one in found])
    end = f"ends on {until:%Y-%m-%d}" if until else "is missing; write it: keystrand pki crl DIR"
    say(f"the revocation list {end}")


def _row(one: "Issued") -> dict[str, str]:
    return {
        "kind": one.identity.kind.value, "id": one.identity.id, "serial": f"{one.serial:x}",
        "not_after": f"{one.not_after:%Y-%m-%dT%H:%M:%SZ}",
    }  # fmt: skip
