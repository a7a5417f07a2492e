"""Tables of the monitor: predictions beside outcomes."""

import math
from dataclasses import asdict

import polars as pl
from rich.console import RenderableType
from rich.markup import escape

from features.definition.schema import Definition
from features.time import day_of, span_name
from monitoring.experiments.holdout import HoldoutEffect
from monitoring.monitor import Monitored
from monitoring.realised import Realised
from monitoring.statistics.probabilities.shifted import LEAST, Shifted
from propensity.console import table

#: batches shown, the newest
BATCHES = 12


def page(found: Monitored, definition: Definition) -> list[RenderableType]:
    """Show, per outcome, observed and expected by batch and by group, then the findings with what to do."""
    shown: list[RenderableType] = []
    for name, one in found.realised.items():
        rule, matured = definition.outcomes[name], found.matured[name]
        shown.append(f"[bold]{name}[/]: {escape(rule.question)}")
        if not len(one.batches):
            first = f"; the first on {day_of(matured.waiting[0] + rule.reach)}" if matured.waiting else ""
            shown.append(f"No prediction has matured yet: a label is known {span_name(rule.reach)} later{first}.")
            shown += _live(found, name)
            continue
        shown.append(table("Observed and expected by batch, untreated users", _batches(one), digits=2))
        if len(one.groups):
            shown.append(table(f"By group, {one.batches['version'][-1]}", _groups(one), digits=2))
        shown += _notes(found, name)
        shown += _live(found, name)
    if not found.findings:
        shown.append("No alarm.")
    for wrong in found.findings:
        mark = "[bold red]alarm[/]" if wrong.alarm else "[bold yellow]note[/]"
        shown.append(f"{mark} {escape(wrong.words)}.\n      {escape(wrong.action)}")
    return [*shown, f"All of it is in {found.folder}"]


def _live(found: Monitored, name: str) -> list[RenderableType]:
    """What came true of the service's answers; nothing where it has kept none."""
    live = found.live.get(name)
    if live is None:
        return []
    if (of := live.realised.level) is None:
        return [f"Answers of the service: none has matured, those of {len(live.matured.waiting):,} days wait."]
    return [
        f"Answers of the service, {len(live.matured.rows):,} on {live.realised.batches['at'].n_unique():,} days, those "
        f"of {live.realised.batches['version'][-1]}: {of.observed:,.0f} observed, {of.expected:,.0f} expected, a ratio "
        f"of {of.ratio:.2f} ({of.low:.2f} to {of.high:.2f})."
    ]


def _batches(one: Realised) -> pl.DataFrame:
    rows = one.batches.tail(BATCHES)
    days = [day_of(at) for at in rows["at"]]
    return rows.with_columns(pl.Series("batch", days)).select("batch", "version", pl.exclude("batch", "version", "at"))


def _groups(one: Realised) -> pl.DataFrame:
    """Groups whose interval leaves 1 out come first."""
    outside = (pl.col("low") > 1) | (pl.col("high") < 1)
    return (
        one.groups.with_columns(outside=outside).sort("outside", descending=True, maintain_order=True).drop("outside")
    )


def _notes(found: Monitored, name: str) -> list[RenderableType]:
    """What else there is about an outcome."""
    one, matured, shift = found.realised[name], found.matured[name], found.shifts.get(name)
    notes = []
    if one.level is not None:
        of = one.level
        notes.append(
            f"All batches of {one.batches['version'][-1]}: {of.observed:,.0f} observed, {of.expected:,.0f} expected, "
            f"a ratio of {of.ratio:.2f} ({of.low:.2f} to {of.high:.2f})."
        )
    treated = int(one.batches["handed_off"].sum()) / max(int(one.batches["users"].sum()), 1)
    if treated:
        notes.append(f"{treated:.0%} of the users were treated and are left out; held-out users stand for them.")
    if (auc := one.promised.get("auc")) is not None:
        notes.append(
            f"Estimated AUC of the newest predictions: {auc:.3f}, if the probabilities are right; the estimate cannot "
            "see that they are wrong."
        )
    if (today := found.today.get(name)) is not None:
        notes.append(_today(today))
    if one.line is not None and one.spiegelhalter is not None:
        notes.append(
            f"Calibration intercept {one.line.intercept:+.2f}, slope {one.line.slope:.2f}; Spiegelhalter's Z "
            f"{one.spiegelhalter:+.1f} (beyond 2 or -2 the probabilities are not right)."
        )
    if shift is not None:
        notes += [
            f"Answers rest on {column} to {part.now:.0%}, {part.fitted:.0%} when the model was fitted (a change of "
            f"{part.usual:.0%} is usual)."
            for column, part in shift.attributions.items()
        ]
        usual = f" ({shift.usual:.2f} is usual)" if shift.usual is not None else ""
        notes.append(f"A classifier tells today's users from those it was fitted on: AUC {shift.auc:.2f}{usual}.")
    notes += [
        f"{labels:,} labels of {day_of(at)} would be different today, because events arrived late; they stay."
        for at, labels in matured.late.items()
    ]
    return [escape(note) for note in notes]


def _today(today: Shifted) -> str:
    """What is expected of the newest predictions, by labels of users like theirs."""
    if today.auc is None or today.tier is None or today.ratio is None:
        return (
            "Today's users are unlike any there are labels for: the labels are worth "
            f"{today.effective:,.0f} users like them, and {LEAST} are needed."
        )
    tier = "nobody is in the upper tier"
    if today.tier.share > 0:
        of = today.tier
        tier = f"{of.precision:.0%} of the upper tier, which finds {of.recall:.0%} of all (lift {of.lift:.1f})"
    return (
        f"Estimated by {today.effective:,.0f} effective labels of users like today's: AUC {today.auc:.3f}, "
        f"{today.ratio:.2f} times as many events as predicted, {tier}; the estimate cannot see what has changed since."
    )


def effects(found: list[HoldoutEffect], definition: Definition) -> list[RenderableType]:
    """Show, per audience, the effect on each outcome, and what is known in a sentence."""
    if not found:
        return ["Nobody has entered an audience that a destination receives."]
    shown: list[RenderableType] = []
    for audience in dict.fromkeys(one.audience for one in found):
        mine = [one for one in found if one.audience == audience]
        shown.append(table(audience, pl.DataFrame([_effect(one, definition) for one in mine])))
        shown += [escape(f"{one.outcome}: {one.words}.") for one in mine]
        if left_out := mine[0].both_arms:
            shown.append(f"{left_out:,} users are left out: they were in both arms before two ids were merged.")
    return [
        *shown,
        "Effect: treated less held out, of all who entered, adjusted by what was predicted then. The interval may be "
        "looked at at any time; it covers all outcomes of an audience with 95 %.",
    ]


def _effect(one: HoldoutEffect, definition: Definition) -> dict[str, object]:
    rule = definition.outcomes[one.outcome]
    return {
        "outcome": f"{one.outcome} {rule.when}", "treated": one.treated, "held out": one.held_out,
        "waiting": one.waiting, "mean treated": one.mean_treated, "mean held out": one.mean_held_out,
        "effect": one.effect, "low": one.low, "high": one.high, "smallest seen": one.smallest,
    }  # fmt: skip


def as_json(one: HoldoutEffect) -> dict[str, object]:
    """A read-out as JSON has it."""
    found = {key: value for key, value in asdict(one).items() if key not in ("plain", "adjusted", "balance")}
    found |= {"effect": one.effect, "words": one.words, "mean_treated": one.mean_treated,
              "mean_held_out": one.mean_held_out, "chi_square": one.balance.chi_square,
              "balance_p": one.balance.p_value, "theta": one.adjusted.theta if one.adjusted else None,
              "variance_cut": one.adjusted.cut if one.adjusted else None}  # fmt: skip
    return {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in found.items()}
