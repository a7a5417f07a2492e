"""Outcomes that jobs of tests train, and how they are kept quiet."""

from collections.abc import Iterator
from contextlib import contextmanager

from features.system.progress import Progress


@contextmanager
def quiet(label: str, total: int | None = None) -> Iterator[Progress]:
    yield lambda _: None


CHURN = {"will_not": "visit", "within": "7d", "among": "days_since_visit < 28 AND uninstall_count_total = 0"}


REFUSALS = {
    "population_empty": (
        {"will": "purchase", "within": "7d", "among": "tenure_days < 0"},
        "nobody for whom tenure_days < 0",
    ),
    "outcome_never_happens": (
        {"will": "purchase", "within": "7d", "among": "uninstall_count_total > 0 AND days_since_uninstall > 20"},
        "0 of",
    ),
    "outcome_always_happens": ({"will_not": "sign_up", "within": "7d", "among": "sign_up_count_total > 0"}, " of "),
    "too_few_positives": (
        {"will": "purchase", "within": "1d", "among": "days_since_visit > 40 AND uninstall_count_total = 0"},
        "positives of odd",
    ),
    "too_few_negatives": ({"will": "visit", "within": "30d", "among": "visit_count_7d > 40"}, "negatives of odd"),
    "log_too_short": ({"will": "purchase", "within": "900d", "among": "days_since_visit < 28"}, "no matured cutoff"),
}
