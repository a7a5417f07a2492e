"""The measured numbers of the documentation: written between markers, from the published results."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

Numbers = Mapping[str, float]

#: pages that show measured numbers, from the root of the repository
PAGES = ("README.md", "docs/explanations/measurements.md")

_MARKED = re.compile(r"(<!-- bench:(\w+) -->)(.*?)(<!-- /bench -->)", re.DOTALL)


def _one(key: str, form: str = ".2f", times: float = 1.0) -> Callable[[Numbers], str]:
    return lambda numbers: f"{numbers[key] * times:{form}}"


def _all(suffix: str, form: str, *, less: float = 0.0, times: float = 1.0) -> Callable[[Numbers], str]:
    """The smallest to the largest of the numbers whose names end alike."""

    def text(numbers: Numbers) -> str:
        found = [(value - less) * times for key, value in numbers.items() if key.endswith(suffix)]
        return f"{min(found):{form}} to {max(found):{form}}"

    return text


def _rounded(key: str) -> Callable[[Numbers], str]:
    """Two digits of a large number: 9,035 is 9,000."""

    def text(numbers: Numbers) -> str:
        value = round(numbers[key])
        return f"{round(value, 2 - len(str(value))):,}"

    return text


def _real(numbers: Numbers) -> str:
    return " and ".join(f"{numbers[f'models.{log}.spend_gini']:.3f}" for log in ("online_retail", "complete_journey"))


FIGURES: dict[str, Callable[[Numbers], str]] = {
    "auc_over_best": _all(".auc_over_bayes", ".3f"),
    "log_loss_over_best": _all(".log_loss_over_bayes", ".1f", less=1, times=100),
    "calibration_errors": _all(".calibration_error", ".3f"),
    "calibration_errors_of_best": _all(".calibration_error_of_best", ".3f"),
    "cdnow_auc_if_known": _one("models.cdnow.auc_if_known", ".3f"),
    "cdnow_auc": _one("models.cdnow.auc", ".3f"),
    "cdnow_ap": _one("models.cdnow.ap", ".3f"),
    "cdnow_lift": _one("models.cdnow.lift10"),
    "cdnow_log_loss": _one("models.cdnow.log_loss", ".3f"),
    "cdnow_gini": _one("models.cdnow.spend_gini", ".3f"),
    "cdnow_gini_baseline": _one("models.cdnow.spend_gini_best_floor", ".3f"),
    "real_gini": _real,
    "value_totals": _all(".spend_observed_over_expected", ".2f"),
    "vs_duckdb": _one("features.vs_duckdb_sql", ".0f"),
    "vs_duckdb_expert": _one("features.vs_duckdb_expert", ".1f"),
    "vs_polars_expert": _one("features.vs_polars_expert", ".1f"),
    "kept_vs_polars_expert": _one("features.kept_store_vs_polars_expert", ".1f"),
    "one_more_day": _one("features.one_more_day_share", ".0f", 100),
    "ready_s": _one("start.ready_s", ".0f"),
    "memory_gib": _one("features.memory_100m_gib", ".1f"),
    "profiles_per_s": _rounded("materialize.sqlite_users_per_s"),
    "one_user_over_noop": _one("live.score_p50_over_noop", ".1f"),
    "bulk_1000": _one("live.bulk_1000_vs_feast_pyfunc", ".0f"),
    "freshness_ms": _one("live.freshness_p99_ms", ".0f"),
    "p99_over_p50": _one("live.p99_over_p50_200rps", ".1f"),
    "due_over_usual": _one("live.p99_due_over_usual", ".1f"),
    "reasons_1000": _one("live.reasons_1000_ratio", ".1f"),
    "events_per_s": _rounded("live.events_per_s"),
    "single_events_per_s": _rounded("live.single_events_per_s"),
    "soak_events": _one("live.soak_events", ",.0f"),
    "soak_lost": _one("live.soak_lost_events", ",.0f"),
    "segments_over_read": _one("segments.cost_100_over_read"),
    "handoff_per_s": _rounded("handoff.messages_per_s"),
    "handoff_lost": _one("handoff.lost", ",.0f"),
    "reasons_ms": _one("reasons.one_user_ms", ".1f"),
    "reasons_bulk": _one("reasons.batch_vs_pred_contrib", ".0f"),
    "trees_scores": _one("trees.scores_vs_lightgbm", ".0f"),
    "reasons_difference": _one("reasons.largest_difference", ".0e"),
}


def filled(text: str, numbers: Numbers) -> str:
    """Write the numbers between a page's markers, ``<!-- bench:NAME -->…<!-- /bench -->``.

    Raises:
        KeyError: a marker names no figure, or the results lack its number.
    """
    return _MARKED.sub(lambda found: f"{found[1]}{FIGURES[found[2]](numbers)}{found[4]}", text)


def publish(root: Path, numbers: Numbers) -> None:
    """Write the numbers into all pages of a repository."""
    for name in PAGES:
        page = root / name
        page.write_text(filled(page.read_text(encoding="utf-8"), numbers), encoding="utf-8")
