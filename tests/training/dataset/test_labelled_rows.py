"""Labelled rows that are drawn: the same ones however the users are divided, and they stand for all."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.definition.sections.learning import Training
from features.events.write import gather_here
from training.dataset.labelled_rows import LabelledRows, kept_rows
from training.dataset.split import Split, split

START, WEEKS, USERS = datetime(2025, 1, 6, tzinfo=UTC), 12, 900
CUTOFFS = np.array([int((START + timedelta(weeks=w)).timestamp()) * 1_000_000 for w in range(WEEKS)])


def lay(folder: Path, parts: int) -> Path:
    """Rows of all users at all cutoffs, in so many parts; labels are 0, 1 and not known."""
    cutoffs = pl.Series("cutoff", CUTOFFS).cast(pl.Datetime("us", "UTC"))
    rows = pl.DataFrame({"user": [f"u{i}" for i in range(USERS)]}).join(cutoffs.to_frame(), how="cross")
    label = pl.Series([None, 0, 1, 0, 0, 1, 0] * (len(rows) // 7 + 1), dtype=pl.Int8).head(len(rows))
    weight, date = (rows["cutoff"].dt.week() % 3 + 1).cast(pl.Float64), rows["cutoff"].dt.date()
    rows = rows.with_columns(
        label.alias("label_churn"), weight=weight, part=rows["user"].hash(1) % parts, date=rows["cutoff"].dt.date()
    )
    for (part, date), some in rows.partition_by("part", "date", as_dict=True).items():
        place = folder / f"date={date}"
        place.mkdir(parents=True, exist_ok=True)
        some.drop("part", "date").write_parquet(place / f"part-{part:016x}-000.parquet")
    return folder


def of(folder: Path, **limits: object) -> LabelledRows:
    return LabelledRows(folder, "churn", Training.model_validate(limits), gather_here)


def drawn(rows: LabelledRows, parts: Split) -> pl.DataFrame:
    return rows.drawn(parts, dict(rows.by_slice(parts).select("slice", "spread").iter_rows()))


@pytest.mark.parametrize("limits", [{}, {"max_rows": 1_500}, {"max_rows": 1_500, "max_rows_per_user": 2}])
def test_the_same_rows_are_drawn_however_users_are_divided(tmp_path: Path, limits: dict[str, int]) -> None:
    parts = split(CUTOFFS, int(np.diff(CUTOFFS)[0]) * 2)
    one, many = (drawn(of(lay(tmp_path / str(n), n), **limits), parts) for n in (1, 23))
    assert one.equals(many)
    assert one.select("user", "cutoff").is_unique().all()
    assert one["label"].null_count() == 0
    other = drawn(of(tmp_path / "1", **limits, seed=7), parts)
    assert one.select("user", "cutoff").equals(other.select("user", "cutoff")) == (not limits)


def test_rows_that_are_drawn_stand_for_all_and_enough_of_them_judge(tmp_path: Path) -> None:
    parts = split(CUTOFFS, int(np.diff(CUTOFFS)[0]) * 2)
    lay(tmp_path, 5)
    everyone, some = drawn(of(tmp_path), parts), drawn(of(tmp_path, max_rows=1_500), parts)
    assert 1_497 <= len(some) <= 1_500, "a row a slice fewer, by rounding"
    rows = dict(some.group_by("slice").len().iter_rows())
    assert rows["test"] == 375, "a quarter judges"
    for name in ("learn", "between", "test"):
        known, sample = everyone.filter(slice=name), some.filter(slice=name)
        stands = sample["weight"].sum()
        assert abs(stands / known["weight"].sum() - 1) < 0.05
        rates = [(part["weight"] * part["label"]).sum() / part["weight"].sum() for part in (known, sample)]
        assert abs(rates[0] - rates[1]) < 0.08
        spread = sample.group_by("cutoff").len()["len"]
        assert spread.min() > spread.max() / 2, "no cutoff is preferred"


def test_of_a_users_rows_a_few_stand_for_all(tmp_path: Path) -> None:
    parts = split(CUTOFFS, int(np.diff(CUTOFFS)[0]) * 2)
    lay(tmp_path, 5)
    everyone, some = (drawn(of(tmp_path, **limits), parts) for limits in ({}, {"max_rows_per_user": 4}))
    learnt = pl.col("slice") == "learn"
    assert some.filter(learnt).group_by("user").len()["len"].max() == 4
    assert some.filter(slice="test").equals(everyone.filter(slice="test"))
    stands = [part.filter(learnt)["weight"].sum() for part in (everyone, some)]
    assert abs(stands[1] / stands[0] - 1) < 0.05


def test_rows_and_answers_are_counted(tmp_path: Path) -> None:
    rows = of(lay(tmp_path, 5))
    known = drawn(rows, split(CUTOFFS, 0))
    expected = known.group_by("cutoff").agg(
        pl.len().cast(pl.Int64).alias("rows"), pl.col("label").cast(pl.Int64).sum().alias("happened")
    )
    assert rows.by_cutoff().select("cutoff", "rows", "happened").equals(expected.sort("cutoff"))
    through = LabelledRows(tmp_path, "churn", Training(), gather_here, int(CUTOFFS[5]))
    assert len(through.by_cutoff()) == 6


def test_how_many_rows_of_a_slice_are_kept() -> None:
    sizes = {"learn": 9_000, "between": 500, "test": 500}
    assert kept_rows(sizes, 1_000) == {"learn": 710, "between": 39, "test": 250}
    assert kept_rows(sizes, 10_000) == sizes
