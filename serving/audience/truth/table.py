"""The truth table of a rule for one user."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from features.definition.schema import Definition
from features.expressions.expression import Expression
from features.expressions.program import Program
from features.expressions.single import single
from features.expressions.values import Texts, Truths, Value
from features.time import DAY, to_datetime
from serving.audience.rule import checked
from serving.audience.sentences.read import of_sql
from serving.audience.sentences.tree import Among, Group, Limited, Node, Then
from serving.audience.sentences.words import ENGLISH, words_of
from serving.audience.sentences.write import to_sql
from serving.audience.truth.flips import flips
from serving.audience.truth.profile import Profile, Reading
from serving.scoring.scorer import Scorer

#: how far ahead is looked for a flip
HORIZON = 90 * DAY


@dataclass(frozen=True, slots=True)
class Row:
    """A condition, or a group of them.

    Attributes:
        node: the condition; of a group its rows are in ``of``.
        words: the same in words.
        sql: the same in SQL.
        values: the columns that it names, with the user's values; none of a group.
        threshold: the number, the two numbers or the texts that the value is compared with; None for other conditions.
        met: whether it holds; None where that is not known, which counts as not.
        flips_at: the first cutoff at which it holds where it does not now, or the other way round, if the user does
            nothing; None where there is none within the horizon.
        of: the rows of a group.
    """

    node: Node
    words: str
    sql: str
    values: Mapping[str, float | str | None]
    threshold: float | tuple[float, float] | tuple[str, ...] | None
    met: bool | None
    flips_at: datetime | None
    of: tuple["Row", ...]


@dataclass(frozen=True, slots=True)
class TruthTable:
    """Why a user is in or out.

    A flip is exact: a microsecond before it the answer is still that of now. Of what rests on features and states alone
    it is the first one. Answers of models, lead points, derived columns and plans are read every hour, so that a change
    that is back within the hour may be missed. It is taken that the user does nothing, that the log is still read, and
    that models, cut-offs and traits stay as they are.

    Attributes:
        user: whose; of an id that was merged the person's.
        as_of: the instant.
        until: flips are looked for up to here.
        row: the whole rule.
    """

    user: str
    as_of: datetime
    until: datetime
    row: Row


def truth_table(
    profile: Profile,
    scorer: Scorer,
    sql: str,
    *,
    horizon: int = HORIZON,
    catalogue: Mapping[str, str] = ENGLISH,
) -> TruthTable:
    """Say which conditions of a rule a user meets, and when that flips if nothing happens; as `truth_tables`."""
    return truth_tables(profile, scorer, {"draft": sql}, horizon=horizon, catalogue=catalogue)["draft"]


def truth_tables(
    profile: Profile,
    scorer: Scorer,
    rules: Mapping[str, str],
    *,
    horizon: int = HORIZON,
    catalogue: Mapping[str, str] = ENGLISH,
) -> dict[str, TruthTable]:
    """Say of several rules at once which conditions a user meets, and when that flips if nothing happens.

    Args:
        profile: the user's.
        scorer: what answers.
        rules: by name, such as those of all segments; each as in `serving.audience.sizes.size_of`.
        horizon: how far ahead to look.
        catalogue: words, see `serving.audience.sentences.words.ENGLISH`.

    Raises:
        DefinitionError: a rule cannot be meant.
    """
    definition = scorer.definition
    trees: dict[str, Node] = {}
    parts: dict[str, Expression] = {}
    for name, sql in rules.items():
        trees[name] = of_sql(checked(sql, definition, key=f"segments.{name}"), definition)
        _name(trees[name], name, definition, parts)
    if not parts:
        return {}
    reading, now = Reading(profile, scorer), np.array([profile.as_of, profile.as_of])
    columns = reading.values(now, {column for one in parts.values() for column in one.columns})
    truths = {place: _truth(value) for place, value in Program(parts).run(columns).items()}
    when = flips(reading, parts, scorer, profile.as_of, profile.as_of + horizon)
    made = _Rows(definition, catalogue, parts, columns, truths, when)
    as_of, until = to_datetime(profile.as_of), to_datetime(profile.as_of + horizon)
    return {name: TruthTable(profile.user, as_of, until, made.row(tree, name)) for name, tree in trees.items()}


def _name(node: Node, place: str, definition: Definition, rules: dict[str, Expression]) -> None:
    """Give each condition and group its place."""
    rules[place] = to_sql(node, definition)
    for i, part in enumerate(node.of if isinstance(node, Group) else ()):
        _name(part, f"{place}.{i}", definition, rules)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Makes rows of what is known of each place."""

    definition: Definition
    catalogue: Mapping[str, str]
    rules: Mapping[str, Expression]
    columns: Mapping[str, Value]
    truths: Mapping[str, bool | None]
    when: Mapping[str, int | None]

    def row(self, node: Node, place: str) -> Row:
        """The row of a condition, with those inside it."""
        sql, at = self.rules[place], self.when[place]
        parts = node.of if isinstance(node, Group) else []
        values = {} if parts else {name: _now(self.columns[name]) for name in sorted(sql.columns)}
        return Row(
            node=node, words=words_of(node, self.definition, self.catalogue), sql=str(sql), values=values,
            threshold=_threshold(node), met=self.truths[place], flips_at=None if at is None else to_datetime(at),
            of=tuple(self.row(part, f"{place}.{i}") for i, part in enumerate(parts)),
        )  # fmt: skip


def _threshold(node: Node) -> float | tuple[float, float] | tuple[str, ...] | None:
    if isinstance(node, Limited):
        return node.number if node.upto is None else (node.number, node.upto)
    if isinstance(node, Among):
        return tuple(node.values)
    return node.days if isinstance(node, Then) else None


def _truth(value: Value) -> bool | None:
    """The first of two truths; one that is the same for all rows has no rows."""
    if not isinstance(value, Truths):
        return None
    return True if np.atleast_1d(value.yes)[0] else False if np.atleast_1d(value.no)[0] else None


def _now(value: Value) -> float | str | None:
    """The first of two values."""
    if isinstance(value, Texts):
        return value.at(0)
    number = single(np.asarray(value, dtype=np.float64)[:1])
    return None if number != number else number
