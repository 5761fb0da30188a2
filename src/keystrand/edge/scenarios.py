"""Assumed odds and answers to positions on disk: those that come with the package, and odds of the user's own."""

from importlib.resources import files
from pathlib import Path

from keystrand.edge.files import read_bytes
from keystrand.formats.toml_input import read_toml
from keystrand.model.errors import InvalidInput, Problem
from keystrand.model.policy import Position
from keystrand.model.scenario import PositionAnswers, ScenarioSet
from keystrand.model.stages import Limitation


def scenario_set(home: Path | None = None) -> ScenarioSet:
    """Return the odds to weigh with: the one file in `scenarios/` under `home`, else those of the package.

    Raises `InvalidInput` with every problem of the file, and where there are several: which one counts must be clear.
    """
    own = sorted((home / "scenarios").glob("*.toml")) if home else []
    if len(own) > 1:
        problems = tuple(Problem(message="there is more than one set of odds", file=str(path)) for path in own)
        raise InvalidInput("several sets of odds", problems=problems, hint="keep one *.toml file in scenarios/")
    if own:
        return _read(read_bytes(own[0]), str(own[0]))
    shipped = files("keystrand.plan") / "scenarios" / "assumed.toml"
    return _read(shipped.read_bytes(), "scenarios/assumed.toml")


def _read(content: bytes, file: str) -> ScenarioSet:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        problem = Problem(message=f"not UTF-8: {error.reason}", file=file, hint="save the file as UTF-8")
        raise InvalidInput(f"{file} is no text", problems=(problem,)) from None
    return read_toml(text, ScenarioSet, file=file, what=f"set of odds {file}")


def limitations(positions: tuple[Position, ...]) -> dict[str, tuple[Limitation, ...]]:
    """Return, by position, each objection of an authority with what keystrand does about it and what is left."""
    texts = {position.id: (position.text, *position.limitations) for position in positions}
    found: dict[str, tuple[Limitation, ...]] = {}
    for entry in sorted((files("keystrand.plan") / "answers").iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".toml"):
            answers = read_toml(entry.read_text(encoding="utf-8"), PositionAnswers, file=entry.name, what=entry.name)
            if said := texts.get(answers.position):
                found[answers.position] = tuple(
                    Limitation(says=said[one.limitation], mitigation=one.mitigation, left=one.left)
                    for one in answers.answer
                    if one.limitation < len(said)
                )
    return found
