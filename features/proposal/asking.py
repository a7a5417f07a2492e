"""What a proposal asks of a person: about what it is not sure of."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Guess:
    """What a column is for.

    Attributes:
        column: its name.
        why: a few words.
        others: columns that come into question as well.
    """

    column: str
    why: str
    others: tuple[str, ...] = ()

    @property
    def sure(self) -> bool:
        """Whether nothing else comes into question."""
        return not self.others


class Asking(Protocol):
    """Somebody who answers."""

    def column(self, key: str, guess: Guess | None, columns: list[str]) -> str | None:
        """Ask which column it is.

        Args:
            key: what for: ``user``, ``event``, ``time``, ``arrived`` or ``id``.
            guess: what it seems to be; None where no column does.
            columns: all that come into question.

        Returns:
            One of the columns; None where there is none.
        """
        ...

    def traits(self, path: str, why: str) -> bool:
        """Ask whether a table that lies beside the log holds the traits of its users."""
        ...


class Nobody:
    """Nobody is asked: what seems right is taken."""

    def column(self, key: str, guess: Guess | None, columns: list[str]) -> str | None:
        """Take the guess."""
        del key, columns
        return guess.column if guess is not None else None

    def traits(self, path: str, why: str) -> bool:
        """Take the table."""
        del path, why
        return True
