"""The feature store: what is read online is what the batch computes, in SQLite and in a real Redis."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.definition import Definition
from features.errors import FoldError, StoreError
from features.events.compacted import NONE
from features.events.events import Events
from features.events.log import InMemory
from features.feature_store import OfflineFeatures, OnlineProfiles
from features.feature_store.objects import snapshots_path
from features.profile.codec import StoredProfile
from features.profile.fold import feature_rows, profile_rows, profiles_at, read_all_at
from features.profile.layout import layout_of
from features.settings import Settings
from features.snapshot import write_snapshots
from features.time import DAY, HOUR
from features.traits import latest_traits
from tests.features.feature_store.logs import CUTOFF, START, random_log
from tests.oracle import Attribute, plan_at
from tests.worlds import definition_of, events_of


class OnlineSuite:
    """What every online store must do; a store's tests inherit it."""

    definition = definition_of(windows=["2h", 1, 7, 14, 30], rfm=None)

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        raise NotImplementedError("each store says how it is reached")

    @pytest.fixture
    def store(self, settings: Settings) -> OnlineProfiles:
        return OnlineProfiles(self.definition, settings, apply=True)

    @pytest.fixture
    def events(self) -> Events:
        return events_of(self.definition, random_log(1))

    def put(self, store: OnlineProfiles, events: Events, cutoff: int = CUTOFF) -> dict[str, StoredProfile]:
        layout = layout_of(self.definition)
        packed = {}
        for first, words in profiles_at(events, cutoff, layout):
            for i, w in enumerate(words):
                packed[events.users[first + i]] = store.pack(w, cutoff, {"plan": "free", "country": None})
        store.write(list(packed), list(packed.values()))
        return packed

    def test_online_read_is_batch_read_exactly(self, store: OnlineProfiles, events: Events) -> None:
        self.put(store, events)
        users = events.users.to_list()
        for later in (0, 1, 3 * HOUR, 45 * DAY):
            batch = pl.concat(feature_rows(events, read_all_at(events, np.array([CUTOFF + later])), self.definition))
            stored = store.read(users)
            words = store.unpack(stored.values())
            online = profile_rows(list(stored), words, np.full(len(words), CUTOFF + later), self.definition)
            assert online.frame().equals(batch), f"{later} microseconds later"

    def test_profiles_carry_their_traits_and_coverage(self, store: OnlineProfiles, events: Events) -> None:
        packed = self.put(store, events)
        assert store.read(["u1"]) == {"u1": packed["u1"]}
        assert packed["u1"].traits == {"plan": "free", "country": None}
        assert packed["u1"].through == CUTOFF

    def test_unknown_users_are_left_out(self, store: OnlineProfiles, events: Events) -> None:
        self.put(store, events)
        assert list(store.read(["nobody", "u2", "u3"])) == ["u2", "u3"]
        assert store.read([]) == {}

    def test_an_older_profile_never_replaces_a_newer_one(self, store: OnlineProfiles, events: Events) -> None:
        newer = self.put(store, events, CUTOFF)
        self.put(store, events, CUTOFF - 20 * DAY)
        assert store.read(["u1"]) == {"u1": newer["u1"]}

    def test_one_microsecond_newer_is_newer(self, store: OnlineProfiles, events: Events) -> None:
        self.put(store, events, CUTOFF)
        newer = self.put(store, events, CUTOFF + 1)
        assert store.read(["u1"]) == {"u1": newer["u1"]}

    def test_the_same_coverage_may_be_written_again(self, store: OnlineProfiles) -> None:
        self.put(store, events_of(self.definition, random_log(1)))
        corrected = self.put(store, events_of(self.definition, random_log(2)))
        assert store.read(["u1"]) == {"u1": corrected["u1"]}

    def test_strange_user_ids_are_kept_apart(self, store: OnlineProfiles, events: Events) -> None:
        profile = next(iter(self.put(store, events).values()))
        names = ["", " ", "a:b", "a", "Zoë", "x" * 256, "'; DROP TABLE users; --", "1", "01"]
        store.write(names, [StoredProfile(CUTOFF + i, profile.words, {}) for i in range(len(names))])
        assert [store.read([name])[name].through - CUTOFF for name in names] == list(range(len(names)))

    def test_ten_thousand_users_in_one_read(self, store: OnlineProfiles, events: Events) -> None:
        profile = next(iter(self.put(store, events).values()))
        users = [f"many{i}" for i in range(10_000)]
        assert store.write(users, [profile] * len(users)) == 10_000
        assert len(store.read(users)) == 10_000


class TestSqlite(OnlineSuite):
    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        return Settings(home=tmp_path)


class TestRedis(OnlineSuite):
    @pytest.fixture
    def settings(self, tmp_path: Path, redis_server: str) -> Settings:
        return Settings(home=tmp_path, online_store="redis", redis=redis_server)


def test_a_changed_definition_does_not_read_old_profiles(tmp_path: Path) -> None:
    suite, settings = TestSqlite(), Settings(home=tmp_path)
    old = OnlineProfiles(suite.definition, settings, apply=True)
    suite.put(old, events_of(suite.definition, random_log(1)))
    changed = OnlineProfiles(definition_of(windows=[1, 7]), settings, apply=True)
    assert changed.read(["u1"]) == {}
    assert list(old.read(["u1"])) == ["u1"], "the old definition goes on serving"


def test_bytes_that_are_no_profile_are_refused(tmp_path: Path) -> None:
    suite = TestSqlite()
    store = OnlineProfiles(suite.definition, Settings(home=tmp_path), apply=True)
    store.write(["x"], [StoredProfile(CUTOFF, b"not a profile", {})])
    with pytest.raises(FoldError, match="cannot be unpacked"):
        store.unpack(store.read(["x"]).values())


class TestHistorical:
    """Training rows come through Feast as of their cutoffs."""

    definition: Definition = definition_of()

    def snapshots(self, tmp_path: Path) -> tuple[Settings, Events, np.ndarray]:
        settings = Settings(home=tmp_path)
        events = events_of(self.definition, random_log(5))
        cutoffs = START + np.array([20, 27, 34]) * DAY + np.array([5, 0, 13]) * HOUR
        write_snapshots(InMemory(events), cutoffs, self.definition, snapshots_path(settings.folder("small")))
        return settings, events, cutoffs

    def test_rows_are_those_of_the_fold(self, tmp_path: Path) -> None:
        settings, events, cutoffs = self.snapshots(tmp_path)
        folded = pl.concat(feature_rows(events, read_all_at(events, cutoffs), self.definition))
        folded = folded.filter(pl.col("days_since_visit") < 28).sort("cutoff", "user")
        asked = folded.select("user", "cutoff").sample(fraction=1.0, shuffle=True, seed=1)
        assert OfflineFeatures(self.definition, settings).rows("churn", asked).equals(folded)

    def test_extra_columns_come_back_with_their_rows(self, tmp_path: Path) -> None:
        settings, events, cutoffs = self.snapshots(tmp_path)
        folded = pl.concat(feature_rows(events, read_all_at(events, cutoffs), self.definition))
        asked = folded.filter(pl.col("days_since_visit") < 28).select("user", "cutoff").with_row_index("label")
        rows = OfflineFeatures(self.definition, settings).rows("churn", asked)
        assert rows.select("user", "cutoff", "label").sort("label").equals(asked.select("user", "cutoff", "label"))

    def test_a_cutoff_without_a_snapshot_is_an_error_not_a_stale_row(self, tmp_path: Path) -> None:
        settings, _, cutoffs = self.snapshots(tmp_path)
        asked = pl.DataFrame({"user": ["u1"], "cutoff": [cutoffs[1] + 2 * DAY]}).with_columns(
            pl.col("cutoff").cast(pl.Datetime("us", "UTC"))
        )
        with pytest.raises(StoreError, match="1 of 1 rows asked of Feast have no snapshot"):
            OfflineFeatures(self.definition, settings).rows("churn", asked)

    @pytest.mark.parametrize("after", [-1, 0, 1])
    def test_a_trait_is_seen_after_it_became_known(self, tmp_path: Path, after: int) -> None:
        cutoff = START + 27 * DAY
        answer = [
            Attribute("u1", START + 10 * DAY, "free"),
            Attribute("u1", cutoff + after, "plus"),
            Attribute("u2", START + 50 * DAY, "free"),
        ]
        traits = pl.DataFrame(
            {
                "who": [t.user for t in answer],
                "since": pl.Series([t.known for t in answer]).cast(pl.Datetime("us", "UTC")),
                "plan": [t.plan for t in answer],
            }
        )
        traits.write_parquet(tmp_path / "traits.parquet")
        rule = {
            "path": str(tmp_path / "traits.parquet"),
            "columns": {"user": "who", "known": "since"},
            "fields": ["plan"],
        }
        self.definition = definition_of(traits=rule)
        settings, _, cutoffs = self.snapshots(tmp_path)
        from features.feature_store.objects import traits_path
        from features.traits import write_traits

        write_traits(self.definition, traits_path(settings.folder("small")), NONE)
        asked = pl.DataFrame({"user": ["u1"] * 3 + ["u2"], "cutoff": [*cutoffs, cutoffs[2]]}).with_columns(
            pl.col("cutoff").cast(pl.Datetime("us", "UTC"))
        )
        rows = OfflineFeatures(self.definition, settings).rows("churn", asked)
        assert cutoffs[1] == cutoff
        for user, at, plan in rows.select("user", pl.col("cutoff").dt.epoch("us"), "plan").rows():
            assert plan == plan_at(answer, user, at), (user, at)
        latest = latest_traits(self.definition, cutoff, NONE)
        assert latest is not None
        assert dict(latest.rows()) == {"u1": plan_at(answer, "u1", cutoff)}


def test_a_snapshot_killed_half_way_leaves_the_last_complete_one(tmp_path: Path) -> None:
    definition, folder = definition_of(), tmp_path / "snapshots"
    events = events_of(definition, random_log(5))
    first = START + np.array([20]) * DAY
    n = write_snapshots(InMemory(events), first, definition, folder)

    def killed(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_snapshots(InMemory(events), START + np.array([20, 30]) * DAY, definition, folder, progress=killed)
    assert len(pl.read_parquet(folder / "*" / "*.parquet")) == n
    assert write_snapshots(InMemory(events), START + np.array([20, 30]) * DAY, definition, folder) > n


def test_an_empty_population_is_an_error(tmp_path: Path) -> None:
    definition = definition_of(outcomes={"churn": {"will_not": "visit", "within": "14d", "among": "tenure_days < 0"}})
    with pytest.raises(StoreError, match="no user belongs to any outcome's population"):
        write_snapshots(InMemory(events_of(definition, random_log(1))), np.array([CUTOFF]), definition, tmp_path / "s")
