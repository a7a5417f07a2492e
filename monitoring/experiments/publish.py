"""Experiments read out and published, for the service and the pages to read."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from features.definition.schema import Definition
from features.definition.sections.experiment import Experiment
from features.errors import PropensityError
from features.events.log import Log
from features.system.durable import new_folder, write_durably
from features.system.progress import Progress, ignore
from features.time import day_of, to_datetime
from monitoring.experiments import page
from monitoring.experiments.frozen import outcomes_of
from monitoring.experiments.read_out import ReadOut, Row, read_out
from monitoring.experiments.words import words_of
from segments.variants import Trial, trials
from serving.activation.memberships import Memberships

#: all experiments of the definition, beside the other tables of the monitor
NAME = "experiments.json"


def find(definition: Definition, memberships: Memberships, name: str) -> Trial:
    """An experiment by its name, or an earlier one by its id.

    Raises:
        PropensityError: there is none.
    """
    now = trials(definition)
    for one in now.values():
        if name in (one.name, one.id):
            return one
    earlier = memberships.experiments()
    if name in earlier:
        return Trial(name.partition("@")[0], name, Experiment.model_validate(earlier[name]))
    known = ", ".join([*(one.name for one in now.values()), *sorted(earlier.keys() - now.keys())]) or "none"
    raise PropensityError(f"there is no experiment {name!r}.", fix=f"the experiments are {known}")


def read_outs(
    asked: list[Trial],
    log: Log,
    definition: Definition,
    memberships: Memberships,
    folder: Path,
    *,
    at_any_time: bool = False,
    progress: Progress = ignore,
) -> list[ReadOut]:
    """Read out experiments, the log read once for all of them.

    Args:
        asked: the experiments.
        log: the log.
        definition: the outcomes.
        memberships: who was assigned what.
        folder: the monitor's; outcomes are kept below it.
        at_any_time: intervals that hold at any time, in place of the planned looks.
        progress: called for each run of users that is done.

    Raises:
        PropensityError: an earlier experiment has an outcome that the definition has no more.
    """
    for one in asked:
        if gone := [name for name in one.rule.outcomes if name not in definition.outcomes]:
            raise PropensityError(
                f"{one.id} is judged by {', '.join(gone)}, which the definition does not have any more.",
                fix="read it with the definition that had it",
            )
    assigned = {one.id: memberships.assigned(one.id) for one in asked}
    keys = {(one.id, name): assigned[one.id].select("user", "at") for one in asked for name in one.rule.outcomes}
    labels, late = outcomes_of(log, definition, keys, folder / "experiments", progress=progress)
    found = []
    for one in asked:
        mixed = memberships.mixed(assigned[one.id]["user"].to_list())
        both = frozenset(user for user, dimensions in mixed.items() if one.rule.dimension in dimensions)
        found.append(
            read_out(
                one, assigned[one.id], {name: labels[one.id, name] for name in one.rule.outcomes}, definition, log.ends,
                mixed=both, late={name: late[one.id, name] for name in one.rule.outcomes}, at_any_time=at_any_time,
            )
        )  # fmt: skip
    return found


def publish(found: list[ReadOut], folder: Path, definition: Definition) -> None:
    """Write what was read out: ``experiments.json`` and ``experiments.html``."""
    new_folder(folder)
    content = {one.trial.name: as_json(one) for one in found}
    write_durably(folder / NAME, json.dumps(content, indent=1).encode())
    write_durably(folder / page.NAME, page.page(found, definition).encode())


def as_json(found: ReadOut) -> dict[str, object]:
    """A read-out as JSON has it: instants as text, numbers that are not known as null."""
    rule, look = found.trial.rule, found.look
    return {
        "experiment": found.trial.id,
        "of": rule.of,
        "destination": rule.destination,
        "starts": day_of(rule.starts),
        "ends": day_of(rule.ends) if rule.ends is not None else None,
        "through": to_datetime(found.through).isoformat(),
        "better": f"{rule.better} {rule.primary}",
        "variants": {
            name: {"share": share, "assigned": found.assigned[name], **found.exposures[name]}
            for name, share in rule.variants.items()
        },
        "both_arms": found.both_arms,
        "balance": _known({"chi_square": found.balance.chi_square, "p_value": found.balance.p_value})
        | {"stop": found.balance.stop},
        "look": _known(asdict(look)) | {"planned": rule.users},
        "words": list(words_of(found)),
        "rows": [_line(row) for row in found.rows],
        "late": dict(found.late),
    }


def _line(row: Row) -> dict[str, object]:
    one, lift = row.comparison, row.comparison.best.lift if row.comparison.best is not None else None
    known = row.low is not None
    return _known(
        {
            "outcome": row.outcome, "variant": row.variant, "slice": row.slice,
            "users": one.users[0], "users_nothing": one.users[1], "waiting": row.waiting,
            "mean": one.means[0] if known else None, "mean_nothing": one.means[1] if known else None,
            "effect": row.effect, "low": row.low, "high": row.high, "p_value": row.p_value, "shown": row.shown,
            "plain_effect": one.plain.effect.value if known and one.plain is not None else None,
            "lift": lift.value if known and lift is not None else None,
            "theta": one.adjusted.theta if known and one.adjusted is not None else None,
            "variance_cut": one.adjusted.cut if known and one.adjusted is not None else None,
            "reached_share": one.reached_share,
            "effect_on_reached": one.reached.value if known and one.reached is not None else None,
            "value": row.value[0] if row.value is not None else None,
            "value_low": row.value[1] if row.value is not None else None,
            "value_high": row.value[2] if row.value is not None else None,
            "smallest_seen": one.smallest,
            "known_by": day_of(row.known_by) if row.known_by is not None else None,
        }
    )  # fmt: skip


def _known(row: Mapping[str, object]) -> dict[str, object]:
    return {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in row.items()}
