"""Eight plain models of others, as a careful user would build them from libraries on the same rows."""

from collections.abc import Callable
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from features.definition import Definition
from features.definition.columns import feature_set, occasions
from features.time import DAY
from serving.model.numbers import Floats, model_matrix
from training.baselines.classification import bg_nbd_of, regression_columns, repeats_of, rfm_columns

#: share of the training instants, the newest, that tune and calibrate
TUNING = 0.25
PENALTIES = (0.001, 0.01, 0.1, 1.0)
ROUNDS, PATIENCE = 2_000, 50


@dataclass(frozen=True)
class Rows:
    """What a peer learns from and what it is asked.

    Attributes:
        definition: of the log.
        outcome: the question.
        learn: labelled rows, all whose answer was known then.
        asked: rows to answer.
        purge: gap + horizon + maturity, microseconds.
    """

    definition: Definition
    outcome: str
    learn: pl.DataFrame
    asked: pl.DataFrame
    purge: int

    @property
    def y(self) -> Floats:
        """The answers."""
        return self.learn["label"].to_numpy().astype(np.float64)

    def earlier(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows before, and rows of, the newest training instants, a purge apart; all of them where that is nothing."""
        at = self.learn["cutoff"].dt.epoch("us").to_numpy()
        instants = np.unique(at)
        first = instants[-max(1, round(len(instants) * TUNING))]
        before, newest = np.flatnonzero(at + self.purge <= first), np.flatnonzero(at >= first)
        usable = all(0 < self.y[rows].sum() < len(rows) for rows in (before, newest))
        return (before, newest) if usable else (np.arange(len(at)), np.arange(len(at)))


def peers(rows: Rows) -> dict[str, Floats]:
    """Probabilities of the asked rows by each peer; BG/NBD where the signal is one that people repeat."""
    names = rfm_columns(rows.definition, rows.outcome)
    boosted = [n for n in names if rows.learn[n].drop_nulls().n_unique() > 1]
    found = {
        "recency": _logistic(rows, lambda f: regression_columns(f, [n for n in names if n.startswith("days_since_")])),
        "frequency": _logistic(rows, lambda f: regression_columns(f, [n for n in names if "_active_days_" in n])),
        "logistic on RFM": _logistic(rows, lambda f: regression_columns(f, names)),
        "boosting on RFM": _boosted(rows, boosted),
        "wide LightGBM": _lightgbm(rows),
        "wide logistic": _logistic(rows, lambda f: _wide(rows, f)),
    }
    both = [_logit(found[name]) for name in ("wide LightGBM", "wide logistic")]
    found["blend of both"] = 1 / (1 + np.exp(-np.mean(both, axis=0)))
    bought = _bg_nbd(rows)
    return found if bought is None else found | {"BG/NBD": bought}


def _logistic(rows: Rows, columns: Callable[[pl.DataFrame], Floats]) -> Floats:
    """A logistic regression whose penalty is tuned on earlier instants."""
    X, y, (before, newest) = columns(rows.learn), rows.y, rows.earlier()

    def fitted(penalty: float, some: np.ndarray) -> object:
        return make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=300)).fit(X[some], y[some])

    losses = {c: _loss(y[newest], fitted(c, before).predict_proba(X[newest])[:, 1]) for c in PENALTIES}  # type: ignore[attr-defined]
    best = fitted(min(losses, key=lambda c: losses[c]), np.arange(len(y)))
    return np.asarray(best.predict_proba(columns(rows.asked))[:, 1])  # type: ignore[attr-defined]


def _boosted(rows: Rows, names: list[str]) -> Floats:
    model = HistGradientBoostingClassifier(random_state=1)
    model.fit(rows.learn.select(names).to_numpy(), rows.y)
    return np.asarray(model.predict_proba(rows.asked.select(names).to_numpy())[:, 1])


def _lightgbm(rows: Rows) -> Floats:
    """LightGBM on all columns: rounds and Platt's line from the newest instants, then fitted on everything known."""
    features = feature_set(rows.definition)
    categories = {t: sorted(rows.learn[t].drop_nulls().unique().to_list()) for t in features.traits}
    X, asked = (model_matrix(f, list(features.numeric), categories) for f in (rows.learn, rows.asked))
    y, (before, newest) = rows.y, rows.earlier()
    rules = {"objective": "binary", "learning_rate": 0.05, "num_leaves": 31, "feature_fraction": 0.7, "verbosity": -1,
             "bagging_fraction": 0.8, "bagging_freq": 1, "min_data_in_leaf": 40, "seed": 1}  # fmt: skip
    coded = list(range(len(features.numeric), X.shape[1]))
    part = lgb.Dataset(X[before], y[before], categorical_feature=coded, params=rules)
    stop = [lgb.early_stopping(PATIENCE, verbose=False)]
    first = lgb.train(rules, part, ROUNDS, valid_sets=[part.create_valid(X[newest], y[newest])], callbacks=stop)
    line = LogisticRegression(C=1e6).fit(first.predict(X[newest], raw_score=True)[:, None], y[newest])
    whole = lgb.train(rules, lgb.Dataset(X, y, categorical_feature=coded, params=rules), max(first.best_iteration, 1))
    return np.asarray(line.predict_proba(whole.predict(asked, raw_score=True)[:, None])[:, 1])


def _wide(rows: Rows, frame: pl.DataFrame) -> Floats:
    """All numeric columns on the logarithmic scale, flags of what is missing, a flag a trait's value."""
    features = feature_set(rows.definition)
    flags = [
        (frame[t] == value).fill_null(False).to_numpy().astype(np.float64)
        for t in features.traits
        for value in sorted(rows.learn[t].drop_nulls().unique().to_list())
    ]
    numbers = regression_columns(frame, list(features.numeric))
    return np.column_stack([numbers, *flags]) if flags else numbers


def _bg_nbd(rows: Rows) -> Floats | None:
    rule = rows.definition.likelihoods[rows.outcome]
    model = bg_nbd_of(rows.learn, rule.signal)
    if model is None:
        return None
    times = occasions(rule.signal, rows.learn.columns).days
    never = rows.learn.filter(pl.col(times) < 1)["label"]
    answer = np.full(len(rows.asked), never.to_numpy().mean() if len(never) else 0.0)
    known = (rows.asked[times] >= 1).to_numpy()
    buys = model.buys(rule.within / DAY, *repeats_of(rows.asked.filter(pl.Series(known)), rule.signal))
    answer[known] = buys if rule.will else 1 - buys
    return answer


def _logit(p: Floats) -> Floats:
    clipped = np.clip(p, 1e-6, 1 - 1e-6)
    return np.log(clipped / (1 - clipped))


def _loss(y: Floats, p: Floats) -> float:
    clipped = np.clip(p, 1e-6, 1 - 1e-6)
    return -float(np.mean(y * np.log(clipped) + (1 - y) * np.log(1 - clipped)))
