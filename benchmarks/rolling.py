"""Rolling held-out cutoffs on the logs at hand: the product, trained as of each, beside eight peers."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from benchmarks.cdnow import write_log
from benchmarks.peers import Rows, peers
from benchmarks.quality import examples
from features.definition import Definition, load_definition
from features.errors import RefusalError
from features.event_store.store import EventStore
from features.events.compacted import NONE
from features.feature_store import OfflineFeatures
from features.feature_store.objects import snapshots_path, traits_path
from features.reading.source import EventLog
from features.settings import Settings
from features.snapshot import write_snapshots
from features.time import to_datetime
from features.traits import write_traits
from segments.tiers import TIERS, tiers_of
from serving.model.model import Model
from serving.model.numbers import Floats
from training.dataset.attach_labels import Labels, labelled
from training.dataset.dataset import Dataset, build
from training.dataset.matrices import Matrices
from training.dataset.outcomes import snapshot_cutoffs
from training.evaluation.judgement import Judgement, judge
from training.learn import learn
from training.report.model_report import measure

#: held-out cutoffs of a question, and paired resamples of their users
CUTOFFS, DRAWS = 3, 500
#: rows that are learnt from
ROWS = 60_000
#: a held-out cutoff has at least so many users of either answer
LEAST = 10

METRICS = {"auc": "auc", "ap": "average_precision", "log_loss": "log_loss"}


@dataclass(frozen=True)
class Held:
    """The predictions at the held-out cutoffs of a question, row by row.

    Attributes:
        scores: probabilities of ``ours`` and of each peer that answered at all cutoffs.
        labels: what came true.
        users: whose rows they are.
        flips: share of users in another tier when the seed changes, at the newest cutoff.
        silenced: of each row, whether the record would say nothing of it, because a column lies beyond what was seen.
        kinds: the kinds of models that were chosen.
    """

    scores: dict[str, Floats]
    labels: Floats
    users: pl.Series
    flips: float
    silenced: np.ndarray
    kinds: list[str]

    def of_silenced(self) -> tuple[float, float, int]:
        """Log loss of the hidden probabilities, that of everybody's rate in their place, and how many rows they are."""
        y, p = self.labels[self.silenced], np.clip(self.scores["ours"][self.silenced], 1e-9, 1 - 1e-9)
        if not y.size:
            return 0.0, 0.0, 0
        rate = float(self.labels.mean())
        losses = (-float(np.mean(y * np.log(q) + (1 - y) * np.log(1 - q))) for q in (p, np.full_like(p, rate)))
        return next(losses), next(losses), y.size

    def judged(self) -> Judgement:
        """All models on the same rows and resamples."""
        return judge(self.scores, self.labels, self.users, np.ones(len(self.labels)), seed=1, draws=DRAWS)


def rolling(only: str = "") -> tuple[pl.DataFrame, dict[str, float]]:
    """Measure every question of every log at hand, or of one log; a row a question, and numbers by name."""
    rows: list[dict[str, object]] = []
    numbers: dict[str, float] = {}
    flips: list[float] = []
    hidden: list[tuple[float, float, int]] = []
    shares: list[float] = []
    with TemporaryDirectory() as folder:
        for definition in _logs(Path(folder)):
            if only and definition.name.replace("-", "_") != only:
                continue
            settings = Settings(home=Path(folder) / "var")
            _write(definition, settings)
            for outcome in definition.likelihoods:
                held = _held_out(definition, settings, outcome)
                if held is None:
                    continue
                row, more = _row(definition.name, outcome, held)
                rows.append(row)
                numbers |= more
                flips.append(held.flips)
                shares.append(float(held.silenced.mean()))
                hidden.append(held.of_silenced())
    numbers |= {"models.tier_flips_by_seed": float(np.mean(flips)), "models.silenced_share": float(np.mean(shares))}
    if rows_hidden := sum(count for _, _, count in hidden):
        ours, base = (sum(x[i] * x[2] for x in hidden) / rows_hidden for i in (0, 1))
        numbers |= {"models.silenced_loss": ours, "models.silenced_loss_of_base_rate": base}
    return pl.DataFrame(rows), numbers


def _logs(folder: Path) -> Iterator[Definition]:
    (folder / "cdnow").mkdir()
    yield _smaller(write_log(folder / "cdnow"))
    for file in examples(folder):
        yield _smaller(load_definition(file))


def _smaller(definition: Definition) -> Definition:
    """The same with fewer rows to learn from, for the product and for its peers."""
    return _with(definition, max_rows=ROWS)


def _with(definition: Definition, **training: int) -> Definition:
    changed = definition.model_copy(update={"training": definition.training.model_copy(update=training)})
    changed._source = definition._source
    return changed


def _write(definition: Definition, settings: Settings) -> None:
    store, folder = EventStore.open(EventLog(definition), settings), settings.folder(definition.name)
    at = snapshot_cutoffs(definition, store)
    write_snapshots(store, at, definition, snapshots_path(folder), more=Labels(definition))
    if definition.traits is not None:
        write_traits(definition, traits_path(folder), NONE)


def _held_out(definition: Definition, settings: Settings, outcome: str) -> Held | None:
    """Train as of each held-out cutoff on what was known then, and ask everybody in the population at it."""
    snapshots, store = snapshots_path(settings.folder(definition.name)), OfflineFeatures(definition, settings)
    rule, rows = definition.likelihoods[outcome], labelled(snapshots, outcome)
    parts: list[tuple[dict[str, Floats], pl.DataFrame]] = []
    flips, silenced = float("nan"), list[np.ndarray]()
    kinds: list[str] = []
    for cutoff in _instants(rows, rule.within):
        asked = store.rows(outcome, rows.filter(pl.col("cutoff") == to_datetime(cutoff)))
        try:
            data = build(snapshots, store, definition, outcome, through=cutoff - rule.reach)
            model = _ours(definition, data)
        except RefusalError as refusal:
            logging.getLogger("propensity").info("%s at %s: %s", outcome, to_datetime(cutoff), refusal)
            continue
        if not parts:
            flips = _flips(definition, data, model, asked)
        matrix = model.matrix(asked)
        outside = model.outside(matrix, definition.scoring.max_beyond)
        silenced.append(outside.effect > definition.scoring.max_extrapolation)
        kinds.append(model.card.procedure.kind if model.card.procedure else "")
        theirs = peers(Rows(definition, outcome, data.rows, asked, rule.reach))
        parts.append(({"ours": model.predict(matrix), **theirs}, asked.select("user", "label")))
    if not parts:
        return None
    everywhere = set.intersection(*(set(scores) for scores, _ in parts))
    names = [name for name in parts[0][0] if name in everywhere]
    predicted = pl.concat([rows for _, rows in parts])
    scores = {name: np.concatenate([found[name] for found, _ in parts]) for name in names}
    labels = predicted["label"].to_numpy().astype(np.float64)
    return Held(scores, labels, predicted["user"], flips, np.concatenate(silenced), kinds)


def _instants(rows: pl.DataFrame, horizon: int) -> list[int]:
    """The newest cutoffs, at least a horizon apart, newest first, at which both answers are there."""
    at = rows.group_by(pl.col("cutoff").dt.epoch("us").alias("at")).agg(
        pl.col("label").sum().alias("yes"), (pl.col("label") == 0).sum().alias("no")
    )
    found: list[int] = []
    for instant, yes, no in at.sort("at", descending=True).iter_rows():
        if min(yes, no) >= LEAST and (not found or found[-1] - instant >= horizon):
            found.append(instant)
    return found[:CUTOFFS]


def _ours(definition: Definition, data: Dataset) -> Model:
    return learn(data, Matrices.of(data, definition), definition, None).model


def _flips(definition: Definition, data: Dataset, model: Model, asked: pl.DataFrame) -> float:
    """How many users of a cutoff are in another tier when the same is fitted with another seed."""
    other = _ours(_with(definition, seed=definition.training.seed + 1), data)
    predicted = [tiers_of(m.predict(m.matrix(asked)), m.card.tiers, TIERS) for m in (model, other)]
    return float(np.mean([a != b for a, b in zip(*predicted, strict=True)]))


def _row(log: str, outcome: str, held: Held) -> tuple[dict[str, object], dict[str, float]]:
    judged = held.judged()
    others = [name for name in held.scores if name != "ours"]
    row: dict[str, object] = {"log": log, "outcome": outcome, "rows": len(held.labels), "kinds": ", ".join(held.kinds)}
    numbers: dict[str, float] = {}
    for short, metric in METRICS.items():
        pick = min if metric == "log_loss" else max
        best = pick(others, key=lambda name: judged.measure(name, metric).value)
        ahead = judged.ahead("ours", best, metric)
        row |= {short: f"{judged.measure('ours', metric).value:.4f}", f"best peer by {short}": best,
                f"{short} minus it": measure(ahead, "+.4f")}  # fmt: skip
        key = f"models.rolling.{log.replace('-', '_')}.{outcome}.{short}_minus_best_peer"
        numbers |= {key: ahead.value, f"{key}_low": ahead.low or ahead.value, f"{key}_high": ahead.high or ahead.value}
    ours, base, count = held.of_silenced()
    hidden = f"{count} ({ours:.3f}; the rate: {base:.3f})" if count else "0"
    return row | {"tier flips": held.flips, "silenced (log loss)": hidden}, numbers
