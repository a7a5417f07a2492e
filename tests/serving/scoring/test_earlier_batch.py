"""Which scores are earlier ones."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from features.errors import StoreError, UnavailableError
from features.system.files.durable import remove_folder, replace_folder
from features.time import to_instant
from serving.scoring.earlier.batch import Earlier, scores_path

DAY = datetime(2026, 3, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize("after", [timedelta(0), timedelta(microseconds=1), timedelta(milliseconds=999)])
def test_scores_of_an_instant_are_not_earlier_than_it(tmp_path: Path, after: timedelta) -> None:
    """A batch that is run again is compared with the one before it, not with itself."""
    week, now = to_instant(DAY - timedelta(days=7)), to_instant(DAY + after)
    for instant in (week, now):
        scores_path(tmp_path, instant).mkdir()
    found = Earlier.before(tmp_path, now)
    assert found is not None
    assert found.path == scores_path(tmp_path, week)
    assert Earlier.before(tmp_path, to_instant(DAY + timedelta(seconds=1))) == Earlier(DAY, scores_path(tmp_path, now))
    assert Earlier.before(tmp_path, week) is None


def run(place: Path, count: int) -> None:
    """Scores of some users, in the place of those there are."""
    fresh = place.with_name(place.name + ".new")
    fresh.mkdir(parents=True)
    for i in range(3):
        users = [f"u{i}-{user}" for user in range(count)]
        pl.DataFrame({"user_id": users, "run": [count] * count}).write_parquet(fresh / f"part-{i}.parquet")
    replace_folder(fresh, place)


def test_a_batch_that_is_run_again_while_it_is_read(tmp_path: Path) -> None:
    run(scores_path(tmp_path, to_instant(DAY)), 100)
    newest = Earlier.newest(tmp_path)
    assert newest is not None
    with newest.reading() as records:
        assert records.collect_schema().names() == ["user_id", "run"]
        run(newest.path, 3_000)
        assert records.collect()["run"].to_list() == [100] * 300
    with newest.reading() as records:
        assert records.collect()["run"].to_list() == [3_000] * 9_000


def test_a_batch_that_is_removed_is_no_damaged_one(tmp_path: Path) -> None:
    run(scores_path(tmp_path, to_instant(DAY)), 100)
    newest = Earlier.newest(tmp_path)
    assert newest is not None
    with newest.reading() as records:
        remove_folder(newest.path)
        assert records.collect().height == 300
    with pytest.raises(UnavailableError, match="not there any more"), newest.reading():
        pass
    newest.path.mkdir()
    (newest.path / "part-0.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(StoreError, match="writes it again"), newest.reading() as records:
        records.collect()
