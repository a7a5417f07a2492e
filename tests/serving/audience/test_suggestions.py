"""Suggestions are counts of the population."""

import numpy as np
import polars as pl
import pytest

from features.errors import DefinitionError
from serving.audience.suggestions import suggestions
from serving.scoring.scores import Scored
from tests.serving.audience.conftest import Batch


@pytest.mark.parametrize("column", ["platform", "state", "churn_tier", "rfm_group"])
def test_texts_with_how_many_users_have_each(column: str, batch: Batch, scored: Scored) -> None:
    found = suggestions(batch.population, column)
    expected = scored.values([column])[column].to_series()  # type: ignore[union-attr]
    counts = expected.drop_nulls().value_counts().sort(["count", ""], descending=[True, False])
    assert list(found.texts) == list(counts.iter_rows())
    assert (found.unknown, found.more, found.quartiles) == (expected.null_count(), 0, None)
    assert sum(n for _, n in found.texts) + found.unknown == 3_000


@pytest.mark.parametrize("column", ["tenure_days", "days_since_purchase", "churn_percentile", "purchase_value_total"])
def test_quartiles_of_numbers(column: str, batch: Batch, scored: Scored) -> None:
    found = suggestions(batch.population, column)
    values = pl.Series(np.asarray(scored.values([column])[column]), nan_to_null=True)
    assert found.unknown == values.null_count()
    expected = [values.quantile(q, "linear") for q in (0, 0.25, 0.5, 0.75, 1)]
    assert found.quartiles == pytest.approx(expected)


def test_no_such_column(batch: Batch) -> None:
    with pytest.raises(DefinitionError, match=r"there is no column 'platfrom'\. Fix: nearest: platform"):
        suggestions(batch.population, "platfrom")
