"""What the tests of the log share: stores of many small buckets, so that a small log has several."""

import pytest

from features.event_store import store as store_module


@pytest.fixture(autouse=True)
def _small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "BUCKET_ROWS", 300)
