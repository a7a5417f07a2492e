"""Batch scoring: the record of every user, to Parquet."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import polars as pl

from features.definition.schema import Definition
from features.definition.sections.outcome import Outcome
from features.errors import ScoringError
from features.events.events import Events
from features.events.log import Log
from features.system.progress import Progress, ignore
from features.time import to_datetime
from features.traits import latest_traits
from segments.transitions.evidence import evidence_of
from serving.scoring.earlier.batch import EVIDENCE, Earlier, field_of, scores_path
from serving.scoring.earlier.likelihoods import EarlierByUser, by_user
from serving.scoring.feature_rows import batch_rows
from serving.scoring.population import KeptPopulation
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


#: fields of an answer whose values are counted
_COUNTED_FIELDS = ("tier", "why")


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
    columns = _explained(scorer) if reasons else scorer.schema
    schema = pl.Schema({**columns, EVIDENCE: pl.Int64()})
    traits = latest_traits(scorer.definition, cutoff, log.live)
    kept = KeptPopulation.of_newest(scorer.definition, cutoff, folder, population) if population else None
    with ExitStack() as stack:
        earlier = stack.enter_context(by_user(Earlier.before(folder, cutoff) if reasons else None, log))
        if kept is not None:
            kept = replace(kept, out=stack.enter_context(log.filled(kept.fresh)))
        score = partial(_scored, scorer=scorer, cutoff=cutoff, drawn_as=drawn_as, kept=kept, reasons=reasons,
                        earlier=earlier, columns=columns)  # fmt: skip
        users = log.write_joined(traits, score, schema, path, progress=progress)
    if not users:
        shutil.rmtree(path)
        if kept is not None:
            kept.drop()
        raise ScoringError(f"no user is visible at {to_datetime(cutoff).isoformat()}.", fix="score at a later instant")
    if kept is not None:
        kept.finish(users)
    return _counted(log, scorer.definition, path, users)


def _scored(
    events: Events, traits: pl.DataFrame | None, *, scorer: Scorer, cutoff: int, drawn_as: Mapping[str, str],
    kept: KeptPopulation | None, reasons: int, earlier: EarlierByUser | None, columns: pl.Schema,
) -> Iterator[pl.DataFrame]:  # fmt: skip
    """The records of a run of users; their columns are kept on the way."""
    for rows in batch_rows(events, scorer.definition, cutoff, traits, drawn_as):
        if len(rows):
            scored = scorer.score(rows, rows.cutoffs)
            if kept is not None:
                kept.add(scored)
            records = _with_reasons(scorer, scored, reasons, earlier, columns) if reasons else scored.records
            yield records.with_columns(pl.Series(EVIDENCE, evidence_of(rows, scorer.definition)))


def _counted(log: Log, definition: Definition, path: Path, users: int) -> BatchResult:
    """How the records of a batch are distributed, counted where the log is worked on."""
    outcomes = definition.outcomes
    asked = {(name, field): field_of(rule, name, field) for name, rule in outcomes.items() for field in _COUNTED_FIELDS}
    columns = ("state", "segments", *dict.fromkeys(part_of(rule) for rule in outcomes.values()))
    found = log.gather(path, columns, partial(_tally, asked=asked))
    counts = found.group_by("what", "state", "outcome", "answer").agg(pl.col("users").sum())
    tiers, why, segments = (counts.filter(what=what).drop("what") for what in (*_COUNTED_FIELDS, "segment"))
    segments = segments.select(pl.col("answer").alias("segment"), "users")
    why = why.drop_nulls("answer").group_by("outcome", "answer").agg(pl.col("users").sum())
    return BatchResult(
        path=path,
        users=users,
        states=tiers.rename({"answer": "tier"}).sort("outcome", "state", "tier"),
        segments=segments.sort("users", "segment", descending=[True, False]),
        silent=why.rename({"answer": "why"}).sort("outcome", "why"),
    )


def _tally(records: pl.DataFrame, *, asked: Mapping[tuple[str, str], pl.Expr]) -> pl.DataFrame:
    """Count states with tiers and with reasons for no answer, and segments: ``what, state, outcome, answer, users``."""
    parts = [
        records.select("state", answer.cast(pl.String).alias("answer"), what=pl.lit(field), outcome=pl.lit(name))
        for (name, field), answer in asked.items()
    ]
    none = pl.lit(None, pl.String)
    segments = records.select(answer=pl.col("segments").explode()).drop_nulls()
    parts.append(segments.select(none.alias("state"), "answer", what=pl.lit("segment"), outcome=none))
    return pl.concat(
        part.group_by("what", "state", "outcome", "answer").agg(pl.len().cast(pl.Int64).alias("users"))
        for part in parts
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
    scorer: Scorer, scored: Scored, count: int, earlier: EarlierByUser | None, schema: pl.Schema
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
