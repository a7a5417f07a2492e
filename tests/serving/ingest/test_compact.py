"""Compaction moves each message exactly once, whatever ends it; erasing reaches what was compacted."""

from pathlib import Path

import polars as pl
import pytest

from features.errors import EventLogError
from features.event_store.store import EventStore
from features.events.compacted import Compacted
from features.open_log import open_log
from features.system.progress import unseen
from features.time import DAY, HOUR
from serving.ingest import compact as module
from serving.ingest.compact import compact
from serving.ingest.reconcile import reconcile
from serving.upkeep.erase import erase
from tests.features.event_store.logs import COLUMNS
from tests.serving.ingest.scenes import BEGIN, Scene, message


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene.set(tmp_path)


def log_of(scene: Scene) -> EventStore:
    log = open_log(scene.definition, scene.settings, ends=None, steps=unseen)
    assert isinstance(log, EventStore)
    return log


def some(first: int, count: int) -> list:
    return [message(i, f"u{i % 5:03d}", "visit", BEGIN + HOUR + i) for i in range(first, first + count)]


def test_what_was_compacted_is_in_the_log_and_the_log_goes_on(scene: Scene) -> None:
    before = log_of(scene).kept
    scene.live.append([*some(0, 10), message(10, "u001", "purchase", BEGIN + 2 * HOUR, revenue="7.5", colour="red")])
    scene.compact()
    log = log_of(scene)
    assert log.kept == before + 11
    assert log.ends == BEGIN + 2 * HOUR + 1
    [file] = log.live.event_files
    rows = pl.read_parquet(file)
    assert rows.columns == ["event_id", "user_id", "event", "event_time", "arrived_at", "revenue"]
    assert rows.schema["revenue"] == pl.Float64
    assert rows["revenue"].to_list() == [None] * 10 + [7.5]


def test_columns_that_are_computed_of_the_logs_are_those_of_messages_too(tmp_path: Path) -> None:
    """Live, folded, compacted and read again: a user, an event and an id that files say by SQL over columns."""
    computed = {"user": "COALESCE(user_id, event_id)", "event": "LOWER(event)", "id": "event_id || ''"}
    scene = Scene.set(tmp_path, columns=COLUMNS | computed)
    before = log_of(scene).kept
    scene.live.append([*some(0, 10), message(10, "u001", "purchase", BEGIN + 2 * HOUR, revenue="7.5")])
    scene.fold()
    folded = scene.stored()
    scene.compact()
    assert log_of(scene).kept == before + 11
    scene.materialize()
    assert scene.stored() == folded
    assert reconcile(scene.definition, scene.settings, scene.live).differences == []
    again = [*some(0, 3), message(11, "u002", "visit", BEGIN + 3 * HOUR)]
    scene.live.append(again)
    scene.fold()
    scene.compact()
    assert log_of(scene).kept == before + 12
    erase(scene.definition, scene.settings, scene.memberships, ["u001"])
    [*_, newest] = log_of(scene).live.event_files
    assert "u001" not in str(pl.read_parquet(newest).to_dicts())


@pytest.mark.parametrize("killed_at", ["write", "save"])
def test_a_compaction_killed_half_way_is_finished_by_the_next(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, killed_at: str
) -> None:
    monkeypatch.setattr(module, "FILE_ROWS", 4)
    before = log_of(scene).kept
    scene.live.append(some(0, 10))
    calls = []

    def killed(*_: object, **__: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*_, **__)  # type: ignore[no-any-return]

    place = module if killed_at == "write" else Compacted
    original = getattr(place, "_write" if killed_at == "write" else "save")
    monkeypatch.setattr(place, "_write" if killed_at == "write" else "save", killed)
    with pytest.raises(KeyboardInterrupt):
        scene.compact()
    monkeypatch.setattr(place, "_write" if killed_at == "write" else "save", original)
    assert log_of(scene).kept == before + 4, "what was named counts"
    scene.compact()
    scene.compact()
    assert log_of(scene).kept == before + 10
    assert len(log_of(scene).live.events) == 3


def test_days_nobody_knows_of_are_not_taken_for_silence(scene: Scene) -> None:
    scene.live.append([message(1, "u000", "visit", BEGIN + 30 * DAY)])
    with pytest.raises(EventLogError, match="30 days that would be taken for silence"):
        scene.compact()
    scene.fold()
    assert scene.online.covered_through() == BEGIN, "and nobody's profile is good through it"
    assert scene.online.read(["u000"])["u000"].through == BEGIN
    compact(scene.definition, scene.settings, scene.live, accept_gap=True)
    assert log_of(scene).ends == BEGIN + 30 * DAY + 1


def test_who_does_nothing_is_as_fresh_as_the_feed(scene: Scene) -> None:
    scene.live.append(some(0, 5))
    scene.fold()
    assert scene.online.covered_through() == BEGIN + HOUR + 4 + 3 * DAY, "the feed has been silent for weeks: max_age"
    assert scene.online.read(["u007"])["u007"].through == scene.online.covered_through()


def test_an_erased_user_leaves_what_was_compacted_and_nothing_is_rebuilt(scene: Scene) -> None:
    scene.live.append([*some(0, 10), message(10, "u001", "identify", BEGIN + 2 * HOUR, plan="max")])
    scene.fold()
    scene.compact()
    scene.materialize()
    scene.live.append([message(11, "u001", "visit", BEGIN + 3 * HOUR)])
    generation = log_of(scene).manifest.generation
    report = erase(scene.definition, scene.settings, scene.memberships, ["u001", "nobody"])
    assert report.removed["live events"] == 4
    for place in ("event store", "compacted traits", "kept profiles", "kept traits", "online store"):
        assert report.removed[place] > 0, place
    assert set(report.left.values()) == {0}
    log = log_of(scene)
    assert log.manifest.generation == generation
    assert log.counts["erased user"] > 0
    for file in (*log.live.event_files, *log.live.trait_files):
        assert "u001" not in pl.read_parquet(file).select(pl.all().cast(pl.String)).to_numpy()
    scene.live.append([message(12, "u001", "visit", BEGIN + 4 * HOUR)])
    scene.fold()
    scene.compact()
    scene.materialize()
    assert "u001" not in scene.stored()
    assert reconcile(scene.definition, scene.settings, scene.live).differences == []


@pytest.mark.parametrize("rebuilt", [False, True])
def test_late_events_of_others_are_folded_right_after_an_erasure(scene: Scene, rebuilt: bool) -> None:
    sent = [message(i, f"u{i % 5:03d}", "visit", BEGIN + HOUR + i) for i in range(10)]
    scene.live.append(sent)
    scene.fold()
    erase(scene.definition, scene.settings, scene.memberships, ["u001"])
    if rebuilt:  # a file of the log was written again: positions in the event store begin again
        file = scene.folder / "log" / "a.parquet"
        pl.read_parquet(file).write_parquet(file, compression="snappy")
        log_of(scene)
    sent.append(message(20, "u002", "visit", BEGIN + 2 * HOUR, late=9 * DAY))
    scene.live.append(sent[-1:])
    scene.fold()
    expected = scene.batch(sent)
    del expected["u001"]
    assert scene.stored() == expected
    assert reconcile(scene.definition, scene.settings, scene.live).differences == []
    scene.compact()
    sent.append(message(21, "u003", "visit", BEGIN + 3 * HOUR, late=9 * DAY))  # compacted, not in the kept profiles yet
    scene.live.append(sent[-1:])
    erase(scene.definition, scene.settings, scene.memberships, ["u004"])
    scene.fold()
    expected = scene.batch(sent)
    assert scene.stored() == {user: words for user, words in expected.items() if user not in ("u001", "u004")}
