"""Ids that belong to one person, through the commands and answers that people see."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from features.definition import Definition, load_definition
from features.event_store.open import open_log
from features.event_store.store import EventStore
from features.feature_store import OnlineProfiles
from features.profile.fold import feature_rows, read_all_at
from features.settings import Settings
from features.system.progress import unseen
from features.time import Clock, to_instant
from serving.activation.memberships import Memberships
from serving.activation.transitions import TransitionRecorder
from serving.api.user_history import history_of
from serving.database.live_log import LiveLog
from serving.scoring.batch import score_all
from serving.scoring.online import Answers
from serving.scoring.scorer import Scorer
from serving.upkeep.erase import erase
from serving.upkeep.materialize import materialize

CASE = Path(__file__).parents[2] / "cases" / "02-guest-cart-order-after-login"
END = datetime(2026, 3, 1, tzinfo=UTC)


def by_a_table(folder: Path) -> dict[str, object]:
    """A table beside the log says who is who."""
    (folder / "merges.csv").write_text("anonymous,known_as,at\nanon-7,u7,2026-02-28T10:01:00Z\n")
    columns = {"alias": "anonymous", "user": "known_as", "known": "at"}
    return {"merges": {"path": "merges.csv", "columns": columns}}


def by_the_rows(folder: Path) -> dict[str, object]:
    """Each row has both ids, as Segment's have from the login on; before it there is no user."""
    rows = pl.read_csv(folder / "events.csv", infer_schema=False)
    known = pl.col("user_id") == "u7"
    rows = rows.with_columns(
        anonymous_id=pl.when(known | (pl.col("user_id") == "anon-7")).then(pl.lit("anon-7")),
        user_id=pl.when(pl.col("user_id") != "anon-7").then("user_id"),
    )
    rows.write_csv(folder / "events.csv")
    return {"alias": "anonymous_id"}


WAYS = {"table": by_a_table, "rows": by_the_rows}


@pytest.fixture(params=list(WAYS))
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Definition, Settings]:
    folder = tmp_path / "case"
    shutil.copytree(CASE, folder)
    content = yaml.safe_load((folder / "propensity.yaml").read_text())
    content["identities"] = WAYS[request.param](folder)
    if request.param == "rows":
        content["events"]["columns"]["user"] = "COALESCE(user_id, anonymous_id)"
    (folder / "propensity.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    definition, settings = load_definition(folder / "propensity.yaml"), Settings(home=tmp_path / "var")
    materialize(open_log(definition, settings, ends=None, steps=unseen), definition, settings)
    return definition, settings


def test_case_02_a_guest_who_registers_is_one_person(case: tuple[Definition, Settings]) -> None:
    definition, settings = case
    answer = Answers(definition, settings).score(["anon-7", "f000", "nobody"], END, 0)
    found = {record.user_id: record for record in answer.records}
    assert set(found) == {"u7", "f000"}
    assert [(one.user_id, one.now) for one in answer.merged] == [("anon-7", "u7")]
    assert [(one.user_id, one.why) for one in answer.missing] == [("nobody", "unknown_user")]
    assert found["u7"].state == "new"
    assert "cart_abandoned_24h" not in found["u7"].segments
    assert [record.user_id for record in answer.records] == ["u7", "f000"], "in the order of the request"
    both = Answers(definition, settings).score(["u7", "anon-7"], END, 0)
    assert [record.user_id for record in both.records] == ["u7"], "asked for under both ids, there is one record"


def test_the_batch_scores_the_person_once(case: tuple[Definition, Settings]) -> None:
    definition, settings = case
    log = open_log(definition, settings, ends=None, steps=unseen)
    assert isinstance(log, EventStore)
    at = np.array([log.ends])
    rows = [frame for frames in log.map(lambda e: list(feature_rows(e, read_all_at(e, at), definition)))
            for frame in frames]  # fmt: skip
    users = pl.concat(rows).filter(pl.col("user").is_in(["u7", "anon-7"]))
    assert users["user"].to_list() == ["u7"]
    assert users["visit_count_total"].to_list() == [4]
    assert users["cart_count_total"].to_list() == [1]


def test_a_person_is_erased_under_all_ids(case: tuple[Definition, Settings]) -> None:
    definition, settings = case
    memberships = Memberships(definition, LiveLog.open(definition, settings), Clock(END))
    done = erase(definition, settings, memberships, ["anon-7"])
    assert not any(done.left.values())
    assert OnlineProfiles(definition, settings).count(["u7", "anon-7"]) == 0
    materialize(open_log(definition, settings, ends=None, steps=unseen), definition, settings)
    answer = Answers(definition, settings).score(["anon-7", "u7"], END, 0)
    assert [one.why for one in answer.missing] == ["unknown_user", "unknown_user"]


def test_an_id_that_was_merged_leaves_what_it_was_in(case: tuple[Definition, Settings]) -> None:
    """Else the guest would get the message about a cart that the customer has bought."""
    definition, settings = case
    log = open_log(definition, settings, ends=None, steps=unseen)
    assert isinstance(log, EventStore)
    memberships = Memberships(definition, LiveLog.open(definition, settings), Clock(END))
    recorder = TransitionRecorder(definition, memberships, settings.scores(definition.name))
    scorer = Scorer(definition, {}, None)
    for instant in (datetime(2026, 2, 28, 10, 0, 30, tzinfo=UTC), END):
        at = to_instant(instant)
        batch = score_all(log, scorer, at, settings.scores(definition.name), reasons=0)
        recorder.batch(batch.path, scorer, at, merged=log.people.below(at))
        if instant != END:
            before = memberships.user("anon-7")
            assert before is not None
            assert before.held["states"][0] == "new"
            assert memberships.user("u7") is None
    assert memberships.user("anon-7") is None
    ended = memberships.history(user="anon-7")
    assert {(t.dimension, t.before, t.after, t.cause) for t in ended} >= {("states", "new", None, "merged")}
    assert {t.cause for t in ended} == {"merged"}
    now = memberships.user("u7")
    assert now is not None
    assert now.held["states"][0] == "new"
    history = history_of("anon-7", END, Answers(definition, settings), memberships, limit=10, reasons=0)
    assert history.user_id == "u7"
