"""Profiles brought forward day by day are those folded at once, and only what changed is handed on."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from features.definition import Definition
from features.event_store import store as store_module
from features.event_store.store import EventStore
from features.profile.codec import stored_words
from features.profile.stored import Profiles
from features.profile.stored_traits import kept_traits
from features.reading.source import EventLog
from features.settings import Settings
from features.time import DAY
from tests.features.event_store.logs import NOON, SCHEMA, definition_in, put, random_rows
from tests.features.profile.days import START, days_of, kept_rows
from tests.worlds import with_signal


@pytest.fixture(autouse=True)
def _small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "BUCKET_ROWS", 300)


def rules(folder: Path) -> Definition:
    """Purchases of about one revenue are lines of one order."""
    return definition_in(folder, signals=with_signal("purchase", order="floor(revenue / 40)"))


def opened(folder: Path, ends: int) -> EventStore:
    return EventStore.open(EventLog(rules(folder), ends=ends), Settings(home=folder / "var"))


def forward(
    folder: Path, through: int, *, into: str = "profiles", traits: pl.DataFrame | None = None
) -> dict[str, bytes]:
    """Bring the profiles forward; what changed, by user."""
    profiles = Profiles(rules(folder), folder / into)
    changed = dict(pl.concat(profiles.advance(opened(folder, through), through, traits)).iter_rows())
    profiles.commit()
    return changed


def kept(folder: Path, into: str = "profiles") -> dict[str, tuple[bytes, int]]:
    rows = kept_rows(Profiles(rules(folder), folder / into))
    assert rows["user"].is_unique().all()
    return {u: (stored_words(value), ahead) for u, value, ahead in rows.select("user", "profile", "ahead").iter_rows()}


#: who, what, when it happened and how much later it arrived, in hours; arrival decides which day's file has it
happenings = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["visit", "purchase"]), st.integers(0, 20 * 24),
              st.sampled_from([0, 0, 0, 1, 30, 200])),
    min_size=1, max_size=40,
)  # fmt: skip


@hypothesis_settings(max_examples=25)
@given(happenings, st.lists(st.integers(1, 22), min_size=1, max_size=4, unique=True).map(sorted))
def test_day_by_day_is_all_at_once(
    tmp_path_factory: pytest.TempPathFactory, log: list[tuple[str, str, int, int]], days: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("profiles")
    rows = pl.DataFrame(
        {
            "event_id": [str(i) for i in range(len(log))],
            "user_id": [user for user, *_ in log],
            "event": [event for _, event, *_ in log],
            "event_time": [NOON + timedelta(hours=at) for *_, at, _ in log],
            "arrived_at": [NOON + timedelta(hours=at + late) for *_, at, late in log],
            "revenue": [float(at if at % 5 else -at) for *_, at, _ in log],  # some are refunds
        },
        schema=SCHEMA,
    )
    before = 0
    for day in days:
        came = (pl.col("arrived_at") - NOON).dt.total_days().is_between(before, day - 1)
        put(folder, f"{day:02d}", rows.filter(came))
        before = day
        if len(
            rows.filter(
                (pl.col("arrived_at") - NOON).dt.total_days() < day, pl.col("event_time") < NOON + timedelta(days=day)
            )
        ):
            forward(folder, START + day * DAY)
            forward(folder, START + day * DAY, into=f"fresh-{day}")
            assert kept(folder) == kept(folder, f"fresh-{day}"), f"through day {day}"


def test_only_changed_users_are_handed_on(tmp_path: Path) -> None:
    days_of(tmp_path)
    late = tmp_path / "log" / "b.parquet"
    held = late.rename(tmp_path / "b.parquet")
    first = forward(tmp_path, START + 12 * DAY)
    assert len(first) == 200
    assert forward(tmp_path, START + 12 * DAY) == {}
    assert forward(tmp_path, START + 13 * DAY) == {}, "time alone changes no profile"
    held.rename(late)
    touched = set(pl.read_parquet(late).filter(pl.col("event") != "push")["user_id"])
    assert set(forward(tmp_path, START + 14 * DAY)) == touched


def test_a_change_of_traits_is_a_change(tmp_path: Path) -> None:
    days_of(tmp_path)
    plan = ['{"plan":"free"}'] * 2
    traits = pl.DataFrame({"user": ["u001", "u002"], "traits": plan, "visible_from": [START, START]})
    forward(tmp_path, START + 12 * DAY, traits=traits)
    moved = traits.with_columns(traits=pl.when(user="u002").then(pl.lit('{"plan":"plus"}')).otherwise("traits"))
    changed = forward(tmp_path, START + 12 * DAY, traits=moved)
    assert set(changed) == {"u002"}
    assert b'{"plan":"plus"}' in changed["u002"]
    assert set(forward(tmp_path, START + 12 * DAY, traits=moved.filter(user="u001"))) == {"u002"}


def test_kept_traits_of_an_older_version_are_no_change(tmp_path: Path) -> None:
    days_of(tmp_path)
    traits = pl.DataFrame({"user": ["u001"], "traits": ['{"plan":"free"}'], "visible_from": [START]})
    forward(tmp_path, START + 12 * DAY, traits=traits)
    path = tmp_path / "profiles" / "traits.parquet"
    pl.read_parquet(path).rename({"visible_from": "told"}).write_parquet(path)
    with kept_traits(path) as kept:
        assert kept.collect().equals(traits)
    assert forward(tmp_path, START + 12 * DAY, traits=traits) == {}


def test_a_run_that_does_not_end_changes_nothing(tmp_path: Path) -> None:
    days_of(tmp_path)
    forward(tmp_path, START + 9 * DAY)
    before = kept(tmp_path)
    profiles = Profiles(definition_in(tmp_path), tmp_path / "profiles")
    half = profiles.advance(opened(tmp_path, START + 11 * DAY), START + 11 * DAY, None)
    next(half)
    half.close()
    with pytest.raises(RuntimeError, match="not worked through"):
        profiles.commit()
    assert Profiles(definition_in(tmp_path), tmp_path / "profiles").manifest.through == START + 9 * DAY  # type: ignore[union-attr]
    forward(tmp_path, START + 11 * DAY)
    forward(tmp_path, START + 11 * DAY, into="fresh")
    assert kept(tmp_path) == kept(tmp_path, "fresh") != before


def test_an_erased_user_is_handed_on_as_gone(tmp_path: Path) -> None:
    days_of(tmp_path)
    forward(tmp_path, START + 11 * DAY)
    opened(tmp_path, START + 11 * DAY).erase(["u003"])
    changed = forward(tmp_path, START + 11 * DAY)
    assert set(changed) == {"u003"}
    assert stored_words(changed["u003"]) == b""
    assert "u003" not in kept(tmp_path)


def test_a_log_taken_in_anew_loses_only_who_is_not_in_it(tmp_path: Path) -> None:
    days_of(tmp_path)
    forward(tmp_path, START + 11 * DAY)
    put(tmp_path, "a", random_rows(9_000, users=190, seed=8))  # three times as many buckets
    put(tmp_path, "b", random_rows(1))
    changed = forward(tmp_path, START + 11 * DAY)
    gone = {user for user, value in changed.items() if not stored_words(value)}
    assert gone == {f"u{i:03d}" for i in range(190, 200)} - set(random_rows(1)["user_id"])
    assert set(kept(tmp_path)) == set(changed) - gone
    forward(tmp_path, START + 11 * DAY, into="fresh")
    assert kept(tmp_path) == kept(tmp_path, "fresh")


def test_an_earlier_instant_folds_everybody_again(tmp_path: Path) -> None:
    days_of(tmp_path)
    forward(tmp_path, START + 11 * DAY)
    forward(tmp_path, START + 4 * DAY)
    forward(tmp_path, START + 4 * DAY, into="fresh")
    assert kept(tmp_path) == kept(tmp_path, "fresh")


class Killed(BaseException):
    """Nobody handles it."""


def dies_at(step: int, patch: pytest.MonkeyPatch) -> None:
    """Let this process die before the n-th time that a file is put in its place or removed."""
    taken = 0

    def counted(change: Callable[..., object]) -> Callable[..., object]:
        def one(path: Path, *args: object, **named: object) -> object:
            nonlocal taken
            if taken >= step:
                raise Killed
            if not path.name.endswith(".new") or change is replace:
                taken += 1
            return change(path, *args, **named)

        return one

    replace, unlink = Path.replace, Path.unlink
    patch.setattr(Path, "replace", counted(replace))
    patch.setattr(Path, "unlink", counted(unlink))


def test_killed_at_any_step_the_next_run_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through days that write layers, merge them, and merge some into their base."""
    monkeypatch.setattr("features.profile.layers.LEAST_SHARE", 0.4)
    rows = random_rows(2_500, users=120)
    layered, step = 0, 0
    for day in range(1, 8):
        of_day = (pl.col("event_time") - NOON).dt.total_days() == day - 1
        put(tmp_path, f"{day:02d}", rows.filter(of_day & (pl.col("user_id") < ("u999" if day == 1 else "u030"))))
        through = START + day * DAY
        opened(tmp_path, through)
        forward(tmp_path, through, into="whole")
        handed, died = dict[str, bytes](), True
        while died:
            before = kept(tmp_path) if day > 1 else {}
            profiles = Profiles(rules(tmp_path), tmp_path / "profiles")
            state = profiles.manifest
            with monkeypatch.context() as patch:
                dies_at(step, patch)
                try:
                    for changed in profiles.advance(opened(tmp_path, through), through, None):
                        handed |= dict(changed.iter_rows())
                    profiles.commit()
                    died, step = False, 0
                except Killed:
                    step += 1
            again = Profiles(rules(tmp_path), tmp_path / "profiles").manifest
            if died and again == state and day > 1:
                assert kept(tmp_path) == before, "the state of before is whole"
        profiles = Profiles(rules(tmp_path), tmp_path / "profiles")
        assert profiles.manifest is not None
        layered += len(profiles.manifest.layers)
        assert kept(tmp_path) == kept(tmp_path, "whole"), f"day {day}"
        assert {file.name for file in (tmp_path / "profiles").glob("bucket-*")} == profiles.manifest.names
    assert layered


def test_an_erased_user_is_in_no_layer(tmp_path: Path) -> None:
    days_of(tmp_path)
    held = (tmp_path / "log" / "b.parquet").rename(tmp_path / "b.parquet")
    forward(tmp_path, START + 12 * DAY)
    held.rename(tmp_path / "log" / "b.parquet")
    user = next(iter(forward(tmp_path, START + 14 * DAY)))
    state = Profiles(rules(tmp_path), tmp_path / "profiles").manifest
    assert state is not None
    layers = [tmp_path / "profiles" / name for names in state.layers.values() for name in names]
    assert any(user in pl.read_parquet(file)["user"] for file in layers)
    opened(tmp_path, START + 14 * DAY).erase([user])
    assert set(forward(tmp_path, START + 14 * DAY)) == {user}
    assert not any(user in pl.read_parquet(file)["user"] for file in (tmp_path / "profiles").glob("bucket-*"))


def test_profiles_of_an_older_version_are_brought_forward(tmp_path: Path) -> None:
    """They had one file a bucket, and a manifest that knows neither layers nor runs."""
    days_of(tmp_path)
    forward(tmp_path, START + 9 * DAY)
    path = tmp_path / "profiles" / "manifest.json"
    older = Profiles(rules(tmp_path), tmp_path / "profiles").manifest
    assert older is not None
    files = {}
    for bucket, name in older.files.items():
        files[bucket] = f"bucket-{bucket:04d}-{older.log}-{older.position}-{older.through}.parquet"
        pl.read_parquet(tmp_path / "profiles" / name).write_parquet(tmp_path / "profiles" / files[bucket])
        (tmp_path / "profiles" / name).unlink()
    path.write_text(older.model_copy(update={"files": files}).model_dump_json(exclude={"layers", "run"}))
    forward(tmp_path, START + 11 * DAY)
    forward(tmp_path, START + 11 * DAY, into="fresh")
    assert kept(tmp_path) == kept(tmp_path, "fresh")
