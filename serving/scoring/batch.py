"""Batch scoring: the record of every user, to Parquet."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import polars as pl

from features.definition.sections.outcome import Outcome
from features.errors import ScoringError
from features.events.events import Events
from features.events.log import Log
from features.events.write import part_files
from features.system.progress import Progress, ignore
from features.time import to_datetime
from features.traits import latest_traits
from segments.transitions.evidence import evidence_of
from serving.scoring.feature_rows import batch_rows
from serving.scoring.population import KeptPopulation
from serving.scoring.previous import EVIDENCE, Earlier, field_of, scores_path
from serving.scoring.reasons.columns import CHANGE, REASON
from serving.scoring.scorer import Scorer
from serving.scoring.scores import Scored
from serving.scoring.serialize import part_of


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What a batch has written.

    Attributes:
        path: the folder of Parquet files.
        users: how many records.
        states: ``state, outcome, tier, users``: how states and tiers go together.
        segments: ``segment, users``.
        silent: ``outcome, why, users``: how many are given no answer, and why.
    """

    path: Path
    users: int
    states: pl.DataFrame
    segments: pl.DataFrame
    silent: pl.DataFrame


def score_all(
    log: Log,
    scorer: Scorer,
    cutoff: int,
    folder: Path,
    *,
    reasons: int = 0,
    drawn_as: Mapping[str, str] = MappingProxyType({}),
    population: Path | None = None,
    progress: Progress = ignore,
) -> BatchResult:
    """Score every user visible at a cutoff.

    Args:
        log: the log.
        scorer: the definition's rules and champions.
        cutoff: the instant the scores speak of.
        folder: gets ``scores-<instant>.parquet``, a folder, complete or not at all.
        reasons: how many reasons a likelihood, and what changed since the newest earlier scores there; 0 for neither.
        drawn_as: of users of several ids the id by which their holdout is drawn, where that is another.
        population: the folder that gets everybody's columns, see `KeptPopulation`, unless there is a later batch;
            without it they are not kept.
        progress: called for each run of users that is done.

    Raises:
        ScoringError: nobody is visible at the cutoff.
    """
    path = scores_path(folder, cutoff)
    earlier = Earlier.before(folder, cutoff) if reasons else None
    columns = _explained(scorer) if reasons else scorer.schema
    schema = pl.Schema({**columns, EVIDENCE: pl.Int64()})
    traits = latest_traits(scorer.definition, cutoff, log.live)
    kept = KeptPopulation.of_newest(scorer.definition, cutoff, folder, population) if population else None

    def score(events: Events) -> Iterator[pl.DataFrame]:
        for rows in batch_rows(events, scorer.definition, cutoff, traits, drawn_as):
            if len(rows):
                scored = scorer.score(rows, rows.cutoffs)
                if kept is not None:
                    kept.add(scored)
                records = _with_reasons(scorer, scored, reasons, earlier, columns) if reasons else scored.records
                yield records.with_columns(pl.Series(EVIDENCE, evidence_of(rows, scorer.definition)))

    users = log.write(score, schema, path, progress=progress)
    if not users:
        shutil.rmtree(path)
        if kept is not None:
            kept.drop()
        raise ScoringError(f"no user is visible at {to_datetime(cutoff).isoformat()}.", fix="score at a later instant")
    if kept is not None:
        kept.finish(users)
    records = pl.scan_parquet(part_files(path))
    asked = scorer.definition.outcomes
    states, why = (
        records.select("state", *(field_of(rule, name, field).alias(name) for name, rule in asked.items())).unpivot(
            list(asked), index="state", variable_name="outcome", value_name=field
        )
        for field in ("tier", "why")
    )
    segments = records.select(pl.col("segments").explode().alias("segment")).drop_nulls()
    return BatchResult(
        path=path,
        users=users,
        states=states.group_by("state", "outcome", "tier").agg(pl.len().alias("users")).collect(),
        segments=segments.group_by("segment").agg(pl.len().alias("users")).sort("users", descending=True).collect(),
        silent=why.drop_nulls("why")
        .group_by("outcome", "why")
        .agg(pl.len().alias("users"))
        .sort("outcome", "why")
        .collect(),
    )


def _explained(scorer: Scorer) -> pl.Schema:
    """The columns of the records, with reasons and change in the answers of which there is a model."""
    schema = dict(scorer.schema)
    for name in scorer.models:
        rule = scorer.definition.outcomes[name]
        explained = {"reasons": pl.List(REASON)} | ({"change": CHANGE} if isinstance(rule, Outcome) else {})
        answers: dict[str, pl.DataType] = dict(schema[part_of(rule)])  # type: ignore[call-overload]
        answers[name] = pl.Struct({**dict(answers[name]), **explained})  # type: ignore[call-overload]
        schema[part_of(rule)] = pl.Struct(answers)
    return pl.Schema(schema)


def _with_reasons(
    scorer: Scorer, scored: Scored, count: int, earlier: Earlier | None, schema: pl.Schema
) -> pl.DataFrame:
    """Put reasons, and what changed, into the records."""
    records, (reasons, changes) = scored.records, scorer.explain(scored, count, earlier, count)
    parts: dict[str, list[pl.Series]] = {}
    for name, rule in scorer.definition.outcomes.items():
        part = part_of(rule)
        answer = records[part].struct.field(name)
        if name in reasons:
            columns = [reasons[name].series().alias("reasons")]
            if isinstance(rule, Outcome):
                change = changes[name].series() if name in changes else pl.Series([None] * len(answer), dtype=CHANGE)
                columns.append(change.alias("change"))
            answer = answer.struct.unnest().with_columns(columns).to_struct(name)
        parts.setdefault(part, []).append(answer.alias(name))
    explained = [pl.DataFrame(answers).to_struct(part) for part, answers in parts.items()]
    return records.with_columns(explained).cast(schema)
