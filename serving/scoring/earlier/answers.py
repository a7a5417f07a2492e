"""Answers of an earlier batch by user, on disk: a few are looked up among everybody's."""

from collections.abc import Mapping, Sequence
from math import isnan, nan
from pathlib import Path

import numpy as np
import polars as pl

from features.definition.schema import Definition
from serving.scoring.earlier.batch import EVIDENCE, Earlier, Part, answered_in, field_of
from serving.scoring.earlier.user_table import UserTable


class AnswersByUser:
    """The answers of an earlier batch by user, in a `UserTable` beside its scores.

    Args:
        earlier: the batch; nothing is known of anybody where there is none.
        definition: names the answers.

    Raises:
        StoreError: as for `Earlier.parts`.
        UnavailableError: as for that, or the disk is full.
    """

    def __init__(self, earlier: Earlier | None, definition: Definition) -> None:
        self._names: list[str] = []
        self._has_evidence = False
        self._table = UserTable()
        if earlier is not None:
            with earlier.parts() as parts:
                self._fill(earlier.path.parent, parts, definition)

    def scores(self, users: Sequence[str]) -> Mapping[str, Mapping[str, float]]:
        """The answers of those users who are in the batch, by outcome, rounded to six digits."""
        there, rows = self._table.rows(users)
        answers = rows[: len(self._names)].view(np.float64).T.tolist()
        return {
            users[i]: {name: round(one, 6) for name, one in zip(self._names, row, strict=True) if not isnan(one)}
            for i, row in zip(there, answers, strict=True)
        }

    def evidence(self, users: Sequence[str]) -> Mapping[str, int]:
        """What was known of users, as `evidence_of` has it; 0 of who is not in the batch; empty if not kept."""
        if not self._has_evidence:
            return {}
        there, rows = self._table.rows(users)
        return dict.fromkeys(users, 0) | {users[i]: known for i, known in zip(there, rows[-1].tolist(), strict=True)}

    def _fill(self, folder: Path, parts: Sequence[Part], definition: Definition) -> None:
        if not parts:
            return
        rules = answered_in(definition, parts[0]())
        self._names = list(rules)
        self._has_evidence = EVIDENCE in parts[0]().collect_schema()
        asked = [field_of(rule, name, rule.answer).cast(pl.Float64).fill_null(nan).alias(name)
                 for name, rule in rules.items()]  # fmt: skip
        known = [pl.col(EVIDENCE).fill_null(0)] if self._has_evidence else []
        self._table = UserTable.of(folder, parts, [*asked, *known])
