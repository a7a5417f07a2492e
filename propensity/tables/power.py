"""Tables of what a holdout can show."""

import math
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
from rich.console import RenderableType

from features.definition.dimension import Dimension
from features.definition.schema import Definition
from features.definition.sections.outcome import Outcome
from features.errors import PropensityError
from features.time import DAY, to_instant
from propensity.console import table
from segments.holdout import held_out_share
from segments.power import smallest_effect, users_needed
from segments.tiers import SILENT, TIERS
from serving.activation.memberships import Memberships
from serving.scoring.earlier.batch import Earlier, field_of

#: so many weeks tell how many enter a tier, and what takes longer than so many years is not shown
WEEKS, YEARS = 4, 2


def sizes(
    definition: Definition, scores: Path, memberships: Memberships, *, effect: float, confidence: float, power: float
) -> list[RenderableType]:
    """Show, per outcome and tier, how many are sent and held out, and the smallest effect that this can show.

    Args:
        definition: its outcomes and holdout.
        scores: the folder of the batches' scores; the newest are asked.
        memberships: tells how many entered each tier in the weeks before.
        effect: say also by when an effect of this share of the rate can be seen.
        confidence: 1 less the chance to see an effect that is not there.
        power: the chance to see one that is.

    Raises:
        PropensityError: nobody was ever scored.
    """
    newest = Earlier.newest(scores)
    if newest is None:
        raise PropensityError("nobody was scored yet.", fix="run propensity score first")
    entered = memberships.flows(to_instant(newest.as_of) - WEEKS * 7 * DAY)
    shown: list[RenderableType] = []
    for name, outcome in definition.likelihoods.items():
        of, rows = _tiers(newest, name, outcome), []
        share = held_out_share(definition, Dimension.tier(name))
        mine = entered.filter(pl.col("dimension") == Dimension.tier(name))
        for tier in [tier for tier in TIERS if tier != SILENT and tier in of]:
            users, rate = of[tier]
            found = smallest_effect(users * (1 - share), users * share, rate, confidence=confidence, power=power)
            needed = users_needed(share, rate, effect, confidence=confidence, power=power)
            a_day = int(mine.filter(pl.col("after") == tier)["users"].sum()) / (WEEKS * 7)
            more = max(needed - users, 0) / a_day if needed and a_day else 0.0 if needed and needed <= users else None
            known = newest.as_of + timedelta(microseconds=outcome.reach)
            rows.append(
                {"tier": tier, "users": users, "held out": round(users * share), "rate": f"{rate:.1%}",
                 "effect seen": f"{found / rate:.0%}" if found else None, "known by": f"{known:%Y-%m-%d}",
                 f"{effect:.0%} seen by": _by(known, more)}
            )  # fmt: skip
        title = f"{name}: {outcome.question}; {share:.0%} are held out"
        shown.append(table(title, pl.DataFrame(rows)) if rows else f"[bold]{title}[/]: nobody has a prediction")
    shown.append(
        f"Effect seen: the smallest fall of the rate, as a share of it, that shows with {power:.0%} at "
        f"{confidence:.0%} confidence when all who are in a tier on {newest.as_of:%Y-%m-%d} are sent at once; – where "
        f"even a fall to 0 would not show. {effect:.0%} seen by: with those who enter, as in the {WEEKS} weeks "
        f"before; – where that takes more than {YEARS} years."
    )
    return shown


def _tiers(newest: Earlier, outcome: str, rule: Outcome) -> dict[str, tuple[int, float]]:
    """How many users are in each tier, and the mean of their likelihoods."""
    with newest.reading() as records:
        found = records.select(
            field_of(rule, outcome, "tier").alias("tier"), field_of(rule, outcome, rule.answer).alias("p")
        )
        counts = found.group_by("tier").agg(pl.len(), pl.col("p").mean()).collect()
    return {tier: (users, rate) for tier, users, rate in counts.iter_rows()}


def _by(known: datetime, more: float | None) -> str | None:
    return None if more is None or more > YEARS * 365 else f"{known + timedelta(days=math.ceil(more)):%Y-%m-%d}"
