"""Spark says what the local engine says: the same kernel, other machines."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.definition import Definition
from features.definition.sections.families import Family
from features.errors import EventLogError
from features.event_store.store import EventStore
from features.reading.source import EventLog
from features.settings import Settings
from features.snapshot import write_snapshots
from tests.features.event_store.logs import definition_in, put, random_rows
from tests.features.spark.needed import ON_SPARK, need_spark
from tests.features.spark.rows import CUTOFFS, assert_same_rows, rows_in
from tests.worlds import with_signal
from training.dataset.attach_labels import Labels

need_spark()

from features.spark.log import SparkLog  # noqa: E402 - only where Spark is

pytestmark = ON_SPARK


def skewed(folder: Path) -> Definition:
    """One user with most of the events, thirty with few, fewer users than it takes to fill all partitions evenly."""
    put(folder, "a", random_rows(600, users=30))
    busy = random_rows(60_000, users=1, seed=2).with_columns(user_id=pl.lit("busy"))
    again = random_rows(600, users=30).head(50)
    broken = random_rows(40, seed=3).with_columns(
        user_id=pl.when(pl.int_range(40) < 20).then(pl.lit(" ")).otherwise(pl.lit(None, pl.String))
    )
    put(folder, "b", pl.concat([busy, again, broken]))
    more = {"prices": "revenue", "ids": "event_id", "whole": "floor(revenue)", "dear": "revenue > 20"}
    return definition_in(
        folder,
        timezone="America/New_York",  # where a day of the log has 23 hours
        features={"families": list(Family), "absence": "2d"},
        signals=with_signal("purchase", distinct=more, more_values={"margin": "revenue / 4"}),
    )


def test_snapshots_are_those_of_the_local_engine(
    tmp_path: Path, spark_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    definition, local = skewed(tmp_path), Settings(home=tmp_path / "var")
    store = EventStore.open(EventLog(definition), local)
    spark = SparkLog.open(definition, spark_settings)
    assert (spark.ends, spark.first) == (store.ends, store.first)
    assert spark.store.counts["no user"] == store.counts["no user"] == 40
    for log, name in ((store, "local"), (spark, "spark")):
        write_snapshots(log, CUTOFFS, definition, tmp_path / name, more=Labels(definition))
    found, expected = rows_in(tmp_path / "spark"), rows_in(tmp_path / "local")
    assert expected["user"].n_unique() == 31
    assert_same_rows(found, expected, definition)
    assert found["label_churn"].equals(expected["label_churn"])
    assert {p.name for p in (tmp_path / "spark").glob("date=*")} == {
        p.name for p in (tmp_path / "local").glob("date=*")
    }


def test_refunds_are_those_of_the_local_engine(tmp_path: Path, spark_settings: Settings) -> None:
    """Values below 0, under the purchase's own name or another; some are no numbers."""
    amounts = pl.Series("revenue", [9.5, -4.0, None, float("nan"), 30.0, -30.0, 0.0] * 200)
    put(tmp_path, "a", random_rows(1_400, users=30).with_columns(amounts))
    signals = with_signal("purchase", refund="event = 'push'", order="revenue")
    signals |= {"dear": {"where": "abs(revenue) >= 9", "value": "revenue * 2"}}
    outcomes = {"spend": {"sum_of": "purchase", "within": "3d", "among": "tenure_days >= 0"}}
    definition = definition_in(tmp_path, signals=signals, outcomes=outcomes, features={"families": list(Family)})
    local, spark = EventLog(definition).read(), SparkLog.open(definition, spark_settings)
    assert (local.mask >= 1 << 60).sum() > 100
    for log, name in ((EventStore.open(EventLog(definition), Settings(home=tmp_path / "var")), "local"),
                      (spark, "spark")):  # fmt: skip
        write_snapshots(log, CUTOFFS, definition, tmp_path / name, more=Labels(definition))
    found, expected = rows_in(tmp_path / "spark"), rows_in(tmp_path / "local")
    assert_same_rows(found, expected, definition)
    assert np.allclose(found["label_spend"].to_numpy(), expected["label_spend"].to_numpy(), equal_nan=True)
    assert spark.store.counts["no signal"] == local.counts["no signal"]


def test_who_was_erased_stays_out_on_spark_too(tmp_path: Path, spark_settings: Settings) -> None:
    definition = skewed(tmp_path)
    ends = definition.events.ends
    assert ends is not None
    without_zone = definition.events.model_copy(update={"ends": ends.replace(tzinfo=None)})
    definition = definition.model_copy(update={"events": without_zone, "name": "erased"})
    EventStore.open(EventLog(definition), spark_settings).erase(["u004"])
    write_snapshots(SparkLog.open(definition, spark_settings), CUTOFFS, definition, tmp_path / "spark")
    users = set(rows_in(tmp_path / "spark")["user"])
    assert "u003" in users
    assert "u004" not in users


@pytest.mark.parametrize("arrivals", [True, False])
def test_an_id_of_two_users_counts_once_on_spark_too(tmp_path: Path, spark_settings: Settings, arrivals: bool) -> None:
    """A retry is the first one's, a correction counts if it is of the same user."""
    first = random_rows(300, users=9).with_columns(pl.col("arrived_at") + timedelta(days=2))
    retried = first.head(60).with_columns(user_id=pl.lit("anon"), arrived_at=pl.col("arrived_at") + timedelta(hours=5))
    corrected = first.slice(60, 60).with_columns(
        user_id=pl.lit("other"), event=pl.lit("visit"), event_time=pl.col("event_time") + timedelta(hours=1),
        arrived_at=pl.col("arrived_at") + timedelta(hours=3),
    )  # fmt: skip
    own = corrected.head(0).vstack(
        first.slice(90, 60).with_columns(event=pl.lit("visit"), arrived_at=pl.col("arrived_at") + timedelta(hours=4))
    )
    put(tmp_path, "b", pl.concat([retried, corrected, own]).select(first.columns))
    put(tmp_path, "a", first)
    definition = definition_in(tmp_path)
    if not arrivals:
        columns = definition.events.columns.model_copy(update={"arrived": None})
        events = definition.events.model_copy(update={"columns": columns})
        definition = definition.model_copy(update={"events": events})
    for log, name in ((EventStore.open(EventLog(definition), Settings(home=tmp_path / "var")), "local"),
                      (SparkLog.open(definition, spark_settings), "spark")):  # fmt: skip
        write_snapshots(log, CUTOFFS, definition, tmp_path / name)
    found, expected = rows_in(tmp_path / "spark"), rows_in(tmp_path / "local")
    assert set(expected["user"]) > {"other"}
    assert_same_rows(found, expected, definition)


def test_most_partitions_may_be_empty(tmp_path: Path, spark_settings: Settings) -> None:
    put(tmp_path, "a", random_rows(300, users=1))
    definition = definition_in(tmp_path)
    write_snapshots(SparkLog.open(definition, spark_settings), CUTOFFS, definition, tmp_path / "spark")
    store = EventStore.open(EventLog(definition), Settings(home=tmp_path / "var"))
    write_snapshots(store, CUTOFFS, definition, tmp_path / "local")
    assert_same_rows(rows_in(tmp_path / "spark"), rows_in(tmp_path / "local"), definition)


def test_a_log_that_is_not_as_declared(tmp_path: Path, spark_settings: Settings) -> None:
    put(tmp_path, "a", random_rows(10).drop("event"))
    with pytest.raises(EventLogError, match=r"events.columns.event is .event., which the log does not have"):
        SparkLog.open(definition_in(tmp_path), spark_settings)


ODD = [" u1\t", "\u2003a/b\u3000", "\x1cz", "", " \n", "nul\x00x", "x" * 256, "x" * 257, "e\u0301", "\u00e9", None]
FLOATS = [42.0, -0.0, 1e7, 12_345_678.0, 2.5, None]


def test_columns_may_be_computed_of_others_on_spark_too(tmp_path: Path, spark_settings: Settings) -> None:
    rules = definition_in(tmp_path)
    put(tmp_path, "a", random_rows(300).with_columns(known=pl.lit(None, dtype=pl.String)))
    columns = rules.events.columns.model_copy(update={"user": "COALESCE(known, user_id)"})
    computed = rules.model_copy(update={"events": rules.events.model_copy(update={"columns": columns})})
    computed._source = rules._source
    plain = SparkLog.open(rules, spark_settings)
    # as Feast has it, which uses the same session
    plain.session.conf.set("spark.sql.parser.quotedRegexColumnNames", "true")
    on_spark = SparkLog.open(computed, spark_settings)
    assert on_spark.columns["COALESCE(known, user_id)"] == "VARCHAR"
    write_snapshots(on_spark, CUTOFFS, computed, tmp_path / "computed")
    write_snapshots(plain, CUTOFFS, rules, tmp_path / "plain")
    assert_same_rows(rows_in(tmp_path / "computed"), rows_in(tmp_path / "plain"), rules)


@pytest.mark.parametrize("ids", [ODD, FLOATS], ids=["text", "floats"])
def test_user_ids_are_those_of_the_local_engine(ids: list[object], tmp_path: Path, spark_settings: Settings) -> None:
    rows = random_rows(66, users=3)
    put(tmp_path, "a", rows.with_columns(pl.Series("user_id", ids * (66 // len(ids)))))
    definition = definition_in(tmp_path)
    local, spark = EventLog(definition).read(), SparkLog.open(definition, spark_settings)
    assert set(spark.store.read().users) == set(local.users)
    assert spark.store.counts["no user"] == local.counts["no user"] > 0


def test_amounts_of_several_currencies_are_those_of_the_local_engine(tmp_path: Path, spark_settings: Settings) -> None:
    codes = pl.Series("currency", ["EUR", "usd", " GBP", "USD "] * 150)
    put(tmp_path, "a", random_rows(600, users=30).with_columns(codes))
    rates = {"into": "EUR", "rates": {"USD": 0.92, "GBP": 1.17}}
    definition = definition_in(tmp_path, signals=with_signal("purchase", currency="currency"), currencies=rates)
    store = EventStore.open(EventLog(definition), Settings(home=tmp_path / "var"))
    for log, name in ((store, "local"), (SparkLog.open(definition, spark_settings), "spark")):
        write_snapshots(log, CUTOFFS, definition, tmp_path / name)
    assert_same_rows(rows_in(tmp_path / "spark"), rows_in(tmp_path / "local"), definition)


def test_amounts_without_a_rate_are_refused_on_spark_too(tmp_path: Path, spark_settings: Settings) -> None:
    codes = pl.Series("currency", ["EUR", "XYZ", None] * 200)
    put(tmp_path, "a", random_rows(600, users=30).with_columns(codes))
    definition = definition_in(
        tmp_path, signals=with_signal("purchase", currency="currency"), currencies={"into": "EUR"}
    )
    with pytest.raises(EventLogError, match=r"of currency in column 'currency' have no rate: .*'no currency'"):
        _ = SparkLog.open(definition, spark_settings).first
    with pytest.raises(EventLogError, match="have no rate"):
        EventStore.open(EventLog(definition), Settings(home=tmp_path / "var"))
