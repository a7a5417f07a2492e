"""Reasons in words: one template a feature family, from the definition's wording or in English."""

import string
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from features.definition.columns import CALENDAR, HABITS, PLAN, VALUES, share_window, trend_pairs
from features.definition.schema import Definition
from features.definition.sections.signal import Signal
from features.definition.wording import ENGLISH
from features.time import DAY, span_name

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Term:
    """What a column is.

    Attributes:
        family: whose templates put it into words.
        fields: what the templates may name of it whatever its value.
        usual: another column it is shown with.
    """

    family: str
    fields: Mapping[str, str]
    usual: str | None = None


@cache
def _named(template: str) -> tuple[str, ...]:
    """The fields that a template names."""
    return tuple({name for _, name, _, _ in string.Formatter().parse(template) if name})


def number(value: object) -> str:
    """Write a number the way people do: ``9``, ``3.1``, ``0.04``."""
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 10 or float(value).is_integer() else f"{value:.2g}"


class Wording:
    """Words for every column of a definition's feature set."""

    def __init__(self, definition: Definition) -> None:
        self._say = ENGLISH | definition.wording
        self._ways = {"n": number, "days": self._days, "percent": _percent}
        self._terms = self._of_columns(definition)

    def say(self, feature: str, row: Row) -> str:
        """Put one column of a feature row into words."""
        value = row[feature]
        term = self._terms.get(feature) or Term("other", {"feature": self._name(feature)})
        if value is None:
            if missing := self._say.get(f"{term.family}.missing"):
                return missing.format(**term.fields)
            return self._say["other.missing"].format(feature=self._name(feature))
        gap = row.get(term.usual) if term.usual else None
        if term.usual and gap is None:
            return self._say["other"].format(n=number(value), feature=self._name(feature))
        none = self._say.get(f"{term.family}.none") if value == 0 else None
        template = none or self._say[term.family]
        # a batch says millions of reasons: what the template does not name is not written
        filled = {name: self._ways[name](value) for name in _named(template) if name in self._ways}
        if "usual" in _named(template):
            filled["usual"] = self._days(gap)
        return template.format(**filled, **term.fields)

    def moved(self, feature: str, now: Row, before: str) -> str:
        """Put a column that moved into words; ``before`` is the text of then."""
        return self._say["moved"].format(now=self.say(feature, now), before=before)

    def used(self, feature: str) -> tuple[str, ...]:
        """The columns whose values decide the text of a column."""
        term = self._terms.get(feature)
        return (feature, term.usual) if term and term.usual else (feature,)

    def _name(self, name: str) -> str:
        return self._say.get(f"name.{name}", name.replace("_", " "))

    def _days(self, value: object) -> str:
        """Write a number of days: ``9 days``, ``5 hours``."""
        if not isinstance(value, int | float):
            return str(value)
        if value < 1:
            return self._say["hours"].format(n=number(round(value * 24)))
        return self._say["a_day"] if round(value) == 1 else self._say["days"].format(n=number(round(value)))

    def _window(self, span: int) -> str:
        return self._say["last_day"] if span == DAY else self._days(span / DAY)

    def _of_columns(self, definition: Definition) -> dict[str, Term]:
        terms: dict[str, Term] = {"tenure_days": Term("tenure", {})}
        terms |= {name: Term(name.removeprefix("cutoff_"), {}) for name in CALENDAR}
        for signal, rule in definition.signals.items():
            terms |= self._of_windows(signal, rule, definition) | self._of_properties(signal, rule)
            terms |= self._of_signal(signal, definition)
            if rule.refund is not None:
                terms |= self._of_kept_orders(signal)
            if rule.recurring is not None:
                terms |= {f"{signal}_{part}": Term(part, {"signal": self._name(signal)}) for part in PLAN}
        for habit in HABITS:
            term = Term(habit.removesuffix("_share"), {"signal": self._name(definition.activity)})
            terms[f"{definition.activity}_{habit}"] = term
        return terms

    def _of_windows(self, signal: str, rule: Signal, definition: Definition) -> dict[str, Term]:
        """The columns that look back as far as a window."""
        words, terms = {"signal": self._name(signal)}, dict[str, Term]()
        windows = {span_name(w): words | {"window": self._window(w)} for w in definition.windows}
        for span, fields in windows.items():
            terms[f"{signal}_count_{span}"] = Term("count", fields)
            terms[f"{signal}_active_days_{span}"] = Term("active_days", fields)
            terms[f"{signal}_sessions_{span}"] = Term("sessions", fields)
            if rule.value:
                terms[f"{signal}_value_{span}"] = Term("value", fields)
                terms[f"{signal}_value_mean_{span}"] = Term("value_mean_of", fields)
            for of in rule.more_values:
                named = fields | {"of": self._name(of)}
                terms[f"{signal}_{of}_{span}"] = Term("sum", named)
                terms[f"{signal}_{of}_mean_{span}"] = Term("sum_mean_of", named)
            for of in rule.distinct:
                terms[f"{signal}_distinct_{of}_{span}"] = Term("distinct", fields | {"of": self._name(of)})
            if rule.refund is not None:
                terms |= {f"{signal}_{family}_{span}": Term(family, fields) for family in ("kept", "kept_days")}
        return terms

    def _of_properties(self, signal: str, rule: Signal) -> dict[str, Term]:
        """The columns about further values and properties over all time."""
        words, terms = {"signal": self._name(signal)}, dict[str, Term]()
        for of in rule.more_values:
            for part in ("total", *VALUES):
                terms[f"{signal}_{of}_{part}"] = Term(f"sum_{part}", words | {"of": self._name(of)})
        for of in rule.distinct:
            terms[f"{signal}_distinct_{of}_total"] = Term("distinct_total", words | {"of": self._name(of)})
        return terms

    def _of_signal(self, signal: str, definition: Definition) -> dict[str, Term]:
        """A signal's other columns."""
        words, terms = {"signal": self._name(signal)}, dict[str, Term]()
        for family in ("count_total", "active_days_total", "value_total", "silence_share", "gap_mean", "gap_std",
                       "gap_last", "gap_median", "gap_largest", "sessions_total", "session_events",
                       *(f"value_{part}" for part in VALUES)):  # fmt: skip
            terms[f"{signal}_{family}"] = Term(family, words)
        terms[f"days_since_{signal}"] = Term("days_since", words)
        terms[f"days_since_first_{signal}"] = Term("days_since_first", words)
        terms[f"days_since_comeback_{signal}"] = Term("days_since_comeback", words)
        terms[f"{signal}_overdue"] = Term("overdue", words, usual=f"{signal}_gap_mean")
        for h in definition.half_lives:
            terms[f"{signal}_decayed_{span_name(h)}"] = Term("decayed", words | {"window": self._days(h / DAY)})
        for w, _ in trend_pairs(definition.windows):
            terms[f"{signal}_trend_{span_name(w)}"] = Term("trend", words | {"window": self._days(w / DAY)})
        share = share_window(definition.windows)
        terms[f"{signal}_share_{span_name(share)}"] = Term("share", words | {"window": self._days(share / DAY)})
        return terms

    def _of_kept_orders(self, signal: str) -> dict[str, Term]:
        """The columns of orders that stand over all time."""
        words, of_signal = {"signal": self._name(signal)}, ("kept_total", "kept_days_total", "kept_gap_mean")
        terms = {f"{signal}_{family}": Term(family, words) for family in of_signal}
        return terms | {f"{f}_{signal}": Term(f, words) for f in ("days_since_kept", "days_since_first_kept")}


def _percent(value: object) -> str:
    return f"{100 * value:.0f} %" if isinstance(value, int | float) else str(value)
