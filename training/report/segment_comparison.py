"""What segments are, beside each other: sizes, moves, what became of their users, and what sets them apart."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.definition.columns import feature_set
from features.definition.names import EVERYBODY as EVERYBODY
from features.definition.schema import Definition
from features.errors import EventLogError
from features.events.draws import evenly
from features.events.events import Events
from features.events.log import Log
from features.events.write import part_files
from features.expressions.program import holds
from features.expressions.values import texts_of
from features.profile.fold import fold_rows, read_each_at
from features.rows import INSTANT
from features.system.progress import Progress, ignore
from features.time import DAY, Instants, to_datetime
from features.traits import read_traits, with_traits
from serving.scoring.scorer import Scorer
from training.dataset.outcomes import label, worth_within

Mask: TypeAlias = NDArray[np.bool_]

#: distance of two instants, and how many of them are looked at
WEEK, WEEKS = 7 * DAY, 12

#: value is counted so long after an instant
VALUE_DAYS = 30


@dataclass(frozen=True, slots=True)
class Compared:
    """Users at several instants, as the definition calls them then.

    Attributes:
        definition: by which.
        rows: ``user, cutoff, state, segments, <outcome>_tier, <outcome>_why, <outcome>_label, <value outcome>_amount,
            value`` and the feature set; labels and value are there at `matured`, numeric features at `newest`.
        newest: the last instant.
        matured: the last instant after which everything asked about is known.
        share: of all users that were looked at.
        tied_share: of the users whom RFM scores, those that sit on one frequency cut-off.
    """

    definition: Definition
    rows: pl.DataFrame
    newest: int
    matured: int
    share: float
    tied_share: float = 0.0

    def at(self, instant: int) -> pl.DataFrame:
        """The users at an instant."""
        return self.rows.filter(pl.col("cutoff") == to_datetime(instant))

    @property
    def money(self) -> str | None:
        """The signal whose value is counted."""
        return self.definition.money

    def members(self, instant: int) -> pl.DataFrame:
        """A row a user and segment, ``everybody`` among them."""
        rows = self.at(instant)
        inside = rows.explode("segments").rename({"segments": "segment"}).drop_nulls("segment")
        return pl.concat([rows.with_columns(pl.lit(EVERYBODY).alias("segment")).select(inside.columns), inside])

    def sizes(self, kind: str) -> pl.DataFrame:
        """Users by instant and state (``state``) or segment (``segments``): ``cutoff, name, users``."""
        named = self.rows.select("cutoff", pl.col(kind).alias("name"))
        named = named.explode("name") if kind == "segments" else named
        counts = named.drop_nulls("name").group_by("cutoff", "name").len("users")
        return counts.with_columns((pl.col("users") / self.share).round().cast(pl.Int64)).sort("cutoff", "name")

    def flows(self, weeks: int = 4) -> pl.DataFrame:
        """How users moved between states in the last weeks: ``before, after, users``; ``not seen yet`` for new ones."""
        before = self.at(self.newest - weeks * WEEK).select("user", pl.col("state").alias("before"))
        after = self.at(self.newest).select("user", pl.col("state").alias("after"))
        both = after.join(before, on="user", how="left").with_columns(pl.col("before").fill_null("not seen yet"))
        counts = both.group_by("before", "after").len("users")
        return counts.with_columns((pl.col("users") / self.share).round().cast(pl.Int64)).sort("before", "after")

    def outcomes(self) -> pl.DataFrame:
        """What became of each segment's users after `matured`.

        Columns: ``segment, users, <outcome> (share of those asked about), value (mean of the 30 days after)``.
        """
        shares = [pl.col(f"{name}_label").cast(pl.Float64).mean().alias(name) for name in self.definition.likelihoods]
        value = [pl.col("value").mean()] if self.money else []
        found = self.members(self.matured).group_by("segment").agg(pl.len().alias("users"), *shares, *value)
        return self._in_order(found)

    def expected(self) -> pl.DataFrame:
        """What is expected of who is in a segment now: ``segment, users, <value outcome>``, the predicted mean."""
        means = [pl.col(f"{name}_amount").mean().alias(name) for name in self.definition.amounts]
        return self._in_order(self.members(self.newest).group_by("segment").agg(pl.len().alias("users"), *means))

    def _in_order(self, found: pl.DataFrame) -> pl.DataFrame:
        order = [EVERYBODY, *self.definition.segments]
        rank = pl.col("segment").replace_strict({name: i for i, name in enumerate(order)}, default=len(order))
        return found.sort(rank)

    def tiers(self, outcome: str) -> pl.DataFrame:
        """Users by state and tier now: ``state, tier, users``."""
        counts = self.at(self.newest).group_by("state", pl.col(f"{outcome}_tier").alias("tier")).len("users")
        return counts.with_columns((pl.col("users") / self.share).round().cast(pl.Int64))

    def silent(self) -> pl.DataFrame:
        """Who is given no answer now: ``outcome, why, users``."""
        why = self.at(self.newest).select(pl.col(f"{name}_why").alias(name) for name in self.definition.outcomes)
        counts = why.unpivot(variable_name="outcome", value_name="why").drop_nulls("why")
        counts = counts.group_by("outcome", "why").len("users")
        return counts.with_columns((pl.col("users") / self.share).round().cast(pl.Int64)).sort("outcome", "why")

    def by_trait(self, trait: str) -> pl.DataFrame:
        """What became of users by a trait: ``name, users, <outcome>, value``."""
        shares = [pl.col(f"{name}_label").cast(pl.Float64).mean().alias(name) for name in self.definition.likelihoods]
        value = [pl.col("value").mean()] if self.money else []
        rows = self.at(self.matured).with_columns(pl.col(trait).fill_null("not known").alias("name"))
        return rows.group_by("name").agg(pl.len().alias("users"), *shares, *value).sort("users", descending=True)

    def apart(self, segment: str, count: int = 5) -> list["Apart"]:
        """What sets a segment's users apart from the others now, beside its own rule; the most telling first."""
        rows = self.at(self.newest)
        inside = rows["segments"].list.contains(segment).to_numpy().astype(np.bool_)
        if inside.sum() < 20 or (~inside).sum() < 20:
            return []
        own = self.definition.segments[segment].when.columns
        features = feature_set(self.definition)
        found = [
            apart
            for name in features.numeric
            if name not in own and (apart := _apart(name, rows[name].to_numpy(), inside)) is not None
        ]
        found += [_most_unlike(rows[name], inside) for name in features.traits if name not in own]
        found.sort(key=lambda apart: -abs(apart.auc - 0.5))
        signals = [*self.definition.signals, *self.definition.derived, *features.traits]
        return _one_of_each(found, signals, count)


@dataclass(frozen=True, slots=True)
class Apart:
    """One thing that sets users apart.

    Attributes:
        feature: the column.
        auc: how often one inside has more of it than one outside; 0.5 for no difference.
        inside: the median inside, or of a trait its value that differs most and the share that has it.
        outside: the same outside.
    """

    feature: str
    auc: float
    inside: float | tuple[str, float] | None
    outside: float | tuple[str, float] | None


def auc_of(values: NDArray[np.float64], inside: Mask) -> float:
    """How often one inside has more than one outside, ties half; no value may be missing."""
    _, codes = np.unique(values, return_inverse=True)
    counts = np.bincount(codes)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[codes]
    n, m = int(inside.sum()), int((~inside).sum())
    return float((ranks[inside].sum() - n * (n + 1) / 2) / (n * m))


def _apart(name: str, values: NDArray[np.float64], inside: Mask) -> "Apart | None":
    """What a feature shows of those who have it; None where half of either side, or more, have not."""
    known = ~np.isnan(values)
    if min(known[inside].mean(), known[~inside].mean()) <= 0.5:
        return None
    there, own = values[known], inside[known]
    return Apart(name, auc_of(there, own), float(np.median(there[own])), float(np.median(there[~own])))


def _most_unlike(trait: pl.Series, inside: Mask) -> Apart:
    """The value of a trait whose share differs most."""
    text = trait.fill_null("not known").to_numpy()
    shares = [(v, float((text[inside] == v).mean()), float((text[~inside] == v).mean())) for v in np.unique(text)]
    value, mine, others = max(shares, key=lambda share: abs(share[1] - share[2]))
    return Apart(trait.name, 0.5 + (mine - others) / 2, (value, mine), (value, others))


def _one_of_each(found: list[Apart], names: list[str], count: int) -> list[Apart]:
    """The first of each signal and trait: twenty windows of one signal say the same."""
    kept: dict[str, Apart] = {}
    for apart in found:
        about = max((n for n in names if n in apart.feature), key=len, default=apart.feature)
        kept.setdefault(about, apart)
    return [apart for apart in kept.values() if abs(apart.auc - 0.5) >= 0.05][:count]


def compare(
    log: Log, definition: Definition, scorer: Scorer, scratch: Path, *, share: float = 1.0, progress: Progress = ignore
) -> Compared:
    """Look at users every week of the last twelve.

    Args:
        log: the log.
        definition: the definition.
        scorer: its rules and champions.
        scratch: a folder to write into; the caller removes it.
        share: of the users who are looked at, the same ones each time.
        progress: gets each run of users that is done.

    Raises:
        EventLogError: the log is too short to know what became of anybody.
    """
    reach = max([rule.reach for rule in definition.likelihoods.values()] + [VALUE_DAYS * DAY])
    back, newest = -(-reach // WEEK), log.ends
    matured = newest - back * WEEK
    if matured <= log.first:
        raise EventLogError(
            f"the log is shorter than the {back * 7} days after which it is known what became of users.",
            fix="bring a longer log, or shorten the outcomes' 'within'",
        )
    weeks = min(WEEKS, int((newest - log.first) // WEEK))
    cutoffs = np.array(sorted({matured, *(newest - i * WEEK for i in range(weeks + 1))}))
    looking = _Looking(definition, scorer, cutoffs, matured, share)
    traits = read_traits(definition, log.live) if definition.traits is not None else None
    log.write_joined(traits, looking.of, looking.schema, scratch, progress=progress)
    return Compared(
        definition,
        pl.read_parquet(part_files(scratch)),
        newest,
        matured,
        share,
        scorer.rfm.tied_share if scorer.rfm else 0.0,
    )


class _Looking:
    """Looks at some users' events."""

    def __init__(
        self,
        definition: Definition,
        scorer: Scorer,
        cutoffs: Instants,
        matured: int,
        share: float,
    ) -> None:
        self._definition, self._scorer, self._share = definition, scorer, share
        self._cutoffs, self._matured = cutoffs, matured
        names, features = list(definition.likelihoods), feature_set(definition)
        tiers = [f"{name}_tier" for name in definition.outcomes]
        amounts = [f"{name}_amount" for name in definition.amounts]
        whys = [f"{name}_why" for name in definition.outcomes]
        self._answers = ["state", "segments", *tiers, *whys, *amounts]
        text = {"user": pl.String(), "state": pl.String()} | dict.fromkeys([*tiers, *whys], pl.String())
        self.schema = pl.Schema(
            {"cutoff": INSTANT, **text, "segments": pl.List(pl.String()),
             **{f"{name}_label": pl.Int8() for name in names}, "value": pl.Float64(),
             **dict.fromkeys(amounts, pl.Float64()),
             **dict.fromkeys(features.numeric, pl.Float64()), **dict.fromkeys(features.traits, pl.String())}
        )  # fmt: skip

    def of(self, events: Events, traits: pl.DataFrame | None) -> Iterator[pl.DataFrame]:
        """The rows of some users."""
        users = events.users.filter(pl.Series(evenly(events.users.to_list()) < self._share))
        asked = users.to_frame("user").join(pl.DataFrame({"cutoff": self._cutoffs}), how="cross")
        for rows in fold_rows(events, read_each_at(events, asked), self._definition) if len(users) else ():
            if len(rows):
                frame = with_traits(rows.frame(), traits)
                known = replace(rows, traits=texts_of(frame, feature_set(self._definition).traits))
                scored = self._scorer.score(known, rows.cutoffs).frame.select(self._answers)
                yield self._became(events, frame.hstack(scored)).select(self.schema.names()).cast(self.schema)

    def _became(self, events: Events, rows: pl.DataFrame) -> pl.DataFrame:
        """Add what became of the users of `matured`, and take the features off all but the newest rows."""
        then = (rows["cutoff"] == to_datetime(self._matured)).to_numpy()
        columns = []
        for name, rule in self._definition.likelihoods.items():
            among = holds(rule.among, rows).to_numpy()
            at = np.flatnonzero(then & among)
            answer = label(events, rows[at].select("user", "cutoff"), self._definition, name)
            columns.append(pl.Series(f"{name}_label", [None] * len(rows), pl.Int8).scatter(at, answer))
        at = np.flatnonzero(then)
        money, worth = self._definition.money, pl.Series("value", [None] * len(rows), pl.Float64)
        if money is not None:
            spent = worth_within(events, rows[at].select("user", "cutoff"), self._definition, money, VALUE_DAYS * DAY)
            worth = worth.scatter(at, spent)
        newest = pl.col("cutoff") == to_datetime(int(self._cutoffs[-1]))
        features = [pl.when(newest).then(pl.col(name)).alias(name) for name in feature_set(self._definition).numeric]
        return rows.with_columns(*columns, worth, *features)
