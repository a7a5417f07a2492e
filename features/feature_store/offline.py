"""Feature rows for training, retrieved through Feast as of each row's cutoff."""

import shutil
import warnings
from contextlib import AbstractContextManager, nullcontext

import polars as pl

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.errors import StoreError
from features.feature_store.objects import feature_service_name
from features.feature_store.open import open_store
from features.settings import Settings


class OfflineFeatures:
    """Point-in-time retrieval of the feature rows of an outcome.

    Args:
        definition: the definition.
        settings: where its snapshots lie.
    """

    def __init__(self, definition: Definition, settings: Settings) -> None:
        self._definition = definition
        self._store = open_store(definition, settings, apply=True)
        self._engine = settings.engine
        self._staging = settings.folder(definition.name) / "staging"

    def rows(self, outcome: str, asked: pl.DataFrame) -> pl.DataFrame:
        """Retrieve feature rows and traits, as known at each cutoff.

        Args:
            outcome: whose feature service to read.
            asked: columns ``user`` and ``cutoff`` (UTC), and any others, which are handed back.

        Returns:
            The asked rows with the feature set's columns, sorted by cutoff and user.

        Raises:
            StoreError: a row of the answer is missing or doubled, or has no snapshot at its cutoff.
            SparkError: Spark is asked, and cannot answer.
        """
        features = feature_set(self._definition)
        entities = asked.rename({"cutoff": "event_timestamp"}).to_pandas()
        service = self._store.get_feature_service(feature_service_name(outcome, self._definition))
        with warnings.catch_warnings():
            # ibis 12 asks DuckDB 2 by an old name
            warnings.filterwarnings("ignore", message="fetch_arrow_table", category=DeprecationWarning)
            with self._in_words():
                answer = pl.from_arrow(self._store.get_historical_features(entities, service).to_arrow())
        shutil.rmtree(self._staging, ignore_errors=True)
        if not isinstance(answer, pl.DataFrame):
            raise StoreError(f"Feast answered with {type(answer).__name__}.", fix="report this")
        if len(answer) != len(asked) or answer["tenure_days"].null_count():
            lost = answer["tenure_days"].null_count() + abs(len(asked) - len(answer))
            raise StoreError(
                f"{lost:,} of {len(asked):,} rows asked of Feast have no snapshot at their cutoff.",
                fix="write the snapshots again (propensity train does)",
            )
        numbers = [pl.col(name).cast(pl.Float64).fill_nan(None) for name in features.numeric]
        text = [pl.col(name).cast(pl.String) for name in features.traits]
        cutoff = pl.col("event_timestamp").cast(pl.Datetime("us", "UTC")).alias("cutoff")
        extra = [name for name in asked.columns if name not in ("user", "cutoff")]
        return answer.select("user", cutoff, *extra, *numbers, *text).sort("cutoff", "user")

    def _in_words(self) -> AbstractContextManager[None]:
        """What Spark raises, where it is asked, as one of our errors."""
        if self._engine != "spark":
            return nullcontext()
        from features.spark.errors import in_words

        return in_words("snapshots and attributes of PROPENSITY_HOME")
