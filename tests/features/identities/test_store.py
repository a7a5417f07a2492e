"""The event store and the kept profiles of a log whose rows say who is who, day by day, beside the oracle."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from features.definition import Definition
from features.event_store import store as store_module
from features.event_store.store import EventStore
from features.events.log import Log
from features.profile.codec import StoredProfile
from features.profile.fold import feature_rows, read_all_at
from features.profile.stored import Profiles
from features.reading.source import EventLog
from features.settings import Settings
from features.time import DAY, HOUR, to_datetime, to_instant
from tests.features.event_store.logs import NOON, SCHEMA, definition_in, put
from tests.features.identities.oracle import Merge, called, people_at
from tests.features.profile.days import kept_rows
from tests.features.profile.folded import assert_same
from tests.oracle import Event, feature_row

ROWS = pl.Schema({**SCHEMA, "anonymous_id": pl.String()})
START = to_instant(NOON)
MERGES = pl.Schema({"alias": pl.String(), "user": pl.String(), "known": pl.Datetime("us", "UTC"),
                    "undone": pl.Datetime("us", "UTC")})  # fmt: skip


@pytest.fixture(autouse=True)
def _small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "BUCKET_ROWS", 1)


def rules(folder: Path) -> Definition:
    table = {"path": str(folder / "merges.parquet"), "columns": {"undone": "undone"}}
    return definition_in(folder, identities={"alias": "anonymous_id", "merges": table, "most_ids": 4, "most_users": 2})


def opened(folder: Path, ends: int) -> EventStore:
    return EventStore.open(EventLog(rules(folder), ends=ends), Settings(home=folder / "var"))


def forward(folder: Path, through: int, into: str) -> dict[str, bytes]:
    profiles = Profiles(rules(folder), folder / into)
    changed = dict(pl.concat(profiles.advance(opened(folder, through), through, None)).iter_rows())
    profiles.commit()
    return changed


def kept(folder: Path, into: str) -> dict[str, tuple[bytes, int, object]]:
    rows = kept_rows(Profiles(rules(folder), folder / into))
    found = {}
    for user, value, ahead in rows.select("user", "profile", "ahead").iter_rows():
        profile = StoredProfile.from_bytes(value)
        found[user] = (profile.words, ahead, profile.identity)
    return found


def online(changes: list[dict[str, bytes]]) -> dict[str, tuple[bytes, object]]:
    """What an online store holds after some runs."""
    held: dict[str, bytes] = {}
    for changed in changes:
        held |= changed
    found = {user: StoredProfile.from_bytes(value) for user, value in held.items()}
    return {user: (p.words, p.identity) for user, p in found.items() if p.words or p.identity.now}


def rows_at(store: Log, definition: Definition, cutoffs: list[int]) -> dict[tuple[str, int], dict[str, object]]:
    assert isinstance(store, EventStore)
    found: dict[tuple[str, int], dict[str, object]] = {}
    for frames in store.map(lambda e: list(feature_rows(e, read_all_at(e, np.array(cutoffs)), definition))):
        for row in (row for frame in frames for row in frame.to_dicts()):
            key = (row["user"], to_instant(row["cutoff"]))
            assert key not in found
            found[key] = row
    return found


#: who, by which other id, what, when, and how much later it arrived, in hours
happenings = st.lists(
    st.tuples(st.sampled_from(["u1", "u2", "u3", "a1", "a2", "a3"]), st.sampled_from([None, None, "a1", "a2", "u2"]),
              st.sampled_from(["visit", "purchase", "push"]), st.integers(0, 20 * 24), st.sampled_from([0, 0, 0, 30])),
    min_size=1, max_size=30,
)  # fmt: skip
tables = st.lists(
    st.tuples(st.sampled_from(["u1", "u3", "a3"]), st.sampled_from(["u2", "u3", "a1"]), st.integers(0, 20 * 24),
              st.none() | st.integers(1, 10 * 24)),
    max_size=4,
)  # fmt: skip


def merges_of(log: list[tuple], table: list[tuple], through: int) -> list[Merge]:
    """What the rows and the table say by an instant."""
    merges = [Merge(alias, user, max(START + at * HOUR + 1, START + (at + late) * HOUR))
            for user, alias, _, at, late in log if alias is not None and alias != user]  # fmt: skip
    for alias, user, at, undone in table:
        until = None if undone is None else START + (at + undone) * HOUR + 1
        merges.append(Merge(alias, user, START + at * HOUR + 1, True, until))
    return [m for m in merges if m.known <= through]


@hypothesis_settings(max_examples=hypothesis_settings().max_examples // 7)
@given(happenings, tables, st.lists(st.integers(1, 22), min_size=2, max_size=4, unique=True).map(sorted))
def test_day_by_day_is_all_at_once_and_what_the_oracle_says(
    tmp_path_factory: pytest.TempPathFactory, log: list[tuple], table: list[tuple], days: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("people")
    at = [NOON + timedelta(hours=hours) for *_, hours, _ in log]
    arrived = [NOON + timedelta(hours=hours + late) for *_, hours, late in log]
    rows = pl.DataFrame(
        {
            "event_id": [str(i) for i in range(len(log))],
            "user_id": [user for user, *_ in log],
            "event": [event for _, _, event, *_ in log],
            "event_time": at,
            "arrived_at": arrived,
            "revenue": [1.5] * len(log),
            "anonymous_id": [alias for _, alias, *_ in log],
        },
        schema=ROWS,
    )
    before, changes = 0, []
    for day in days:
        came = (pl.col("arrived_at") - NOON).dt.total_days().is_between(before, day - 1)
        put(folder, f"{day:02d}", rows.filter(came))
        before, through = day, START + day * DAY
        known = [(a, u, to_datetime(START + t * HOUR), None if d is None or t + d >= day * 24
                  else to_datetime(START + (t + d) * HOUR)) for a, u, t, d in table if t < day * 24]  # fmt: skip
        pl.DataFrame(known, schema=MERGES, orient="row").write_parquet(folder / "merges.parquet")
        here = rows.filter((pl.col("arrived_at") - NOON).dt.total_days() < day, pl.col("event") != "push")
        if not len(here):
            continue
        changes.append(forward(folder, through, "profiles"))
        fresh = forward(folder, through, f"fresh-{day}")
        assert kept(folder, "profiles") == kept(folder, f"fresh-{day}"), f"through day {day}"
        assert online(changes) == online([fresh]), f"through day {day}"
        events = [Event(user, START + t * HOUR, (event,), 1.5, START + (t + late) * HOUR)
                  for user, _, event, t, late in log if event != "push" and (t + late) // 24 < day]  # fmt: skip
        store, definition = opened(folder, through), rules(folder)
        found, expected = rows_at(store, definition, [through - 2 * DAY, through]), {}
        came_in = [one for one in log if (one[3] + one[4]) // 24 < day]
        for c in (through - 2 * DAY, through):
            persons = called(events, people_at(merges_of(came_in, table, c), c, 4, 2))
            some = {user: feature_row(definition, persons, user, c) for user in {event.user for event in persons}}
            expected |= {(user, c): row for user, row in some.items() if row is not None}
        assert set(found) == set(expected)
        for key, row in expected.items():
            assert_same(found[key], row, str(key))
