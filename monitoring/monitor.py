"""The monitor: draws predictions from the batches, labels those that have matured, and publishes tables."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from features.definition.schema import Definition
from features.events.log import Log
from features.settings import Settings
from features.system.durable import new_folder, replacing, write_durably
from features.system.progress import Progress, ignore
from features.time import day_of, to_datetime
from monitoring.binned import binned
from monitoring.findings import Finding, findings
from monitoring.matured import Labelled, Matured
from monitoring.operations import Running, operational
from monitoring.predictions import KEPT, Predictions
from monitoring.realised import Realised, realised
from monitoring.statistics.probabilities.shifted import Shifted
from monitoring.today.covariate_shift import NO_MODELS, CovariateShift, shifts
from monitoring.today.estimated_today import Compared, estimated_today
from serving.activation.hand_offs import HandOffs
from serving.activation.memberships import Memberships
from serving.model.model import Model
from serving.published.monitor import NAME as NAME


@dataclass(frozen=True, slots=True)
class Monitored:
    """What the monitor found.

    Attributes:
        through: the log was complete through this instant.
        drawn: how many rows were drawn from batches that were not drawn from before, by instant.
        matured: the matured predictions of each outcome.
        realised: observed against expected outcomes.
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
    predictions = Predictions(definition, settings)
    oldest = log.ends - int(KEPT.total_seconds() * 1e6)
    drawn = predictions.keep(log.live, oldest)
    labelled = Labelled(definition, settings, predictions, HandOffs(definition, memberships))
    matured = labelled.of(log, progress=progress)
    newest = {name: predictions.rows(name, one.waiting[-1:]) for name, one in matured.items()}
    found = {name: realised(one.rows, definition.outcomes[name], newest[name]) for name, one in matured.items()}
    folder = settings.monitoring(definition.name)
    asked = {name: Compared.of(matured[name].rows, newest[name]) for name in definition.likelihoods}
    compared = {name: one for name, one in asked.items() if one is not None}
    today = estimated_today(log, definition, compared, folder / "estimated")
    moved = shifts(log, definition, fitted, folder / "people", users=predictions.scored(), models=models)
    wrong = [one for name in found for one in findings(name, found[name], moved.get(name))]
    wrong += operational(running, definition, log.ends if as_of is None else as_of)
    predictions.forget(oldest)
    labelled.forget(oldest)
    result = Monitored(log.ends, drawn, matured, found, today, moved, wrong, folder)
    publish(result, definition)
    return result


def publish(found: Monitored, definition: Definition) -> None:
    """Write what was found: ``monitor.json``, and of each outcome ``<outcome>.batches.parquet`` and others."""
    new_folder(found.folder)
    for name, one in found.realised.items():
        tables = {"batches": one.batches, "groups": one.groups}
        if name in definition.likelihoods:
            tables["bins"] = binned(found.matured[name].rows)
        for what, rows in tables.items():
            with replacing(found.folder / f"{name}.{what}.parquet") as fresh:
                rows.write_parquet(fresh, compression="zstd")
    write_durably(found.folder / NAME, json.dumps(content(found, definition), indent=1).encode())


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
        "matured": len(matured.rows),
        "waiting": [day_of(at) for at in matured.waiting],
        "late": {day_of(at): answers for at, answers in matured.late.items()},
        "level": _numbers(asdict(one.level)) if one.level is not None else None,
        "line": _numbers(asdict(one.line)) if one.line is not None else None,
        "spiegelhalter": _numbers({"z": one.spiegelhalter})["z"],
        "promised": one.promised,
        "today": _numbers(asdict(today)) if (today := found.today.get(name)) is not None else None,
        "evidence": one.evidence,
        "alarms": {what: day_of(at) for what, at in one.alarms.items()},
        "people": _numbers(asdict(shift)) | {"changed": shift.changed} if shift is not None else None,
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
