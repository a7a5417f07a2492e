"""Databases that are damaged, old, newer, lacking a column or a right: reported in words, or migrated."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from features.errors import DatabaseError, PropensityError, UnavailableError
from features.feature_store import OnlineProfiles
from features.profile.codec import stored_bytes
from features.settings import Settings
from features.system.files import same_file
from features.time import HOUR
from serving.activation.memberships import Memberships
from serving.database.log.live_log import LiveLog
from serving.database.schema import VERSION
from serving.runtime.needs import Needs
from tests.serving.ingest.scenes import BEGIN, Scene, message

#: the tables as they were before they had a version, with two messages, the newest of three having been erased
VERSION_1 = """
CREATE TABLE live_events (position INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, message_id VARCHAR NOT NULL,
  user_id VARCHAR NOT NULL, shard INTEGER NOT NULL, kind VARCHAR NOT NULL, event VARCHAR NOT NULL,
  happened BIGINT NOT NULL, received BIGINT NOT NULL, body TEXT NOT NULL, UNIQUE (message_id));
CREATE INDEX live_events_by_user ON live_events (user_id, position);
CREATE INDEX live_events_by_shard ON live_events (shard, position);
CREATE TABLE live_dead_letters (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, received BIGINT NOT NULL,
  stage VARCHAR NOT NULL, code VARCHAR NOT NULL, reason TEXT NOT NULL, message_id VARCHAR, user_id VARCHAR,
  body TEXT NOT NULL, replayed BOOLEAN NOT NULL);
CREATE TABLE live_shards (shard INTEGER NOT NULL, holder VARCHAR NOT NULL, until BIGINT NOT NULL, PRIMARY KEY (shard));
CREATE TABLE live_workers (holder VARCHAR NOT NULL, until BIGINT NOT NULL, PRIMARY KEY (holder));
CREATE TABLE live_erased (user_hash BIGINT NOT NULL, PRIMARY KEY (user_hash));
CREATE TABLE live_keys (hash VARCHAR NOT NULL, name VARCHAR NOT NULL, role VARCHAR NOT NULL, created BIGINT NOT NULL,
  expires BIGINT, PRIMARY KEY (hash));
INSERT INTO live_events VALUES (1, 'a', 'u001', 3, 'track', 'visit', 5, 6, '{}');
INSERT INTO live_events VALUES (2, 'b', 'u001', 3, 'track', 'visit', 7, 8, '{}');
INSERT INTO live_events VALUES (3, 'c', 'u002', 4, 'track', 'visit', 7, 8, '{}');
DELETE FROM live_events WHERE position = 3;
"""


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene.set(tmp_path)


def place(scene: Scene, name: str) -> Path:
    return scene.settings.folder(scene.definition.name) / name


def open_live(scene: Scene, url: str = "") -> LiveLog:
    settings = scene.settings.model_copy(update={"live_log": SecretStr(url)}) if url else scene.settings
    return LiveLog.open(scene.definition, settings)


def spoil(file: Path, kind: str) -> None:
    """Damage a file as disks and people do."""
    content = file.read_bytes()
    for more in ("-wal", "-shm"):
        file.with_name(file.name + more).unlink(missing_ok=True)
    spoilt = {
        "text": b"no database at all" * 500,
        "head": b"\x00" * 100 + content[100:],
        "middle": content[:4096] + b"\xff" * (len(content) - 4096),
        "cut": content[: len(content) // 2 + 77],
    }
    file.write_bytes(spoilt[kind])


@pytest.mark.parametrize("kind", ["text", "head", "middle", "cut"])
@pytest.mark.parametrize("name", ["live.db", "online.db"])
def test_a_damaged_database_is_reported_with_what_to_do(scene: Scene, name: str, kind: str) -> None:
    scene.live.append([message(i, "u001", "visit", BEGIN + HOUR + i) for i in range(200)])
    scene.fold()
    scene.live.close()
    with closing(sqlite3.connect(place(scene, name))) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    spoil(place(scene, name), kind)

    def use() -> None:
        if name == "live.db":
            opened = open_live(scene)
            opened.append([message(1_000, "u001", "visit", BEGIN)])
            opened.between(0, 2**62, 1_000)
            Memberships(scene.definition, opened, scene.memberships._clock).summaries()
        else:
            online = OnlineProfiles(scene.definition, scene.settings)
            online.read_values([f"u{i:03d}" for i in range(40)])
            online.cover(BEGIN + HOUR, "x")

    with pytest.raises(UnavailableError) as caught:  # the service says 503 to it, never 500
        use()
    assert caught.value.code in ("database", "unavailable")
    assert caught.value.fix
    if kind == "text":
        assert caught.value.code == "database"
        assert "restore" in caught.value.fix or "materialize" in caught.value.fix


@pytest.mark.parametrize("how", ["another in its place", "moved away"])
def test_a_database_that_is_restored_while_it_is_open_takes_nothing_and_says_what_to_do(
    scene: Scene, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What SQLite writes to the file that it has open would be lost with it, though it was acknowledged."""
    monkeypatch.setattr(same_file, "PAUSE", 0.0)
    scene.live.append([message(1, "u001", "visit", BEGIN + HOUR)])
    scene.fold()
    log, online = scene.live, scene.online
    assert online.covered_through() > 0
    for name in ("live.db", "online.db"):
        with closing(sqlite3.connect(place(scene, name))) as old, closing(sqlite3.connect(place(scene, "copy"))) as new:
            old.backup(new)
        place(scene, "copy").rename(place(scene, f"{name}.restored"))
        if how == "moved away":
            place(scene, name).rename(place(scene, f"{name}.before"))
        else:
            place(scene, f"{name}.restored").replace(place(scene, name))
    uses: list[Callable[[], object]] = [
        lambda: log.append([message(2, "u001", "visit", BEGIN + 2 * HOUR)]), log.last, lambda: log.erase(["u001"]),
        lambda: online.read_values(["u001"]), online.covered_through, lambda: online.remove(["u001"]),
        lambda: online.count(["u001"]), lambda: online.cover(BEGIN + HOUR, "x"),
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(UnavailableError, match="stop the service and its workers"):
            use()
    assert set(Needs(scene.definition, scene.settings, log).missing()) >= {"live_log"}
    if how == "another in its place":
        log.close()
        for name in ("live.db-wal", "live.db-shm"):
            place(scene, name).unlink(missing_ok=True)
        again = open_live(scene)
        assert again.append([message(2, "u001", "visit", BEGIN + 2 * HOUR)]) == ["accepted"]
        again.close()


def test_a_damaged_registry_of_the_feature_store_is_reported(scene: Scene) -> None:
    place(scene, "registry.db").write_bytes(b"\xff\xfe no registry")
    with pytest.raises(DatabaseError, match=r"registry\.db is damaged") as caught:
        OnlineProfiles(scene.definition, scene.settings)
    assert "run propensity materialize" in caught.value.fix
    place(scene, "registry.db").unlink()
    scene.materialize()
    assert scene.online.covered_through() == BEGIN


def test_a_database_that_cannot_be_written_is_reported(scene: Scene) -> None:
    scene.live.close()
    with pytest.raises(DatabaseError, match="cannot be written") as caught:
        open_live(scene, f"sqlite:///file:{place(scene, 'live.db')}?mode=ro&uri=true").append(
            [message(1, "u001", "visit", BEGIN)]
        )
    assert "read-only" in caught.value.fix


@pytest.mark.parametrize("url", ["not an address", "nosuch://x/y", "mysql+nosuch://a:s3cret@b/c"])
def test_an_address_that_is_none_is_reported_without_its_secrets(scene: Scene, url: str) -> None:
    with pytest.raises(PropensityError, match="PROPENSITY_LIVE_LOG") as caught:
        open_live(scene, url)
    assert "s3cret" not in str(caught.value)


def test_tables_without_a_version_are_brought_forward(scene: Scene) -> None:
    scene.lose("log")
    scene.live.close()
    place(scene, "live.db").unlink()
    with closing(sqlite3.connect(place(scene, "live.db"))) as old:
        old.executescript(VERSION_1)
    scene.live = open_live(scene)
    state = scene.live.state()
    assert (state.position, len(state.ids), state.pruned) == (3, 1, 0), "position 3 was given, though it is gone"
    assert scene.live.append([message(9, "u001", "visit", BEGIN + HOUR)]) == ["accepted"]
    assert [m.id for m in scene.live.of_users(["u001"])] == ["a", "b", "m9"]
    assert scene.live.append([replace(message(9, "u001", "purchase", BEGIN + 2 * HOUR), id="b")]) == ["corrected"]
    assert [m.id for m in scene.live.of_users(["u001"])] == ["a", "b", "m9", "b"]
    again = open_live(scene)
    assert again.state() == scene.live.state(), "once"
    again.close()
    scene.fold()
    scene.compact()


def test_tables_without_corrections_are_brought_forward_in_postgresql(scene: Scene, postgres: str) -> None:
    log = open_live(scene, postgres)
    log.append([message(1, "u001", "visit", BEGIN + HOUR)])
    with log.writing() as connection:
        for change in (
            "DROP TABLE live_pruned_ids", "DROP INDEX live_events_by_id", "UPDATE live_state SET schema = 2",
            "ALTER TABLE live_events DROP COLUMN stated, DROP COLUMN corrects, ADD UNIQUE (message_id)",
        ):  # fmt: skip
            connection.execute(sa.text(change))
    log.close()
    log = open_live(scene, postgres)
    assert log.append([message(1, "u001", "purchase", BEGIN + 2 * HOUR)]) == ["corrected"]
    assert [m.corrects for m in log.of_users(["u001"])] == [False, True]
    log.close()


#: the table of memberships as it was up to version 3
VERSION_3 = """
DROP TABLE handoff_memberships;
CREATE TABLE handoff_standings (user_id VARCHAR NOT NULL, at BIGINT NOT NULL, due BIGINT, told TEXT NOT NULL,
  held TEXT NOT NULL, PRIMARY KEY (user_id));
CREATE INDEX ix_handoff_standings_due ON handoff_standings (due);
INSERT INTO handoff_standings VALUES ('u001', 5, 7, 'states=active', '[{"states":["active",3]},{},{},"shop@1",null]');
UPDATE live_state SET schema = 3
"""


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_memberships_of_version_3_are_brought_forward(
    scene: Scene, database: str, request: pytest.FixtureRequest
) -> None:
    url = "" if database == "sqlite" else request.getfixturevalue("postgres")
    log, clock = open_live(scene, url), scene.memberships._clock
    Memberships(scene.definition, log, clock)
    with log.writing() as connection:
        for change in VERSION_3.split(";\n"):
            connection.exec_driver_sql(change)
    log.close()
    log = open_live(scene, url)
    memberships = Memberships(scene.definition, log, clock)
    assert memberships.summaries().rows() == [("u001", 5, "states=active")]
    [(_, found)] = memberships.everybody()
    assert (found.at, found.held) == (5, {"states": ("active", 3)})
    assert memberships.take_due(9) == ["u001"]
    with log.reading() as connection:
        [index] = sa.inspect(connection).get_indexes("handoff_memberships")
    assert index["name"] == "ix_handoff_memberships_due"
    log.close()


def test_newer_tables_and_missing_columns_are_reported(scene: Scene) -> None:
    with scene.live.writing() as connection:
        connection.execute(sa.text(f"UPDATE live_state SET schema = {VERSION + 1}"))
    with pytest.raises(DatabaseError, match=f"of version {VERSION + 1}, and this program knows versions up to"):
        open_live(scene)
    with scene.live.writing() as connection:
        connection.execute(sa.text(f"UPDATE live_state SET schema = {VERSION}"))
        connection.execute(sa.text("DROP INDEX live_events_by_shard"))
        connection.execute(sa.text("ALTER TABLE live_events DROP COLUMN shard"))
    with pytest.raises(DatabaseError, match="live_events of the live log's database has no column shard"):
        open_live(scene)


def test_a_missing_column_of_the_hand_off_is_reported(scene: Scene) -> None:
    Memberships(scene.definition, scene.live, scene.memberships._clock)
    with scene.live.writing() as connection:
        connection.execute(sa.text("ALTER TABLE handoff_outbox DROP COLUMN error"))
    with pytest.raises(DatabaseError, match=r"handoff_outbox .* has no column error"):
        Memberships(scene.definition, scene.live, scene.memberships._clock)


def test_missing_rights_in_postgresql_are_reported_with_the_grant(scene: Scene, postgres: str) -> None:
    owner = sa.create_engine(postgres)
    with owner.begin() as connection:
        connection.execute(sa.text("DROP ROLE IF EXISTS worker"))
        connection.execute(sa.text("CREATE ROLE worker LOGIN"))
        connection.execute(sa.text("GRANT USAGE ON SCHEMA public TO worker"))
    theirs = postgres.replace("postgres@", "worker@")
    try:
        with pytest.raises(DatabaseError, match="does not let worker do it") as caught:
            open_live(scene, theirs)
        assert 'GRANT USAGE, CREATE ON SCHEMA public TO "worker"' in caught.value.fix
        LiveLog.open(scene.definition, Settings(home=scene.settings.home, live_log=SecretStr(postgres))).close()
        with pytest.raises(DatabaseError) as caught:
            open_live(scene, theirs)
        assert 'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "worker"' in caught.value.fix
        with owner.begin() as connection:
            for grant in caught.value.fix.split(": ", 1)[1].split("; "):
                connection.execute(sa.text(grant))
        log = open_live(scene, theirs)
        assert log.append([message(1, "u001", "visit", BEGIN)]) == ["accepted"], "these rights suffice"
        log.close()
    finally:
        with owner.begin() as connection:
            connection.execute(sa.text("DROP OWNED BY worker"))
            connection.execute(sa.text("DROP ROLE worker"))
        owner.dispose()


INTERNAL = ["\x00through", "\x00live", "\x00shard-0", "through", "live", "log", "shard-0", "mark", "\x00log"]


def test_no_user_id_reaches_the_stores_own_entries(scene: Scene) -> None:
    scene.live.append([message(1, "u000", "visit", BEGIN + HOUR)])
    scene.fold()
    before = scene.online.covered_through(), scene.online.marked([f"shard-{i}" for i in range(8)]), scene.online.log()
    assert scene.online.read_values(INTERNAL) == [None] * len(INTERNAL)
    assert scene.online.read(["u000", *INTERNAL]).keys() == {"u000"}
    assert scene.online.remove(INTERNAL) == 0
    scene.online.write_values(INTERNAL, [stored_bytes(BEGIN + 900 * HOUR, b"x", "", 2**60)] * len(INTERNAL))
    after = scene.online.covered_through(), scene.online.marked([f"shard-{i}" for i in range(8)]), scene.online.log()
    assert before == after
    assert before[0] > 0
    assert max(before[1]) > 0


def test_entries_of_an_older_store_are_taken_over_once(scene: Scene) -> None:
    online = scene.online
    with closing(sqlite3.connect(place(scene, "online.db"))) as connection, connection:
        [table] = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
                   if name.endswith("user_profile")]  # fmt: skip
        connection.execute(f'DELETE FROM "{table}" WHERE instr(entity_key, ?)', (b"mark",))
    assert online.covered_through() == 0
    online.write_values(
        ["\x00through", "\x00shard-3"], [stored_bytes(BEGIN, b"token", ""), stored_bytes(1, b"", "", 7)]
    )
    assert scene.online.covered_through() == BEGIN
    assert scene.online.covered() == "token"
    assert scene.online.marked(["shard-3", "shard-4"]) == [7, 0]
    assert scene.online.read_values(["\x00through", "\x00shard-3"]) == [None, None]
