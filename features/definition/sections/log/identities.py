"""Which ids belong to one person, and how far that is believed."""

from typing import Annotated

from pydantic import Field

from features.definition.sections.base import Strict
from features.definition.sections.log.event_log import Reading


class MergeColumns(Strict):
    """Which columns of a table of merges hold what.

    Attributes:
        alias: the column with the id that belongs to somebody else from then on, such as an anonymous one.
        user: the column with the id of that person.
        known: the column with the time at which the merge became known; features before it do not know of it.
        undone: the column with the time at which the merge was taken back; empty where it stands.
    """

    alias: str = "alias"
    user: str = "user"
    known: str = "known"
    undone: str | None = None


class MergeTable(Reading):
    """A table of merges beside the log.

    Attributes:
        path: a file, a folder or a pattern.
        columns: which columns hold what.
    """

    path: str
    columns: MergeColumns = MergeColumns()


class Identities(Strict):
    """Ids that belong to one person: what one id did counts for the other from the moment at which that was known.

    Attributes:
        alias: the column of the log that holds another id of a row's user, such as ``anonymous_id``, or SQL over
            columns; a row with both says that they are one person.
        merges: a table of merges beside the log.
        most_ids: a person has at most so many ids; a merge that would bring more is refused. Mixpanel's limit.
        most_users: an id that more users than this have claimed is a shared device, and is nobody's from then on.
    """

    alias: str | None = None
    merges: MergeTable | None = None
    most_ids: Annotated[int, Field(ge=2, le=10_000)] = 500
    most_users: Annotated[int, Field(ge=1, le=10_000)] = 5
