"""Spark says what the local engine says: the same kernel, other machines."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from features.definition import Definition
from features.definition.columns import feature_set
from features.definition.sections.families import Family
from features.errors import EventLogError
from features.event_store.store import EventStore
from features.events.compacted import NONE
from features.events.log import Log
from features.events.write import part_files, parts_of_users
from features.feature_store import OfflineFeatures, OnlineProfiles
from features.feature_store.objects import snapshots_path, traits_path
from features.reading.source import EventLog
from features.settings import Settings
from features.snapshot import write_snapshots
from features.time import DAY
from features.traits import write_traits
from segments.rfm_cuts import load_cuts
from serving.model.registry.loader import Loader
from serving.scoring.batch import score_all
from serving.scoring.feature_rows import online_rows
from serving.scoring.previous import field_of
from serving.scoring.scorer import Scorer
from serving.upkeep.materialize import materialize
from tests.conftest import World
from tests.features.event_store.logs import definition_in, put, random_rows
from tests.features.spark.rows import CUTOFFS, assert_same_rows, rows_in
from tests.worlds import with_signal
from training.dataset.attach_labels import Labels
from training.dataset.labelled_rows import LabelledRows
from training.dataset.split import split

pyspark = pytest.importorskip("pyspark", reason="the spark extra is not installed")
if shutil.which("java") is None:
    pytest.skip("Spark needs Java 17", allow_module_level=True)

from features.spark.log import SparkLog  # noqa: E402 - only where Spark is

# sockets that pyspark leaves to the garbage collector
pytestmark = [
    pytest.mark.long,
    pytest.mark.xdist_group("spark"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


START_OF_TRAITS = datetime(2025, 3, 1, tzinfo=UTC)


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
    spark = SparkLog(definition, spark_settings)
    assert (spark.ends, spark.first) == (store.ends, store.first)
    assert spark.counts["no user"] == store.counts["no user"] == 40
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
    local, spark = EventLog(definition).read(), SparkLog(definition, spark_settings)
    assert (local.mask >= 1 << 60).sum() > 100
    for log, name in ((EventStore.open(EventLog(definition), Settings(home=tmp_path / "var")), "local"),
                      (spark, "spark")):  # fmt: skip
        write_snapshots(log, CUTOFFS, definition, tmp_path / name, more=Labels(definition))
    found, expected = rows_in(tmp_path / "spark"), rows_in(tmp_path / "local")
    assert_same_rows(found, expected, definition)
    assert np.allclose(found["label_spend"].to_numpy(), expected["label_spend"].to_numpy(), equal_nan=True)
    assert spark.counts["no signal"] == local.counts["no signal"]


def test_who_was_erased_stays_out_on_spark_too(tmp_path: Path, spark_settings: Settings) -> None:
    definition = skewed(tmp_path)
    ends = definition.events.ends
    assert ends is not None
    without_zone = definition.events.model_copy(update={"ends": ends.replace(tzinfo=None)})
    definition = definition.model_copy(update={"events": without_zone, "name": "erased"})
    EventStore.open(EventLog(definition), spark_settings).erase(["u004"])
    write_snapshots(SparkLog(definition, spark_settings), CUTOFFS, definition, tmp_path / "spark")
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
                      (SparkLog(definition, spark_settings), "spark")):  # fmt: skip
        write_snapshots(log, CUTOFFS, definition, tmp_path / name)
    found, expected = rows_in(tmp_path / "spark"), rows_in(tmp_path / "local")
    assert set(expected["user"]) > {"other"}
    assert_same_rows(found, expected, definition)


def test_most_partitions_may_be_empty(tmp_path: Path, spark_settings: Settings) -> None:
    put(tmp_path, "a", random_rows(300, users=1))
    definition = definition_in(tmp_path)
    write_snapshots(SparkLog(definition, spark_settings), CUTOFFS, definition, tmp_path / "spark")
    store = EventStore.open(EventLog(definition), Settings(home=tmp_path / "var"))
    write_snapshots(store, CUTOFFS, definition, tmp_path / "local")
    assert_same_rows(rows_in(tmp_path / "spark"), rows_in(tmp_path / "local"), definition)


def test_a_log_that_is_not_as_declared(tmp_path: Path, spark_settings: Settings) -> None:
    put(tmp_path, "a", random_rows(10).drop("event"))
    with pytest.raises(EventLogError, match=r"events.columns.event is .event., which the log does not have"):
        SparkLog(definition_in(tmp_path), spark_settings)


@pytest.mark.parametrize("merging", [False, True])
def test_attributes_are_joined_by_executors_as_by_the_local_engine(
    tmp_path: Path, spark_settings: Settings, merging: bool
) -> None:
    """Known before a cutoff, at it and twice at once, of users without events, of merged ids, and erased."""
    put(tmp_path, "a", random_rows(4_000, users=90))
    rng = np.random.default_rng(8)
    known = [START_OF_TRAITS + timedelta(days=int(d)) for d in rng.integers(0, 20, 400)]
    known += [datetime.fromtimestamp(int(CUTOFFS[1]) / 1e6, UTC)] * 50
    users = [f"u{u:03d}" for u in rng.integers(0, 120, 450)]
    plans = [["free", "pro", None, "team"][i] for i in rng.integers(0, 4, 450)]
    table = pl.DataFrame({"user_id": users, "set_at": known, "plan": plans, "country": plans[::-1]})
    table.write_parquet(tmp_path / "traits.parquet")
    traits = {"path": str(tmp_path / "traits.parquet"), "columns": {"user": "user_id", "known": "set_at"},
              "fields": ["country", "plan"]}  # fmt: skip
    merges = [{"old": "u003", "new": "u004", "at": "2025-03-05"}, {"old": "u100", "new": "u005", "at": "2025-03-05"}]
    pl.DataFrame(merges).write_csv(tmp_path / "merges.csv")
    columns = {"alias": "old", "user": "new", "known": "at"}
    identities = {"identities": {"merges": {"path": str(tmp_path / "merges.csv"), "columns": columns}}}
    definition = definition_in(
        tmp_path, name="with-traits", traits=traits, snapshots={"keep": 0.6, "min_rows": 10},
        outcomes={"churn": {"will_not": "visit", "within": "3d", "among": "country = 'pro'"}},
        **(identities if merging else {}),
    )  # fmt: skip
    local = Settings(home=tmp_path / "var")
    EventStore.open(EventLog(definition), local).erase(["u009"])
    EventStore.open(EventLog(definition), spark_settings).erase(["u009"])
    found: list[list[pl.DataFrame]] = []
    for settings in (local, spark_settings):
        log: Log = (
            SparkLog(definition, settings)
            if settings.engine == "spark"
            else EventStore.open(EventLog(definition), settings)
        )
        folder = tmp_path / settings.engine
        write_snapshots(log, CUTOFFS, definition, folder / "snapshots", more=Labels(definition))
        batch = score_all(log, Scorer(definition, {}, None), log.ends, folder / "scores", population=folder / "all")
        materialize(log, definition, settings)
        read = OnlineProfiles(definition, settings).read_covered([f"u{u:03d}" for u in range(120)])
        stored = {user: (p.words, p.traits, p.visible_from) for user, p in read.profiles.items()}
        of_all = [pl.concat(map(pl.read_parquet, part_files(place))) for place in (batch.path, folder / "all")]
        found.append([rows_in(folder / "snapshots"), *(rows.sort("user_id") for rows in of_all)])
        found[-1].append(pl.DataFrame({"user": list(stored), "profile": list(map(repr, stored.values()))}).sort("user"))
        assert not (folder / "snapshots.beside").exists()
    for on_spark, expected in zip(found[1], found[0], strict=True):
        assert_frame_equal(on_spark, expected)
    assert found[0][0]["user"].n_unique() > 20
    assert found[0][2]["country"].n_unique() == 4
    assert "u009" not in found[0][0]["user"]


@pytest.mark.parametrize("limits", [{}, {"max_rows": 1_000, "max_rows_per_user": 3}])
def test_labels_are_drawn_by_executors_as_by_the_local_engine(
    tmp_path: Path, spark_settings: Settings, limits: dict[str, int]
) -> None:
    put(tmp_path, "a", random_rows(8_000, users=900))
    definition = definition_in(
        tmp_path,
        training=limits,
        outcomes={"churn": {"will_not": "visit", "within": "3d", "among": "tenure_days >= 0"}},
    )
    store = EventStore.open(EventLog(definition), Settings(home=tmp_path / "var"))
    cutoffs = np.unique(np.concatenate([CUTOFFS, CUTOFFS - 2 * DAY]))
    found = []
    for log, name in ((store, "local"), (SparkLog(definition, spark_settings), "spark")):
        write_snapshots(log, cutoffs, definition, tmp_path / name, more=Labels(definition))
        rows = LabelledRows(tmp_path / name, "churn", definition.training, log.gather)
        parts = split(cutoffs, 3 * DAY)
        sizes = dict(rows.by_slice(parts).select("slice", "spread").iter_rows())
        found.append((rows.by_cutoff(), rows.by_slice(parts), rows.drawn(parts, sizes)))
    assert len(parts_of_users(tmp_path / "spark")) > 1
    for spark, local in zip(found[1], found[0], strict=True):
        assert_frame_equal(spark, local, check_exact=True)
    assert len(found[0][2]) > 900


@pytest.fixture(scope="module")
def both(world: World, spark_settings: Settings) -> tuple[World, SparkLog, EventStore]:
    return (
        world,
        SparkLog(world.definition, spark_settings),
        EventStore.open(EventLog(world.definition), world.settings),
    )


def test_scores_are_those_of_the_local_engine(both: tuple[World, SparkLog, EventStore], tmp_path: Path) -> None:
    world, spark, store = both
    models = Loader(world.definition, world.settings).champions()
    scorer = Scorer(world.definition, models, load_cuts(world.definition, world.settings))
    cutoff = store.ends - 3 * DAY
    batches = [score_all(log, scorer, cutoff, tmp_path / name) for log, name in ((spark, "spark"), (store, "local"))]
    found, expected = (pl.read_parquet(part_files(batch.path)).sort("user_id") for batch in batches)
    assert len(found) > 2_000
    for name in ("states", "segments", "silent"):
        assert_frame_equal(getattr(batches[0], name), getattr(batches[1], name))
    assert batches[0].states["users"].sum() == len(found) * len(world.definition.outcomes)
    members = found["segments"].explode().drop_nulls().value_counts()
    assert dict(batches[0].segments.iter_rows()) == dict(members.iter_rows())
    answers = ("intent", "value", "as_of")
    assert found.drop(answers).equals(expected.drop(answers))
    for outcome, rule in world.definition.outcomes.items():
        left, right = (f.select(field_of(rule, outcome, "tier"), field_of(rule, outcome, rule.answer))
                       for f in (found, expected))  # fmt: skip
        assert left["tier"].equals(right["tier"])
        assert np.allclose(left[rule.answer].to_numpy(), right[rule.answer].to_numpy(), 1e-6, equal_nan=True)


def test_the_population_is_that_of_the_local_engine(both: tuple[World, SparkLog, EventStore], tmp_path: Path) -> None:
    world, spark, store = both
    scorer, cutoff = Scorer(world.definition, {}, load_cuts(world.definition, world.settings)), store.ends - 3 * DAY
    frames = []
    for log, name in ((spark, "spark"), (store, "local")):
        score_all(log, scorer, cutoff, tmp_path / name, population=tmp_path / f"{name}-population")
        [folder] = (tmp_path / f"{name}-population").iterdir()
        assert folder.name == "population-2026-02-26T000000Z"
        frames.append(pl.concat(map(pl.read_parquet, part_files(folder))).sort("user_id"))
    found, expected = frames
    assert len(found) > 2_000
    assert_frame_equal(found, expected, rel_tol=1e-6)


def test_feast_on_spark_retrieves_what_feast_on_duckdb_retrieves(
    both: tuple[World, SparkLog, EventStore], spark_settings: Settings
) -> None:
    world, spark, _ = both
    asked = pl.read_parquet(part_files(snapshots_path(world.settings.folder("demo-shop"))), columns=["user", "cutoff"])
    cutoffs = asked["cutoff"].unique().sort()[-2:].dt.epoch("us").to_numpy()
    folder = spark_settings.folder("demo-shop")
    write_snapshots(spark, cutoffs, world.definition, snapshots_path(folder))
    write_traits(world.definition, traits_path(folder), NONE)
    asked = asked.filter(pl.col("cutoff").dt.epoch("us").is_in(cutoffs)).sample(500, seed=1)
    found = OfflineFeatures(world.definition, spark_settings).rows("churn", asked)
    expected = OfflineFeatures(world.definition, world.settings).rows("churn", asked)
    assert_same_rows(found, expected, world.definition)
    traits = feature_set(world.definition).traits
    assert found.select(traits).equals(expected.select(traits))


def test_profiles_folded_on_spark_answer_as_local_ones(
    both: tuple[World, SparkLog, EventStore], spark_settings: Settings
) -> None:
    from features.feature_store import OnlineProfiles

    world, spark, store = both
    assert materialize(spark, world.definition, spark_settings) == 3_000
    users = [f"u{i:07d}" for i in range(0, 3_000, 50)]
    answers = [
        online_rows(OnlineProfiles(world.definition, settings), world.definition, users, store.ends)
        for settings in (spark_settings, world.settings)
    ]
    assert np.array_equal(answers[0].rows.matrix, answers[1].rows.matrix, equal_nan=True)
    of_spark, of_duckdb = ({name: t.to_list() for name, t in a.rows.traits.items()} for a in answers)
    assert of_spark == of_duckdb


def test_executors_put_profiles_into_redis(tmp_path: Path, spark_settings: Settings, redis_server: str) -> None:
    put(tmp_path, "a", random_rows(3_000, users=90))
    definition = definition_in(tmp_path, name="in-redis")
    redis = spark_settings.model_copy(update={"online_store": "redis", "redis": redis_server})
    users, stored = [f"u{u:03d}" for u in range(95)], []
    for settings in (redis, spark_settings):
        assert materialize(SparkLog(definition, settings), definition, settings) == 90
        read = OnlineProfiles(definition, settings).read_covered(users)
        stored.append({user: (p.words, p.through) for user, p in read.profiles.items()})
    assert stored[0] == stored[1]
    assert materialize(SparkLog(definition, redis), definition, redis) == 90


ODD = [" u1\t", "\u2003a/b\u3000", "\x1cz", "", " \n", "nul\x00x", "x" * 256, "x" * 257, "e\u0301", "\u00e9", None]
FLOATS = [42.0, -0.0, 1e7, 12_345_678.0, 2.5, None]


def test_columns_may_be_computed_of_others_on_spark_too(tmp_path: Path, spark_settings: Settings) -> None:
    rules = definition_in(tmp_path)
    put(tmp_path, "a", random_rows(300).with_columns(known=pl.lit(None, dtype=pl.String)))
    columns = rules.events.columns.model_copy(update={"user": "COALESCE(known, user_id)"})
    computed = rules.model_copy(update={"events": rules.events.model_copy(update={"columns": columns})})
    computed._source = rules._source
    plain = SparkLog(rules, spark_settings)
    # as Feast has it, which uses the same session
    plain.session.conf.set("spark.sql.parser.quotedRegexColumnNames", "true")
    on_spark = SparkLog(computed, spark_settings)
    assert on_spark.columns["COALESCE(known, user_id)"] == "VARCHAR"
    write_snapshots(on_spark, CUTOFFS, computed, tmp_path / "computed")
    write_snapshots(plain, CUTOFFS, rules, tmp_path / "plain")
    assert_same_rows(rows_in(tmp_path / "computed"), rows_in(tmp_path / "plain"), rules)


@pytest.mark.parametrize("ids", [ODD, FLOATS], ids=["text", "floats"])
def test_user_ids_are_those_of_the_local_engine(ids: list[object], tmp_path: Path, spark_settings: Settings) -> None:
    rows = random_rows(66, users=3)
    put(tmp_path, "a", rows.with_columns(pl.Series("user_id", ids * (66 // len(ids)))))
    definition = definition_in(tmp_path)
    local, spark = EventLog(definition).read(), SparkLog(definition, spark_settings)
    users = {row["user"] for row in spark._kept.select("user").distinct().collect()}
    assert users == set(local.users)
    assert spark.counts["no user"] == local.counts["no user"] > 0


def test_amounts_of_several_currencies_are_those_of_the_local_engine(tmp_path: Path, spark_settings: Settings) -> None:
    codes = pl.Series("currency", ["EUR", "usd", " GBP", "USD "] * 150)
    put(tmp_path, "a", random_rows(600, users=30).with_columns(codes))
    rates = {"into": "EUR", "rates": {"USD": 0.92, "GBP": 1.17}}
    definition = definition_in(tmp_path, signals=with_signal("purchase", currency="currency"), currencies=rates)
    store = EventStore.open(EventLog(definition), Settings(home=tmp_path / "var"))
    for log, name in ((store, "local"), (SparkLog(definition, spark_settings), "spark")):
        write_snapshots(log, CUTOFFS, definition, tmp_path / name)
    assert_same_rows(rows_in(tmp_path / "spark"), rows_in(tmp_path / "local"), definition)


def test_amounts_without_a_rate_are_refused_on_spark_too(tmp_path: Path, spark_settings: Settings) -> None:
    codes = pl.Series("currency", ["EUR", "XYZ", None] * 200)
    put(tmp_path, "a", random_rows(600, users=30).with_columns(codes))
    definition = definition_in(
        tmp_path, signals=with_signal("purchase", currency="currency"), currencies={"into": "EUR"}
    )
    with pytest.raises(EventLogError, match=r"of currency in column 'currency' have no rate: .*'no currency'"):
        _ = SparkLog(definition, spark_settings).first
    with pytest.raises(EventLogError, match="have no rate"):
        EventStore.open(EventLog(definition), Settings(home=tmp_path / "var"))
