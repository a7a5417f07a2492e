"""A proposed definition as commented YAML."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from features.engines.duckdb import quote, text
from features.proposal.columns import Columns
from features.proposal.events.kinds import Kind, Signals
from features.proposal.events.lines import Lines
from features.proposal.events.rhythm import Horizon, Rhythm
from features.proposal.given import Given
from features.proposal.ids import SecondId
from features.proposal.traits import TraitTable

#: days of a log for which the usual warm-up is long
SHORT = 84

#: days of the window in which packs look for orders
RECENT = 90

#: signals that are proposed, those of one kind of event included
MOST_SIGNALS = 12

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def written_as(
    name: str, path: str | list[str], given: Given, columns: Columns, signals: Signals, of: Rhythm,
    horizons: dict[str, Horizon], traits: TraitTable | None, order: Lines | None, large: float | None,
    ids: SecondId | None,
) -> str:  # fmt: skip
    """A definition of what was found in a log, as YAML with comments that say why."""
    churn = horizons["churn"]
    lines, named = _signals(signals, columns, order)
    return "\n".join([
        f"# Proposed by propensity init for {_first(path)}. Change what you know better, then run propensity check.",
        f"name: {name}",
        "",
        *_events(path, given, columns, of),
        "",
        "# timezone: America/New_York   # whose days, hours and weekends features count; without it, those of UTC",
        "",
        *_identities(ids),
        *_traits(traits),
        *lines,
        "",
        f"windows: [{', '.join(f'{days}d' for days in of.windows)}]   # over which features count",
        "",
        *_outcomes(signals, of, horizons),
        "",
        "# cutoffs to learn from: every week; days only are cut at midnight" if of.daily else "# cutoffs to learn from",
        f"snapshots: {{stride: 7d, count: {max(4, min(52, of.days // 7))}{', spread: false' if of.daily else ''}"
        + (f", warm_up: {of.days // 4}d}}   # shorter than usual, as the log is" if of.days < SHORT else "}"),
        "",
        f"rfm: {{signal: {'purchase' if signals.purchase else 'visit'}, window: {max(of.windows)}d"
        + (", money: purchase}" if signals.worth else "}"),
        "",
        "# states and segments in the words of this definition; propensity packs tells what each is for",
        "packs:",
        f"  lifecycle: {{settings: {{churned_after: {2 * churn.days}, dormant_after: {churn.days}, "
        f"at_risk_after: {max(churn.days // 3, 2)}}}" + (", roles: {leave: leave}}" if signals.leave else "}"),
        *_packs(signals, named, of, large),
    ]) + "\n"  # fmt: skip


def _first(path: str | list[str]) -> str:
    return path if isinstance(path, str) else ", ".join(path)


def _packs(signals: Signals, named: dict[str, str], of: Rhythm, large: float | None) -> list[str]:
    """Packs beside the states, where the log has what they are about."""

    def role(some: Sequence[Kind]) -> str | None:
        return next((named[kind.name] for kind in some if kind.name in named), None)

    lines = []
    if signals.purchase:
        removed = role(signals.removed)
        more = f", removed: {removed}" if removed is not None else ""
        # a window of the packs that a short log does not have
        recent = [f"recent: {max(of.windows)}d"] if RECENT not in of.windows else []
        limits = ([f"high_order_value: {_plain(large)}"] if large is not None else []) + recent
        # where purchases are the sign of life, nobody looks around on several days before the first
        without = ", without: [first_purchase_due]" if signals.life == "purchase" else ""
        lines.append(
            f"  commerce: {{roles: {{order: purchase{more}}}{_settings(limits)}{without}}}"
            + (
                f"   # about a fifth of those who bought spend {_plain(large)} or more an order"
                if large is not None
                else ""
            )
        )
        lines.append(f"  conflicts: {{roles: {{order: purchase}}{_settings(recent)}}}")
    if (sign_up := role(signals.sign_up)) is not None and signals.life == "visit":
        lines.append(f"  onboarding: {{roles: {{sign_up: {sign_up}}}}}")
    if (trial := role(signals.trial)) is not None:
        lines.append(f"  saas: {{roles: {{trial: {trial}" + (", payment: purchase}}" if signals.purchase else "}}"))
    return lines


def _settings(some: list[str]) -> str:
    return f", settings: {{{', '.join(some)}}}" if some else ""


def _plain(number: float) -> str:
    return f"{number:.0f}" if number.is_integer() else f"{number:g}"


def _identities(ids: SecondId | None) -> list[str]:
    if ids is None:
        return []
    why = f"{ids.ids:,} of these ids were seen with {ids.users:,} users: from then on they are one person"
    return [f"identities: {{alias: {_yaml(ids.column)}}}   # {why}", ""]


def _traits(traits: TraitTable | None) -> list[str]:
    if traits is None:
        return []
    lines = [
        f"traits:   # {traits.why}",
        f"  path: {_yaml(traits.path)}",
        f"  columns: {{user: {_yaml(traits.user)}, known: {_yaml(traits.known)}}}   # known: when a row became known; "
        "a value that changed since must not stand on the old row",
        *([f"  time_unit: {traits.unit}"] if traits.unit is not None else []),
        f"  fields: [{', '.join(traits.fields)}]",
    ]
    if traits.left:
        lines.append(f"  # left out, as they may say what happened later: {', '.join(traits.left)}")
    return [*lines, ""]


def _events(path: str | list[str], given: Given, columns: Columns, of: Rhythm) -> list[str]:
    guesses = columns.guesses
    ends = _EPOCH + timedelta(days=of.ends)
    listed = _yaml(path) if isinstance(path, str) else f"[{', '.join(_yaml(each) for each in path)}]"
    lines = ["events:", f"  path: {listed}"]
    lines += [f"  table: {_yaml(given.table)}"] if given.table is not None else []
    if given.source is not None:
        listed = ", ".join(f"{key}: {_yaml(value)}" for key, value in given.source.items())
        lines += ["  sources:   # what is new there is fetched into the path, before each time the log is read",
                  f"    log: {{{listed}}}"]  # fmt: skip
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
    why = "the last day may break off. Change it with each new day"
    if of.later:
        why = f"the {of.later:,} rows after it are few a week, as those of clocks that go wrong or of missing files"
    lines.append(f"  ends: {ends:%Y-%m-%dT%H:%M:%SZ}   # the log is complete through here; {why}")
    return lines


def _signals(signals: Signals, columns: Columns, order: Lines | None) -> tuple[list[str], dict[str, str]]:
    """The lines of the signals, and the names of signals of one kind of event by that kind's."""
    column = columns["event"]
    groups = {"purchase": signals.purchase, "leave": signals.leave, "cart": signals.cart}
    named = {some[0].name: name for name, some in groups.items() if len(some) == 1}

    def where(some: Sequence[Kind]) -> str:
        names = ", ".join(text(kind.name) for kind in some)
        return _yaml(f"{_sql(column)} = {names}" if len(some) == 1 else f"{_sql(column)} IN ({names})")

    lines = ["signals:   # conditions on the log's rows; exactly one is the sign of life"]
    if signals.life == "visit":
        lines.append(f"  visit: {{where: {where(signals.activity)}, activity: true}}")
    if signals.purchase:
        lines.append(_purchase(signals, columns, order, where))
    if signals.leave:
        lines.append(f"  leave: {{where: {where(signals.leave)}}}   # left for good")
    if signals.cart:
        lines.append(f"  cart: {{where: {where(signals.cart)}}}")
    taken = {"visit", *groups}
    for kind in (*signals.activity, *signals.undone):
        slug = re.sub(r"^[^a-z]+", "", kind.words)[:30].rstrip("_")
        if len(taken) < MOST_SIGNALS and slug and slug not in taken and kind.name not in named:
            taken.add(slug)
            named[kind.name] = slug
            beside = "; something is taken back, no sign of life" if kind in signals.undone else ""
            beside += "; payments that are in purchase already" if kind in signals.repeated else ""
            line = f"  {slug}: {{where: {where([kind])}{_value(kind.amount, columns, kind in signals.undone)}}}"
            lines.append(f"{line}   # {kind.rows:,} rows of {kind.users:,} users{beside}")
    known = {kind.name for some in (signals.activity, *groups.values()) for kind in some} | set(named)
    left = [kind.name for kind in signals.every if kind.name not in known]
    if left:
        lines.append(f"  # in no signal, as users do not do them: {', '.join(left[:8])}")
    return lines, named


def _purchase(
    signals: Signals, columns: Columns, order: Lines | None, where: Callable[[Sequence[Kind]], str]
) -> str:  # fmt: skip
    """The line of the signal of purchases."""
    parts = f"where: {where(signals.purchase)}{_value(signals.worth, columns)}"
    if signals.refunds:
        parts += f", refund: {where(signals.refunds)}"
    parts += f", order: {_yaml(_sql(order.column))}" if signals.worth and order is not None else ""
    parts += ", activity: true" if signals.life == "purchase" else ""
    why = f"   # {order.rows:,} rows are lines of {order.orders:,} orders" if order is not None else ""
    return f"  purchase: {{{parts}}}{why}"


def _value(column: str | None, columns: Columns, undone: bool = False) -> str:
    """The value of a signal; of what is taken back it is written above or below 0."""
    if column is None:
        return ""
    # text of CSV files is read as numbers where these are added up
    seen = columns.seen[column]
    number = columns.kind == "csv" or seen.dtype != "VARCHAR"
    sql = _sql(column) if number else f"TRY_CAST({_sql(column)} AS DOUBLE)"
    if seen.writing is not None:
        sql = seen.writing.sql(_sql(column))
    return f", value: {_yaml(f'ABS({sql})' if undone else sql)}"


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
