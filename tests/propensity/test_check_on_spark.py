"""`propensity check` on Spark says what it says on one machine, of whole logs and of broken ones."""

import json
from pathlib import Path

import polars as pl
import pytest

from features.definition import Definition
from features.errors import EventLogError
from features.open_log import open_looked_at
from features.settings import Settings
from features.system.progress import unseen
from propensity.preview.page import preview
from tests.features.event_store.logs import definition_in, put, random_rows
from tests.features.spark.conftest import spark_settings
from tests.features.spark.needed import ON_SPARK, need_spark
from tests.features.spark.test_people import merging
from tests.worlds import with_signal

need_spark()

pytestmark = ON_SPARK

__all__ = ["spark_settings"]


def found_by(definition: Definition, settings: Settings) -> dict[str, object]:
    store, look = open_looked_at(definition, settings, ends=None, steps=unseen)
    content = preview(store, look, unseen).content
    left = content["left_out"]
    assert isinstance(left, dict)
    for some in left.values():
        assert 0 < len(some) <= 3
    unread = content["unreadable"]
    assert isinstance(unread, dict)
    numbers = {name: (one["rows"], one["of"]) for name, one in unread.items()}
    # which rows are shown as examples, an engine chooses
    warnings = [text.partition(" cannot be read")[0] for text in content["warnings"]]  # type: ignore[attr-defined]
    warnings = [text.partition(" have a word for nobody")[0] for text in warnings]
    plain = content | {"left_out": sorted(left), "unreadable": numbers, "warnings": warnings}
    return dict(json.loads(json.dumps(plain)))


def both(definition: Definition, folder: Path, on_spark: Settings) -> tuple[dict[str, object], dict[str, object]]:
    home = on_spark.model_copy(update={"home": folder / "spark"})
    return found_by(definition, home), found_by(definition, Settings(home=folder / "local"))


def test_people_of_several_ids(tmp_path: Path, spark_settings: Settings) -> None:
    found, expected = both(merging(tmp_path), tmp_path, spark_settings)
    assert found == expected
    assert found["people"]


def test_a_log_with_much_to_say(tmp_path: Path, spark_settings: Settings) -> None:
    """Rows that are left out for every reason, currencies, a second id, words for nobody, late and early rows."""
    rows = random_rows(3_000, users=60).with_columns(
        device_id=pl.lit("d") + pl.col("user_id"),
        currency=pl.Series(["EUR", "usd", " GBP"] * 1_000),
        plan=pl.Series(["7", "8", "09"] * 1_000),
        revenue=pl.when(pl.col("event") == "purchase").then(pl.col("revenue") + 1).otherwise(0.0),
    )
    many = pl.int_range(pl.len()) % 97
    user = pl.when(many == 0).then(None).when(many == 1).then(pl.lit("undefined")).otherwise(pl.col("user_id"))
    early = pl.when(many == 3).then(pl.datetime(1980, 1, 1, time_unit="us", time_zone="UTC"))
    rows = rows.with_columns(
        user_id=user,
        event=pl.when(many == 2).then(pl.lit("Visit")).otherwise(pl.col("event")),
        event_time=early.when(many == 4).then(pl.datetime(2025, 7, 1, time_unit="us", time_zone="UTC"))
        .otherwise(pl.col("event_time")),
    )  # fmt: skip
    put(tmp_path, "a", rows)
    put(tmp_path, "b", rows.head(20))
    signals = with_signal("purchase") | {
        "upper": {"where": "TRY_CAST(plan AS INTEGER) = 7"}, "silent": {"where": "event = 'visits'"}
    }  # fmt: skip
    definition = definition_in(tmp_path, signals=signals, timezone="Europe/Berlin")
    columns = definition.events.model_copy(
        update={"exclude": [type(definition.signals["visit"].where)("user_id = 'u007'")]}
    )
    definition = definition.model_copy(update={"events": columns})
    found, expected = both(definition, tmp_path, spark_settings)
    assert found == expected
    assert len(found["left_out"]) >= 4  # type: ignore[arg-type]
    assert len(found["warnings"]) >= 4  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["times", "casts", "users", "rounded"])
def test_what_cannot_be_read_is_refused_with_the_same_numbers(
    tmp_path: Path, spark_settings: Settings, kind: str
) -> None:
    rows = random_rows(200, users=20).with_columns(event_time=pl.col("event_time").dt.strftime("%Y-%m-%d %H:%M:%S"))
    rows = rows.with_columns(arrived_at=pl.col("event_time"), plan=pl.Series(["7", "x"] * 100))
    signals = with_signal("purchase")
    if kind == "times":
        rows = rows.with_columns(
            event_time=pl.when(pl.int_range(200) % 3 == 0).then(pl.lit("gestern")).otherwise("event_time")
        )
    elif kind == "casts":
        signals |= {"seven": {"where": "CAST(plan AS INTEGER) = 7"}}
    elif kind == "users":
        rows = rows.with_columns(user_id=pl.when(pl.int_range(200) % 3 == 0).then(pl.lit("null")).otherwise("user_id"))
    else:
        rows = rows.with_columns(user_id=pl.int_range(200).cast(pl.Float64) + 2.0**53)
    put(tmp_path, "a", rows)
    definition = definition_in(tmp_path, signals=signals)
    errors = []
    for settings in (spark_settings.model_copy(update={"home": tmp_path / "spark"}), Settings(home=tmp_path / "local")):
        with pytest.raises(EventLogError) as raised:
            open_looked_at(definition, settings, ends=None, steps=unseen)
        errors.append((raised.value.code, str(raised.value).partition(": ")[0]))
    assert errors[0] == errors[1]
    assert errors[0][0] == "unreadable"
