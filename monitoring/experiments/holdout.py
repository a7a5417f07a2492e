"""Read-outs of the holdout: did handing off what entered an audience help, on everybody who entered it?"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from features.definition.schema import Definition
from features.events.log import Log
from features.system.progress import Progress, ignore
from features.time import day_of
from monitoring.experiments.comparison import LABEL, PREDICTED, REACHED, compare
from monitoring.labels import labels_of
from monitoring.statistics.effects.balance import Balance, balance
from monitoring.statistics.effects.effect import Adjusted, Difference
from serving.activation.hand_offs import HandOffs

#: 1 less the confidence of all outcomes of an audience together
ALPHA: Final = 0.05


@dataclass(frozen=True, slots=True)
class HoldoutEffect:
    """The effect of handing off an audience on one outcome (intention to treat).

    Attributes:
        audience: the segment, state, RFM group or tier that users entered.
        outcome: what is compared.
        treated: users who entered, were not held out, and whose outcome is known.
        held_out: the same of those held out.
        waiting: users who entered, and whose outcome is not known yet.
        both_arms: users left out, because under another id they were in the other arm.
        balance: of all who entered, whether as many are held out as planned; the effect is not shown where not.
        plain: the difference of the means; None where an arm has fewer than two users, or is not as planned.
        adjusted: the same, adjusted by what was predicted at the entry; None where nothing was.
        mean_treated, mean_held_out: the share of whom it happened to, or the mean amount; None of an empty arm.
        low, high: of the adjusted effect, or of the plain one, an interval that may be looked at at any time; all
            outcomes of an audience are covered with 95 %.
        smallest: the smallest fall of the rate that so many users can show; None where that is not known.
        known_by: when the first entry is known, where none is yet.
    """

    audience: str
    outcome: str
    treated: int
    held_out: int
    waiting: int
    both_arms: int
    balance: Balance
    plain: Difference | None
    adjusted: Adjusted | None
    mean_treated: float | None
    mean_held_out: float | None
    low: float | None
    high: float | None
    smallest: float | None
    known_by: int | None

    @property
    def effect(self) -> float | None:
        """The adjusted effect, or the plain one."""
        found = self.adjusted.difference if self.adjusted is not None else self.plain
        return found.effect.value if found is not None else None

    @property
    def words(self) -> str:
        """What is known, in a sentence."""
        if self.balance.stop:
            return (
                f"the arms are not as planned (p = {self.balance.p_value:.2g}): find out why before reading anything "
                "into them"
            )
        if not self.held_out and not self.waiting:
            return "nobody who entered was held out, so there is nothing to compare with"
        if self.low is None or self.high is None or self.effect is None:
            first = f"; the first on {day_of(self.known_by)}" if self.known_by is not None else ""
            return f"not known yet: {self.treated:,} treated and {self.held_out:,} held out have matured{first}"
        if self.low <= 0 <= self.high:
            return f"not known yet: between {self.low:+.4f} and {self.high:+.4f}"
        return f"{'more' if self.effect > 0 else 'less'}: {self.effect:+.4f} ({self.low:+.4f} to {self.high:+.4f})"


def holdout_effects(
    log: Log,
    definition: Definition,
    hand_offs: HandOffs,
    folder: Path,
    *,
    since: int = 0,
    audience: str | None = None,
    progress: Progress = ignore,
) -> list[HoldoutEffect]:
    """Read out every audience that a destination receives.

    A user counts in the arm assigned at the first entry since an instant, treated or not, with the outcome after that
    entry; entering again changes nothing.

    Args:
        log: the log.
        definition: the outcomes.
        hand_offs: who entered what, and who is held out.
        folder: labels are written beside it meanwhile.
        since: only entries from this instant on: when the destination began to receive them.
        audience: only this one; all when left out.
        progress: called for each run of users that is done.
    """
    entries = hand_offs.entries(since)
    if audience is not None:
        entries = entries.filter(pl.col("audience") == audience)
    entries = entries.sort("at").unique(["audience", "user"], keep="first", maintain_order=True)
    ripe = {
        name: entries.filter((pl.col("at") + rule.reach <= log.ends) & ~pl.col("both_arms"))
        for name, rule in definition.outcomes.items()
    }
    labels = labels_of(log, definition, ripe, folder, progress=progress)
    found = []
    for (name,), mine in sorted(entries.group_by("audience"), key=lambda item: str(item[0][0])):
        for outcome in definition.outcomes:
            known = ripe[outcome].filter(audience=name)
            known = known.join(labels.filter(outcome=outcome).select("user", "at", "label"), on=["user", "at"])
            found.append(_effect(str(name), outcome, mine, known, definition))
    return found


def _effect(
    audience: str, outcome: str, entries: pl.DataFrame, known: pl.DataFrame, definition: Definition
) -> HoldoutEffect:
    """Compare the arms of one audience on one outcome."""
    rule, share = definition.outcomes[outcome], float(entries["share"][0])
    one_arm = entries.filter(~pl.col("both_arms"))
    counts = [int((one_arm["held_out"] == held).sum()) for held in (False, True)]
    planned = balance(counts, [1 - share, share]) if 0 < share < 1 else Balance(math.nan, math.nan, stop=False)
    p = pl.col(f"p_{outcome}") if f"p_{outcome}" in known.columns else pl.lit(None, dtype=pl.Float64)
    rows = known.select("held_out", LABEL, p.alias(PREDICTED), (~pl.col("held_out")).alias(REACHED))
    found = compare(rows.filter(~pl.col("held_out")), rows.filter("held_out"), rule)
    plain, better = (None, None) if planned.stop else (found.plain, found.adjusted)
    reach = None if planned.stop else found.at_any_time(ALPHA / len(definition.outcomes))
    low, high = reach if reach is not None else (None, None)
    treated, held_out = (None if math.isnan(mean) else mean for mean in found.means)
    sizes = found.users
    waiting = len(one_arm) - sum(sizes)
    first = int(one_arm["at"].min()) + rule.reach if waiting and not sum(sizes) else None  # type: ignore[arg-type]
    return HoldoutEffect(
        audience=audience, outcome=outcome, treated=sizes[0], held_out=sizes[1], waiting=waiting,
        both_arms=len(entries) - len(one_arm), balance=planned, plain=plain, adjusted=better,
        mean_treated=treated, mean_held_out=held_out, low=low, high=high,
        smallest=found.smallest, known_by=first,
    )  # fmt: skip
