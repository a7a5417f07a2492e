"""Ids that belong to one person, through the commands and answers that people see."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from features.definition import Definition, load_definition
from features.event_store.store import EventStore
from features.events.write import part_files
from features.feature_store import OnlineProfiles
from features.open_log import open_log
from features.profile.fold import feature_rows, read_all_at
from features.settings import Settings
from features.system.progress import unseen
from features.time import Clock, to_instant
from segments.holdout import Holdout
from serving.activation.audience_export import export
from serving.activation.memberships import Memberships
from serving.activation.transitions import TransitionRecorder
from serving.database.log.live_log import LiveLog
from serving.desk.user_history import history_of
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


def test_a_person_is_held_out_by_the_id_that_was_first_a_users_and_who_was_in_both_arms_is_marked(
    tmp_path: Path,
) -> None:
    """Two accounts, each with a device of its own, turn out to be one person."""
    folder = tmp_path / "case"
    shutil.copytree(CASE, folder)
    content = yaml.safe_load((folder / "propensity.yaml").read_text())
    content["identities"] = {"merges": {"path": "merges.csv", "columns": {"alias": "a", "user": "u", "known": "at"}}}
    content["transitions"] = {"holdout": 0.5}
    (folder / "propensity.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    merges = ["a,u,at", "d1,f000,2026-02-20T00:00:00Z", "d2,f001,2026-02-21T00:00:00Z"]
    (folder / "merges.csv").write_text("\n".join([*merges, "f000,f001,2026-02-28T12:00:00Z\n"]))
    definition, settings = load_definition(folder / "propensity.yaml"), Settings(home=tmp_path / "var")
    log = open_log(definition, settings, ends=None, steps=unseen)
    assert isinstance(log, EventStore)
    live, scores = LiveLog.open(definition, settings), settings.scores(definition.name)
    memberships = Memberships(definition, live, Clock(END))
    recorder, scorer = TransitionRecorder(definition, memberships, scores), Scorer(definition, {}, None)
    arms = Holdout(definition)
    names = list(arms.known)

    def score(instant: datetime) -> pl.DataFrame:
        at = to_instant(instant)
        drawn_as = log.people.drawn_as(at)
        batch = score_all(log, scorer, at, scores, drawn_as=drawn_as)
        recorder.batch(batch.path, scorer, at, merged=log.people.below(at), drawn_as=drawn_as)
        return pl.read_parquet(part_files(batch.path)).filter(pl.col("user_id").is_in(["f000", "f001"]))

    score(datetime(2026, 2, 28, 11, tzinfo=UTC))
    assert memberships.mixed(["f000", "f001"]) == {}
    entered = {name: {one for one in ("f000", "f001") if name in memberships.user(one).held} for name in names}
    own = {one: dict(zip(names, arms.of([one] * len(names), names).tolist(), strict=True)) for one in ("f000", "f001")}
    for _ in range(2):  # the same batch again changes nothing
        record = score(END).to_dicts()
        assert [row["user_id"] for row in record] == ["f001"]
        of_first = {name.removeprefix("segments.") for name in names if own["f000"][name]}
        assert set(record[0]["holdout"]) == set(record[0]["segments"]) & of_first, "the earlier account's arms"
        assert memberships.held_out(["f001"] * len(names), names) == [own["f000"][name] for name in names]
        mixed = {name for name in names if "f001" in entered[name] and own["f001"][name] != own["f000"][name]}
        assert mixed, "else this case shows nothing"
        assert memberships.mixed(["f000", "f001"]) == {"f001": mixed}
    name = min(mixed)
    held = memberships.user("f001").held[name][0]
    audience = name if name.startswith("segments.") else f"{name}.{held}"
    export(definition, memberships, scores, tmp_path / "exports", audience.removeprefix("segments."),
           tmp_path / "out.csv", "csv", changes=False, with_holdout=True)  # fmt: skip
    rows = pl.read_csv(tmp_path / "out.csv")
    assert rows.filter(pl.col("both_arms"))["user_id"].to_list() == ["f001"]
    materialize(log, definition, settings)
    answers = Answers(definition, settings)
    history = history_of("f000", END, answers, memberships, limit=10, reasons=0)
    assert (history.user_id, set(history.both_arms)) == ("f001", mixed)
    [online] = answers.score(["d1"], END, 0).records
    assert sorted(online.holdout) == sorted(record[0]["holdout"]), "live as in the batch"
    done = erase(definition, settings, memberships, ["d2"])
    assert not any(done.left.values())
    assert memberships.mixed(["f001"]) == {}
