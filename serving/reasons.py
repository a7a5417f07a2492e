"""Reasons in words: one template a feature family."""

from collections.abc import Mapping

from features.definition.columns import HABITS, share_window, trend_pairs
from features.definition.schema import Definition
from features.time import DAY, span_name

Row = Mapping[str, object]

TIMES = "{n} × "


def number(value: object) -> str:
    """Write a number the way people do: ``9``, ``3.1``, ``0.04``."""
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 10 or float(value).is_integer() else f"{value:.2g}"


def days(value: object) -> str:
    """Write a number of days: ``9 days``, ``5 hours``."""
    if not isinstance(value, int | float):
        return str(value)
    if value < 1:
        return f"{number(round(value * 24))} hours"
    return "1 day" if round(value) == 1 else f"{number(round(value))} days"


class Wording:
    """Words for every column of a definition's feature set."""

    def __init__(self, definition: Definition) -> None:
        self._templates = _templates(definition)
        self._absent = _absent(definition)

    def say(self, feature: str, row: Row) -> str:
        """Put one column of a feature row into words."""
        value = row[feature]
        if value is None:
            return self._absent.get(feature, f"{feature.replace('_', ' ')}: not known")
        template = self._templates.get(feature)
        if template is None:
            return f"{feature.replace('_', ' ')}: {number(value)}"
        usual, first = template
        gap = row.get(usual) if usual else None
        if usual and gap is None:
            return f"{feature.replace('_', ' ')}: {number(value)}"
        if value == 0 and first.startswith(TIMES):
            first = f"no {first.removeprefix(TIMES)}"
        return first.format(n=number(value), d=days(value), pct=_percent(value), usual=days(gap))


def _absent(definition: Definition) -> dict[str, str]:
    """Words for columns that have nothing to say yet."""
    words = {}
    for signal in definition.signals:
        s = signal.replace("_", " ")
        for name in (f"days_since_{signal}", f"days_since_first_{signal}", f"{signal}_silence_share"):
            words[name] = f"no {s} ever"
        for name in ("gap_mean", "gap_std", "gap_last", "overdue"):
            words[f"{signal}_{name}"] = f"{s} on fewer than two days so far"
        for w, _ in trend_pairs(definition.windows):
            words[f"{signal}_trend_{span_name(w)}"] = f"no {s} in the {days(w / DAY)} before the last {days(w / DAY)}"
        share = share_window(definition.windows)
        words[f"{signal}_share_{span_name(share)}"] = f"no activity in the last {days(share / DAY)}"
    return words


def _percent(value: object) -> str:
    return f"{100 * value:.0f} %" if isinstance(value, int | float) else str(value)


def _templates(definition: Definition) -> dict[str, tuple[str | None, str]]:
    """For each column: another column it is told with, if any, and the words."""
    words: dict[str, tuple[str | None, str]] = {"tenure_days": (None, "Known for {d}")}
    for signal, rule in definition.signals.items():
        s = signal.replace("_", " ")
        for w in definition.windows:
            span = span_name(w)
            last = "last day" if w == DAY else f"last {days(w / DAY)}"
            words[f"{signal}_count_{span}"] = (None, f"{{n}} × {s} in the {last}")
            words[f"{signal}_active_days_{span}"] = (None, f"{s} on {{n}} of the {last}")
            if rule.value:
                words[f"{signal}_value_{span}"] = (None, f"{s} worth {{n}} in the {last}")
        words[f"{signal}_count_total"] = (None, f"{{n}} × {s} in all")
        words[f"{signal}_active_days_total"] = (None, f"{s} on {{n}} days in all")
        words[f"{signal}_value_total"] = (None, f"{s} worth {{n}} in all")
        words[f"days_since_{signal}"] = (None, f"last {s} {{d}} ago")
        words[f"days_since_first_{signal}"] = (None, f"first {s} {{d}} ago")
        words[f"{signal}_silence_share"] = (None, f"no {s} for the last {{pct}} of the time known")
        words[f"{signal}_gap_mean"] = (None, f"{s} every {{d}} on average")
        words[f"{signal}_gap_std"] = (None, f"{s} gaps vary by {{d}}")
        words[f"{signal}_gap_last"] = (None, f"the last two {s} days lay {{d}} apart")
        words[f"{signal}_overdue"] = (f"{signal}_gap_mean", f"no {s} for {{n}} times the usual {{usual}}")
        for h in definition.half_lives:
            words[f"{signal}_decayed_{span_name(h)}"] = (None, f"{s} level {{n}} (fading over {days(h / DAY)})")
        for w, _ in trend_pairs(definition.windows):
            words[f"{signal}_trend_{span_name(w)}"] = (
                None,
                f"{s} in the last {days(w / DAY)} at {{pct}} of those before",
            )
        share = span_name(share_window(definition.windows))
        words[f"{signal}_share_{share}"] = (None, f"{s} is {{pct}} of all activity in the last {share}")
    for habit in HABITS:
        part = habit.removesuffix("_share").replace("weekend", "weekends")
        words[f"{definition.activity}_{habit}"] = (
            None,
            f"{{pct}} of {definition.activity} falls on {part}s".replace("ss", "s"),
        )
    return words
