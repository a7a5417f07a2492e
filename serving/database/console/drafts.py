"""Segments as the console edits them: drafts, and what was published, when, by whom and why."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from serving.database.console.tables import drafts, publications
from serving.database.log.live_log import LiveLog
from serving.database.tables import one_at_a_time

#: the keys of a segment, as a definition has them
Content = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Draft:
    """A segment that is being written.

    Attributes:
        name: of the segment.
        number: rises with each saving.
        content: the keys of the segment.
        who: saved it last.
        at: when.
    """

    name: str
    number: int
    content: Content
    who: str
    at: int


@dataclass(frozen=True, slots=True)
class Publication:
    """A segment as it was published.

    Attributes:
        id: its number.
        name: of the segment.
        content: its keys; None where the segment was taken back.
        who: published it.
        at: when.
        why: the reason that was given.
        effect: how many users were in it then, and how many entered and left.
    """

    id: int
    name: str
    content: Content | None
    who: str
    at: int
    why: str
    effect: Mapping[str, int]


class Drafts:
    """The drafts and publications of a live log.

    Args:
        live: where they are kept.
    """

    def __init__(self, live: LiveLog) -> None:
        self._live = live

    def all(self) -> list[Draft]:
        """All drafts, by name."""
        with self._live.reading() as connection:
            return [_draft(row) for row in connection.execute(sa.select(drafts).order_by(drafts.c.name))]

    def of(self, name: str) -> Draft | None:
        """The draft of a segment; None where there is none."""
        with self._live.reading() as connection:
            row = connection.execute(sa.select(drafts).where(drafts.c.name == name)).first()
        return _draft(row) if row is not None else None

    def save(self, name: str, content: Content, who: str, at: int, *, upon: int) -> Draft | None:
        """Save a draft.

        Args:
            name: of the segment.
            content: its keys.
            who: saves it.
            at: when.
            upon: the number of the draft that was edited; 0 where there was none.

        Returns:
            The draft; None where somebody else has saved one meanwhile, which stays.
        """
        with self._live.writing() as connection:
            one_at_a_time(connection)
            there = connection.scalar(sa.select(drafts.c.number).where(drafts.c.name == name)) or 0
            if there != upon:
                return None
            connection.execute(sa.delete(drafts).where(drafts.c.name == name))
            row = {"name": name, "number": there + 1, "content": json.dumps(dict(content)), "who": who, "at": at}
            connection.execute(sa.insert(drafts).values(row))
        return Draft(name, there + 1, content, who, at)

    def remove(self, name: str) -> None:
        """Throw a draft away."""
        with self._live.writing() as connection:
            connection.execute(sa.delete(drafts).where(drafts.c.name == name))

    def published(
        self, name: str, content: Content | None, who: str, at: int, *, why: str, effect: Mapping[str, int]
    ) -> None:
        """Keep what was published; the draft is done with."""
        row = {"name": name, "content": json.dumps(content), "who": who, "at": at, "why": why,
               "effect": json.dumps(effect)}  # fmt: skip
        with self._live.writing() as connection:
            connection.execute(sa.insert(publications).values(row))
            connection.execute(sa.delete(drafts).where(drafts.c.name == name))

    def history(self, name: str) -> list[Publication]:
        """What was published of a segment, the newest first."""
        asked = sa.select(publications).where(publications.c.name == name).order_by(publications.c.id.desc())
        with self._live.reading() as connection:
            return [
                Publication(row.id, row.name, json.loads(row.content), row.who, row.at, row.why, json.loads(row.effect))
                for row in connection.execute(asked)
            ]


def _draft(row: sa.Row[tuple[object, ...]]) -> Draft:
    return Draft(row.name, row.number, json.loads(row.content), row.who, row.at)
