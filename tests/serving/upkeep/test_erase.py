"""An erasure finds users wherever they are: by a search of all that is kept, not by a list of places."""

import sqlite3
from pathlib import Path

import polars as pl
import pyarrow.ipc as ipc
import pytest
import redis
import sqlalchemy as sa

from features.errors import StoreError, UnavailableError
from features.events.tombstones import Tombstones
from features.feature_store import OnlineProfiles
from features.feature_store.objects import profiles_path
from features.feature_store.online import _keys
from features.settings import Settings
from features.system.files.lock import sharing
from features.system.mentions import Mentions
from features.time import HOUR
from serving.database.log.dead_letters import DeadLetter
from serving.upkeep.erase import erase
from tests.serving.ingest.scenes import BEGIN, Scene, message
from tests.serving.kept import holding
from tests.serving.upkeep.erasing import WHO, erased, scene

__all__ = ["scene"]


def test_nothing_is_left_and_no_job_brings_anything_back(scene: Scene) -> None:
    scene.compact()
    scene.materialize()
    erased(scene)
    home = scene.settings.home
    assert holding(home, WHO) == []
    scene.live.append([message(20, WHO, "visit", BEGIN + 4 * HOUR), message(21, WHO, "identify", BEGIN + 4 * HOUR)])
    scene.fold()
    scene.compact()
    scene.materialize()
    assert holding(home, WHO) == [], "though the log's own files and the trait table still have the user"
    assert Tombstones.load(scene.settings.events(scene.definition.name)).among([WHO])


def test_other_feature_sets_are_searched_too(scene: Scene) -> None:
    now = scene.definition
    scene.definition = now.model_copy(update={"windows": [*now.windows[:-1], 21]})
    scene.materialize()
    folder = scene.settings.folder(now.name)
    assert profiles_path(now, folder) != profiles_path(scene.definition, folder)
    erased(scene)
    assert holding(folder, WHO) == []


def test_what_a_store_removes_of_its_own_stays_in_those_of_other_feature_sets(scene: Scene) -> None:
    now = scene.definition
    scene.definition = now.model_copy(update={"windows": [*now.windows[:-1], 21]})
    scene.materialize()
    other, scene.definition = scene.online, now
    keys = _keys([WHO])
    assert (scene.online._exchange.count(keys), scene.online._exchange.remove(keys)) == (2, 1)
    assert (scene.online.read_values([WHO]), scene.online.count([WHO])) == ([None], 1)
    assert other.read_values([WHO]) != [None]
    assert (scene.online.remove([WHO]), other.count([WHO])) == (1, 0)


def test_on_spark_compacted_events_and_a_local_event_store_lose_the_user_too(scene: Scene) -> None:
    scene.compact()
    scene.materialize()
    settings = Settings(home=scene.settings.home, engine="spark")
    report = erase(scene.definition, settings, scene.memberships, [WHO])
    assert report.removed["compacted events"] == 5
    assert report.removed["event store"] > 5
    assert set(report.left.values()) == {0}
    assert holding(scene.settings.home, WHO) == []


@pytest.mark.parametrize(
    "body",
    [
        f'{{"type": "track", "userId": "  {WHO}\\t"}}', f'{{"type": "track", "userId": null, "anonymousId": "{WHO}"}}',
        f'{{"type": "track", "userId": 4242424242, "anonymousId": "{WHO}"}}',
        f'{{"type": "alias", "previousId": "{WHO}"}}',
        f'{{"type": "track", "userId": "other", "properties": {{"invited_by": "{WHO}"}}}}',
        f'{{"type": "track", "userId": "{WHO}", "properties": {{"cut": "o', f'["{WHO}"]',
    ],
)  # fmt: skip
def test_dead_letters_of_every_spelling_go(scene: Scene, body: str) -> None:
    letters = [DeadLetter("ingest", "x", "y", body, BEGIN), DeadLetter("ingest", "x", "y", '{"userId": "u002"}', BEGIN)]
    scene.live.append([], letters)
    report = erase(scene.definition, scene.settings, scene.memberships, [WHO])
    assert (report.removed["dead letters"], report.left["dead letters"]) == (1, 0)
    assert len(scene.live.dead_letters()) == 1
    assert holding(scene.settings.home, WHO) == []


@pytest.mark.parametrize("answer", ["4242424242", "4242424242.0", '" 4242424242"', "4.242424242e9"])
def test_dead_letters_of_numbers_go(scene: Scene, answer: str) -> None:
    scene.live.append([], [DeadLetter("ingest", "x", "y", f'{{"userId": {answer}}}', BEGIN)])
    report = erase(scene.definition, scene.settings, scene.memberships, ["4242424242"])
    assert (report.removed["dead letters"], report.left["dead letters"]) == (1, 0)


def test_a_message_that_cannot_be_meant_is_not_kept_of_an_erased_user(scene: Scene) -> None:
    erased(scene)
    scene.live.append([], [DeadLetter("ingest", "x", "y", f'{{"userId": " {WHO} "}}', BEGIN)])
    assert scene.live.dead_letters() == []


def test_what_killed_jobs_left_is_removed(scene: Scene) -> None:
    folder, rows = scene.settings.folder(scene.definition.name), pl.DataFrame({"user": [WHO], "x": [1]})
    left = [
        "live/events-1-2.parquet.new", "snapshots.new/date=2026-01-01/part.parquet", "snapshots.old/p.parquet",
        "tmpabc/rows/part.parquet", "profiles/x-2.everyone/part.parquet", "audiences/a.parquet.17.new",
        "snapshots.beside/rows.parquet",
    ]  # fmt: skip
    for name in left:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        rows.write_parquet(folder / name)
    [store] = [file.parent for file in folder.glob("events/*/manifest.json")]
    (store / "scratch").mkdir()
    with ipc.new_stream(store / "scratch" / "0", rows.to_arrow().schema) as stream:
        stream.write_table(rows.to_arrow())
    (folder / "server-3000").mkdir()
    (folder / "server-3000" / "counter_7.db").write_bytes(f"\x00/users/{WHO}\x00".encode())
    (folder / "live" / "torn.parquet").write_bytes(b"PAR1" + b"\x00" * 50)
    report = erase(scene.definition, scene.settings, scene.memberships, [WHO])
    assert report.removed["unfinished files"] == 9
    assert set(report.left.values()) == {0}
    assert not any((folder / name).exists() for name in left)


def test_a_store_of_an_unknown_kind_is_found(scene: Scene) -> None:
    folder = scene.settings.folder(scene.definition.name)
    rows = pl.DataFrame({"user_id": [WHO, "u002"], "amount": ["1", "2"]})
    (folder / "new room").mkdir()
    rows.write_parquet(folder / "new room" / "rows.parquet")
    rows.write_csv(folder / "new room" / "rows.csv")
    rows.write_ndjson(folder / "new room" / "rows.jsonl")
    with sqlite3.connect(folder / "new room" / "rows.db") as connection:
        connection.execute("CREATE TABLE facts (user TEXT, fact TEXT)")
        connection.executemany("INSERT INTO facts VALUES (?, 'x')", [(WHO,), ("u002",)])
    connection.close()
    report = erase(scene.definition, scene.settings, scene.memberships, [WHO])
    for name in ("rows.parquet", "rows.csv", "rows.jsonl", "rows.db"):
        assert report.removed[f"new room/{name}"] == 1, name
    assert set(report.left.values()) == {0}
    assert holding(folder, WHO) == []
    assert pl.read_csv(folder / "new room" / "rows.csv")["user_id"].to_list() == ["u002"]


def test_a_file_of_another_kind_that_names_the_user_is_reported_of(scene: Scene) -> None:
    folder = scene.settings.folder(scene.definition.name)
    (folder / "notes.txt").write_text(f"call {WHO}, soon")
    (folder / "other.json").write_text(f'{{"who": "x{WHO}"}}')
    pl.DataFrame({"text": [f"by {WHO}."]}).write_parquet(folder / "words.parquet")
    with sqlite3.connect(folder / "words.db") as connection:
        connection.execute("CREATE TABLE words (text TEXT)")
        connection.execute("INSERT INTO words VALUES (?)", (f"by {WHO}",))
    connection.close()
    report = erase(scene.definition, scene.settings, scene.memberships, [WHO])
    assert {place: rows for place, rows in report.left.items() if rows} == {
        "notes.txt": 1, "words.parquet": 1, "words.db": 1,
    }  # fmt: skip


def test_sparks_checksum_goes_with_what_it_is_of(scene: Scene) -> None:
    folder = scene.settings.folder(scene.definition.name) / "snapshots"
    folder.mkdir()
    for name, user in (("theirs", WHO), ("others", "u002")):
        pl.DataFrame({"user": [user, "u003"]}).write_parquet(folder / f"{name}.parquet")
        (folder / f".{name}.parquet.crc").write_bytes(b"crc")
    erased(scene)
    assert [file.name for file in folder.glob(".*.crc")] == [".others.parquet.crc"]


def test_a_damaged_table_is_reported_of(scene: Scene) -> None:
    file = scene.settings.folder(scene.definition.name) / "scores" / "scores-x.parquet" / "part.parquet"
    file.parent.mkdir(parents=True)
    pl.DataFrame({"user_id": [f"user {i}" for i in range(2_000)]}).write_parquet(file, compression="uncompressed")
    content = bytearray(file.read_bytes())
    content[4:40] = b"\xff" * 36
    file.write_bytes(content)
    report = erase(scene.definition, scene.settings, scene.memberships, [WHO])
    assert report.left["scores"] == 1


def test_redis_loses_the_user_in_all_feature_sets_and_in_no_other_definition(tmp_path: Path, redis_server: str) -> None:
    scene = Scene.set(tmp_path, Settings(home=tmp_path / "var", online_store="redis", redis=redis_server))
    now = scene.definition
    scene.definition = now.model_copy(update={"windows": [*now.windows[:-1], 21]})
    scene.materialize()
    host, port = redis_server.split(":")
    with redis.Redis(host, int(port)) as client:
        theirs = [key for key in client.scan_iter() if b"u001" in key]
        assert len(theirs) == 2
        other = theirs[0].replace(now.name.encode() + b"_", now.name.encode() + b"_other_")
        client.hset(other, "x", "of a definition whose name begins alike")
        others = len(list(client.scan_iter()))
        report = erase(scene.definition, scene.settings, scene.memberships, ["u001"])
        assert (report.removed["online store"], report.left["online store"]) == (2, 0)
        assert [key for key in client.scan_iter() if b"u001" in key] == [other]
        assert len(list(client.scan_iter())) >= others - 2


def test_the_logs_own_files_are_not_touched_wherever_they_lie(scene: Scene) -> None:
    folder = scene.settings.folder(scene.definition.name)
    own = (scene.folder / "log" / "a.parquet").read_bytes()
    (folder / "mine").mkdir()
    (folder / "mine" / "a.parquet").write_bytes(own)
    events = scene.definition.events.model_copy(update={"path": str(folder / "mine" / "*.parquet")})
    scene.definition = scene.definition.model_copy(update={"events": events})
    erased(scene)
    assert (folder / "mine" / "a.parquet").read_bytes() == own


def test_who_is_marked_while_they_are_being_folded_is_not_put_back(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.live.append([message(30, WHO, "visit", BEGIN + 5 * HOUR)])
    swap = type(scene.online).swap

    def erasing(online: OnlineProfiles, users: list[str], values: list[bytes], was: list[bytes | None]) -> list[bool]:
        if WHO in users:  # an erasure comes between reading and writing, and somebody writes right after it
            scene.live.erase([WHO])
            scene.online.remove([WHO])
            was = scene.online.read_values(users)
        return swap(online, users, values, was)

    monkeypatch.setattr(type(scene.online), "swap", erasing)
    scene.fold()
    assert scene.online.read_values([WHO]) == [None]


def test_where_the_event_store_is_elsewhere_nothing_is_removed(tmp_path: Path, scene: Scene) -> None:
    settings = Settings(home=tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="holds no event store"):
        erase(scene.definition, settings, scene.memberships, [WHO])
    assert scene.live.of_users([WHO])


def test_tables_that_others_made_in_the_live_logs_database_are_counted(scene: Scene) -> None:
    with scene.live.writing() as connection:
        connection.execute(sa.text("CREATE TABLE live_more (user_id TEXT)"))
        connection.execute(sa.text("INSERT INTO live_more VALUES (:user)"), {"user": WHO})
    report = erase(scene.definition, scene.settings, scene.memberships, [WHO])
    assert report.left["live_more"] == 1


def test_mentions_are_whole_words_of_ids_that_tell_themselves_from_others() -> None:
    mentions = Mentions(["user-1", "u2", "größe-7", "4242424242"])
    assert not mentions.in_text("u2 user-11 xuser-1 42424242420 4242424242_")
    for text in ("user-1", '"user-1"', "by user-1.", "größe-7", r"gr\u00f6\u00dfe-7", "id=4242424242&"):
        assert mentions.in_text(text), text
        assert mentions.in_bytes(b"\x00" + text.encode() + b"\x00"), text
    assert not Mentions(["u2", "1"])
    assert not Mentions([]).in_bytes(b"anything")


def test_nobody_is_erased_while_a_job_writes_of_users(scene: Scene) -> None:
    folder = scene.settings.folder(scene.definition.name)
    with sharing(folder), sharing(folder), pytest.raises(UnavailableError, match="a job works with the users"):
        erase(scene.definition, scene.settings, scene.memberships, [WHO])
    assert scene.live.of_users([WHO]), "nothing was removed"
    with sharing(folder, alone=True), pytest.raises(UnavailableError, match="users are being erased"), sharing(folder):
        pass
