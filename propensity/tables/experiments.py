"""Tables of experiments."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl
from rich.console import RenderableType
from rich.markup import escape

from features.definition.schema import Definition
from features.time import day_of
from monitoring.experiments.power import Power
from monitoring.experiments.read_out import EVERYBODY, ReadOut, Row
from monitoring.experiments.words import words_of
from monitoring.uplift.fitted import Judged
from propensity.console import table


def page(found: list[ReadOut], powers: Mapping[str, Power], definition: Definition) -> list[RenderableType]:
    """Show, per experiment, its arms, then each outcome, what is known in sentences, and slices.

    Args:
        found: the experiments.
        powers: what can be expected of each, by its id.
        definition: their definition.
    """
    return [part for one in found for part in _experiment(one, powers[one.trial.id], definition)]


def _experiment(found: ReadOut, power: Power, definition: Definition) -> list[RenderableType]:
    rule = found.trial.rule
    shown: list[RenderableType] = [
        f"[bold]{escape(found.trial.id)}[/]: who enters {escape(rule.of)}, to {rule.destination}; "
        f"wanted: {rule.better} {rule.primary}",
        table("Arms", _arms(found)),
    ]
    if found.both_arms:
        shown.append(f"{found.both_arms:,} users are left out: two of their ids were in different arms.")
    everybody = [row for row in found.rows if row.slice == EVERYBODY]
    shown.append(table("Beside nothing, of all who were assigned", _rows(everybody, definition), digits=4))
    shown += [f"{escape(words)}." for words in words_of(found)]
    if not found.ended:
        shown.append(f"{escape(_expected(power, found))}.")
    slices = [row for row in found.rows if row.slice != EVERYBODY and row.effect is not None]
    if slices:
        shown.append(table("Exploratory: by what was predicted then", _rows(slices, definition), digits=4))
    return shown


def _expected(power: Power, found: ReadOut) -> str:
    """What can be expected, in a sentence."""
    rule = found.trial.rule
    users = f"{rule.users:,} planned users" if rule.users else "those and four weeks' entries"
    small = [f"{name} {effect:.4f}" for name, effect in power.smallest.items() if effect is not None]
    change = "rise" if rule.better == "more" else "fall"
    shows = f"; {users} show a {change} of the rate ({power.rate:.1%}) by {', '.join(small)}" if small else ""
    when = f"; as many will have entered and matured about {day_of(power.full_on)}" if power.full_on else ""
    return f"{power.inside:,} users are in {rule.of} now, {power.a_day:,.1f} enter a day{shows}{when}"


def _arms(found: ReadOut) -> pl.DataFrame:
    exposures = list(dict.fromkeys(name for counts in found.exposures.values() for name in counts))
    return pl.DataFrame([
        {"variant": name, "planned": share, "assigned": found.assigned[name],
         **{exposure: found.exposures[name].get(exposure, 0) for exposure in exposures}}
        for name, share in found.trial.rule.variants.items()
    ])  # fmt: skip


def _rows(rows: list[Row], definition: Definition) -> pl.DataFrame:
    return pl.DataFrame([
        {
            "outcome": f"{row.outcome} {definition.outcomes[row.outcome].when}", "variant": row.variant,
            **({"of": row.slice} if row.slice != EVERYBODY else {}),
            "users": row.comparison.users[0], "nothing": row.comparison.users[1], "waiting": row.waiting,
            "effect": row.effect, "low": row.low, "high": row.high, "p corrected": row.p_value,
            "each contacted": row.value[0] if row.value is not None else None,
            "smallest seen": row.comparison.smallest,
            "known by": day_of(row.known_by) if row.known_by is not None else None,
        }
        for row in rows
    ], infer_schema_length=None)  # fmt: skip


def uplift(judged: Judged, written: Path) -> list[RenderableType]:
    """Show how well each ranking finds users who are moved, the fifths of the users, and where it is."""
    found = judged.found
    rankings = {**{f"uplift, {name}-learner": one for name, one in found.judged.items()}, "risk": found.by_risk}
    ranked = pl.DataFrame([
        {"ranked by": name, "autoc": one.autoc.value, "low": one.autoc.low, "high": one.autoc.high,
         "qini": one.qini.value, "qini low": one.qini.low, "qini high": one.qini.high}
        for name, one in rankings.items()
    ])  # fmt: skip
    groups = pl.DataFrame([
        {"uplift from": one.least, "users": one.users, "effect": one.effect, "low": one.low, "high": one.high,
         "without acting": one.without, "tier": one.tier if judged.offered else ""}
        for one in found.groups
    ])  # fmt: skip
    return [
        f"[bold]{escape(found.experiment)}[/]: who is moved by {found.variant}, {found.users:,} users",
        table("How well a ranking finds them (0: not at all; Qini is not divided by the best)", ranked, digits=4),
        table("Fifths of the users; effect: more of what is wanted", groups, digits=3),
        table("Gate", pl.DataFrame([one.content for one in judged.criteria])),
        f"{escape(judged.words)}.",
        f"{judged.version} {'serves now' if judged.promoted else 'does not serve'}.",
        f"All of it is in {written.parent}",
    ]
