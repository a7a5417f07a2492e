"""The truth about features: loops over a list of events, nothing clever. The compiled fold must say the same."""

import hashlib
import itertools
import math
import statistics
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from features.definition import Definition
from features.definition.sections.families import Family
from features.engines.refunds import REFUND
from features.time import DAY, span_name, to_datetime

RING = 16


@dataclass(frozen=True)
class Event:
    user: str
    t: int
    signals: tuple[str, ...]
    value: float = 0.0
    arrived: int | None = None
    product: str | None = None
    items: float = 0.0
    refunds: tuple[str, ...] = ()
    order: str | None = None


def feature_row(definition: Definition, events: list[Event], user: str, c: int) -> dict[str, float] | None:
    """The feature row of a user at a cutoff, or None when nothing of the user is visible."""
    mine_now = [e for e in events if e.user == user and e.t < c and (e.arrived is None or e.arrived <= c)]
    seen = [e for e in mine_now if any(fires(definition, e, s) or taken(definition, e, s) for s in definition.signals)]
    if not seen:
        return None
    seen.sort(key=lambda e: e.t)
    row: dict[str, float] = {}
    tenure = (c - seen[0].t) / DAY
    long = [w for w in definition.windows if w >= DAY]
    share_over = max([w for w in long if w <= 30 * DAY] or long[:1])

    def clock(t: int) -> datetime:
        return to_datetime(t).astimezone(ZoneInfo(definition.timezone))

    def day_of(t: int) -> int:
        return clock(t).toordinal()

    def in_window(event: Event, w: int) -> bool:
        if w < DAY:
            return c - w <= event.t < c
        return day_of(event.t) >= day_of(c) - w // DAY and event.t < c

    for name, rule in definition.signals.items():
        lines = [e for e in seen if fires(definition, e, name)]
        mine = begun(definition, seen, name)
        worth = [(e, worth_of(definition, e, name)) for e in seen]
        for w in definition.windows:
            inside = [e for e in mine if in_window(e, w)]
            if w < DAY:
                inside = [e for e in mine[-RING:] if in_window(e, w)]
                row[f"{name}_count_{span_name(w)}"] = len(inside)
                continue
            row[f"{name}_count_{span_name(w)}"] = len(inside)
            row[f"{name}_active_days_{span_name(w)}"] = len({day_of(e.t) for e in inside})
            if rule.value:
                row[f"{name}_value_{span_name(w)}"] = sum(v for e, v in worth if in_window(e, w))
        days = sorted({day_of(e.t) for e in mine})
        row[f"{name}_count_total"] = len(mine)
        row[f"{name}_active_days_total"] = len(days)
        if rule.value:
            row[f"{name}_value_total"] = sum(v for _, v in worth)
        gaps = [b - a for a, b in itertools.pairwise(days)]
        since = (c - mine[-1].t) / DAY if mine else math.nan
        mean = sum(gaps) / len(gaps) if gaps else math.nan
        row[f"days_since_{name}"] = since
        row[f"days_since_first_{name}"] = (c - mine[0].t) / DAY if mine else math.nan
        row[f"{name}_silence_share"] = since / tenure
        row[f"{name}_gap_mean"] = mean
        row[f"{name}_gap_std"] = math.sqrt(sum((g - mean) ** 2 for g in gaps) / len(gaps)) if gaps else math.nan
        row[f"{name}_gap_last"] = gaps[-1] if gaps else math.nan
        row[f"{name}_overdue"] = since / mean if gaps else math.nan
        for h in definition.half_lives:
            row[f"{name}_decayed_{span_name(h)}"] = sum(0.5 ** ((c - e.t) / h) for e in mine)
        for w in long:
            if 2 * w in long:
                recent = len([e for e in mine if in_window(e, w)])
                before = len([e for e in mine if in_window(e, 2 * w)]) - recent
                row[f"{name}_trend_{span_name(w)}"] = recent / before if before else math.nan
        own = len([e for e in mine if in_window(e, share_over)])
        every = sum(in_window(e, share_over) for s in definition.signals for e in begun(definition, seen, s))
        row[f"{name}_share_{span_name(share_over)}"] = own / every if every else math.nan
        ended = [b.t for a, b in itertools.pairwise(mine) if b.t - a.t >= definition.features.absence]
        row[f"days_since_comeback_{name}"] = (c - ended[-1]) / DAY if ended else math.nan
        if Family.GAPS in definition.features.families:
            row[f"{name}_gap_median"] = statistics.median(gaps[-RING:]) if gaps else math.nan
            row[f"{name}_gap_largest"] = max(gaps, default=math.nan)
        if Family.SESSIONS in definition.features.families:
            pairs = itertools.pairwise(mine)
            starts = mine[:1] + [b for a, b in pairs if b.t - a.t >= definition.features.session]
            for w in long:
                row[f"{name}_sessions_{span_name(w)}"] = len([e for e in starts if in_window(e, w)])
            row[f"{name}_sessions_total"] = len(starts)
            row[f"{name}_session_events"] = len(mine) / len(starts) if starts else math.nan
        if rule.value and Family.VALUES in definition.features.families:
            row |= value_columns(f"{name}_value", [(e.t, e.value) for e in mine])
            # an event's worth on average, less refunds: those of the window, whenever what they take back was
            row[f"{name}_value_mean"] = sum(v for _, v in worth) / len(mine) if mine else math.nan
            for w in long:
                n, inside = len([e for e in mine if in_window(e, w)]), [v for e, v in worth if in_window(e, w)]
                row[f"{name}_value_mean_{span_name(w)}"] = sum(inside) / n if n else math.nan
        for of in rule.more_values:
            row[f"{name}_{of}_total"] = sum(e.items for e in lines)
            for w in long:
                n, counted = len([e for e in mine if in_window(e, w)]), [e.items for e in lines if in_window(e, w)]
                row[f"{name}_{of}_{span_name(w)}"] = sum(counted)
                if Family.VALUES in definition.features.families:
                    row[f"{name}_{of}_mean_{span_name(w)}"] = sum(counted) / n if n else math.nan
            if Family.VALUES in definition.features.families:
                row |= value_columns(f"{name}_{of}", [(e.t, e.items) for e in mine])
                row[f"{name}_{of}_mean"] = sum(e.items for e in lines) / len(mine) if mine else math.nan
        for of in rule.distinct:
            days_of: dict[str, int] = {}
            for e in lines:
                if e.product:
                    days_of[e.product] = max(day_of(e.t), days_of.get(e.product, 0))
            for w in long:
                row[f"{name}_distinct_{of}_{span_name(w)}"] = different(days_of, day_of(c) - w // DAY)
            row[f"{name}_distinct_{of}_total"] = different(days_of, 0)
        if rule.order is not None:  # of orders only the mean is known: their rows are lines
            for value in ("value", *rule.more_values):
                for part in ("first", "last", "largest", "spread"):
                    row.pop(f"{name}_{value}_{part}", None)
        if rule.recurring is not None:
            row |= plan_columns(definition, lines, name, c)
        if rule.refund is not None:
            stand = kept_orders(definition, seen, name)
            for w in long:
                inside = [e for e in stand if in_window(e, w)]
                row[f"{name}_kept_{span_name(w)}"] = len(inside)
                row[f"{name}_kept_days_{span_name(w)}"] = len({day_of(e.t) for e in inside})
            days = sorted({day_of(e.t) for e in stand})
            row[f"{name}_kept_total"] = len(stand)
            row[f"{name}_kept_days_total"] = len(days)
            row[f"days_since_kept_{name}"] = (c - stand[-1].t) / DAY if stand else math.nan
            row[f"days_since_first_kept_{name}"] = (c - stand[0].t) / DAY if stand else math.nan
            row[f"{name}_kept_gap_mean"] = (days[-1] - days[0]) / (len(days) - 1) if len(days) > 1 else math.nan
    row["tenure_days"] = tenure
    active = begun(definition, seen, definition.activity)
    for part, label in enumerate(("night", "morning", "afternoon", "evening")):
        n = sum(clock(e.t).hour // 6 == part for e in active)
        row[f"{definition.activity}_{label}_share"] = n / len(active) if active else math.nan
    weekend = sum(clock(e.t).weekday() >= 5 for e in active)
    row[f"{definition.activity}_weekend_share"] = weekend / len(active) if active else math.nan
    if Family.CALENDAR in definition.features.families:
        row["cutoff_weekday"] = clock(c).weekday()
        row["cutoff_month_day"] = clock(c).day
    return row


def taken(definition: Definition, event: Event, signal: str) -> bool:
    """Whether an event takes value away from a signal: where `refund` holds, or `where` and its value is below 0."""
    if definition.signals[signal].value is None:
        return False
    return signal in event.refunds or (signal in event.signals and event.value < 0)


def fires(definition: Definition, event: Event, signal: str) -> bool:
    """Whether an event is one of a signal; a refund is none."""
    return signal in event.signals and not taken(definition, event, signal)


def begun(definition: Definition, seen: list[Event], signal: str) -> list[Event]:
    """The events of a signal in time; of rows with the key of one of the last orders only the one that began it."""
    mine, orders = [], list[str | None]()
    for e in seen:
        if not fires(definition, e, signal):
            continue
        if definition.signals[signal].order is None or not e.order or e.order not in orders[-RING:]:
            mine.append(e)
            orders.append(e.order)
    return mine


def plan_columns(definition: Definition, rows: list[Event], signal: str, c: int) -> dict[str, float]:
    """What a plan's rows say: paid a month now and before, the move between the two, days until renewal."""
    rule, paid = definition.signals[signal].recurring, list[tuple[int, float, int]]()
    assert rule is not None
    for e in sorted(rows, key=lambda e: place_of(definition, e)):
        months = e.items if e.items > 0 else 1.0
        paid.append((e.t, e.value / months, e.t + int(months * (DAY * 487 // 16))))

    def a_month(at: int) -> float:
        before = [row for row in paid if row[0] < at]
        if not before:
            return 0.0
        if len(before) <= len(paid) - RING:
            return math.nan  # not remembered
        return before[-1][1] if at < before[-1][2] + rule.grace else 0.0

    now, then = a_month(c), c - rule.over
    was = a_month(then)
    moves = dict.fromkeys(("new", "expansion", "contraction", "churned", "reactivated"), 0.0 * was)
    if now > was:
        kind = "expansion" if was else "reactivated" if any(t < then and amount for t, amount, _ in paid) else "new"
        moves[kind] = now - was
    elif now < was:
        moves["contraction" if now else "churned"] = was - now
    row = {f"{signal}_mrr": now, f"{signal}_mrr_before": was} | {f"{signal}_mrr_{k}": v for k, v in moves.items()}
    return row | {f"{signal}_renewal_days": (paid[-1][2] - c) / DAY if now else math.nan}


@dataclass
class Order:
    """An order: the event that began it, what its lines are worth, and what was given back of it."""

    began: Event
    worth: float
    given: float = 0.0

    @property
    def stands(self) -> bool:
        return not (self.given > 0 and self.given >= self.worth * (1 - 1e-9))


def kept_orders(definition: Definition, seen: list[Event], signal: str) -> list[Event]:
    """The events that began orders of which less was given back than they are worth, in time.

    A refund is of the order it names; without a key, of the newest of the last orders that stand and of which that much
    is left. Once nothing of what was paid is left, no order so far stands.
    """
    orders, paid, with_key = list[Order](), 0.0, definition.signals[signal].order is not None
    for e in sorted(seen, key=lambda e: place_of(definition, e)):
        last, key = orders[-RING:], e.order if with_key else None
        mine = next((o for o in last if key and o.began.order == key), None)
        paid += worth_of(definition, e, signal)
        if fires(definition, e, signal) and mine is not None:
            mine.worth += e.value
        elif fires(definition, e, signal):
            orders.append(Order(e, e.value))
        elif taken(definition, e, signal) and e.value:
            amount = abs(e.value)
            left = [o for o in last if o.stands and math.isclose(o.worth - o.given, amount, rel_tol=1e-9)]
            of = mine if key else left[-1] if left else None
            if of is not None:
                of.given += amount
            if paid <= amount * 1e-9:
                for o in orders:
                    o.given = max(o.given, o.worth, 1e-300)  # what is worth nothing is given back, too
    return [o.began for o in orders if o.stands]


def place_of(definition: Definition, event: Event) -> tuple[int, int, tuple[float, ...], int]:
    """What decides the order of events: time, then what they are."""
    rules = definition.signals
    mask = sum(1 << i for i, s in enumerate(rules) if fires(definition, event, s))
    mask += REFUND if any(taken(definition, event, s) for s in rules) else 0
    fired = {s: fires(definition, event, s) for s in rules}
    numbers = [worth_of(definition, event, s) for s, rule in rules.items() if rule.value]
    numbers += [event.items if fired[s] else 0.0 for s, rule in rules.items() for _ in rule.more_values]
    numbers += [float(key_of(event.product)) if fired[s] else 0.0 for s, rule in rules.items() for _ in rule.distinct]
    numbers += [
        float(key_of(event.order)) if fired[s] or taken(definition, event, s) else 0.0
        for s, rule in rules.items()
        if rule.order
    ]
    numbers += [event.items for rule in rules.values() if rule.recurring]
    return event.t, mask, tuple(numbers), max(event.t + 1, event.arrived or 0)


def worth_of(definition: Definition, event: Event, signal: str) -> float:
    """What an event adds to the value of a signal; a refund takes it away, however it is written."""
    if taken(definition, event, signal):
        return -abs(event.value)
    return event.value if fires(definition, event, signal) else 0.0


@dataclass(frozen=True)
class Attribute:
    """A value of a user's attribute, and when it became known."""

    user: str
    known: int
    plan: str | None


def plan_at(answer: list[Attribute], user: str, c: int) -> str | None:
    """A user's attribute as known before a cutoff, as events are: what became known at the cutoff is not seen."""
    before = [t for t in answer if t.user == user and t.known < c]
    return max(before, key=lambda t: t.known).plan if before else None


def key_of(text: str | None) -> int:
    """The key of a value of a property: 44 bits of its MD5; 0 where there is none."""
    return max(int(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:11], 16), 1) if text else 0


def different(days_of: dict[str, int], from_day: int) -> int:
    """How many values were seen from a day on: exact for 64 values, estimated from the 64 smallest keys of more."""
    keys = sorted((key_of(value), day) for value, day in days_of.items())
    inside = sum(day >= from_day for _, day in keys[:64])
    if len(keys) <= 64:
        return inside
    every = max(math.floor(63 / (keys[63][0] / 2**44) + 0.5), 65)
    return math.floor(every * inside / 64 + 0.5)


def value_columns(name: str, mine: list[tuple[int, float]]) -> dict[str, float]:
    """What the values of a signal's events say; of several at one instant the smallest is first, the largest last."""
    parts = ("first", "last", "largest", "mean", "spread")
    if not mine:
        return {f"{name}_{part}": math.nan for part in parts}
    values = [value for _, value in mine]
    first = min(value for t, value in mine if t == mine[0][0])
    last = max(value for t, value in mine if t == mine[-1][0])
    reported = (first, last, max(values), statistics.fmean(values), statistics.pstdev(values))
    return {f"{name}_{part}": value for part, value in zip(parts, reported, strict=True)}
