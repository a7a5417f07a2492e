"""The monitor: keeps predictions of batches and of the service, labels those that have matured, publishes tables."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import polars as pl

from features.definition.schema import Definition
from features.definition.sections.outcome import Outcome, ValueOutcome
from features.events.log import Log
from features.settings import Settings
from features.system.files.durable import new_folder, replacing, write_durably
from features.system.progress import Progress, ignore
from features.time import DAY, day_of, to_datetime
from monitoring.binned import binned
from monitoring.findings import BATCH, LIVE, Finding, findings
from monitoring.matured import Labelled, Matured
from monitoring.operations import Running, operational
from monitoring.predictions.batches import KEPT, Predictions
from monitoring.predictions.files import PREDICTED
from monitoring.predictions.live import LivePredictions
from monitoring.realised import ALPHA_LIVE, Realised, realised
from monitoring.statistics.probabilities.shifted import Shifted
from monitoring.today.covariate_shift import NO_MODELS, CovariateShift, shifts
from monitoring.today.estimated_today import Compared, estimated_today
from serving.activation.hand_offs import HandOffs
from serving.activation.memberships import Memberships
from serving.model.model import Model
from serving.published.monitor import NAME as NAME


@dataclass(frozen=True, slots=True)
class LiveRealised:
    """What came true of the service's answers.

    Attributes:
        matured: the matured answers.
        realised: observed against expected outcomes.
    """

    matured: Matured
    realised: Realised

    @classmethod
    def of(cls, matured: Matured, rule: Outcome | ValueOutcome) -> Self:
        """Compare answers with labels, those of a day together."""
        rows = matured.rows.with_columns(pl.col("at") // DAY * DAY)
        return cls(matured, realised(rows, rule, PREDICTED.to_frame(), alpha=ALPHA_LIVE))


@dataclass(frozen=True, slots=True)
class Monitored:
    """What the monitor found.

    Attributes:
        through: the log was complete through this instant.
        drawn: how many rows were drawn from batches that were not drawn from before, by instant.
        matured: the matured predictions of each outcome.
        realised: observed against expected outcomes.
        live: the same of answers of the service, by day, of outcomes of which there are any.
        today: of outcomes that are yes or no, how the newest predictions are expected to do, from labels of users like
            theirs; of versions that have labels.
        shifts: how far today's users are from those each model was fitted on, of models at least a week old.
        findings: what is wrong.
        folder: where all of it is published.
    """

    through: int
    drawn: Mapping[int, int]
    matured: Mapping[str, Matured]
    realised: Mapping[str, Realised]
    live: Mapping[str, LiveRealised]
    today: Mapping[str, Shifted]
    shifts: Mapping[str, CovariateShift]
    findings: list[Finding]
    folder: Path


def monitor(
    log: Log,
    definition: Definition,
    settings: Settings,
    memberships: Memberships,
    fitted: Mapping[str, int],
    running: Running,
    *,
    models: Mapping[str, Model] = NO_MODELS,
    as_of: int | None = None,
    progress: Progress = ignore,
) -> Monitored:
    """Compare predictions with outcomes.

    A run that was killed is finished by the next; the same run again changes nothing.

    Args:
        log: the log, through today.
        definition: the definition.
        settings: where things are kept.
        memberships: who moved and was handed off.
        fitted: of each outcome the newest cutoff that its champion was fitted on.
        models: of each outcome its champion; attributions are compared of those that are given.
        running: how jobs and destinations go.
        as_of: the instant by which that is judged; the log's end when left out.
        progress: called for each run of users that is done.
    """
    predictions, answers = Predictions(definition, settings), LivePredictions(definition, settings, memberships.live)
    oldest = log.ends - int(KEPT.total_seconds() * 1e6)
    drawn = predictions.keep(log.live, oldest)
    answers.keep(log.live, log.ends)
    folder = settings.monitoring(definition.name)
    labelled = Labelled(definition, {BATCH: predictions, LIVE: answers}, HandOffs(definition, memberships))
    by_source = labelled.of(log, folder / "labels", progress=progress)
    matured = by_source[BATCH]
    live = {name: LiveRealised.of(one, definition.outcomes[name]) for name, one in by_source[LIVE].items()
            if len(one.rows) or one.waiting}  # fmt: skip
    newest = {name: predictions.rows(name, one.waiting[-1:]) for name, one in matured.items()}
    found = {name: realised(one.rows, definition.outcomes[name], newest[name]) for name, one in matured.items()}
    asked = {name: Compared.of(matured[name].rows, newest[name]) for name in definition.likelihoods}
    compared = {name: one for name, one in asked.items() if one is not None}
    today = estimated_today(log, definition, compared, folder / "estimated")
    moved = shifts(log, definition, fitted, folder / "people", users=predictions.scored(), models=models)
    wrong = [one for name in found for one in findings(name, found[name], moved.get(name))]
    wrong += [finding for name, one in live.items() for finding in findings(name, one.realised, None, source=LIVE)]
    wrong += operational(running, definition, log.ends if as_of is None else as_of)
    predictions.forget(oldest)
    answers.forget(oldest)
    labelled.forget(oldest)
    result = Monitored(log.ends, drawn, matured, found, live, today, moved, wrong, folder)
    publish(result, definition)
    return result


def publish(found: Monitored, definition: Definition) -> None:
    """Write what was found: ``monitor.json``, and of each outcome ``<outcome>.batches.parquet`` and others."""
    new_folder(found.folder)
    for name in found.realised:
        tables = {what: _by_source(found, name, what) for what in ("batches", "groups")}
        if name in definition.likelihoods:
            tables["bins"] = binned(found.matured[name].rows)
        for what, rows in tables.items():
            with replacing(found.folder / f"{name}.{what}.parquet") as fresh:
                rows.write_parquet(fresh, compression="zstd")
    write_durably(found.folder / NAME, json.dumps(content(found, definition), indent=1).encode())


def _by_source(found: Monitored, name: str, what: str) -> pl.DataFrame:
    """A table of batches, and of the service's answers, with ``source`` to tell them apart."""
    parts = {BATCH: found.realised[name]} | ({LIVE: found.live[name].realised} if name in found.live else {})
    tables: list[pl.DataFrame] = [
        getattr(one, what).with_columns(source=pl.lit(source)) for source, one in parts.items()
    ]
    return pl.concat([table for table in tables if len(table)] or tables[:1], how="diagonal_relaxed")


def content(found: Monitored, definition: Definition) -> dict[str, object]:
    """What was found, as JSON has it: instants as text, numbers that are not known as null."""
    return {
        "definition": definition.version,
        "through": to_datetime(found.through).isoformat(),
        "findings": [asdict(one) for one in found.findings],
        "outcomes": {name: _outcome(name, found, definition) for name in found.realised},
    }


def _outcome(name: str, found: Monitored, definition: Definition) -> dict[str, object]:
    matured, one, shift = found.matured[name], found.realised[name], found.shifts.get(name)
    return {
        "question": definition.outcomes[name].question,
        **_came_true(matured, one),
        "promised": one.promised,
        "today": _numbers(asdict(today)) if (today := found.today.get(name)) is not None else None,
        "people": _numbers(asdict(shift)) | {"changed": shift.changed} if shift is not None else None,
        "live": _came_true(live.matured, live.realised) if (live := found.live.get(name)) is not None else None,
    }


def _came_true(matured: Matured, one: Realised) -> dict[str, object]:
    return {
        "matured": len(matured.rows),
        "waiting": [day_of(at) for at in matured.waiting],
        "late": {day_of(at): answers for at, answers in matured.late.items()},
        "level": _numbers(asdict(one.level)) if one.level is not None else None,
        "line": _numbers(asdict(one.line)) if one.line is not None else None,
        "spiegelhalter": _numbers({"z": one.spiegelhalter})["z"],
        "evidence": one.evidence,
        "alarms": {what: day_of(at) for what, at in one.alarms.items()},
        "batches": [_numbers(row) for row in one.batches.to_dicts()],
        "groups": [_numbers(row) for row in one.groups.to_dicts()],
    }


def _numbers(row: Mapping[str, object]) -> dict[str, object]:
    """A row as JSON can have it."""
    return {
        name: day_of(value) if name == "at" and isinstance(value, int)
        else None if isinstance(value, float) and not math.isfinite(value)
        else _numbers(value) if isinstance(value, dict) else value
        for name, value in row.items()
    }  # fmt: skip
