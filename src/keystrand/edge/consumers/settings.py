"""The table of one consumer in the agent's file, to a typed value; and the commands that an operator names there."""

import shlex
import subprocess
from typing import TypeVar

import msgspec

from keystrand.edge.consumers.base import ConsumerFailure, Settings
from keystrand.formats.decode import dotted, faults_of
from keystrand.model.errors import InvalidInput, Problem

T = TypeVar("T")

_COMMAND_S = 30.0


def read_settings(settings: Settings, kind: type[T]) -> T:
    """Return `settings` as a `kind`. Raises `InvalidInput` with every field that is wrong."""
    given = dict(settings)
    problems = tuple(
        Problem(message=fault.message, hint=fault.hint, field=dotted(fault.path)) for fault in faults_of(given, kind)
    )
    if problems:
        raise InvalidInput(f"the settings of this consumer are not right: {problems[0]}", problems=problems)
    return msgspec.convert(given, kind)


def told(command: str, key_id: str = "") -> str:
    """Run a command of the operator's, without a shell, and return its first line.

    `{key_id}` in it stands for the key's name; no key ever does. Raises `ConsumerFailure` where it fails.
    """
    words = [word.replace("{key_id}", key_id) for word in shlex.split(command)]
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own command, without a shell
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_COMMAND_S, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ConsumerFailure(f"{words[0]} could not be run to its end: {type(error).__name__}") from error
    said = next(iter((done.stdout or done.stderr).strip().splitlines()), "")
    if done.returncode:
        raise ConsumerFailure(f"{words[0]} ended with {done.returncode}: {said or 'no word from it'}")
    return said
