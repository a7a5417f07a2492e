"""Questions about a log that is described, asked in a terminal."""

import sys
from collections.abc import Sequence

import typer

from features.errors import PropensityError
from features.proposal.asking import Guess, Nobody

#: what each column is for, in a question
_WHAT = {"user": "who did it", "event": "what was done", "time": "when it happened", "arrived": "when it arrived",
         "id": "which event it is"}  # fmt: skip

#: the answer that no column is for it
NONE = "none"


def in_terminal() -> bool:
    """Whether somebody can answer."""
    return sys.stdin.isatty()


class Terminal:
    """Asks in the terminal."""

    def column(self, key: str, guess: Guess | None, columns: list[str]) -> str | None:
        """Ask which column it is, the guess by default."""
        optional = key in ("arrived", "id")
        what = f"Which column says {_WHAT[key]}?"
        if guess is not None:
            what += f" {guess.column} ({guess.why})"
        others = guess.others if guess is not None else columns
        typer.echo(f"{what}; candidates: {', '.join(others)}" + (f", {NONE}" if optional else ""))
        default = guess.column if guess is not None else None
        answer = choose(key, [*columns, *([NONE] if optional else [])], default)
        return None if optional and answer == NONE else answer

    def traits(self, path: str, why: str) -> bool:
        """Ask whether a table beside the log holds the traits."""
        return typer.confirm(f"{path} lies beside the log: {why}. Take its columns as traits?", default=True)


class Silent(Nobody):
    """Takes what seems right, and keeps what it was not sure of."""

    def __init__(self) -> None:
        self.doubts: list[str] = []

    def column(self, key: str, guess: Guess | None, columns: list[str]) -> str | None:
        """Take the guess."""
        if guess is not None:
            self.doubts.append(f"--{key} {guess.column} (or {', '.join(guess.others)})")
        return super().column(key, guess, columns)

    def refuse(self) -> None:
        """End where something is not sure.

        Raises:
            PropensityError: names each doubt, and the options that settle it.
        """
        if self.doubts:
            raise PropensityError(
                "some columns are not sure, and there is no terminal to ask in; nothing is written.",
                fix=f"say which ones are meant, as in {'; '.join(self.doubts)}; or take the guesses with --yes",
            )


def choose(question: str, options: Sequence[str], default: str | None) -> str:
    """Ask for one of some words, until it is one."""
    while (answer := str(typer.prompt(question, default=default)).strip()) not in options:
        typer.echo(f"{answer!r} is none of {', '.join(options)}.")
    return answer
