"""What the tests of reading share with those of the event store: stores of many small buckets."""

from tests.features.event_store.conftest import _small_buckets

__all__ = ["_small_buckets"]
