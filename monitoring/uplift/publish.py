"""What is published of uplift: the judgement as JSON, and where tiers are offered, every user's as Parquet."""

import json
from dataclasses import asdict
from pathlib import Path

import polars as pl

from features.system.files.durable import new_folder, replacing, write_durably
from monitoring.statistics.effects.targeting import Targeting
from monitoring.uplift.fitted import Judged


def publish(judged: Judged, users: pl.DataFrame | None, folder: Path) -> Path:
    """Write what was learnt; what an earlier one offered goes, where this one offers nothing.

    Args:
        judged: what was learnt, and what the gate says.
        users: `monitoring.uplift.users.UPLIFT`; None where no tiers are offered.
        folder: where it goes.

    Returns:
        The file of the judgement.
    """
    new_folder(folder)
    found = judged.found
    name = f"{found.experiment.partition('@')[0]}.{found.variant}"
    table = folder / f"{name}.parquet"
    if users is None:
        table.unlink(missing_ok=True)
    else:
        with replacing(table) as fresh:
            users.write_parquet(fresh, compression="zstd")
    write_durably(folder / f"{name}.json", json.dumps(as_json(judged), indent=1).encode())
    return folder / f"{name}.json"


def gate(judged: Judged) -> list[dict[str, object]]:
    """The criteria, as JSON has them."""
    return [dict(one.content) for one in judged.criteria]


def as_json(judged: Judged) -> dict[str, object]:
    """What was learnt, as JSON has it."""
    found = judged.found
    rankings: dict[str, Targeting] = {str(name): one for name, one in found.judged.items()}
    rankings["by_risk"] = found.by_risk
    return {
        "experiment": found.experiment, "variant": found.variant, "outcome": found.outcome, "users": found.users,
        "learner": found.learner, "offered": judged.offered, "words": judged.words,
        "version": judged.version, "promoted": judged.promoted, "criteria": gate(judged),
        "rankings": {
            name: {"autoc": asdict(one.autoc), "qini": asdict(one.qini), "curve": one.curve.tolist()}
            for name, one in rankings.items()
        },
        "mean_effect": found.by_risk.mean,
        "groups": [asdict(group) for group in found.groups],
    }  # fmt: skip


def metrics_of(judged: Judged) -> dict[str, float]:
    """Its numbers, as MLflow takes them."""
    found = judged.found
    chosen = found.judged[found.learner]
    return {
        "autoc": chosen.autoc.value, "autoc_low": chosen.autoc.low, "autoc_high": chosen.autoc.high,
        "qini": chosen.qini.value, "qini_low": chosen.qini.low, "qini_high": chosen.qini.high,
        "autoc_by_risk": found.by_risk.autoc.value, "mean_effect": chosen.mean, "users": float(found.users),
        "offered": float(judged.offered), "promoted": float(judged.promoted),
    }  # fmt: skip
