"""A proposed definition as commented YAML."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from features.engines.duckdb import quote, text
from features.proposal.columns import Columns
from features.proposal.events import Kind, Signals
from features.proposal.given import Given
from features.proposal.rhythm import Horizon, Rhythm

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def written_as(
    name: str, path: str, given: Given, columns: Columns, signals: Signals, of: Rhythm, horizons: dict[str, Horizon]
) -> str:
    """A definition of what was found in a log, as YAML with comments that say why."""
    churn = horizons["churn"]
    lines = [
        f"# Proposed by propensity init for {path}. Change what you know better, then run propensity check.",
        f"name: {name}",
        "",
        *_events(path, given, columns, of),
        "",
        *_signals(signals, columns["event"]),
        "",
        f"windows: [{', '.join(f'{days}d' for days in of.windows)}]   # over which features count",
        "",
        *_outcomes(signals, of, horizons),
        "",
        "# cutoffs to learn from: every week; days only are cut at midnight" if of.daily else "# cutoffs to learn from",
        f"snapshots: {{stride: 7d, count: {max(4, min(52, of.days // 7))}{', spread: false' if of.daily else ''}}}",
        "",
        f"rfm: {{signal: {'purchase' if signals.purchase else 'visit'}, window: {max(of.windows)}d"
        + (", money: purchase}" if signals.worth else "}"),
        "",
        "# states and segments in the words of this definition; propensity packs tells what each is for",
        "packs:",
        f"  lifecycle: {{settings: {{churned_after: {2 * churn.days}, dormant_after: {churn.days}, "
        f"at_risk_after: {max(churn.days // 3, 2)}}}" + (", roles: {leave: leave}}" if signals.leave else "}"),
        *(["  commerce: {roles: {order: purchase}}"] if signals.purchase else []),
        *(["  conflicts: {roles: {order: purchase}}"] if signals.purchase else []),
    ]
    return "\n".join(lines) + "\n"


def _events(path: str, given: Given, columns: Columns, of: Rhythm) -> list[str]:
    guesses = columns.guesses
    ends = _EPOCH + timedelta(days=of.ends)
    lines = ["events:", f"  path: {_yaml(path)}"]
    lines += [f"  table: {_yaml(given.table)}"] if given.table is not None else []
    lines.append("  columns:")
    width = max(len(g.column) for g in guesses.values()) + 10
    named = {key: guesses[key] for key in ("user", "event", "time", "arrived", "id") if key in guesses}
    lines += [f"    {f'{key}: {_yaml(g.column)}':{width}}# {g.why}" for key, g in named.items()]
    if "arrived" not in guesses:
        lines.append("    # arrived: without it, an event counts from when it happened")
    if "id" not in guesses:
        lines.append("    # id: without it, an event that is in the log twice counts twice")
    lines += [f"  time_unit: {columns.unit}"] if columns.unit is not None else []
    lines += [f"  time_format: {_yaml(given.time_format)}"] if given.time_format is not None else []
    lines += [f"  encoding: {given.encoding}"] if given.encoding != "utf-8" else []
    lines.append(f"  ends: {ends:%Y-%m-%dT%H:%M:%SZ}   # the log is complete through here; the last day may break off")
    return lines


def _signals(signals: Signals, column: str) -> list[str]:
    known = {kind.name for kind in (*signals.activity, *signals.purchase, *signals.leave)}

    def where(some: Sequence[Kind]) -> str:
        names = ", ".join(text(kind.name) for kind in some)
        return _yaml(f"{_sql(column)} = {names}" if len(some) == 1 else f"{_sql(column)} IN ({names})")

    lines = ["signals:   # conditions on the log's rows; exactly one is the sign of life"]
    if signals.life == "visit":
        lines.append(f"  visit: {{where: {where(signals.activity)}, activity: true}}")
    if signals.purchase:
        worth = f", value: {_yaml(_sql(signals.worth))}" if signals.worth else ""
        alive = ", activity: true" if signals.life == "purchase" else ""
        lines.append(f"  purchase: {{where: {where(signals.purchase)}{worth}{alive}}}")
    if signals.leave:
        lines.append(f"  leave: {{where: {where(signals.leave)}}}   # left for good")
    if signals.cart:
        lines.append(f"  cart: {{where: {where(signals.cart)}}}")
    taken = {"visit", "purchase", "leave", "cart"}
    for kind in signals.activity:
        slug = re.sub(r"^[^a-z]+", "", kind.words)[:30].rstrip("_")
        if len(taken) < 12 and slug and slug not in taken and [kind] not in (signals.purchase, signals.cart):
            taken.add(slug)
            lines.append(f"  {slug}: {{where: {where([kind])}}}   # {kind.rows:,} rows of {kind.users:,} users")
    left = [kind.name for kind in signals.every if kind.name not in known]
    if left:
        lines.append(f"  # in no signal, as users do not do them, or they undo something: {', '.join(left[:8])}")
    return lines


def _outcomes(signals: Signals, of: Rhythm, horizons: dict[str, Horizon]) -> list[str]:
    churn = horizons["churn"]
    life = signals.life
    still = f"days_since_{life} < {churn.days}"
    if signals.leave:
        still += f" AND (leave_count_total = 0 OR days_since_leave > days_since_{life})"
    longer = "; a longer horizon would leave too little of this log to learn from" if churn.days < of.usual_gap else ""
    lines = [
        f"# 95 % of all gaps between two active days are at most {of.usual_gap} days long{longer}",
        "outcomes:",
        f"  churn: {{will_not: {life}, within: {churn.days}d, among: {_yaml(still)}}}{_share(churn)}",
    ]
    if (buys := horizons.get("purchase")) is not None:
        lines.append(f"  purchase: {{will: purchase, within: {buys.days}d, among: {_yaml(still)}}}{_share(buys)}")
    if (goes := horizons.get("uninstall")) is not None:
        lines.append(f"  uninstall: {{will: leave, within: {goes.days}d, among: {_yaml(still)}}}{_share(goes)}")
    if signals.worth and buys is not None:
        lines.append(f"  spend: {{sum_of: purchase, within: {buys.days}d, among: {_yaml(still)}}}")
    return lines


def _share(horizon: Horizon) -> str:
    if horizon.share is None:
        return "   # nobody to ask about at the end of the log"
    return f"   # it was so {horizon.share:.1%} of {horizon.users:,} times"


def _sql(column: str) -> str:
    return column if re.fullmatch(r"[a-z_][a-z0-9_]*", column) else quote(column)


def _yaml(value: str) -> str:
    """A text in YAML."""
    words = ("yes", "no", "on", "off", "true", "false", "null", "y", "n")
    plain = re.fullmatch(r"[A-Za-z_./][A-Za-z0-9_./-]*", value) and value.lower() not in words
    return value if plain else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
