"""RFM cut-offs on disk: fitted once for a rule, then kept, so that nobody moves without doing anything."""

import hashlib
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.definition.sections.rfm import RfmRule
from features.events.events import Events
from features.events.log import Log
from features.events.write import part_files
from features.profile.fold import feature_rows, read_all_at
from features.settings import Settings
from features.time import to_datetime
from segments.rfm import NobodyError, RfmCuts, fit_cuts, rfm_columns

logger = logging.getLogger("propensity")


def cuts_path(definition: Definition, settings: Settings) -> Path:
    """Where a definition's cut-offs are kept; another rule or feature set has a file of its own."""
    rule = definition.rfm.model_dump_json() if definition.rfm else ""
    digest = hashlib.sha256(f"{feature_set(definition).digest}{rule}".encode()).hexdigest()[:8]
    return settings.folder(definition.name) / f"rfm-{digest}.json"


def load_cuts(definition: Definition, settings: Settings) -> RfmCuts | None:
    """The kept cut-offs, or None when there is no rule or nothing has been fitted."""
    path = cuts_path(definition, settings)
    return RfmCuts.load(path) if definition.rfm is not None and path.exists() else None


def freeze_cuts(log: Log, definition: Definition, settings: Settings, cutoff: int) -> RfmCuts | None:
    """The kept cut-offs; fitted at the cutoff, and kept, when the rule has none yet."""
    kept = load_cuts(definition, settings)
    if kept is not None or definition.rfm is None:
        return kept
    needed = _needed(definition, definition.rfm)

    def rows(events: Events) -> Iterator[pl.DataFrame]:
        return measured(events, definition, cutoff)

    scratch = settings.folder(definition.name) / "rfm.rows"
    log.write(rows, pl.Schema(dict.fromkeys(needed, pl.Float64())), scratch)
    cuts = fit_cuts(pl.read_parquet(part_files(scratch)), definition.rfm, to_datetime(cutoff).isoformat())
    shutil.rmtree(scratch)
    cuts.save(cuts_path(definition, settings))
    if cuts.tie:
        logger.warning("%s", cuts.tie)
    return cuts


def _needed(definition: Definition, rule: RfmRule) -> list[str]:
    """The columns that RFM measures."""
    return [name for name in rfm_columns(rule, feature_set(definition).read) if name]


def measured(events: Events, definition: Definition, cutoff: int) -> Iterator[pl.DataFrame]:
    """What RFM measures of users at a cutoff; nothing where there is no rule."""
    if definition.rfm is None:
        return
    needed = _needed(definition, definition.rfm)
    for frame in feature_rows(events, read_all_at(events, np.array([cutoff])), definition):
        yield frame.select(needed)


def first_cuts(log: Log, definition: Definition, settings: Settings) -> RfmCuts | None:
    """The kept cut-offs; fitted at the log's end where there are none yet, so that groups need no training.

    Returns:
        None where there is no rule, or nobody yet who did what it measures.
    """
    try:
        return freeze_cuts(log, definition, settings, log.ends)
    except NobodyError as error:
        logger.warning("there are no RFM groups yet: %s", error)
        return None
