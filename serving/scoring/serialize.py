"""From scored columns to records: as models, as columns of a frame, as JSON; the same things in the same nesting."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import polars as pl
from pydantic import TypeAdapter

from features.definition.schema import Definition
from features.definition.sections.outcome import Outcome, ValueOutcome
from features.rows import INSTANT
from segments.value_to_date import VALUE_TO_DATE
from serving.scoring.record import Change, Reason, ScoreRecord

_RECORDS = TypeAdapter(list[ScoreRecord])

RFM = {"group": "rfm_group", "r": "rfm_r", "f": "rfm_f", "m": "rfm_m", "score": "rfm_score"}
VALUE_TO_DATE_PARTS = dict(zip(("total", "average", "every_days"), VALUE_TO_DATE, strict=True))


#: of each field of the record's uplift the ending of its column
UPLIFT_PARTS = {"predicted": "uplift", "effect": "uplift_effect", "low": "uplift_low", "high": "uplift_high",
                "tier": "uplift_tier", "why": "uplift_why"}  # fmt: skip


class UpliftVersion(NamedTuple):
    """An uplift model, and the variant whose effect it is."""

    model: str
    variant: str


class MadeBy(NamedTuple):
    """What records were made by.

    Attributes:
        models: the model of each outcome; None where there is none.
        uplifts: the same of each experiment that uplift is learnt from.
        definition: name and digest.
    """

    models: Mapping[str, str | None]
    uplifts: Mapping[str, UpliftVersion | None]
    definition: str


def part_of(rule: Outcome | ValueOutcome) -> str:
    """The part of the record that holds an outcome's answer."""
    return "intent" if isinstance(rule, Outcome) else "value"


def fields_of(rule: Outcome | ValueOutcome) -> dict[str, pl.DataType]:
    """The fields of an outcome's answer, but for those given on request."""
    text = dict.fromkeys(("tier", "why", "detail", "extrapolated"), pl.String())
    return {rule.answer: pl.Float64(), "percentile": pl.Int64(), **text}


def records_of(
    of: Callable[[str], list[Any]],
    made_by: MadeBy,
    definition: Definition,
    reasons: Mapping[str, list[list[Reason]]],
    changes: Mapping[str, list[Change | None]],
) -> list[ScoreRecord]:
    """Make records of scored columns, as `record_columns` does; all at once, which takes a third of one by one."""
    rfm = [of(column) for column in RFM.values()]
    cells = (dict(zip(RFM, cell, strict=True)) for cell in zip(*rfm, strict=True))
    rows = [
        {"user_id": user, "as_of": cutoff, "last_seen": seen, "state": state, "rfm": cell, "intent": {},
         "value": {}, "segments": segments, "holdout": held, "leads": {}, "uplift": {},
         "definition": made_by.definition}
        for user, cutoff, seen, state, cell, segments, held in zip(
            of("user"), of("cutoff"), of("last_seen"), of("state"), cells, of("segments"), of("holdout"), strict=True
        )
    ]  # fmt: skip
    for name, lead in definition.leads.items():
        for row, points, lines in zip(rows, of(f"{name}_points"), of(f"{name}_lines"), strict=True):
            row["leads"][name] = {"points": points, "threshold": lead.threshold, "outcome": lead.outcome,
                                  "qualifies": points >= lead.threshold, "lines": lines}  # fmt: skip
    if definition.money is not None:
        value_rows = zip(*(of(column) for column in VALUE_TO_DATE_PARTS.values()), strict=True)
        for row, values in zip(rows, value_rows, strict=True):
            row["value_to_date"] = dict(zip(VALUE_TO_DATE_PARTS, values, strict=True))
    for name, served in made_by.uplifts.items():
        whose = {"model": served and served.model, "variant": served and served.variant}
        moved = zip(*(of(f"{name}_{ending}") for ending in UPLIFT_PARTS.values()), strict=True)
        for row, parts in zip(rows, moved, strict=True):
            row["uplift"][name] = {**dict(zip(UPLIFT_PARTS, parts, strict=True)), **whose}
    for name, model in made_by.models.items():
        keys, part = fields_of(rule := definition.outcomes[name]), part_of(rule)
        answers = zip(*(of(f"{name}_{key}") for key in keys), strict=True)
        for i, (row, values) in enumerate(zip(rows, answers, strict=True)):
            answer = dict(zip(keys, values, strict=True))
            row[part][name] = {**answer, "model": model, "reasons": reasons[name][i] if name in reasons else []}
            if name in changes:
                row[part][name]["change"] = changes[name][i]
    return _RECORDS.validate_python(rows)


#: what a record holds though there is nothing in it, where frames leave it out
_NO_REASONS, _NO_CHANGE = pl.lit([], dtype=pl.List(pl.String)).alias("reasons"), pl.lit(None).alias("change")
_NOTHING = pl.lit({}, dtype=pl.Struct([]))

#: where reasons are put into JSON that has none; within a text its quotes would be escaped
_REASONS = '"reasons":[]'


def json_of(records: pl.DataFrame, definition: Definition, reasons: Mapping[str, Sequence[str]]) -> str:
    """Write records as JSON, ``[{…}, …]``, the same bytes as `ScoreRecord` would; without changes.

    Args:
        records: of `record_columns`.
        definition: by which they were scored.
        reasons: of outcomes, as JSON, a list for each record; none are given of others.
    """
    parts: dict[str, list[pl.Expr]] = {"intent": [], "value": []}
    order: dict[str, list[str]] = {"intent": [], "value": []}
    for name, rule in definition.outcomes.items():
        answer = pl.col(part := part_of(rule)).struct.field(name)
        more = (_NO_REASONS, _NO_CHANGE) if isinstance(rule, Outcome) else (_NO_REASONS,)
        parts[part].append(answer.struct.with_fields(*more).alias(name))
        order[part].append(name)
    parts_of = [(pl.struct(answers) if answers else _NOTHING).alias(part) for part, answers in parts.items()]
    kept = {"leads": _NOTHING, "uplift": _NOTHING, "value_to_date": pl.lit(None)}
    absent = [nothing.alias(name) for name, nothing in kept.items() if name not in records.columns]
    times = [_time(name) for name, kind in records.schema.items() if kind == INSTANT]
    whole = records.with_columns(*parts_of, *absent, *times).select(list(ScoreRecord.model_fields)).write_json()
    if not reasons or not len(records):
        return whole
    none = ["[]"] * len(records)
    lists = [reasons.get(name, none) for part in order.values() for name in part]
    texts = (f'"reasons":{text}' for row in zip(*lists, strict=True) for text in row)
    pieces = whole.split(_REASONS)
    return "".join(chain.from_iterable(zip(pieces, chain(texts, [""]), strict=True)))


def _time(name: str) -> pl.Expr:
    """A column of instants as models write them: in UTC, to the second or to the microsecond."""
    whole, parts = (pl.col(name).dt.strftime(f"%Y-%m-%dT%H:%M:%S{fraction}Z") for fraction in ("", "%.6f"))
    return pl.when(pl.col(name).dt.microsecond() == 0).then(whole).otherwise(parts).alias(name)


def record_columns(made_by: MadeBy, definition: Definition) -> list[pl.Expr]:
    """Turn a scored frame into columns with the record's names and nesting.

    Args:
        made_by: what the answers are of.
        definition: by which they were scored.
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
    value = pl.struct(pl.col(c).alias(k) for k, c in VALUE_TO_DATE_PARTS.items())
    parts: dict[str, list[pl.Expr]] = {"intent": [], "value": []}
    for name, model in made_by.models.items():
        rule = definition.outcomes[name]
        fields = (pl.col(f"{name}_{key}").alias(key) for key in fields_of(rule))
        answer = pl.struct(*fields, pl.lit(model, dtype=pl.String).alias("model"))
        parts[part_of(rule)].append(answer.alias(name))
    uplifts = [
        pl.struct(
            *(pl.col(f"{name}_{ending}").alias(key) for key, ending in UPLIFT_PARTS.items()),
            pl.lit(served and served.model, dtype=pl.String).alias("model"),
            pl.lit(served and served.variant, dtype=pl.String).alias("variant"),
        ).alias(name)
        for name, served in made_by.uplifts.items()
    ]
    return [
        pl.col("user").alias("user_id"),
        pl.col("cutoff").alias("as_of"),
        pl.col("last_seen"),
        pl.col("state"),
        pl.struct(pl.col(column).alias(key) for key, column in RFM.items()).alias("rfm"),
        *(pl.struct(answers).alias(part) for part, answers in parts.items() if answers),
        pl.col("segments"),
        pl.col("leaves"),
        pl.col("holdout"),
        *([value.alias("value_to_date")] if definition.money else []),
        *([pl.struct(leads).alias("leads")] if leads else []),
        *([pl.struct(uplifts).alias("uplift")] if uplifts else []),
        pl.lit(made_by.definition).alias("definition"),
    ]
