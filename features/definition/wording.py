"""The words for feature families: English here, and any other language in the definition's ``wording``.

A template describes one value. It may name what its family has: ``{signal}``, ``{of}`` (part) and ``{window}``
(in words), ``{n}`` (the value), ``{days}`` (the value as a time), ``{percent}`` (the value as a share), and ``{usual}``
(the user's own usual gap). ``….none`` is used where the value is 0, ``….missing`` where there is none.
"""

import string

ENGLISH: dict[str, str] = {
    "count": "{n} × {signal} in the last {window}",
    "count.none": "no {signal} in the last {window}",
    "active_days": "{signal} on {n} of the last {window}",
    "value": "{signal} worth {n} in the last {window}",
    "count_total": "{n} × {signal} in all",
    "count_total.none": "no {signal} in all",
    "active_days_total": "{signal} on {n} days in all",
    "value_total": "{signal} worth {n} in all",
    "value_first": "the first {signal} was worth {n}",
    "value_first.missing": "no {signal} ever",
    "value_last": "the last {signal} was worth {n}",
    "value_last.missing": "no {signal} ever",
    "value_largest": "the largest {signal} was worth {n}",
    "value_largest.missing": "no {signal} ever",
    "value_mean": "{signal} worth {n} on average",
    "value_mean.missing": "no {signal} ever",
    "value_spread": "the worth of {signal} varies by {n}",
    "value_spread.missing": "no {signal} ever",
    "value_mean_of": "{signal} worth {n} on average in the last {window}",
    "value_mean_of.missing": "no {signal} in the last {window}",
    "sum": "{of} of {signal}: {n} in the last {window}",
    "sum_total": "{of} of {signal}: {n} in all",
    "sum_first": "{of} of the first {signal}: {n}",
    "sum_first.missing": "no {signal} ever",
    "sum_last": "{of} of the last {signal}: {n}",
    "sum_last.missing": "no {signal} ever",
    "sum_largest": "{of} of {signal}: at most {n}",
    "sum_largest.missing": "no {signal} ever",
    "sum_mean": "{of} of {signal}: {n} on average",
    "sum_mean.missing": "no {signal} ever",
    "sum_spread": "{of} of {signal} varies by {n}",
    "sum_spread.missing": "no {signal} ever",
    "sum_mean_of": "{of} of {signal}: {n} on average in the last {window}",
    "sum_mean_of.missing": "no {signal} in the last {window}",
    "distinct": "{n} different {of} of {signal} in the last {window}",
    "distinct_total": "{n} different {of} of {signal} in all",
    "kept": "{n} × {signal} in the last {window} that stand",
    "kept.none": "no {signal} in the last {window} that stands",
    "kept_days": "{signal} that stand on {n} of the last {window}",
    "kept_total": "{n} × {signal} in all that stand",
    "kept_total.none": "no {signal} in all that stands",
    "kept_days_total": "{signal} that stand on {n} days in all",
    "kept_gap_mean": "{signal} that stand every {days} on average",
    "kept_gap_mean.missing": "{signal} that stand on fewer than two days so far",
    "days_since_kept": "last {signal} that stands {days} ago",
    "days_since_kept.missing": "no {signal} that stands",
    "days_since_first_kept": "first {signal} that stands {days} ago",
    "days_since_first_kept.missing": "no {signal} that stands",
    "mrr": "{signal}: {n} a month",
    "mrr.none": "{signal}: nothing is paid",
    "mrr_before": "{signal}: {n} a month before",
    "mrr_before.none": "{signal}: nothing was paid before",
    "mrr_new": "{signal}: {n} a month more, as it is new",
    "mrr_expansion": "{signal}: {n} a month more than before",
    "mrr_contraction": "{signal}: {n} a month less than before",
    "mrr_churned": "{signal}: {n} a month less, as it ended",
    "mrr_reactivated": "{signal}: {n} a month more, as it is back",
    "renewal_days": "{signal} is renewed in {days}",
    "renewal_days.missing": "{signal}: no renewal is due",
    "days_since": "last {signal} {days} ago",
    "days_since.missing": "no {signal} ever",
    "days_since_first": "first {signal} {days} ago",
    "days_since_first.missing": "no {signal} ever",
    "days_since_comeback": "first {signal} after a long absence {days} ago",
    "days_since_comeback.missing": "no long absence between two {signal} so far",
    "silence_share": "no {signal} for the last {percent} of the time known",
    "silence_share.missing": "no {signal} ever",
    "gap_mean": "{signal} every {days} on average",
    "gap_mean.missing": "{signal} on fewer than two days so far",
    "gap_std": "{signal} gaps vary by {days}",
    "gap_std.missing": "{signal} on fewer than two days so far",
    "gap_last": "the last two {signal} days lay {days} apart",
    "gap_last.missing": "{signal} on fewer than two days so far",
    "gap_median": "{signal} mostly every {days}",
    "gap_median.missing": "{signal} on fewer than two days so far",
    "gap_largest": "at most {days} between two {signal} days",
    "gap_largest.missing": "{signal} on fewer than two days so far",
    "sessions": "{n} sessions of {signal} in the last {window}",
    "sessions_total": "{n} sessions of {signal} in all",
    "session_events": "{n} × {signal} in a session",
    "session_events.missing": "no {signal} ever",
    "overdue": "no {signal} for {n} times the usual {usual}",
    "overdue.missing": "{signal} on fewer than two days so far",
    "decayed": "{signal} level {n} (fading over {window})",
    "trend": "{signal} in the last {window} at {percent} of those before",
    "trend.missing": "no {signal} in the {window} before the last {window}",
    "share": "{signal} is {percent} of all activity in the last {window}",
    "share.missing": "no activity in the last {window}",
    "night": "{percent} of {signal} falls on nights",
    "morning": "{percent} of {signal} falls on mornings",
    "afternoon": "{percent} of {signal} falls on afternoons",
    "evening": "{percent} of {signal} falls on evenings",
    "weekend": "{percent} of {signal} falls on weekends",
    "weekday": "day {n} of the week, where Monday is 0",
    "month_day": "day {n} of the month",
    "tenure": "Known for {days}",
    "other": "{feature}: {n}",
    "other.missing": "{feature}: not known",
    "moved": "{now} (before: {before})",
    "a_day": "1 day",
    "last_day": "day",
    "days": "{n} days",
    "hours": "{n} hours",
}

#: what a template may name that its family does not have as a column
_OF_VALUE = {"n", "days", "percent", "usual"}
_WITH_WINDOW = {
    "count", "active_days", "value", "value_mean_of", "sessions", "kept", "kept_days", "decayed", "trend", "share",
}  # fmt: skip
_PARTS = ("sum_total", "sum_first", "sum_last", "sum_largest", "sum_mean", "sum_spread", "distinct_total")
_WITH_PART = {family: {"signal", "of", "window"} for family in ("sum", "sum_mean_of", "distinct")}
_WITH_PART |= {family: {"signal", "of"} for family in _PARTS}
_OTHERS = _WITH_PART | {"other": {"feature"}, "tenure": set[str](), "weekday": set[str](),
           "month_day": set[str](), "moved": {"now", "before"}, "a_day": set[str](),
           "last_day": set[str](), "days": {"n"}, "hours": {"n"}}  # fmt: skip
_FAMILIES = [key for key in ENGLISH if "." not in key]


def fields_of(family: str, case: str) -> set[str]:
    """The fields that are there when a template of a family is filled."""
    fixed = _OTHERS.get(family, {"signal", "window"} if family in _WITH_WINDOW else {"signal"})
    if family in ("moved", "a_day", "last_day", "days", "hours") or case == "missing":
        return fixed
    return fixed | ({"n"} if family == "other" else _OF_VALUE)


def problems(wording: dict[str, str], names: set[str]) -> list[str]:
    """What is wrong with the words of a definition: unknown families, and fields that a template cannot have.

    Args:
        wording: templates by family, and names of signals, their properties, traits and derived columns in words
            (``name.visit``).
        names: the signals, properties, traits and derived columns there are.
    """
    found = []
    for key, template in wording.items():
        family = key.split(".")[0]
        if family == "name":
            if key.removeprefix("name.") not in names:
                found.append(f"{key}: there is no such signal, property, trait or derived column")
            continue
        case = key.removeprefix(family).removeprefix(".")
        if family not in _FAMILIES or case not in ("", "none", "missing"):
            found.append(f"{key}: unknown; the families are {', '.join(_FAMILIES)}")
            continue
        try:
            parts = list(string.Formatter().parse(template))
        except ValueError as error:
            found.append(f"{key}: {template!r}: {error}")
            continue
        allowed = fields_of(family, case)
        for _, field, form, conversion in parts:
            if field is not None and (field not in allowed or form or conversion):
                named = ", ".join(sorted(allowed)) or "nothing"
                found.append(f"{key}: {template!r} names {{{field}}}; it may name {named}, as it is")
    return found
