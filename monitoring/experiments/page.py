"""The page of experiments: read without a network, its first lines in words."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl

from features.definition.schema import Definition
from features.time import to_datetime
from monitoring.experiments.read_out import EVERYBODY, ReadOut, Row
from monitoring.experiments.words import words_of
from training.report.pages import rendered

#: its file, beside the other tables of the monitor
NAME = "experiments.html"


def page(found: list[ReadOut], definition: Definition) -> str:
    """The page, with the drawing library inside where there is a picture.

    Args:
        found: the experiments.
        definition: their definition.
    """
    drawn = {
        f"{what}-{i}": chart
        for i, one in enumerate(found)
        for what, outcomes in (("rates", definition.likelihoods), ("amounts", definition.amounts))
        if (chart := effects(one, outcomes)) is not None
    }
    return rendered(
        Path(__file__).with_name("experiments.html.j2"),
        drawn,
        definition=definition,
        found=found,
        words=[list(words_of(one)) for one in found],
        everybody=EVERYBODY,
        through=to_datetime(found[0].through) if found else None,
        date=to_datetime,
    )


def effects(found: ReadOut, outcomes: Collection[str]) -> Any | None:
    """Each effect on some outcomes that may be read, with its interval, around no effect; None where there is none."""
    rows = [row for row in found.rows if row.effect is not None and row.outcome in outcomes]
    if not rows:
        return None
    data = pl.DataFrame([_point(row) for row in rows]).to_dicts()
    base = alt.Chart(alt.InlineData(values=data)).encode(
        y=alt.Y("line:N", sort=None, title=None, axis=alt.Axis(labelLimit=260)),
        color=alt.Color(
            "what:N", title=None, scale=alt.Scale(domain=["shown", "not shown"], range=["#1f6f8b", "#9aa3af"])
        ),
    )
    nothing = alt.Chart(alt.InlineData(values=[{"x": 0}])).mark_rule(strokeDash=[4, 3], color="#6b7280").encode(x="x:Q")
    interval = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title="more or less than nothing"), x2="high:Q")
    point = base.mark_point(filled=True, size=70).encode(
        x="effect:Q", tooltip=["line:N", "effect:Q", "low:Q", "high:Q"]
    )
    return (nothing + interval + point).properties(width="container", height=34 * len(rows) + 30)


def _point(row: Row) -> dict[str, object]:
    of = f", {row.slice}" if row.slice != EVERYBODY else ""
    return {"line": f"{row.variant}: {row.outcome}{of}", "effect": row.effect, "low": row.low, "high": row.high,
            "what": "shown" if row.shown else "not shown"}  # fmt: skip
