"""The score record: what is said of a user, the same from the API and from the batch."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict, TypeAdapter

from features.definition.outcome import Outcome, ValueOutcome
from features.definition.schema import Definition
from segments.tiers import Tier, ValueTier
from segments.worth import WORTH


class Part(BaseModel):
    """A part of the record."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Reason(Part):
    """Why a likelihood is what it is.

    Attributes:
        feature: the column.
        value: its value; null when there is none.
        effect: what it adds to the log-odds, or to the logarithm of an amount, against the average user.
        text: the same in words.
    """

    feature: str
    value: float | str | None
    effect: float
    text: str


class Move(Part):
    """One of the reasons then, and what became of it.

    Attributes:
        feature: the column.
        value, before: now and then; null where there is none, and for traits, which the text tells.
        effect: what it adds to the log-odds now, less what it added then.
        text: the same in words.
    """

    feature: str
    value: float | str | None
    before: float | None
    effect: float
    text: str


class Change(Part):
    """What changed since the newest earlier scores.

    Attributes:
        since: the instant they speak of.
        probability: what was said then; null when there was not enough to say.
        model: that said it.
        moved: the reasons of then whose effect moved most; empty where none were kept.
    """

    since: datetime
    probability: float | None
    model: str | None
    moved: list[Move] = []


class Intent(Part):
    """The answer to one outcome's question.

    Attributes:
        probability: calibrated; null when there is not enough to say.
        percentile: 0 to 100, among the users the model was calibrated on.
        tier: by the cut-offs frozen in the model card.
        why: when there is not enough to say: ``outside_population``, ``stale_profile``, ``short_history``,
            ``outside_trained_range`` or ``no_model``.
        detail: which feature lies outside the trained range, and how far.
        model: name and version of the model.
        reasons: the strongest, when asked for.
        change: what changed since the newest earlier scores, when asked for and there are some.
    """

    probability: float | None
    percentile: int | None
    tier: Tier
    why: str | None = None
    detail: str | None = None
    model: str | None
    reasons: list[Reason] = []
    change: Change | None = None


class Value(Part):
    """The answer to one value outcome's question.

    Attributes:
        amount: what is expected, in the unit of the signal's value; null when there is not enough to say.
        percentile, why, detail, model, reasons: as of `Intent`.
        tier: by the cut-offs frozen in the model card.
    """

    amount: float | None
    percentile: int | None
    tier: ValueTier
    why: str | None = None
    detail: str | None = None
    model: str | None
    reasons: list[Reason] = []


class Line(Part):
    """What a lead score gave points for.

    Attributes:
        what: in words.
        times: how often, fading where it fades; null for a predicate.
        points: what it gave.
    """

    what: str
    times: float | None
    points: float


class Lead(Part):
    """A lead score, point by point.

    Attributes:
        points: the sum.
        threshold: from here on a user qualifies.
        qualifies: whether they do.
        outcome: beside whose likelihood it is to be read.
        lines: what there were points for.
    """

    points: float
    threshold: float
    qualifies: bool
    outcome: str
    lines: list[Line]


class WorthSoFar(Part):
    """What a user has been worth so far.

    Attributes:
        total: the value of all their orders.
        average: of an order; null before the first.
        every_days: days between two days with one, on average; null before the second.
    """

    total: float
    average: float | None
    every_days: float | None


class Rfm(Part):
    """RFM scores 1 to 5 and the group; null for users who were not active in the window."""

    group: str | None
    r: int | None
    f: int | None
    m: int | None
    score: int | None


class ScoreRecord(Part):
    """Everything said of one user at one instant.

    Attributes:
        user_id: the id.
        as_of: the instant.
        seen: when the user last did something that is a signal.
        state: one of the definition's states.
        rfm: the RFM group and scores.
        intent: an answer to each outcome's question.
        value: an answer to each value outcome's question.
        segments: the segments the user is in.
        leads: lead scores, by name.
        worth: value so far, of the definition's money; null where it has none.
        holdout: those of them in which the user is left alone, so that what acting does can be measured.
        definition: name and digest of the definition.
    """

    user_id: str
    as_of: datetime
    seen: datetime
    state: str | None
    rfm: Rfm
    intent: dict[str, Intent]
    value: dict[str, Value] = {}
    segments: list[str]
    holdout: list[str] = []
    leads: dict[str, Lead] = {}
    worth: WorthSoFar | None = None
    definition: str


_RECORDS = TypeAdapter(list[ScoreRecord])

RFM = {"group": "rfm_group", "r": "rfm_r", "f": "rfm_f", "m": "rfm_m", "score": "rfm_score"}
WORTH_PARTS = dict(zip(("total", "average", "every_days"), WORTH, strict=True))


def part_of(rule: Outcome | ValueOutcome) -> str:
    """The part of the record that holds an outcome's answer."""
    return "intent" if isinstance(rule, Outcome) else "value"


def said_of(rule: Outcome | ValueOutcome) -> dict[str, pl.DataType]:
    """What is said of an outcome, but for what is told on request."""
    text = dict.fromkeys(("tier", "why", "detail"), pl.String())
    return {rule.answer: pl.Float64(), "percentile": pl.Int64(), **text}


def records_of(
    of: Callable[[str], list[Any]],
    outcomes: Mapping[str, str | None],
    definition: Definition,
    version: str,
    reasons: Mapping[str, list[list[Reason]]],
    changes: Mapping[str, list[Change | None]],
) -> list[ScoreRecord]:
    """Make records of scored columns, as `record_columns` does; all at once, which takes a third of one by one."""
    rfm = [of(column) for column in RFM.values()]
    cells = (dict(zip(RFM, cell, strict=True)) for cell in zip(*rfm, strict=True))
    rows = [
        {"user_id": user, "as_of": cutoff, "seen": seen, "state": state, "rfm": cell, "intent": {},
         "value": {}, "segments": segments, "holdout": held, "leads": {}, "definition": version}
        for user, cutoff, seen, state, cell, segments, held in zip(
            of("user"), of("cutoff"), of("seen"), of("state"), cells, of("segments"), of("holdout"), strict=True
        )
    ]  # fmt: skip
    for name, lead in definition.leads.items():
        for row, points, lines in zip(rows, of(f"{name}_points"), of(f"{name}_lines"), strict=True):
            row["leads"][name] = {"points": points, "threshold": lead.threshold, "outcome": lead.outcome,
                                  "qualifies": points >= lead.threshold, "lines": lines}  # fmt: skip
    if definition.money is not None:
        told = zip(*(of(column) for column in WORTH_PARTS.values()), strict=True)
        for row, values in zip(rows, told, strict=True):
            row["worth"] = dict(zip(WORTH_PARTS, values, strict=True))
    for name, model in outcomes.items():
        keys, part = said_of(rule := definition.asked[name]), part_of(rule)
        answers = zip(*(of(f"{name}_{key}") for key in keys), strict=True)
        for i, (row, values) in enumerate(zip(rows, answers, strict=True)):
            said = dict(zip(keys, values, strict=True))
            row[part][name] = {**said, "model": model, "reasons": reasons[name][i] if name in reasons else []}
            if name in changes:
                row[part][name]["change"] = changes[name][i]
    return _RECORDS.validate_python(rows)


def record_columns(outcomes: Mapping[str, str | None], definition: Definition, version: str) -> list[pl.Expr]:
    """Turn a scored frame into columns with the record's names and nesting.

    Args:
        outcomes: model version of each outcome, or None where there is no model.
        definition: by which they were scored.
        version: its name and digest.
    """
    leads = [
        pl.struct(
            pl.col(f"{name}_points").alias("points"),
            pl.lit(lead.threshold, dtype=pl.Float64).alias("threshold"),
            (pl.col(f"{name}_points") >= lead.threshold).alias("qualifies"),
            pl.lit(lead.outcome).alias("outcome"),
            pl.col(f"{name}_lines").alias("lines"),
        ).alias(name)
        for name, lead in definition.leads.items()
    ]
    parts: dict[str, list[pl.Expr]] = {"intent": [], "value": []}
    for name, model in outcomes.items():
        rule = definition.asked[name]
        said = (pl.col(f"{name}_{key}").alias(key) for key in said_of(rule))
        answer = pl.struct(*said, pl.lit(model, dtype=pl.String).alias("model"))
        parts[part_of(rule)].append(answer.alias(name))
    return [
        pl.col("user").alias("user_id"),
        pl.col("cutoff").alias("as_of"),
        pl.col("seen"),
        pl.col("state"),
        pl.struct(pl.col(column).alias(key) for key, column in RFM.items()).alias("rfm"),
        *(pl.struct(answers).alias(part) for part, answers in parts.items() if answers),
        pl.col("segments"),
        pl.col("leaves"),
        pl.col("holdout"),
        *([pl.struct(pl.col(c).alias(k) for k, c in WORTH_PARTS.items()).alias("worth")] if definition.money else []),
        *([pl.struct(leads).alias("leads")] if leads else []),
        pl.lit(version).alias("definition"),
    ]
