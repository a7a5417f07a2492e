"""Which scores are earlier ones."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from features.time import to_instant
from serving.scoring.previous import Earlier, scores_path

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
