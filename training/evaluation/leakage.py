"""The audit of a training run: signs of a leak in the data set and the model; all are reported, some fail the run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.definition.sections.learning import Audit
from features.errors import RefusalError
from features.snapshot import WEIGHT
from serving.model.numbers import Floats
from training.dataset.base_rate import one_sided
from training.dataset.dataset import Dataset
from training.dataset.matrices import Matrices
from training.evaluation.metrics import Ranking, metrics
from training.fitting.trees import quick

Check = Literal["label_shuffle", "single_feature", "too_good", "label_days", "drift", "future", "base_rate", "treated"]

#: checks that never fail a run: the gate, or a reader, decides
REPORTED = ("drift", "base_rate", "treated")

#: the label-shuffle control is fitted on so many rows
SHUFFLE_ROWS = 10_000
#: a feature that separates like this in the label's days, and like that a horizon before, rises only then
RISES_TO, RISES_FROM = 0.85, 0.55
#: gaps whose standard deviation is at most this share of their mean are regular
REGULAR = 0.25


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        check: its name.
        alarm: whether it found something.
        fails: whether that fails the run.
        text: the same in words, with the numbers.
    """

    check: Check
    alarm: bool
    fails: bool
    text: str


def finding(check: Check, rules: Audit, text: str, *, alarm: bool) -> Finding:
    """Make a finding; an alarm fails the run unless it is only reported or the definition accepts the check."""
    return Finding(check, alarm, alarm and check not in REPORTED and check not in rules.accept, text)


def audit(data: Dataset, matrices: Matrices, definition: Definition, answers: Floats) -> list[Finding]:
    """Check a data set and the model's answers on its test slice; amounts as more or less than the middle one."""
    rules, one_answer = definition.audit, one_sided(data.previewed) if data.outcome in definition.likelihoods else None
    data = data.yes_or_no
    labels = data.part("test")["label"].to_numpy().astype(np.float64)
    ranking, ones = Ranking.of(answers), np.ones(len(labels))
    auc = metrics(ranking, labels, ones)["auc"] if ranking.can_tell(labels, ones) else 0.5
    separations = separation(data, definition)
    return [
        _too_good(auc, data, matrices, definition),
        _single_feature(separations, rules),
        _label_shuffle(data, matrices, rules, definition.training.seed),
        _label_days(data, definition),
        _drift(data, definition),
        finding("base_rate", rules, one_answer or "both answers are common enough", alarm=one_answer is not None),
    ]


def refuse(findings: list[Finding]) -> None:
    """Refuse a run that failed its audit.

    Raises:
        RefusalError: ``audit_failed``.
    """
    failing = [f for f in findings if f.fails]
    if failing:
        raise RefusalError(
            "audit_failed",
            found="; ".join(f"{f.check}: {f.text}" for f in failing),
            needed="an audit without alarms",
            fix="look at the report; remove the leak, or, if there is none, add "
            f"{', '.join(sorted({f.check for f in failing}))} to audit.accept",
        )


def separation(data: Dataset, definition: Definition) -> dict[str, float]:
    """AUC of every column alone on the test slice, turned so that it is at least one half."""
    test = data.part("test")
    features = feature_set(definition)
    names = [*features.numeric, *features.traits]
    found = _alone(_values(test, data.part("learn"), names), test["label"].to_numpy())
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _values(rows: pl.DataFrame, fit: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Columns as numbers: a trait's value becomes its base rate in the fitting slice."""
    columns: list[pl.Expr | pl.Series] = []
    for name in names:
        if rows[name].dtype.is_numeric():
            columns.append(pl.col(name))
            continue
        rates = fit.group_by(name).agg(pl.col("label").mean().alias("rate"))
        columns.append(rows.select(name).join(rates, on=name, how="left", maintain_order="left")["rate"].alias(name))
    return rows.select(columns)


def _alone(values: pl.DataFrame, labels: Floats) -> dict[str, float]:
    ranks = values.select(pl.all().fill_nan(None).fill_null(float("-inf")).rank("average")).to_numpy()
    positives = labels == 1
    n1, n0 = positives.sum(), (~positives).sum()
    if not n1 or not n0:
        return dict.fromkeys(values.columns, 0.5)
    area = (ranks[positives].sum(axis=0) - n1 * (n1 + 1) / 2) / (n1 * n0)
    return dict(zip(values.columns, np.maximum(area, 1 - area).tolist(), strict=True))


def _too_good(auc: float, data: Dataset, matrices: Matrices, definition: Definition) -> Finding:
    """A model that is better than models are, unless people act as regularly as a clock: renewals can be foreseen."""
    rules = definition.audit
    text = f"AUC {auc:.3f} on the test slice (alarm from {rules.too_good:g})"
    if auc >= rules.too_good:
        signal = definition.outcomes[data.outcome].signal
        spread, rhythm = _rhythm(signal, data, matrices, definition.training.seed)
        if spread <= REGULAR and rhythm >= rules.too_good - 0.02:
            text += f"; explained by a regular rhythm: gaps of {signal} vary by {spread:.0%} of their mean, and alone "
            return finding("too_good", rules, f"{text}have AUC {rhythm:.3f}", alarm=False)
    return finding("too_good", rules, text, alarm=auc >= rules.too_good)


def _rhythm(signal: str, data: Dataset, matrices: Matrices, seed: int) -> tuple[float, float]:
    """How much gaps of a signal vary, the median over users, and the AUC of a model that knows nothing else."""
    test = data.part("test")
    varies = (pl.col(f"{signal}_gap_std") / pl.col(f"{signal}_gap_mean")).fill_nan(None)
    spread = test.select(varies.median()).item()
    of_rhythm = (f"days_since_{signal}", f"{signal}_gap_", f"{signal}_overdue")
    columns = np.flatnonzero([name.startswith(of_rhythm) for name in matrices.names])
    learn, asked = (matrices.X[matrices.slices[part]][:, columns] for part in ("learn", "test"))
    p = quick(learn, data.part("learn")["label"].to_numpy().astype(np.float64), asked, seed=seed)
    labels = test["label"].to_numpy().astype(np.float64)
    return (1.0 if spread is None else float(spread)), metrics(Ranking.of(p), labels, np.ones(len(labels)))["auc"]


def _single_feature(separations: dict[str, float], rules: Audit) -> Finding:
    name, auc = next(iter(separations.items()))
    text = f"{name} alone has AUC {auc:.3f}, more than any other (alarm from {rules.too_good:g})"
    return finding("single_feature", rules, text, alarm=auc >= rules.too_good)


def _label_shuffle(data: Dataset, matrices: Matrices, rules: Audit, seed: int) -> Finding:
    """A model of shuffled labels must not tell the shuffled labels of rows it has not seen."""
    rng = np.random.default_rng([seed, 2])
    y = data.rows["label"].to_numpy().astype(np.float64)
    some = {name: rng.permutation(matrices.slices[name])[:SHUFFLE_ROWS] for name in ("learn", "test")}
    shuffled = {name: rng.permutation(y[rows]) for name, rows in some.items()}
    labels = shuffled["test"]
    if not 0 < labels.sum() < len(labels):
        return finding(
            "label_shuffle", rules, "all rows of the test have the same label: there is nothing to tell", alarm=False
        )
    p = quick(matrices.X[some["learn"]], shuffled["learn"], matrices.X[some["test"]], seed=seed)
    auc = metrics(Ranking.of(p), labels, np.ones(len(labels)))["auc"]
    n1, n0 = labels.sum(), len(labels) - labels.sum()
    allowed = 4 * float(np.sqrt((n1 + n0 + 1) / (12 * n1 * n0)))
    text = f"a model of shuffled labels has AUC {auc:.3f} on rows of the test (allowed: 0.5 ± {allowed:.3f})"
    return finding("label_shuffle", rules, text, alarm=abs(auc - 0.5) > allowed)


def _label_days(data: Dataset, definition: Definition) -> Finding:
    """Columns that tell the label at the cutoff, and did not a horizon before, of the same users."""
    horizon = definition.outcomes[data.outcome].within
    learn, names = data.part("learn"), [*feature_set(definition).numeric, *feature_set(definition).traits]
    then = data.rows.select("user", pl.col("cutoff").alias("known")).with_row_index("earlier").sort("known")
    before = (pl.col("cutoff") - pl.duration(microseconds=horizon)).alias("before")
    later = data.part("test").with_row_index("row")
    pairs = later.select("row", "user", "label", before).sort("before").join_asof(
        then, left_on="before", right_on="known", by="user", strategy="backward", check_sortedness=False
    ).drop_nulls("known")  # fmt: skip
    labels = pairs["label"].to_numpy()
    if not 0 < labels.sum() < len(labels):
        return finding("label_days", definition.audit, "no user has rows a horizon apart", alarm=False)
    now = later.join(pairs.select("row"), on="row", how="semi")
    at = _alone(_values(now, learn, names), now["label"].to_numpy())
    tell = [name for name, auc in at.items() if auc >= RISES_TO]  # how the others did earlier does not matter
    ago = _alone(_values(data.rows.select(tell)[pairs["earlier"]], learn, tell), labels) if tell else {}
    rising = sorted((n for n in tell if ago[n] <= RISES_FROM), key=lambda n: -at[n])
    text = "no column tells the label only in its days"
    if rising:
        examples = [f"{n} {at[n]:.2f}, {ago[n]:.2f} a horizon before" for n in rising[:3]]
        text = f"{len(rising)} columns tell the label only in its days (AUC): {'; '.join(examples)}"
    return finding("label_days", definition.audit, text, alarm=bool(rising))


def drifts(data: Dataset, definition: Definition) -> dict[str, float]:
    """Population stability index of columns between what is learnt from and the test, largest first.

    What moves because the log grows older (ages, totals so far) or the calendar goes on is left out.
    """
    fit, test = data.part("learn"), data.part("test")
    features = feature_set(definition)
    return stability(fit, test, [name for name in features.numeric if not follows_time(name)], features.traits)


def stability(
    before: pl.DataFrame, after: pl.DataFrame, numeric: Sequence[str], texts: Sequence[str] = ()
) -> dict[str, float]:
    """Population stability index of columns between two sets of rows, with ``weight``; largest first."""
    found = dict(_index(before, after, numeric, texts))
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def follows_time(name: str) -> bool:
    """Whether a column grows with the age of the log, or follows the calendar, whatever users do."""
    return name.startswith(("tenure_", "days_since_first_", "cutoff_")) or name.endswith("_total")


def _index(
    fit: pl.DataFrame, test: pl.DataFrame, numeric: Sequence[str], traits: Sequence[str]
) -> Iterator[tuple[str, float]]:
    for name in (*numeric, *traits):
        codes = _tenths(fit[name], test[name]) if name in numeric else _values_of(fit[name], test[name])
        size = 1 + max(int(part.max(initial=0)) for part in codes)
        shares = []
        for part, rows in zip(codes, (fit, test), strict=True):
            mass = np.bincount(part, rows[WEIGHT].to_numpy(), minlength=size)
            shares.append(np.maximum(mass / mass.sum(), 1e-4))
        yield name, float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))


def _tenths(fit: pl.Series, test: pl.Series) -> list[NDArray[np.int64]]:
    """Which tenth of the fitting slice a value lies in; what is missing is a class of its own."""
    known = fit.drop_nulls().to_numpy()
    edges = np.unique(np.quantile(known, np.linspace(0.1, 0.9, 9))) if known.size else np.zeros(0)
    filled = (part.fill_null(float("nan")).to_numpy() for part in (fit, test))
    return [np.where(np.isnan(v), len(edges) + 1, np.searchsorted(edges, v)) for v in filled]


def _values_of(fit: pl.Series, test: pl.Series) -> list[NDArray[np.int64]]:
    values = pl.concat([fit, test]).fill_null("").unique(maintain_order=True)
    codes = pl.Series(range(len(values)))
    return [part.fill_null("").replace_strict(values, codes, return_dtype=pl.Int64).to_numpy() for part in (fit, test)]


def _drift(data: Dataset, definition: Definition) -> Finding:
    limit = definition.audit.drift
    moved = [(name, index) for name, index in drifts(data, definition).items() if index >= limit]
    text = f"no column moved between fitting and test (stability index below {limit:g})"
    if moved:
        text = f"{len(moved)} columns moved between fitting and test: " + ", ".join(
            f"{n} {v:.2f}" for n, v in moved[:4]
        )
    return finding("drift", definition.audit, text, alarm=bool(moved))
