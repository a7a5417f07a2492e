"""People behind several devices: what merging their ids is worth, whether it is right, and what it costs."""

from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import lightgbm as lgb
import numpy as np
import polars as pl
from sklearn.metrics import roc_auc_score

from benchmarks.world import Log
from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.definition.sections.log.identities import Identities
from features.event_store.store import EventStore
from features.events.events import Events
from features.expressions.program import holds
from features.identities.merges import MERGES
from features.identities.people import People
from features.profile.fold import feature_rows, read_all_at
from features.profile.stored import Profiles
from features.reading.source import EventLog
from features.settings import Settings
from features.time import DAY
from training.dataset.outcomes import label, last_cutoff

#: devices of a person, and how likely a day on one that nobody is logged in on ends with a login
DEVICES, LOGIN = (0.35, 0.35, 0.2, 0.1), 0.25

#: cutoffs that are learnt from
CUTOFFS = 12


def devices(rows: pl.DataFrame, seed: int = 1) -> pl.DataFrame:
    """Rows as a site writes them: of a device, with the user's id from the first login on.

    Args:
        rows: the log, ``user_id`` among the columns.
        seed: of the draw.

    Returns:
        The same with ``person`` (the truth), ``anonymous_id`` and ``user_id``, null before the login.
    """
    rng = np.random.default_rng(seed)
    people = rows["user_id"].unique().sort()
    count = pl.DataFrame({"user_id": people, "n": rng.choice(len(DEVICES), len(people), p=DEVICES) + 1})
    days = (
        rows.select("user_id", day=pl.col("event_time").dt.date())
        .unique()
        .sort("user_id", "day")
        .join(count, on="user_id")
    )
    which = (rng.random(len(days)) * days["n"].to_numpy()).astype(np.int64)
    days = days.with_columns(device=pl.col("user_id").hash(7).cast(pl.String) + pl.Series(which).cast(pl.String),
                             login=pl.Series(rng.random(len(days)) < LOGIN))  # fmt: skip
    first = days.filter("login").group_by("device").agg(since=pl.col("day").min())
    known = days.select("user_id", "day", "device").join(first, on="device", how="left")
    joined = rows.with_columns(day=pl.col("event_time").dt.date()).join(known, on=["user_id", "day"])
    inside = pl.col("since").is_not_null() & (pl.col("day") >= pl.col("since"))
    return joined.with_columns(
        person="user_id", anonymous_id=pl.lit("d") + pl.col("device"), user_id=pl.when(inside).then("user_id")
    ).drop("day", "device", "since")  # fmt: skip


def variants(log: Log) -> tuple[pl.DataFrame, dict[str, Definition]]:
    """The log of devices, and definitions that read it: as it is, merged, and as if everybody's id were known."""
    rows = devices(pl.read_parquet(log.folder / "data/demo/events/**/*.parquet"))
    place = log.folder / "devices"
    place.mkdir(exist_ok=True)
    rows.write_parquet(place / "events.parquet")
    events, found = log.definition.events, {}
    for name, user, merged in (("apart", "COALESCE(user_id, anonymous_id)", None), ("truth", "person", None),
                               ("merged", "COALESCE(user_id, anonymous_id)", "anonymous_id")):  # fmt: skip
        columns = events.columns.model_copy(update={"user": user})
        changed = events.model_copy(update={"path": str(place / "*.parquet"), "columns": columns})
        rules = Identities(alias=merged) if merged is not None else None
        found[name] = log.definition.model_copy(
            update={
                "name": name,
                "events": changed,
                "identities": rules,
                "traits": None,
                "outcomes": _outcomes(log.definition),
            }
        )
        found[name]._source = log.definition._source
    return rows, found


def _outcomes(definition: Definition) -> dict[str, object]:
    traits = set(definition.traits.fields) if definition.traits is not None else set()
    return {name: rule for name, rule in definition.likelihoods.items() if not rule.among.columns & traits}


def labelled(store: EventStore, definition: Definition, cutoffs: np.ndarray) -> dict[str, pl.DataFrame]:
    """Rows of each outcome's population with its label."""

    def rows(events: Events) -> Iterator[tuple[str, pl.DataFrame]]:
        for frame in feature_rows(events, read_all_at(events, cutoffs), definition):
            for name, rule in definition.likelihoods.items():
                mine = frame.filter(holds(rule.among, frame))
                yield name, mine.with_columns(label=label(events, mine, definition, name))

    parts: dict[str, list[pl.DataFrame]] = {}
    for some in store.map(lambda events: list(rows(events))):
        for name, frame in some:
            parts.setdefault(name, []).append(frame)
    return {name: pl.concat(frames) for name, frames in parts.items()}


def worth(log: Log, home: Path) -> tuple[pl.DataFrame, dict[str, float]]:
    """What merging is worth to models, and whether it is right."""
    rows, definitions = variants(log)
    stores = {name: EventStore.open(EventLog(d), Settings(home=home)) for name, d in definitions.items()}
    rules, ends = definitions["truth"], stores["truth"].ends
    newest = min(last_cutoff(rules, name, ends) for name in rules.likelihoods)
    now = pl.col("cutoff").dt.epoch("us") == newest
    cutoffs = newest - np.arange(CUTOFFS)[::-1] * 7 * DAY
    found = {name: labelled(store, definitions[name], cutoffs) for name, store in stores.items()}
    columns, table = feature_set(rules).numeric, []
    for outcome, truth in found["truth"].items():
        asked = truth.filter(now).select("user", answer="label")
        for name in ("apart", "merged"):
            asked = asked.join(found[name][outcome].filter(now).select("user"), on="user")
        scores = {
            name: _auc(found[name][outcome], asked, columns, newest, definitions[name], outcome) for name in found
        }
        table.append({"outcome": outcome, "users": len(asked), **{f"AUC_{name}": auc for name, auc in scores.items()}})
    frame = pl.DataFrame(table)
    precision, recall = _right(rows, stores["merged"])
    numbers = {"identity.auc_gain": float((frame["AUC_merged"] - frame["AUC_apart"]).mean() or 0.0),
               "identity.auc_gap_to_truth": float((frame["AUC_truth"] - frame["AUC_merged"]).mean() or 0.0),
               "identity.merge_precision": precision, "identity.merge_recall": recall}  # fmt: skip
    return frame, numbers


def _auc(
    rows: pl.DataFrame, asked: pl.DataFrame, columns: tuple[str, ...], newest: int, definition: Definition, outcome: str
) -> float:
    """AUC of a plain model that learns of a log as it is read, for users whose true answers are known."""
    at, reach = pl.col("cutoff").dt.epoch("us"), definition.outcomes[outcome].reach
    known, now = rows.filter(at + reach <= newest), rows.filter(at == newest)
    model = lgb.LGBMClassifier(n_estimators=150, learning_rate=0.05, num_leaves=15, min_child_samples=40, verbose=-1,
                               random_state=1, deterministic=True, force_row_wise=True)  # fmt: skip
    model.fit(known.select(columns).to_numpy(), known["label"].to_numpy())
    mine = asked.join(now.select("user", *columns), on="user", how="left", maintain_order="left")
    scores = model.predict_proba(mine.select(columns).to_numpy())[:, 1]
    return float(roc_auc_score(mine["answer"].to_numpy(), scores))


def _right(rows: pl.DataFrame, store: EventStore) -> tuple[float, float]:
    """Of the devices' ids that are merged, the share that is right; of all devices of known people, the share found."""
    truth = rows.select(id="anonymous_id", person="person").unique()
    known = rows["user_id"].drop_nulls().unique().implode()
    merged = store.people.at(store.ends).filter(pl.col("id") != pl.col("user"))
    found = truth.filter(pl.col("person").is_in(known)).join(merged, on="id", how="left")
    right = (found["user"] == found["person"]).sum()
    return right / max(len(merged), 1), right / max(len(found), 1)


def cost(log: Log, home: Path, users: int = 1_000_000, merges: int = 100_000) -> dict[str, float]:
    """What judging costs, and what a log pays in which nobody is merged."""
    rng = np.random.default_rng(1)
    known = [_merges(rng, users, merges, day) for day in range(9)]
    began = perf_counter()
    people = People.of(pl.concat([*known, _merges(rng, users, merges, 9)]), Identities())
    people.at(10 * DAY)
    seconds = perf_counter() - began
    plain = log.definition
    merging = plain.model_copy(update={"identities": Identities()})
    merging._source = plain._source
    times: dict[str, list[float]] = {"plain": [], "merging": []}
    pairs = [("plain", plain), ("merging", merging)]
    for run in range(9):
        for name, definition in pairs if run % 2 else pairs[::-1]:
            settings = Settings(home=home / f"{name}-{run}")
            began = perf_counter()
            store = EventStore.open(EventLog(definition), settings)
            for _ in Profiles(definition, settings.home / "profiles").advance(store, store.ends, None):
                pass
            times[name].append(perf_counter() - began)
    return {"identity.merges_per_s": 10 * merges / seconds,
            "identity.unmerged_cost": float(np.median(times["merging"]) / np.median(times["plain"]))}  # fmt: skip


def _merges(rng: np.random.Generator, users: int, merges: int, day: int) -> pl.DataFrame:
    """A day's merges of new devices with some of the users."""
    at = day * DAY + np.sort(rng.integers(0, DAY, merges))
    return pl.DataFrame(
        {"alias": [f"d{day}-{i}" for i in range(merges)], "user": [f"u{u}" for u in rng.integers(0, users, merges)],
         "effective_at": at, "known_at": at + 1, "source": "log", "explicit": False, "undone_at": None},
        schema=MERGES,
    )  # fmt: skip
