"""Today: how many users are where, what moved, and what needs doing."""

from dataclasses import dataclass
from typing import Any

import polars as pl
from starlette.responses import Response

from features.definition.dimension import STATES
from features.errors import StoreError
from features.time import DAY, to_instant
from serving.console.catalogue import LANGUAGES, Catalogue
from serving.console.drawings.flows import Flow, sankey
from serving.console.kept.overview import Overview
from serving.console.office import Visit
from serving.console.pages import page_of
from serving.console.screen import Screen
from serving.published.experiments import published as experiments_published
from serving.published.monitor import PublishedFinding, PublishedMonitor, monitor_published

#: changes of sizes that are shown
MOST = 8

#: a batch that is older, in days, needs attention: one is expected every night
OLD = 2


@dataclass(frozen=True, slots=True)
class Task:
    """Something that needs doing.

    Attributes:
        bad: whether something is wrong; otherwise it is news.
        words: what it is.
        action: what to do.
        address: where to see more; empty where nowhere.
        detail: more of it in English, where that is not the reader's language.
    """

    bad: bool
    words: str
    action: str
    address: str = ""
    detail: str = ""


def _today(visit: Visit) -> Response:
    overview = visit.office.overviews.newest()
    models = visit.office.desk.answers.models()
    age = None if overview is None else _days_old(visit, overview)
    flows = [] if overview is None else _flows(overview, visit)
    handed = visit.office.desk.live.memberships.outbox.status().to_dicts()
    return page_of(
        visit, "today.html", "today",
        overview=overview, tasks=tasks(visit, overview, handed), age=age, models=models, flows=flows,
        drawing=sankey(flows) if flows else None,
        moved=[] if overview is None else _moved(overview),
        handed=handed,
    )  # fmt: skip


def _days_old(visit: Visit, overview: Overview) -> float:
    return max(0, visit.now - to_instant(overview.as_of)) / DAY


def tasks(visit: Visit, overview: Overview | None, handed: list[dict[str, Any]]) -> list[Task]:
    """What needs doing, what is wrong first.

    Args:
        visit: who asks.
        overview: of the newest batch.
        handed: how it goes with each destination.
    """
    t, desk = visit.words, visit.office.desk
    found = []
    if overview is None:
        found.append(Task(True, t("task.no_batch"), t("task.no_batch.fix")))
    elif (days := _days_old(visit, overview)) > OLD:
        found.append(Task(True, t("task.old_batch", count=round(days)), t("task.no_batch.fix")))
    if visit.office.outdated:
        found.append(Task(False, t("task.outdated"), t("task.outdated.fix")))
    found += [Task(True, t("task.missing", what=name), why) for name, why in desk.live.missing().items()]
    found += [Task(True, t("task.refused", outcome=name), why) for name, why in desk.answers.refused.items()]
    found += _alarms(visit) + _handing_off(visit, handed) + _read_out(visit)
    return sorted(found, key=lambda task: not task.bad)


def _alarms(visit: Visit) -> list[Task]:
    try:
        monitor: PublishedMonitor | None = monitor_published(visit.office.desk.monitoring)
    except StoreError as error:
        return [Task(True, error.message, error.fix)]
    if monitor is None:
        return [Task(False, visit.words("task.no_monitor"), visit.words("task.no_monitor.fix"))]
    return [_finding(one, visit.words) for one in monitor.findings]


def _finding(found: PublishedFinding, t: Catalogue) -> Task:
    """A finding, which the monitor words in English: in another language its kind, and those words after it."""
    address, key = "/console/models", f"finding.{found.name}"
    if t.language == LANGUAGES[0] or key not in t.texts:
        return Task(found.alarm, found.words, found.action, address)
    what = found.outcome.partition(".")[2] or found.outcome
    words, action = t(key, what=what), t(f"{key}.fix", what=what)
    return Task(found.alarm, words, action, address, f"{found.words} ({found.action})")


def _handing_off(visit: Visit, handed: list[dict[str, Any]]) -> list[Task]:
    t, found = visit.words, []
    for row in handed:
        name, address = row["destination"], "/console/hand-off"
        if row["paused"]:
            found.append(Task(True, t("task.paused", name=name), t("task.paused.fix"), address))
        elif row["failures"]:
            found.append(
                Task(True, t("task.failing", name=name, error=row["error"] or ""), t("task.failing.fix"), address)
            )
        if row["dead"]:
            found.append(Task(True, t("task.dead", name=name, count=row["dead"]), t("task.dead.fix"), address))
    return found


def _read_out(visit: Visit) -> list[Task]:
    try:
        experiments = experiments_published(visit.office.desk.monitoring) or {}
    except StoreError as error:
        return [Task(True, error.message, error.fix)]
    t, found = visit.words, []
    for name, one in experiments.items():
        if one.balance.stop:
            found.append(Task(True, t("task.unbalanced", name=name), t("task.unbalanced.fix"), "/console/experiments"))
        elif one.look.final or any(row.shown for row in one.rows[:1]):
            found.append(Task(False, t("task.read_out", name=name), t("task.read_out.fix"), "/console/experiments"))
    return found


def _flows(overview: Overview, visit: Visit) -> list[Flow]:
    """Users who went from state to state in the last week; users who are new come from a state of their own."""
    states = overview.flows.filter((pl.col("dimension") == STATES) & pl.col("after").is_not_null())
    rows = states.group_by("before", "after").agg(pl.col("users").sum()).sort("users", descending=True)
    nowhere = visit.words("today.nowhere")
    return [Flow(before or nowhere, after, users) for before, after, users in rows.iter_rows()]


def _moved(overview: Overview) -> list[dict[str, object]]:
    """The audiences whose size changed most in the last week."""
    flows = overview.flows.filter(pl.col("cause").is_in(["behaviour", "time", "merged"]))
    entered = flows.filter(pl.col("after").is_not_null()).group_by("dimension", name="after").agg(entered="users")
    entered = entered.with_columns(pl.col("entered").list.sum())
    left = flows.filter(pl.col("before").is_not_null()).group_by("dimension", name="before").agg(left="users")
    left = left.with_columns(pl.col("left").list.sum())
    both = entered.join(left, on=["dimension", "name"], how="full", coalesce=True).fill_null(0)
    net = both.with_columns(net=pl.col("entered") - pl.col("left")).filter(pl.col("net") != 0)
    return net.sort(pl.col("net").abs(), descending=True).head(MOST).to_dicts()


SCREENS = (Screen("/", "GET", "look", _today),)
