"""Each store comes back from a backup alone, older or empty: no acknowledged event is lost, what is wrong is named."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from features.errors import LiveLogError
from features.events.compacted import Compacted
from features.open_log import open_log
from features.reading.live_messages import Message
from features.settings import Settings
from features.system.progress import unseen
from features.time import HOUR
from serving.database.identity import Marks, adopt, check
from serving.ingest.compact import compact
from serving.ingest.reconcile import reconcile
from serving.upkeep.materialize import materialize
from tests.serving.ingest.scenes import BEGIN, Scene, message


@pytest.fixture(params=["sqlite", pytest.param("postgresql and redis", marks=pytest.mark.long)])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    """Live log and online store are SQLite, or PostgreSQL and Redis."""
    settings = Settings(home=tmp_path / "var")
    if request.param != "sqlite":
        address, server = request.getfixturevalue("postgres"), request.getfixturevalue("redis_server")
        more = {"live_log": SecretStr(address), "online_store": "redis", "redis": server}
        settings = settings.model_copy(update=more)
    made = Scene.set(tmp_path, settings)
    yield made
    made.live.close()


def bought(first: int, count: int) -> list[Message]:
    """Purchases of 1,000 by three users, one after the other."""
    return [
        message(i, f"u{i % 3:03d}", "purchase", BEGIN + HOUR + i * 1_000, revenue=1_000)
        for i in range(first, first + count)
    ]


def taken(scene: Scene, messages: list[Message]) -> list[Message]:
    assert scene.live.append(messages) == ["accepted"] * len(messages)
    return messages


def nightly(scene: Scene) -> int:
    """What `propensity compact` does; returns how many messages were removed, all that files hold being old enough."""
    state = compact(scene.definition, scene.settings, scene.live).state
    scene.materialize()
    return scene.live.prune(state.position, BEGIN + 400 * HOUR, log=state.log)


def in_files(scene: Scene) -> set[str]:
    import polars as pl

    files = Compacted.load(scene.settings.live(scene.definition.name)).event_files
    ids = [name for file in files for name in pl.read_parquet(file)["event_id"].to_list()]
    assert len(ids) == len(set(ids)), "compacted once each"
    return set(ids)


def everything_is_there(scene: Scene, sent: list[Message]) -> None:
    """All messages are compacted once each, and every profile is what the batch makes of them."""
    scene.fold()
    nightly(scene)
    assert in_files(scene) == {m.id for m in sent}
    assert scene.stored() == scene.batch(sent)
    assert reconcile(scene.definition, scene.settings, scene.live).differences == []


def refused(scene: Scene, words: str) -> None:
    """Nothing is made of the log, and everybody says why."""
    for work in (
        lambda: scene.worker().step(),
        scene.compact,
        lambda: reconcile(scene.definition, scene.settings, scene.live),
    ):
        with pytest.raises(LiveLogError, match=words):
            work()


def test_a_lost_log_is_refused_and_what_the_new_one_takes_is_folded_and_compacted(scene: Scene) -> None:
    first = taken(scene, bought(0, 30))
    scene.fold()
    nightly(scene)
    scene.lose("log")
    then = taken(scene, bought(100, 3))  # on the disk, and so acknowledged
    refused(scene, "is another one than the online store was made from")
    before = scene.live.waiting(0)
    with pytest.raises(LiveLogError):
        scene.live.prune(2**62, 2**62, log=Compacted.load(scene.settings.live(scene.definition.name)).log)
    assert scene.live.waiting(0) == before, "nothing is removed unread"
    adopt(scene.definition, scene.settings, scene.live)
    everything_is_there(scene, [*first, *then])


def test_ids_of_pruned_events_that_no_file_holds_any_more_are_forgotten(scene: Scene, tmp_path: Path) -> None:
    """Lost events that are sent again must not be answered as duplicates."""
    first = taken(scene, bought(0, 9))
    scene.fold()
    scene.keep(tmp_path / "backup", "home")
    nightly(scene)
    assert set(scene.live.append(first)) == {"duplicate"}
    scene.bring_back(tmp_path / "backup", "home")
    adopt(scene.definition, scene.settings, scene.live)
    assert scene.live.append(first) == ["accepted"] * 8 + ["duplicate"], "the newest was not pruned"
    scene.fold()
    nightly(scene)
    assert scene.stored() == scene.batch(first)


def test_an_older_log_stays_refused_however_much_it_takes(scene: Scene, tmp_path: Path) -> None:
    first = taken(scene, bought(0, 10))
    scene.fold()
    nightly(scene)
    scene.keep(tmp_path / "backup", "log")
    lost = taken(scene, bought(50, 10))
    scene.fold()
    nightly(scene)
    scene.bring_back(tmp_path / "backup", "log")
    refused(scene, "the live log is older than the online store")
    then = taken(scene, bought(100, 20))
    refused(scene, "older than the online store")
    adopt(scene.definition, scene.settings, scene.live)
    everything_is_there(scene, [*first, *lost, *then])


def test_an_older_log_whose_age_nobody_saw_loses_nothing_either(scene: Scene, tmp_path: Path) -> None:
    """New messages come before anybody looks: their positions are later than all that were read."""
    first = taken(scene, bought(0, 10))
    scene.keep(tmp_path / "backup", "log")
    lost = taken(scene, bought(50, 10))
    scene.fold()
    nightly(scene)
    scene.bring_back(tmp_path / "backup", "log")
    then = taken(scene, bought(100, 5))
    everything_is_there(scene, [*first, *lost, *then])


def test_positions_never_come_again_though_the_newest_message_is_erased(scene: Scene) -> None:
    taken(scene, bought(0, 3))
    scene.fold()
    newest = scene.live.last()
    scene.live.erase(["u002"])
    assert scene.live.last() == newest
    scene.fold()  # not refused as an older log
    taken(scene, bought(10, 1))
    assert scene.live.last() > newest


def test_a_log_that_comes_back_after_another_took_its_place_is_read_to_its_end(scene: Scene, tmp_path: Path) -> None:
    first = taken(scene, bought(0, 10))
    scene.fold()
    nightly(scene)
    folded = taken(scene, bought(20, 5))
    scene.fold()
    unread = taken(scene, bought(30, 5))
    scene.keep(tmp_path / "backup", "log")
    scene.lose("log")
    meanwhile = taken(scene, bought(100, 5))
    adopt(scene.definition, scene.settings, scene.live)
    scene.fold()
    nightly(scene)
    scene.bring_back(tmp_path / "backup", "log")
    refused(scene, "is another one")
    adopt(scene.definition, scene.settings, scene.live)
    everything_is_there(scene, [*first, *meanwhile, *folded, *unread])


STORES = ("log", "online", "files", "events", "profiles")


@pytest.mark.parametrize(
    "older", [c for n in range(1, len(STORES) + 1) for c in itertools.combinations(STORES, n)], ids="+".join
)
def test_every_combination_of_older_stores(scene: Scene, tmp_path: Path, older: tuple[str, ...]) -> None:
    sent = taken(scene, bought(0, 6))
    scene.fold()
    scene.compact()
    scene.materialize()
    sent += taken(scene, bought(20, 3))
    scene.fold()
    scene.keep(tmp_path / "backup", *STORES)
    later = taken(scene, bought(30, 6))
    scene.fold()
    scene.compact()
    scene.materialize()
    if "log" not in older:
        later += taken(scene, bought(40, 3))
        scene.fold()
    scene.bring_back(tmp_path / "backup", *older)
    go_on(scene)
    then = taken(scene, bought(100, 4))
    nightly(scene)
    scene.fold()
    if "log" not in older or "files" not in older:
        everything_is_there(scene, [*sent, *later, *then])
        return
    # what log and files held is gone with them; reconcile names whose profile online may still hold it
    nightly(scene)
    assert in_files(scene) == {m.id for m in [*sent, *then]}
    reconcile(scene.definition, scene.settings, scene.live, repair=True)
    assert scene.stored() == scene.batch([*sent, *then])


def go_on(scene: Scene) -> None:
    """What a service does when it starts, and what it says is then done."""
    try:
        check(scene.live, Marks.load(scene.definition, scene.settings, scene.online).all)
    except LiveLogError:
        adopt(scene.definition, scene.settings, scene.live)


@pytest.mark.parametrize("lost", [("log",), ("online",), ("log", "online"), ("events", "profiles")], ids="+".join)
def test_lost_stores(scene: Scene, lost: tuple[str, ...]) -> None:
    sent = taken(scene, bought(0, 6))
    scene.fold()
    scene.compact()
    scene.materialize()
    scene.lose(*lost)
    if "online" in lost:
        log = open_log(scene.definition, scene.settings, ends=None, steps=unseen)
        materialize(log, scene.definition, scene.settings)
    go_on(scene)
    sent += taken(scene, bought(100, 4))
    everything_is_there(scene, sent)


@pytest.mark.parametrize("killed_at", ["before the files", "before the online store"])
def test_adopting_killed_half_way_is_done_by_the_next(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, killed_at: str
) -> None:
    first = taken(scene, bought(0, 6))
    scene.fold()
    nightly(scene)
    scene.lose("log")
    then = taken(scene, bought(100, 3))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        what = "features.events.compacted.Compacted.save" if killed_at == "before the files" else None
        patch.setattr(what or "features.feature_store.OnlineProfiles.name_log", killed)
        with pytest.raises(KeyboardInterrupt):
            adopt(scene.definition, scene.settings, scene.live)
    then += taken(scene, bought(200, 3))
    adopt(scene.definition, scene.settings, scene.live)
    everything_is_there(scene, [*first, *then])


def test_files_older_than_what_was_removed_from_the_log_are_named(scene: Scene, tmp_path: Path) -> None:
    taken(scene, bought(0, 6))
    scene.fold()
    scene.keep(tmp_path / "backup", "files")
    nightly(scene)
    scene.bring_back(tmp_path / "backup", "files")
    with pytest.raises(LiveLogError, match="were removed from the live log because files held them"):
        scene.compact()
    with pytest.raises(LiveLogError, match="restore a newer backup"):
        reconcile(scene.definition, scene.settings, scene.live)
    assert adopt(scene.definition, scene.settings, scene.live).missing > 0
    scene.compact()
