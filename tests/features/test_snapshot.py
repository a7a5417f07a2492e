"""Snapshots: any cutoffs, any population, and samples whose weights say what they stand for."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.events.draws import draw
from features.events.log import InMemory
from features.events.write import part_files
from features.rows import INSTANT
from features.snapshot import write_snapshots
from features.time import DAY, HOUR, schedule, to_instant
from tests.features.feature_store.logs import CUTOFF, START, random_log
from tests.worlds import definition_of, events_of

LOG = random_log(7, users=400, events=6_000)
CUTOFFS = schedule(newest=CUTOFF, stride=3 * DAY, count=9, spread=True)


def written(folder: Path, **changes: object) -> pl.DataFrame:
    definition = definition_of(**changes)
    write_snapshots(InMemory(events_of(definition, LOG)), CUTOFFS, definition, folder)
    return pl.read_parquet(part_files(folder), hive_partitioning=False).sort("cutoff", "user")


def test_files_lie_by_the_date_of_their_cutoff(tmp_path: Path) -> None:
    rows = written(tmp_path / "s")
    assert len({c // HOUR % 24 for c in CUTOFFS.tolist()}) > 5, "cutoffs are spread over the day"
    for file in part_files(tmp_path / "s"):
        dates = pl.read_parquet(file, hive_partitioning=False)["cutoff"].dt.to_string("%Y-%m-%d").unique().to_list()
        assert [file.parent.name] == [f"date={date}" for date in dates]
    assert sorted(to_instant(c) for c in rows["cutoff"].unique()) == CUTOFFS.tolist()
    assert set(rows["weight"]) == {1.0}


def test_a_share_of_each_cutoff_is_kept_and_weighs_what_it_stands_for(tmp_path: Path) -> None:
    whole = written(tmp_path / "whole").group_by("cutoff").len("rows").sort("cutoff")
    some = written(tmp_path / "some", snapshots={"keep": 0.25, "min_rows": 0})
    assert set(some["weight"]) == {4.0}
    per = some.group_by("cutoff").agg(pl.col("weight").sum()).sort("cutoff")
    assert np.allclose(per["weight"] / whole["rows"], 1.0, atol=0.35)
    assert some["weight"].sum() == pytest.approx(whole["rows"].sum(), rel=0.1)
    assert written(tmp_path / "again", snapshots={"keep": 0.25, "min_rows": 0}).equals(some), "drawn alike each time"
    known = written(tmp_path / "whole").join(some.select("user", "cutoff"), on=["user", "cutoff"], how="semi")
    assert known.drop("weight").equals(some.drop("weight"))


def test_so_many_rows_are_kept_where_there_are_as_many(tmp_path: Path) -> None:
    whole = written(tmp_path / "whole").group_by("cutoff").len("all").sort("cutoff")
    some = written(tmp_path / "some", snapshots={"keep": 0.01, "min_rows": 100})
    per = some.group_by("cutoff").agg(pl.len().alias("rows"), pl.col("weight").first()).sort("cutoff")
    assert np.allclose(per["weight"], whole["all"] / 100)
    assert per["rows"].to_numpy().min() > 70
    everybody = written(tmp_path / "more", snapshots={"keep": 0.01, "min_rows": 100_000})
    assert len(everybody) == whole["all"].sum()
    assert set(everybody["weight"]) == {1.0}


def test_draws_are_even_and_their_own_for_each_cutoff() -> None:
    users = pl.Series([f"u{i}" for i in range(20_000)])
    one, other = (draw(users, np.full(20_000, START + day * DAY)) for day in (1, 2))
    assert np.histogram(one, 10, (0, 1))[0] == pytest.approx(2_000, rel=0.1)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.03


def test_a_population_may_ask_for_a_trait_as_known_then(tmp_path: Path) -> None:
    known = pl.Series([CUTOFFS[0] - DAY, CUTOFFS[4] + 1]).cast(INSTANT)
    pl.DataFrame({"who": ["u1", "u2"], "since": known, "plan": ["plus", "plus"]}).write_parquet(
        tmp_path / "traits.parquet"
    )
    traits = {
        "path": str(tmp_path / "traits.parquet"),
        "columns": {"user": "who", "known": "since"},
        "fields": ["plan"],
    }
    outcomes = {"churn": {"will_not": "visit", "within": "14d", "among": "plan = 'plus'"}}
    rows = written(tmp_path / "s", traits=traits, outcomes=outcomes)
    assert set(rows["user"]) == {"u1", "u2"}
    assert rows.filter(user="u2")["cutoff"].min() == rows["cutoff"].unique().sort()[5], "not before it was known"
    assert "plan" not in rows.columns
