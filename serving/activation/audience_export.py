"""Audiences: the users of a segment, state, group or tier as a file, whole or as what changed since the last one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from features.definition.dimension import RFM, STATES, Dimension
from features.definition.schema import Definition
from features.errors import PropensityError
from features.system.files.durable import new_folder, replacing
from features.system.files.kept_files import reading_table
from segments.transitions.membership import IN
from serving.activation.memberships import Memberships
from serving.scoring.earlier.batch import Earlier, answered_in, field_of

Format = Literal["csv", "parquet", "jsonl"]


@dataclass(frozen=True, slots=True)
class Export:
    """What an export wrote.

    Attributes:
        path: the file.
        users: rows in it.
        entered, left: since the last export; None for a whole one.
        held_out: users who are not in it because they are held out.
    """

    path: Path
    users: int
    entered: int | None
    left: int | None
    held_out: int


def dimension_of(definition: Definition, name: str) -> tuple[str, str]:
    """The dimension and value an audience's name means.

    Args:
        definition: the definition.
        name: a segment, ``states.<state>``, ``rfm.<group>`` or ``tiers.<outcome>.<tier>``.

    Raises:
        PropensityError: there is no such audience.
    """
    kind, _, rest = name.partition(".")
    if name in definition.segments:
        return Dimension.segment(name), IN
    if kind == "segments" and rest in definition.segments:
        return name, IN
    if kind == "states" and rest in definition.states:
        return STATES, rest
    if kind == "rfm" and rest:
        return RFM, rest
    outcome, _, tier = rest.partition(".")
    if kind == "tiers" and outcome in definition.outcomes and tier:
        return Dimension.tier(outcome), tier
    raise PropensityError(
        f"there is no audience {name!r}.",
        fix=f"name a segment ({', '.join(definition.segments)}), states.NAME, rfm.GROUP or tiers.OUTCOME.TIER",
    )


def export(
    definition: Definition,
    memberships: Memberships,
    scores: Path,
    folder: Path,
    name: str,
    path: Path,
    form: Format,
    *,
    changes: bool,
    with_holdout: bool,
) -> Export:
    """Write an audience; the file is there whole or not at all.

    Columns: ``user_id, since_last`` (``entered`` or ``left``; of differences only), ``holdout``, ``both_arms`` (with
    the held out only: was acted on under one id, and held out under another, before the two were known to be one
    person; read-outs leave these out), and the state, RFM group, tiers, likelihoods and amounts of the newest batch.

    Args:
        definition: the definition.
        memberships: who is in what.
        scores: the folder of the batches' scores.
        folder: where it is kept who was in the last export.
        name: as `dimension_of` takes it.
        path: the file.
        form: its format.
        changes: only who entered or left since the last export.
        with_holdout: also who is held out.

    Raises:
        PropensityError: there is no such audience, no scored batch, or no last export to compare with.
    """
    dimension, value = dimension_of(definition, name)
    if memberships.last() is None:
        raise PropensityError("no batch has been scored yet.", fix="run propensity score first")
    summaries = memberships.summaries()
    inside = summaries.filter((";" + pl.col("summary") + ";").str.contains(f";{dimension}={value};", literal=True))
    members = inside.select("user").sort("user")
    users = members["user"].to_list()
    held, mixed = memberships.held_out(users, [dimension] * len(users)), memberships.mixed(users)
    both = [dimension in mixed.get(user, ()) for user in users]
    members = members.with_columns(pl.Series("holdout", held, pl.Boolean), pl.Series("both_arms", both, pl.Boolean))
    out = int(members["holdout"].sum())
    if not with_holdout:
        members = members.filter(~pl.col("holdout")).drop("both_arms")
    kept = folder / f"{name}.parquet"
    rows, entered, left = members, None, None
    if changes:
        if not kept.exists():
            raise PropensityError(f"{name} was never exported.", fix="export it whole first, without --changes")
        with reading_table(kept, fix="export it whole, without --changes") as last:
            was = last.collect()
        new = members.join(was, on="user", how="anti").with_columns(since_last=pl.lit("entered"))
        gone = was.join(members, on="user", how="anti").with_columns(since_last=pl.lit("left"))
        rows, entered, left = pl.concat([new, gone], how="diagonal"), len(new), len(gone)
    _write(_with_scores(rows, definition, scores), path, form)
    new_folder(folder)
    _write(members.select("user", "holdout"), kept, "parquet")
    return Export(path, len(rows), entered, left, out)


def _with_scores(rows: pl.DataFrame, definition: Definition, scores: Path) -> pl.DataFrame:
    """Rows with what the newest batch says of them."""
    newest, named = Earlier.newest(scores), rows.rename({"user": "user_id"})
    if newest is None:
        return named.sort("user_id")
    with newest.reading() as records:
        answers = [
            field_of(rule, outcome, key).alias(f"{outcome}_{key}")
            for outcome, rule in answered_in(definition, records).items()
            for key in ("tier", rule.answer)
        ]
        columns = ["user_id", "as_of", "state", pl.col("rfm").struct.field("group").alias("rfm_group"), *answers]
        return named.lazy().join(records.select(columns), on="user_id", how="left").sort("user_id").collect()


def _write(frame: pl.DataFrame, path: Path, form: Format) -> None:
    new_folder(path.parent)
    # as the API writes instants: 2026-03-01T09:00:00Z
    texts = frame.with_columns(pl.selectors.datetime().dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ"))
    with replacing(path) as fresh:
        if form == "csv":
            texts.write_csv(fresh)
        elif form == "parquet":
            frame.write_parquet(fresh)
        else:
            texts.write_ndjson(fresh)
