"""Baselines: the simple models a learned one has to beat, fitted and judged on the same rows."""

import numpy as np
import polars as pl
from sklearn.linear_model import LogisticRegression

from features.definition.columns import occasions
from features.definition.schema import Definition
from features.expressions.program import columns_of
from features.snapshot import WEIGHT
from features.time import DAY, span_name
from segments.lead_score import Leads
from serving.model.bg_nbd import BgNbd, read_columns, repeats
from serving.model.numbers import Floats
from training.baselines.bg_nbd import fit_bg_nbd
from training.dataset.dataset import Dataset

#: BG/NBD needs people who came back: at least this share of those who did it once
REPEATING = 0.1
#: and at least so many of those who did it
FEWEST_CUSTOMERS = 100


def baselines(data: Dataset, definition: Definition, states: dict[str, pl.Series]) -> dict[str, Floats]:
    """Fit the baselines on the ``learn`` slice and score the ``test`` slice.

    Args:
        data: the data set.
        definition: which signal is asked about and which is the sign of life.
        states: the rule state of each row of the two slices.

    Returns:
        Probabilities of ``frequency`` (active days of the sign of life and of the signal asked about), ``state`` (the
        base rate of each rule state), and lead scores about the outcome. Regressions on recency and on RFM, and
        BG/NBD, are kinds of models themselves (`evaluation.simplest`).
    """
    fit, test = data.part("learn"), data.part("test")
    names = rfm_columns(definition, data.outcome)
    found = {
        "frequency": _logistic(fit, test, [n for n in names if "_active_days_" in n]),
        "state": _rates(fit, states["learn"], states["test"]),
    }
    for name, lead in definition.leads.items():
        if lead.outcome == data.outcome:
            pointed = (_pointed(part, definition, states[key]) for key, part in (("learn", fit), ("test", test)))
            found[f"lead {name}"] = _logistic(next(pointed), next(pointed), [f"{name}_points"])
    return found


def _pointed(rows: pl.DataFrame, definition: Definition, states: pl.Series) -> pl.DataFrame:
    """Rows with the points of lead scores."""
    leads = Leads(definition.leads)
    named = rows.with_columns(states.alias("state"))
    found = leads.of(columns_of(named, leads.columns), len(named))
    points = {name: value for name, value in found.items() if isinstance(value, np.ndarray)}
    return named.with_columns(pl.Series(name, value) for name, value in points.items())


def rfm_columns(definition: Definition, outcome: str) -> list[str]:
    """Recency, tenure, frequency and value: of the sign of life and of the signal asked about."""
    signals = list(dict.fromkeys([definition.activity, definition.outcomes[outcome].signal]))
    windows = [span_name(w) for w in definition.windows if w >= DAY]
    names = [*(f"days_since_{s}" for s in signals), "tenure_days", *(f"{s}_active_days_{windows[-1]}" for s in signals)]
    names += [f"{s}_count_{windows[len(windows) // 2]}" for s in signals]
    return names + [f"{s}_value_{windows[-1]}" for s, rule in definition.signals.items() if rule.value]


def regression_columns(rows: pl.DataFrame, names: list[str]) -> Floats:
    """Columns as ``sign(x) log(1 + |x|)``, 0 where missing, then flags of what is missing."""
    values = rows.select(names).to_numpy().astype(np.float64)
    missing = np.isnan(values)
    return np.hstack([np.where(missing, 0.0, np.sign(values) * np.log1p(np.abs(values))), missing.astype(np.float64)])


def standardised(fit: pl.DataFrame, test: pl.DataFrame, names: list[str]) -> tuple[Floats, Floats]:
    """The `regression_columns` of both slices, by mean and spread of the first."""
    X, other = (regression_columns(rows, names) for rows in (fit, test))
    center, scale = X.mean(axis=0), X.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    return (X - center) / scale, (other - center) / scale


def _logistic(fit: pl.DataFrame, test: pl.DataFrame, names: list[str]) -> Floats:
    X, other = standardised(fit, test, names)
    model = LogisticRegression(C=1.0, max_iter=300)
    model.fit(X, fit["label"].to_numpy(), sample_weight=fit[WEIGHT].to_numpy())
    return np.asarray(model.predict_proba(other)[:, 1])


def _rates(rows: pl.DataFrame, fit: pl.Series, test: pl.Series) -> Floats:
    weighted = (pl.col("label") * pl.col(WEIGHT)).sum() / pl.col(WEIGHT).sum()
    known = rows.with_columns(fit.alias("state")).group_by("state").agg(weighted.alias("rate"))
    joined = pl.DataFrame({"state": test}).join(known, on="state", how="left", maintain_order="left")
    return joined["rate"].fill_null(rows.select(weighted).item()).to_numpy()


def bg_nbd_of(fit: pl.DataFrame, signal: str) -> BgNbd | None:
    """BG/NBD of a signal on the days with it; None where too few did it twice."""
    newest = newest_buyers(fit, signal)
    customers = repeats_of(newest, signal)
    if not is_repeated(customers[0]):
        return None
    return fit_bg_nbd(*customers, newest[WEIGHT].to_numpy())


def is_repeated(x: Floats) -> bool:
    """Whether enough customers have bought, and bought again, to learn from their repeat purchases ``x``."""
    return len(x) >= FEWEST_CUSTOMERS and float((x >= 1).mean()) >= REPEATING


def newest_buyers(fit: pl.DataFrame, signal: str) -> pl.DataFrame:
    """A row a user, the newest, of who did it: the same customer at two cutoffs is not two customers."""
    newest = fit.sort("cutoff").group_by("user", maintain_order=True).last()
    return newest.filter(pl.col(occasions(signal, fit.columns).days) >= 1)


def repeats_of(rows: pl.DataFrame, signal: str) -> tuple[Floats, Floats, Floats]:
    """The `repeats` of customers: repeat purchases, the age at the last of them, and the age, in days."""
    times, first, last = (rows[name].to_numpy() for name in read_columns(signal, rows.columns))
    return repeats(times, first, last)
