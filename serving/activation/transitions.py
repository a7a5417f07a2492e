"""The transition recorder: turns scorings, of a batch or live, into transitions that are recorded and sent."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import polars as pl

from features.definition.dimension import RFM, STATES, Dimension
from features.definition.schema import Definition
from features.errors import PropensityError
from features.events.write import part_files
from features.system.progress import Progress, ignore
from features.time import SECOND, day_of, to_instant
from segments.tiers import TierCuts
from segments.transitions.evidence import evidence_of
from segments.transitions.membership import IN, Hysteresis, Observation
from segments.transitions.next_change import TimeEdges
from segments.transitions.transition import Scoring, Transition, TransitionFinder
from segments.variants import Trial
from serving.activation.enrolment import enrol
from serving.activation.memberships import Memberships
from serving.activation.recorded import CHUNK
from serving.process.metrics import MOVED
from serving.scoring.earlier.answers import AnswersByUser
from serving.scoring.earlier.batch import EVIDENCE, Earlier, field_of
from serving.scoring.scorer import Scorer
from serving.scoring.scores import Scored

log = logging.getLogger("propensity")

_NOBODY: Mapping[str, str] = MappingProxyType({})


class TransitionRecorder:
    """Records the transitions of users.

    Args:
        definition: its rules and destinations.
        memberships: where transitions are recorded.
        scores: the folder of the batches' scores, for the earlier answers.
    """

    def __init__(self, definition: Definition, memberships: Memberships, scores: Path) -> None:
        self._definition, self._memberships, self._scores = definition, memberships, scores
        self._known = memberships.known()
        self._edges = TimeEdges(definition)
        self._before: tuple[object, AnswersByUser] | None = None
        self._finder: tuple[object, TransitionFinder | None] = (None, None)

    def batch(
        self,
        path: Path,
        scorer: Scorer,
        cutoff: int,
        *,
        merged: Mapping[str, str] = _NOBODY,
        drawn_as: Mapping[str, str] = _NOBODY,
        progress: Progress = ignore,
    ) -> int | None:
        """Move everybody by the scores of a batch; killed half-way, the same again does the rest.

        Args:
            path: the folder of the scores.
            scorer: that made them.
            cutoff: the instant they speak of.
            merged: by id the user to whom it belongs then, where that is another.
            drawn_as: of users of several ids the id by which their holdout is drawn, where that is another.
            progress: called for each part that is done.

        Returns:
            How many transitions; None when a later batch has moved users already.
        """
        last = self._memberships.last()
        if last is not None and last.at > cutoff:
            return None
        finder = self._finder_of(scorer)
        ended = {user: merged[user] for user in self._memberships.summaries_of(list(merged))["user"]}
        count = self._kept(self._memberships.merged(ended, drawn_as, cutoff))
        self._memberships.draw(drawn_as)
        for part in part_files(path):
            count += self._move(pl.read_parquet(part), finder, last, cutoff)
            progress(1)
        versions = scorer.identities
        # a model that is missing now is still the one that users were last judged by
        judged = {**(last.models if last is not None else {}), **versions}
        self._memberships.complete(Scoring(cutoff, judged, self._definition.version))
        return count

    def _move(self, records: pl.DataFrame, finder: TransitionFinder, last: Scoring | None, cutoff: int) -> int:
        """Move the users of one part of a batch."""
        frame = _flat(records, self._definition, finder.is_silent)
        held = self._memberships.summaries_of(frame["user"].to_list())
        moved = frame.join(held, on="user", how="left", suffix="_held", maintain_order="left").filter(
            pl.col("summary").ne_missing(pl.col("summary_held"))
        )
        if moved.is_empty():
            return 0
        count, before = 0, self._before_of(cutoff)
        for lo in range(0, len(moved), CHUNK):
            observations = list(_observations(moved[lo : lo + CHUNK], self._definition))
            made = self._memberships.record(observations, finder, last, before.scores, evidence=before.evidence)
            count += self._kept(made)
        return count

    def live(self, scored: Scored, scorer: Scorer) -> list[Transition]:
        """Move users who were looked at just now; nobody before the first batch."""
        last = self._memberships.last()
        if last is None or not len(scored.rows):
            return []
        finder = self._finder_of(scorer)
        evidence = pl.Series(EVIDENCE, evidence_of(scored.rows, self._definition))
        frame = _flat(scored.records.with_columns(evidence), self._definition, finder.is_silent)
        observations = list(_observations(frame, self._definition))
        soon = zip(scored.rows.users.to_list(), self._edges.next(scored.rows), strict=True)
        due = {user: at for user, at in soon if at is not None}
        before = self._before_of(max(one.at for one in observations))
        made = self._memberships.record(
            observations, finder, last, before.scores, due=due, evidence=before.evidence, drawn_as=scored.rows.drawn_as
        )
        self._kept(made)
        return made

    def enrol(self, trial: Trial) -> int:
        """Assign everybody who is in an experiment's audience now; see `serving.activation.enrolment.enrol`.

        Raises:
            PropensityError: nobody was scored yet, or users do not take part at the instant of the newest batch.
        """
        last = self._memberships.last()
        if last is None:
            raise PropensityError("nobody was scored yet.", fix="run propensity score first")
        if not trial.rule.recruits(last.at):
            ends = f", and ends on {day_of(trial.rule.ends)}" if trial.rule.ends is not None else ""
            raise PropensityError(
                f"{trial.name} starts on {day_of(trial.rule.starts)}{ends}; the newest batch of scores is of "
                f"{day_of(last.at)}.",
                fix="score again when it has started: propensity score",
            )
        return enrol(self._memberships, trial, last, self._before_of(last.at + SECOND).scores)

    def merged(self, users: Mapping[str, str], drawn_as: Mapping[str, str], at: int) -> list[Transition]:
        """End the memberships of ids that belong to other users now; see `Memberships.merged`."""
        made = self._memberships.merged(users, drawn_as, at)
        self._kept(made)
        return made

    def _kept(self, made: Sequence[Transition]) -> int:
        for transition in made:
            MOVED.labels(transition.dimension, transition.cause).inc()
        return len(made)

    def _finder_of(self, scorer: Scorer) -> TransitionFinder:
        """Finds transitions by the models that are served now."""
        versions = scorer.identities
        if self._finder[0] != versions or self._finder[1] is None:
            cuts: dict[str, TierCuts] = {name: model.card.tiers for name, model in scorer.models.items()}
            hysteresis = Hysteresis(self._definition, cuts, versions.keys() - cuts.keys())
            made = TransitionFinder(hysteresis, versions, self._definition.version, self._known)
            if missing := [name for name in self._definition.outcomes if name not in versions]:
                log.warning(
                    "no model of %s: transitions that need it wait until there is one (propensity train, then score)",
                    ", ".join(missing),
                )
            self._finder = (versions, made)
            return made
        return self._finder[1]

    def _before_of(self, instant: int) -> AnswersByUser:
        """The answers of the newest batch before an instant, by user."""
        earlier = Earlier.before(self._scores, instant)
        stamp = earlier.stamp if earlier else None  # it may have been run again since, or somebody was erased
        if self._before is None or stamp != self._before[0]:
            self._before = None  # its space is free before that of the next is taken
            self._before = (stamp, AnswersByUser(earlier, self._definition))
        return self._before[1]


def _there(row: Mapping[str, float | None]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in row.items() if value is not None}


def _flat(records: pl.DataFrame, definition: Definition, is_silent: Callable[[str], bool]) -> pl.DataFrame:
    """Records with a column a dimension, and in short, ``summary``, those of which something is known."""
    asked, unknown = definition.outcomes, [Dimension.segment(name) for name in definition.segments]
    unknown = [name for name in unknown if is_silent(name)]
    frame = records.select(
        pl.col("user_id").alias("user"),
        "as_of",
        "last_seen",
        pl.col("state").alias(STATES),
        pl.col("rfm").struct.field("group").alias(RFM),
        *(field_of(rule, name, "tier").alias(Dimension.tier(name)) for name, rule in asked.items()),
        *(field_of(rule, name, rule.answer).alias(name) for name, rule in asked.items()),
        pl.col("segments").list.eval(Dimension.segment("") + pl.element()),
        "leaves",
        EVIDENCE if EVIDENCE in records.columns else pl.lit(None, dtype=pl.Int64).alias(EVIDENCE),
    )
    single = [STATES, RFM, *(name for name in map(Dimension.tier, asked) if not is_silent(name))]
    inside = pl.col("segments").list.eval(pl.element().filter(~pl.element().is_in(unknown)) + f"={IN}")
    summary = pl.concat_list(*(pl.lit(f"{name}=") + pl.col(name) for name in single), inside)
    return frame.with_columns(summary.list.drop_nulls().list.sort().list.join(";").alias("summary"))


def _observations(frame: pl.DataFrame, definition: Definition) -> Iterator[Observation]:
    names = list(definition.outcomes)
    single = [STATES, RFM, *map(Dimension.tier, names)]
    for row in frame.iter_rows(named=True):
        values = {name: row[name] for name in single if row[name] is not None} | dict.fromkeys(row["segments"], IN)
        scores = _there({name: row[name] for name in names})
        at, last_seen = to_instant(row["as_of"]), to_instant(row["last_seen"])
        yield Observation(row["user"], at, values, frozenset(row["leaves"]), scores, last_seen, row[EVIDENCE])
