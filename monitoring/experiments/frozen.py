"""Outcomes of the users of experiments, each as it was when it was first read."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from features.definition.schema import Definition
from features.events.log import Log
from features.system.files.durable import new_folder, replacing
from features.system.progress import Progress, ignore
from monitoring.labels import labels_of
from monitoring.matured import LATE

#: by experiment and outcome
Key = tuple[str, str]

KEPT = pl.Schema({"user": pl.String(), "at": pl.Int64(), "label": pl.Float64()})


def outcomes_of(
    log: Log,
    definition: Definition,
    assigned: Mapping[Key, pl.DataFrame],
    folder: Path,
    *,
    progress: Progress = ignore,
) -> tuple[dict[Key, pl.DataFrame], dict[Key, int]]:
    """The outcomes of all who have matured, the log read once.

    What was read before stays as it was; for 30 days it is compared with the log, because events may arrive late.

    Args:
        log: the log.
        definition: its outcomes.
        assigned: ``user`` and ``at`` of an experiment, for each of its outcomes.
        folder: where outcomes are kept, a file for each experiment and outcome.
        progress: called for each run of users that is done.

    Returns:
        `KEPT` of each experiment and outcome, and how many would be different today.
    """
    kept = {key: _read(folder, key) for key in assigned}
    ripe = {
        key: rows.filter(pl.col("at") + definition.outcomes[key[1]].reach <= log.ends) for key, rows in assigned.items()
    }
    new = {key: rows.join(kept[key], on=["user", "at"], how="anti") for key, rows in ripe.items()}
    recent = {
        key: rows.filter(pl.col("at") + definition.outcomes[key[1]].reach + LATE > log.ends)
        for key, rows in kept.items()
    }
    asked: dict[str, list[pl.DataFrame]] = {}
    for key in assigned:
        asked.setdefault(key[1], []).extend(some[key].select("user", "at") for some in (new, recent))
    rows = {name: pl.concat(some) for name, some in asked.items()}
    labels = labels_of(log, definition, rows, folder.with_name(f"{folder.name}.labels"), progress=progress)
    late = {}
    for key in assigned:
        found = labels.filter(outcome=key[1]).select(KEPT.names())
        late[key] = int((recent[key].join(found, on=["user", "at"], suffix="_now").select(
            (pl.col("label") != pl.col("label_now")).sum()).item()) or 0)  # fmt: skip
        fresh = found.join(new[key].select("user", "at"), on=["user", "at"], how="semi")
        if len(fresh):
            kept[key] = pl.concat([kept[key], fresh])
            _write(folder, key, kept[key])
    return kept, late


def _file(folder: Path, key: Key) -> Path:
    return folder / key[0] / f"{key[1]}.parquet"


def _read(folder: Path, key: Key) -> pl.DataFrame:
    file = _file(folder, key)
    return pl.read_parquet(file) if file.exists() else KEPT.to_frame()


def _write(folder: Path, key: Key, rows: pl.DataFrame) -> None:
    file = _file(folder, key)
    new_folder(file.parent)
    with replacing(file) as fresh:
        rows.write_parquet(fresh, compression="zstd")
