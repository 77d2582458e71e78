"""The checks of `orderwire doctor`: each returns lines that are ok, a hint (works, could be better)
or something to fix. No line holds a secret; checks create, upgrade and send nothing."""

from typing import Literal, NamedTuple

State = Literal["ok", "hint", "fix"]


class Line(NamedTuple):
    """One finding. A hint or a fix says what to do."""

    state: State
    subject: str
    text: str


def ok(subject: str, text: str) -> Line:
    return Line("ok", subject, text)


def hint(subject: str, text: str) -> Line:
    return Line("hint", subject, text)


def fix(subject: str, text: str) -> Line:
    return Line("fix", subject, text)
