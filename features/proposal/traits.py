"""A table of users' attributes: which columns hold the user, the time and the attributes, guessed as for a log."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from features.definition.names import INTERNAL, JOINED, RFM_NAMES
from features.engines.duckdb import Connection, reading, rows_of, user_sql
from features.engines.files import KINDS, files_of, suffix_of
from features.engines.tables import Tables
from features.engines.times import Unit, is_time
from features.errors import EventLogError
from features.proposal.seen import Seen, look, snake

#: what a table of users is called, where it lies beside a log
_NAMED = (
    r"(\w+_)?(traits?|users?|customers?|members?|accounts?|profiles?|subscribers?|demographics|students?|households?|"
    r"people|persons?|identifies)"
)

_USER = (
    r"(user|customer|client|member|player|account|person|household|profile|student|subscriber)(_?(id|key|no))?|id|uid"
)

#: names of the time from which on a row may be seen, the best first: what a row says now was not known at its beginning
_KNOWN = (r"known(_at)?|as_of|valid_from", r"(updated|modified|changed)(_?(at|on|date|time))?",
          r"(received|loaded|uuid)(_?(at|ts))", r"timestamp|ts|time|date",
          r"(created|registered|signed_?up|joined|first_seen)(_?(at|on|date|time))?")  # fmt: skip

#: attributes that often say what was known later only
_PART_OF_LATER = r"(^|_)(churn(ed)?|cancel\w*|last|final|results?|totals?|deleted|closed|ended)(_|$)"
_LATER = (
    r"(is_)?active|end(_\w+)?|status|state|"
    r"(user|account|customer|subscription|plan|order|membership)_(status|state)|"
    r"\w*(order|purchase|visit|session|event|login|transaction)s?_(count|number)"
)

#: a trait has at most so many values
MOST_VALUES = 50

#: so many traits are proposed
MOST_FIELDS = 20

#: a table beside the log is proposed when at least this share of its users is in the log
OVERLAP = 0.5


@dataclass(frozen=True, slots=True)
class TraitTable:
    """A table of traits.

    Attributes:
        path: where it is, as it will stand in the definition.
        user: the column of the user.
        known: the column of the time at which a row became known.
        unit: of times that are numbers.
        fields: the traits.
        left: columns that could be traits, if what they say was known at the time.
        share: the share of its users that are in the log.
        why: the same in words.
    """

    path: str
    user: str
    known: str
    unit: Unit | None
    fields: list[str]
    left: list[str]
    share: float
    why: str


def beside(log: list[Path], address: str) -> Iterator[tuple[Path, str]]:
    """Files and folders beside a log that are called as tables of users are, with their addresses.

    Args:
        log: where the log is.
        address: the same as it stands in the definition.
    """
    first = log[0]
    plain = first.exists()
    folder = first.parent
    if "://" in address or "$" in address or not folder.is_dir() or (not plain and "*" in str(folder)):
        return
    ours = set(files_of(log))
    for each in sorted(folder.iterdir()):
        table = each.is_dir() or suffix_of(each) in KINDS
        name = snake(each.name.split(".")[0])
        if table and each not in (first, *ours) and re.fullmatch(_NAMED, name) and not _holds(each, ours):
            yield each, str(Path(address).parent / each.name)


def check_unmixed(log: list[Path]) -> None:
    """See that a folder does not hold a table of users among the files of a log.

    Raises:
        EventLogError: it does; names the files.
    """
    for folder in log:
        files = [file for file in files_of([folder]) if file.parent == folder]
        users = [file.name for file in files if re.fullmatch(_NAMED, snake(file.name.split(".")[0]))]
        others = [file.name for file in files if file.name not in users]
        if users and others:
            raise EventLogError(
                f"{folder} holds {', '.join(users[:3])}, a table of users by its name, beside {', '.join(others[:3])}.",
                fix=f"name the files of the log, as in {folder / others[0]}; the table of users is found beside them",
            )


def _holds(folder: Path, files: set[Path]) -> bool:
    return any(folder in file.parents for file in files)


def trait_table(connection: Connection, path: Path, address: str, encoding: str) -> TraitTable:
    """Guess what the columns of a table of traits are.

    Args:
        connection: a connection with the log's users in the table ``named``, column ``u``.
        path: where it is.
        address: the same as it will stand in the definition.
        encoding: of CSV files.

    Raises:
        EventLogError: no column holds the log's users, a time, or traits.
    """
    tables = Tables.open(connection, [path], None, encoding)
    seen, _ = look(connection, tables, [path])
    there = f"there are {', '.join(seen)}"
    user, share, users = _user(connection, tables, path, seen)
    if user is None or not share:
        raise EventLogError(f"no column of {address} holds users of the log.", fix=there)
    known = _known([one for one in seen.values() if one.name != user])
    if known is None:
        fix = f"add a column known_at with the time from which on a row may be seen; {there}"
        raise EventLogError(f"no column of {address} says when its rows became known.", fix=fix)
    possible = [one for one in seen.values() if one.name not in (user, known.name) and _is_trait(one)]
    later = [one.name for one in possible if _is_of_later(one.name)]
    fields = [one.name for one in possible if one.name not in later][:MOST_FIELDS]
    if not fields:
        raise EventLogError(f"no column of {address} can be a trait: a trait has few values.", fix=there)
    why = f"{share:.0%} of its {users:,} users are in the log"
    return TraitTable(address, user, known.name, known.unit, fields, later, share, why)


def _user(connection: Connection, tables: Tables, path: Path, seen: dict[str, Seen]) -> tuple[str | None, float, int]:
    """The column that holds most of the log's users, the share of its users in the log, and how many it has."""
    best: tuple[str | None, float, int] = (None, 0.0, 0)
    for one in seen.values():
        if not re.fullmatch(_USER, snake(one.name)) or one.distinct < 2:
            continue
        with reading([path]):
            [(users, known)] = rows_of(
                connection,
                f"SELECT count(*), count(*) FILTER (u IN (SELECT u FROM named)) FROM "
                f"(SELECT DISTINCT {user_sql(one.name, one.dtype)} AS u FROM {tables.whole}) WHERE u IS NOT NULL",
            )
        share = known / max(users, 1)
        if share > best[1]:
            best = (one.name, share, users)
    return best


def _known(seen: list[Seen]) -> Seen | None:
    """The column with the time from which on a row may be seen."""
    times = [one for one in seen if one.there > 0.9 and (is_time(one.dtype) or one.times > 0.9 or one.unit is not None)]
    for names in _KNOWN:
        for one in times:
            if re.fullmatch(names, snake(one.name)):
                return one
    return None


def _is_of_later(name: str) -> bool:
    """Whether an attribute is called as those that often say what happened later."""
    return re.search(_PART_OF_LATER, name) is not None or re.fullmatch(_LATER, name) is not None


def _is_trait(one: Seen) -> bool:
    """Whether a column can be a trait: few values, and a name that a feature can have."""
    name = one.name
    taken = name in INTERNAL or name in RFM_NAMES or name.endswith(JOINED)
    few = 2 <= one.distinct <= MOST_VALUES and one.there > 0.01
    return few and not taken and one.times < 0.5 and re.fullmatch(r"[a-z][a-z0-9_]{0,40}", name) is not None
