"""Floors: the simple models a learned one has to beat, fitted and judged on the same rows."""

import numpy as np
import polars as pl
from sklearn.linear_model import LogisticRegression

from features.definition.schema import Definition
from features.time import DAY, span_name
from serving.model import Floats
from training.dataset import Dataset


def floors(data: Dataset, definition: Definition, states: dict[str, pl.Series]) -> dict[str, Floats]:
    """Fit the floors on the ``fit`` slice and score the ``test`` slice.

    Args:
        data: the data set.
        definition: which signal is asked about and which is the sign of life.
        states: the rule state of each row of the two slices.

    Returns:
        Probabilities of ``recency`` (days since activity and since the signal asked about), ``rfm`` (a logistic
        regression on recency, frequency, value and tenure) and ``state`` (the base rate of each rule state).
    """
    fit, test = data.part("fit"), data.part("test")
    labels = fit["label"].to_numpy()
    signals = list(dict.fromkeys([definition.activity, definition.outcomes[data.outcome].signal]))
    recency = [f"days_since_{s}" for s in signals]
    windows = [span_name(w) for w in definition.windows if w >= DAY]
    rfm = [*recency, "tenure_days"]
    for s in signals:
        rfm += [f"{s}_active_days_{windows[-1]}", f"{s}_count_{windows[len(windows) // 2]}"]
    rfm += [f"{s}_value_{windows[-1]}" for s, rule in definition.signals.items() if rule.value]
    return {
        "recency": _logistic(fit, test, labels, recency),
        "rfm": _logistic(fit, test, labels, rfm),
        "state": _rates(states["fit"], states["test"], labels),
    }


def _logistic(fit: pl.DataFrame, test: pl.DataFrame, labels: Floats, names: list[str]) -> Floats:
    def columns(rows: pl.DataFrame) -> Floats:
        values = rows.select(names).to_numpy().astype(np.float64)
        missing = np.isnan(values)
        return np.hstack(
            [np.where(missing, 0.0, np.sign(values) * np.log1p(np.abs(values))), missing.astype(np.float64)]
        )

    X = columns(fit)
    center, scale = X.mean(axis=0), X.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    model = LogisticRegression(C=1.0, max_iter=300).fit((X - center) / scale, labels)
    return np.asarray(model.predict_proba((columns(test) - center) / scale)[:, 1])


def _rates(fit: pl.Series, test: pl.Series, labels: Floats) -> Floats:
    known = pl.DataFrame({"state": fit, "label": labels}).group_by("state").agg(pl.col("label").mean().alias("rate"))
    joined = pl.DataFrame({"state": test}).join(known, on="state", how="left", maintain_order="left")
    return joined["rate"].fill_null(float(np.mean(labels))).to_numpy()
