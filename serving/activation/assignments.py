"""Assignments: who is in which variant of an experiment, since when, and whether anything arrived."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from features.definition.schema import Definition
from features.definition.sections.destinations import Destination
from segments.transitions.transition import Transition
from segments.variants import Trial, sends, trials
from serving.activation.arms import Arms
from serving.database.activation_tables import assignments, experiments
from serving.database.tables import chunks, insert

#: nothing is sent; a message waits or is under way; the destination has taken it; it never will
WITHHELD, HANDED_OFF, DELIVERED, FAILED = "withheld", "handed off", "delivered", "failed"

#: who was assigned what: ``mixed`` where another id of the user was assigned another variant
ASSIGNED: Final = pl.Schema(
    {"user": pl.String(), "variant": pl.String(), "at": pl.Int64(), "predicted": pl.String(),
     "exposure": pl.String(), "exposed_at": pl.Int64(), "mixed": pl.Boolean()}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Assigned:
    """What an experiment has decided about a user.

    Attributes:
        trial: the experiment.
        variant: the user's.
        at: when the user was assigned.
    """

    trial: Trial
    variant: str
    at: int

    @property
    def words(self) -> dict[str, object]:
        """What a message says of it."""
        return {"experiment": self.trial.id, "variant": self.variant}

    def withholds(self, transition: Transition, destination: Destination) -> bool:
        """Whether a transition is kept from the destination; not what it wants to know of another value."""
        if sends(self.variant):
            return False
        entered = self.trial.rule.entered_by(transition.dimension, transition.after)
        return (
            entered or transition.after is None or not destination.wants(transition.dimension, None, transition.after)
        )


class Assignments:
    """Draws users who enter an audience, and keeps their variant.

    Args:
        definition: its experiments.
        arms: the id by which each user is drawn.
    """

    def __init__(self, definition: Definition, arms: Arms) -> None:
        self._definition, self.arms, self._trials = definition, arms, trials(definition)

    def decide(
        self, connection: sa.Connection, moved: Sequence[Transition], *, assign: bool
    ) -> list[dict[str, Assigned]]:
        """Of each transition, by destination, the assignment that decides about it; the newest where there are several.

        Args:
            connection: the transaction that keeps the transitions.
            moved: transitions of users who are not held out.
            assign: whether users who enter while an experiment recruits are assigned a variant now.
        """
        touched = [(i, trial) for trial in self._trials.values() for i, t in enumerate(moved)
                   if trial.touches(t.dimension, t.before, t.after)]  # fmt: skip
        decided: list[dict[str, Assigned]] = [{} for _ in moved]
        if not touched:
            return decided
        kept = self._of(connection, sorted({moved[i].user for i, _ in touched}))
        if assign:
            kept |= self._assign(connection, [(moved[i], trial) for i, trial in touched], kept)
        for i, trial in touched:
            found, name = kept.get((trial.id, moved[i].user)), trial.rule.destination
            if found is not None and (name not in decided[i] or decided[i][name].at < found.at):
                decided[i][name] = found
        return decided

    def _of(self, connection: sa.Connection, users: Sequence[str]) -> dict[tuple[str, str], Assigned]:
        a, found = assignments.c, {}
        for some in chunks(list(users)):
            asked = sa.select(a.experiment, a.user_id, a.variant, a.at)
            asked = asked.where(a.user_id.in_(some) & a.experiment.in_(self._trials))
            for row in connection.execute(asked):
                found[row.experiment, row.user_id] = Assigned(self._trials[row.experiment], row.variant, row.at)
        return found

    def of(self, connection: sa.Connection, experiment: str, users: Sequence[str]) -> set[str]:
        """Those of some users who are assigned in an experiment."""
        return {user for name, user in self._of(connection, users) if name == experiment}

    def _assign(
        self,
        connection: sa.Connection,
        touched: Sequence[tuple[Transition, Trial]],
        kept: Mapping[tuple[str, str], Assigned],
    ) -> dict[tuple[str, str], Assigned]:
        """Assign users who enter and take part; each once."""
        enters = {
            (trial.id, t.user): t
            for t, trial in reversed(touched)  # the first entry counts
            if trial.rule.entered_by(t.dimension, t.after) and trial.rule.recruits(t.at)
            and (trial.id, t.user) not in kept
        }  # fmt: skip
        keys = dict(zip(users := [t.user for t in enters.values()], self.arms.keys(connection, users), strict=True))
        made, rows = {}, []
        for trial in self._trials.values():
            mine = [t for (name, _), t in enters.items() if name == trial.id]
            drawn = trial.draw(self._definition.name, [keys[t.user] for t in mine])
            for t, variant in zip(mine, drawn, strict=True):
                made[trial.id, t.user] = Assigned(trial, variant, t.at)
                exposure = HANDED_OFF if sends(variant) else WITHHELD
                rows.append({"experiment": trial.id, "user_id": t.user, "variant": variant, "at": t.at,
                             "predicted": json.dumps(dict(t.scores_after)), "exposure": exposure,
                             "exposed_at": t.at if sends(variant) else None, "mixed": False})  # fmt: skip
        for some in chunks(rows):
            connection.execute(sa.insert(assignments), some)
        return made

    def expose(self, connection: sa.Connection, bodies: Sequence[Mapping[str, Any]], exposure: str, at: int) -> None:
        """Keep whether messages about users who entered have arrived; the first that did counts."""
        a = assignments.c
        for body in bodies:
            trial = self._trials.get(body.get("experiment", ""))
            if trial is None or not trial.rule.entered_by(body["dimension"], body["after"]):
                continue
            mine = (a.experiment == trial.id) & (a.user_id == body["user_id"]) & (a.exposure != DELIVERED)
            connection.execute(sa.update(assignments).where(mine).values(exposure=exposure, exposed_at=at))

    def merge(self, connection: sa.Connection, merged: Mapping[str, str]) -> None:
        """Give assignments of ids to the users they belong to; the earliest stays, marked where they differ."""
        a = assignments.c
        names = sorted({*merged, *merged.values()})
        rows = [row for some in chunks(names)
                for row in connection.execute(sa.select(assignments).where(a.user_id.in_(some)))]  # fmt: skip
        owned: dict[tuple[str, str], list[Any]] = {}
        for row in rows:
            owned.setdefault((row.experiment, merged.get(row.user_id, row.user_id)), []).append(row)
        for (experiment, user), mine in owned.items():
            first = min(mine, key=lambda row: (row.at, row.user_id))
            if len(mine) == 1 and first.user_id == user:
                continue
            mixed = any(row.mixed for row in mine) or len({row.variant for row in mine}) > 1
            arrived = next((row for row in mine if row.exposure == DELIVERED), first)
            ids = [row.user_id for row in mine]
            connection.execute(sa.delete(assignments).where((a.experiment == experiment) & a.user_id.in_(ids)))
            theirs = {**first._mapping, "user_id": user, "mixed": mixed, "exposure": arrived.exposure,
                      "exposed_at": arrived.exposed_at}  # fmt: skip
            connection.execute(sa.insert(assignments), [theirs])

    def everybody(self, connection: sa.Connection, experiment: str) -> pl.DataFrame:
        """Who was assigned what in an experiment, in the order of their assignment: `ASSIGNED`."""
        a = assignments.c
        asked = sa.select(a.user_id, a.variant, a.at, a.predicted, a.exposure, a.exposed_at, a.mixed)
        asked = asked.where(a.experiment == experiment).order_by(a.at, a.user_id)
        return pl.DataFrame([tuple(row) for row in connection.execute(asked)], schema=ASSIGNED, orient="row")

    def keep_experiments(self, connection: sa.Connection) -> None:
        """Keep what the definition says of its experiments, so that they can be read out after they were edited."""
        rows = [{"id": one.id, "content": one.rule.model_dump_json()} for one in self._trials.values()]
        if rows:
            connection.execute(insert(experiments, connection).on_conflict_do_nothing(), rows)

    def experiments(self, connection: sa.Connection) -> dict[str, dict[str, Any]]:
        """By id the experiments of all definitions seen."""
        return {row.id: json.loads(row.content) for row in connection.execute(sa.select(experiments))}
