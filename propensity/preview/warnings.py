"""What of a definition and its log deserves a look before anything is trained."""

import difflib
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import polars as pl
from sqlglot import exp

from features.definition.schema import Definition
from features.definition.sections.signal import Signal
from features.reading.look import Look
from features.reading.survey import Survey
from features.time import to_datetime
from segments.rfm import NobodyError, fit_cuts

#: names of events that are listed
LISTED = 30

#: of so few users, ties and shares say nothing
FEW = 100

#: names of columns that say the currency of an amount
CURRENCY_COLUMNS = ("currency", "currency_code", "currencycode", "iso_currency_code", "order_currency")

#: one user has at most this share of the rows of a log of people
BUSY = 0.05


def silent_signals(definition: Definition, events: Sequence[int], survey: Survey) -> list[str]:
    """Signals that never fire, each with the log's names that are near to those it asks for.

    Args:
        definition: the definition.
        events: how often each signal fires, in its order.
        survey: the log's names of events.
    """
    warnings = []
    folded: dict[str, list[str]] = {}
    for name in survey.events:
        folded.setdefault(_folded(name), []).append(name)
    for (signal, rule), fired in zip(definition.signals.items(), events, strict=True):
        if fired:
            continue
        asked = [str(node.this) for node in rule.where.tree.find_all(exp.Literal) if node.is_string]
        near: dict[str, None] = {}
        for text in asked:
            for key in difflib.get_close_matches(_folded(text), list(folded), n=2, cutoff=0.75):
                near |= dict.fromkeys(name for name in folded[key] if name != text)
        advice = f"; the log has {', '.join(repr(name) for name in near)}" if near else ""
        warnings.append(f"signals.{signal} never fires: {rule.where}{advice}.")
    return warnings


def _folded(text: str) -> str:
    """A name without case, blanks, and marks between words."""
    return "".join(letter for letter in text.lower() if letter.isalnum())


def tied_in_frequency(definition: Definition, rows: Sequence[pl.DataFrame]) -> list[str]:
    """A warning where RFM cannot tell many users apart by how often they were here.

    Args:
        definition: the definition.
        rows: what RFM measures of users at the newest cutoff.
    """
    if definition.rfm is None or not rows:
        return []
    every = pl.concat(rows)
    if len(every) < FEW:
        return []
    try:
        warning = fit_cuts(every, definition.rfm, "the newest cutoff").tie
    except NobodyError:
        return []
    return [warning] if warning else []


def like_ids(users: pl.Series) -> list[str]:
    """A warning about ids that are equal but for case or blanks, where there are any.

    Args:
        users: the distinct users.
    """
    folded = pl.DataFrame({"user": users, "as": users.str.to_lowercase().str.replace_all(r"\s", "")})
    groups = folded.group_by("as").agg(pl.col("user").sort().alias("users")).filter(pl.col("users").list.len() > 1)
    if groups.is_empty():
        return []
    some = groups.sort("as")["users"].to_list()[0]
    alike = int(groups["users"].list.len().sum())
    return [
        f"{alike:,} of {len(users):,} users have an id that is another's but for case or blanks, "
        f"such as {some[0]!r} and {some[1]!r}; they count as different users. Write ids in one way."
    ]


def asking(definition: Definition, survey: Survey) -> dict[str, list[str]]:
    """The signals that each of the log's events can be in: those that name it, and those that list no names."""
    named = {signal: _names_of(rule, definition) for signal, rule in definition.signals.items()}
    return {
        name: [signal for signal, names in named.items() if names is None or name in names] for name in survey.events
    }


def _names_of(rule: Signal, definition: Definition) -> set[str] | None:
    """The names of events that a signal's conditions list; None where one asks for them in another way."""
    found = [_names_in(sql.tree, definition) for sql in rule.conditions]
    return None if None in found else set().union(*(names for names in found if names is not None))


def _names_in(tree: exp.Expression, definition: Definition) -> set[str] | None:
    """The names of events that a condition lists; None where it asks for them in another way, or not at all."""
    columns = [node for node in tree.find_all(exp.Column) if node.name == definition.events.columns.event]
    if not columns or any(not isinstance(n.parent, exp.EQ | exp.In) or n.find_ancestor(exp.Not) for n in columns):
        return None
    return {str(node.this) for node in tree.find_all(exp.Literal) if node.is_string}


def near_misses(definition: Definition, survey: Survey) -> list[str]:
    """Events that no signal names, though one names them but for case, blanks or marks."""
    used, named = asking(definition, survey), dict[str, str]()
    for signal, rule in definition.signals.items():
        for name in sorted(_names_of(rule, definition) or ()):
            if name in survey.events:
                named.setdefault(_folded(name), f"{name!r} of signals.{signal}")
    return [
        f"{survey.events[name]:,} rows have the event {name!r}, which is in no signal and differs from "
        f"{named[_folded(name)]} in case, blanks or marks only."
        for name, signals in used.items()
        if not signals and _folded(name) in named
    ]


def days_without(survey: Survey, ends: int) -> list[str]:
    """A warning about days before the log's end on which nothing happened, where there are any."""
    gaps = survey.gaps(ends)
    if not gaps:
        return []
    return [f"The log has no events from {'; '.join(gaps)}. If they are lost, users look silent then."]


def local_days(definition: Definition, *, naive: bool) -> list[str]:
    """A warning where days are those of a time zone, and times name none.

    Args:
        definition: the definition.
        naive: whether some of the log's times name no zone.
    """
    if definition.timezone == "UTC" or not naive:
        return []
    return [
        f"Days are those of {definition.timezone}, and the log's times name no zone and are taken as UTC. If they are "
        "local times, days are off by the difference: leave 'timezone' out, or write times with their offset."
    ]


def mixed_currencies(log: Look) -> list[str]:
    """A warning about amounts that are added up though a column says that they are of several currencies."""
    definition, warnings = log.definition, []
    named = {name.lower(): name for name in log.columns if name.lower() in CURRENCY_COLUMNS}
    for signal, rule in definition.signals.items():
        if rule.value is None or rule.currency is not None:
            continue
        for column in named.values():
            codes = log.texts_in(column, rule.where, 4)
            if len(codes) > 1:
                warnings.append(
                    f"signals.{signal}.value adds up amounts of several currencies: column {column!r} says "
                    f"{', '.join(codes[:3])}{' and more' if len(codes) > 3 else ''}. Say what they are worth: "
                    f"currency: {column} at the signal, and currencies: {{into: {codes[0]}, rates: {{{codes[1]}: …}}}}."
                )
    return warnings


def busy_user(definition: Definition, survey: Survey, users: pl.Series) -> list[str]:
    """A warning about one user with an improbable share of the rows.

    Args:
        definition: the definition.
        survey: of the log.
        users: the distinct users; who was erased or excluded is not among them, though the log names them still.
    """
    if survey.busiest is None or len(users) < FEW or survey.busiest[1] < BUSY * survey.rows:
        return []
    name, rows = survey.busiest
    if not users.is_in([name, name.removesuffix(".0")]).any():  # a number may be written with a fraction
        return []
    text = name.replace("'", "''")
    return [
        f"One user has {rows / survey.rows:.0%} of all rows: {name!r}. If it is a robot, a test or a word for nobody, "
        f"leave it out: events.exclude: [\"{definition.events.columns.user} = '{text}'\"]."
    ]


def names_of_events(definition: Definition, survey: Survey, *, listed: int | None = LISTED) -> pl.DataFrame:
    """The most frequent names of events, with their days, their share and the signals that name them.

    Args:
        definition: the definition.
        survey: of the log.
        listed: how many names; all when None.
    """
    used, all_rows, place = asking(definition, survey), max(survey.rows, 1), ZoneInfo(definition.timezone)
    rows = [
        {"event": name, "rows": found.rows, "share": f"{found.rows / all_rows:.1%}", "first": _day(found.first, place),
         "last": _day(found.last, place), "signals": ", ".join(used[name]) or "none"}
        for name, found in list(survey.names.items())[:listed]
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=dict.fromkeys(("event", "rows", "share", "first", "last", "signals")))


def _day(instant: int | None, place: ZoneInfo) -> str:
    return "–" if instant is None else f"{to_datetime(instant).astimezone(place):%Y-%m-%d}"
