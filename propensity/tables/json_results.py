"""What was trained and scored, as JSON for programs."""

import json
from typing import TYPE_CHECKING

import polars as pl

from features.definition.schema import Definition
from features.time import to_datetime

if TYPE_CHECKING:  # a job imports much that writing about it does not need
    from serving.scoring.batch import BatchResult
    from serving.scoring.scorer import Scorer
    from training.job import Result


def results(results: "list[Result]", definition: Definition) -> str:
    """Write what a training has made: an object an outcome, in ``outcomes``."""
    return json.dumps(
        {
            "definition": definition.version,
            "promoted": [result.version for result in results if result.promoted],
            "outcomes": [_result(result) for result in results],
        }
    )


def recalibrated(result: "Result") -> str:
    """Write what a recalibration has made: as an outcome of a training, and ``recalibrated``, how answers moved."""
    note = result.card.recalibrated if result.card is not None else None
    return json.dumps(_result(result) | {"recalibrated": note.model_dump() if note is not None else None})


def _result(result: "Result") -> dict[str, object]:
    card, refusal = result.card, result.refusal
    return {
        "outcome": result.outcome,
        "version": result.version,
        "promoted": result.promoted,
        "words": card.words if card is not None else None,
        "metrics": {name: measure.model_dump() for name, measure in card.metrics.items()} if card is not None else {},
        "criteria": [
            {"criterion": c.name, "needed": c.needed, "found": c.found, "passed": c.passed} for c in result.criteria
        ],
        "audit": [{"check": f.check, "alarm": f.alarm, "text": f.text} for f in result.findings],
        "refusal": None
        if refusal is None
        else {"code": refusal.code, "found": refusal.found, "needed": refusal.needed, "fix": refusal.fix},
        "run": result.run or None,
        "report": result.report or None,
    }


def batch(result: "BatchResult", scorer: "Scorer", cutoff: int, moved: int | None, note: str) -> str:
    """Write what a batch has made.

    Args:
        result: of the batch.
        scorer: that scored it.
        cutoff: the instant it speaks of.
        moved: how many transitions it made; None when a later batch had made them.
        note: why outcomes have no champion; empty where all have one.
    """
    definition = scorer.definition
    models = {name: scorer.models[name].version if name in scorer.models else None for name in definition.outcomes}
    return json.dumps(
        {
            "definition": definition.version,
            "as_of": to_datetime(cutoff).isoformat(),
            "path": str(result.path),
            "users": result.users,
            "models": models,
            "uplift": {name: served and served.model for name, served in scorer.uplift_versions.items()},
            "tiers": result.states.to_dicts(),
            "segments": dict(result.segments.iter_rows()),
            "silent": {
                name: dict(result.silent.filter(pl.col("outcome") == name).select("why", "users").iter_rows())
                for name in definition.outcomes
            },
            "moved": moved,
            "note": note or None,
        }
    )
