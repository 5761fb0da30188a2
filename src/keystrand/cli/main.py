"""The command `keystrand`: groups of verbs, and one place where errors become messages and exit codes."""

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.completion import get_completion_inspect_parameters

from keystrand.cli import (
    agent,
    assess,
    audit,
    config,
    consumer,
    estate,
    inventory,
    keys,
    kme,
    pilot,
    pki,
    plan,
    policy,
    qkd,
    report,
    whole,
)
from keystrand.cli.output import say
from keystrand.model.errors import InvalidInput, KeystrandError

app = typer.Typer(
    name="keystrand",
    help="From 'where is our cryptography?' to links that run on quantum-safe keys, with the evidence.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 ok, 1 failed, 2 usage or input, 3 partial, 10 gate tripped, 11 changes present, "
    "12 denied, 13 no key, 130 interrupted.",
)
app.add_typer(estate.app, name="estate", help="Declare and judge what the organisation has.")
app.add_typer(inventory.app, name="inventory", help="Find the cryptography that is really there.")
app.add_typer(assess.app, name="assess", help="Judge it: exposure, policies, priority.")
app.add_typer(plan.app, name="plan", help="Decide: an approach per segment, measures with dates.")
app.add_typer(qkd.app, name="qkd", help="Quantum links: rates and limits, reports and attacks, photons and sessions.")
app.add_typer(pilot.app, name="pilot", help="Prove it on a twin with real key servers and the real consumers of keys.")
app.add_typer(report.app, name="report", help="Explain it to leadership.")
app.add_typer(kme.app, name="kme", help="Run a key management entity (ETSI GS QKD 014).")
app.add_typer(keys.app, name="keys", help="Keys by their IDs: see their states, revoke, suspend, rotate them.")
app.add_typer(policy.app, name="policy", help="Test and show key policies.")
app.add_typer(pki.app, name="pki", help="Certificates for the entities and everybody who talks to them.")
app.add_typer(audit.app, name="audit", help="The record of every key event, and whether anybody changed it.")
app.add_typer(consumer.app, name="consumer", help="Use keys as a real consumer does.")
app.add_typer(agent.app, name="agent", help="Put fresh keys into tunnels, servers and tokens, and end them in time.")
app.add_typer(config.app, name="config", help="Show settings and where they come from.")
whole.add_to(app)


@app.callback(invoke_without_command=True)
def _options(*, version: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    if version:
        from keystrand import __version__

        sys.stdout.write(f"keystrand {__version__}\n")
        raise typer.Exit


_COMPLETE = "_KEYSTRAND_COMPLETE"
INTERRUPTED = 130


def _wants_json(arguments: Sequence[str]) -> bool:
    text = " ".join(arguments)
    if any(form in text for form in ("-o json", "-ojson", "--output json", "--output=json")):
        return True
    try:
        return any(setting.name == "output" and setting.value == "json" for setting in config.settings())
    except KeystrandError:
        return False  # the settings themselves are what is wrong


def _report_error(error: KeystrandError, *, as_json: bool) -> None:
    if as_json:
        problems = [{name: getattr(p, name) for name in p.__struct_fields__} for p in error.problems]
        body = {"error": error.id, "message": error.message, "hint": error.hint, "problems": problems}
        sys.stderr.write(json.dumps(body) + "\n")
        return
    for problem in error.problems:
        say(f"{problem}" + (f"\n  hint: {problem.hint}" if problem.hint else ""))
    say(f"error: {error.message}" + (f"\nhint: {error.hint}" if error.hint else ""))


def _report_usage(error: Any, *, as_json: bool) -> None:
    if as_json:
        usage = InvalidInput(error.format_message(), hint="--help lists what the command takes; nothing was done")
        _report_error(usage, as_json=True)
    else:
        error.show()


def _report_bug(error: Exception) -> None:
    sys.stderr.write(
        f"error: internal: {type(error).__name__}: {error}\n"
        "hint: this is a defect of keystrand; run again with KEYSTRAND_DEBUG=1 and report what it prints\n"
    )


def run(arguments: Sequence[str]) -> int:
    """Run the command with `arguments` and return its exit code. A user's mistake never shows a traceback."""
    try:
        command = typer.main.get_command(app)
        if _COMPLETE in os.environ:
            get_completion_inspect_parameters()  # registers the shells with Typer, which its own options do otherwise
        defaults = config.default_map(command)
        result = command(args=list(arguments), prog_name="keystrand", standalone_mode=False, default_map=defaults)
    except KeystrandError as error:
        _report_error(error, as_json=_wants_json(arguments))
        return error.exit_code
    except KeyboardInterrupt:
        result = INTERRUPTED
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - the reader has gone; Python must not flush to it at exit
        return 1
    except Exception as error:
        if hasattr(error, "format_message"):  # Typer's own usage errors
            _report_usage(error, as_json=_wants_json(arguments))
            return InvalidInput.exit_code
        if os.environ.get("KEYSTRAND_DEBUG"):
            raise
        _report_bug(error)
        return 1
    if result == INTERRUPTED:  # so Typer tells of ^C
        say("interrupted")
    return result if isinstance(result, int) else 0


def main() -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
