"""Earlier answers are looked up on disk."""

import errno
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.errors import UnavailableError
from features.time import to_instant
from serving.scoring.earlier import user_table
from serving.scoring.earlier.answers import AnswersByUser
from serving.scoring.earlier.batch import EVIDENCE, Earlier, scores_path
from tests.worlds import definition_of

DEFINITION = definition_of()
AT = datetime(2026, 3, 1, tzinfo=UTC)


def batch(folder: Path, users: int, parts: int, *, evidence: bool = True) -> tuple[Earlier, pl.DataFrame]:
    """Scores of an earlier batch; some users have no answer."""
    rng = np.random.default_rng(users)
    answers = pl.Series(rng.uniform(0, 1, users)).set(pl.Series(rng.uniform(0, 1, users) < 0.1), None)
    frame = pl.DataFrame({"user_id": [f"u{i}" for i in range(users)], "answer": answers}).with_columns(
        pl.Series(EVIDENCE, rng.integers(-(2**63), 2**63 - 1, users))
    )
    path = scores_path(folder, to_instant(AT))
    path.mkdir(parents=True)
    place = rng.integers(0, parts, users)
    for i in range(parts):
        kept = frame.filter(pl.Series(place == i)).select(
            "user_id", pl.struct(pl.struct(probability="answer").alias("churn")).alias("intent"),
            *([EVIDENCE] if evidence else []),
        )  # fmt: skip
        kept.write_parquet(path / f"part-{i}.parquet")
    return Earlier(AT, path), frame


@pytest.mark.parametrize(("users", "parts"), [(0, 1), (1, 1), (300, 1), (20_000, 7), (300, 40)])
def test_everybodys_answers_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, users: int, parts: int) -> None:
    monkeypatch.setattr(user_table, "_SORTED", 1_000)
    monkeypatch.setattr(user_table, "_COLLECTED", 5_000)
    earlier, frame = batch(tmp_path, users, parts)
    before = sorted(tmp_path.rglob("*"))
    found = AnswersByUser(earlier, DEFINITION)
    assert sorted(tmp_path.rglob("*")) == before, "the table has no name"
    asked = [f"u{i}" for i in np.random.default_rng(1).permutation(users + 50)]
    assert found.scores(asked) == {
        user: {} if answer is None else {"churn": round(answer, 6)}
        for user, answer in frame.select("user_id", "answer").iter_rows()
    }
    known = dict(frame.select("user_id", EVIDENCE).iter_rows())
    assert found.evidence(asked) == {user: known.get(user, 0) for user in asked}
    assert found.scores([]) == {}
    assert found.evidence([]) == {}


def test_nothing_is_known_without_an_earlier_batch_and_of_evidence_that_was_not_kept(tmp_path: Path) -> None:
    none = AnswersByUser(None, DEFINITION)
    assert none.scores(["u1"]) == {}
    assert none.evidence(["u1"]) == {}
    earlier, frame = batch(tmp_path, 50, 3, evidence=False)
    found = AnswersByUser(earlier, DEFINITION)
    assert found.scores(frame["user_id"].to_list()).keys() == set(frame["user_id"])
    assert found.evidence(["u1"]) == {}


def test_users_whose_sorted_bits_are_the_same_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_table, "_keys", lambda users: users.str.len_chars().to_numpy().astype(np.int64))
    earlier, frame = batch(tmp_path, 300, 4)
    found = AnswersByUser(earlier, DEFINITION)
    known = {"u7": frame[EVIDENCE][7], "u250": frame[EVIDENCE][250], "nobody": 0}
    assert found.evidence(list(known)) == known


def test_a_full_disk_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    earlier, _ = batch(tmp_path, 10, 1)
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(UnavailableError, match=r"320 bytes cannot be written in .*: No space left on device"):
        AnswersByUser(earlier, DEFINITION)
