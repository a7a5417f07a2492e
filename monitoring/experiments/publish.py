"""Experiments read out and published, for the service and the pages to read."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from features.definition.schema import Definition
from features.definition.sections.experiment import Experiment
from features.errors import PropensityError
from features.events.log import Log
from features.system.files.durable import new_folder, write_durably
from features.system.progress import Progress, ignore
from features.time import to_datetime
from monitoring.experiments import page
from monitoring.experiments.frozen import outcomes_of
from monitoring.experiments.power import Power
from monitoring.experiments.read_out import ReadOut, Row, read_out
from monitoring.experiments.words import words_of
from segments.variants import Trial, trials
from serving.activation.memberships import Memberships
from serving.published.experiments import (
    NAME,
    ArmCheck,
    Comparison,
    PlannedLook,
    PlannedPower,
    PublishedExperiment,
    Variant,
    written,
)


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
    known = ", ".join([*(one.name for one in now.values()), *sorted(earlier.keys() - now.keys())])
    fix = f"the experiments are {known}" if known else "the definition has none: add it to 'experiments'"
    raise PropensityError(f"there is no experiment {name!r}.", fix=fix)


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


def publish(found: list[ReadOut], powers: Mapping[str, Power], folder: Path, definition: Definition) -> None:
    """Write what was read out: ``experiments.json`` and ``experiments.html``.

    Args:
        found: the experiments.
        powers: what can be expected of each, by its id.
        folder: the monitor's.
        definition: their definition.
    """
    new_folder(folder)
    write_durably(folder / NAME, written({one.trial.name: shape_of(one, powers.get(one.trial.id)) for one in found}))
    write_durably(folder / page.NAME, page.page(found, definition).encode())


def shape_of(found: ReadOut, power: Power | None = None) -> PublishedExperiment:
    """A read-out as it is published: numbers that are not known are null.

    Args:
        found: the experiment.
        power: what can be expected of it; None leaves it out.
    """
    rule, look = found.trial.rule, found.look
    return PublishedExperiment(
        experiment=found.trial.id,
        of=rule.of,
        destination=rule.destination,
        starts=to_datetime(rule.starts),
        ends=to_datetime(rule.ends) if rule.ends is not None else None,
        through=to_datetime(found.through),
        better=f"{rule.better} {rule.primary}",
        variants={
            name: Variant(share=share, assigned=found.assigned[name], exposures=dict(found.exposures[name]))
            for name, share in rule.variants.items()
        },
        both_arms=found.both_arms,
        balance=ArmCheck(chi_square=_known(found.balance.chi_square), p_value=_known(found.balance.p_value),
                         stop=found.balance.stop),
        look=PlannedLook(**asdict(look) | {"boundary": _known(look.boundary)}, planned=rule.users),
        words=list(words_of(found)),
        rows=[_line(row) for row in found.rows],
        late=dict(found.late),
        power=_power(power) if power is not None else None,
    )  # fmt: skip


def _power(power: Power) -> PlannedPower:
    matures = to_datetime(power.matures).date() if power.matures is not None else None
    return PlannedPower(inside=power.inside, a_day=power.a_day, rate=power.rate, arms=power.arms,
                        smallest=power.smallest, matures=matures)  # fmt: skip


def _line(row: Row) -> Comparison:
    one, known = row.comparison, row.low is not None
    best, plain, adjusted = (one.best, one.plain, one.adjusted) if known else (None, None, None)
    value = row.value or (None, None, None)
    return Comparison(
        outcome=row.outcome, variant=row.variant, slice=row.slice,
        users=one.users[0], users_nothing=one.users[1], waiting=row.waiting,
        mean=_known(one.means[0]) if known else None, mean_nothing=_known(one.means[1]) if known else None,
        effect=row.effect, low=row.low, high=row.high, p_value=row.p_value, shown=row.shown,
        plain_effect=plain.effect.value if plain is not None else None,
        lift=_known(best.lift.value) if best is not None else None,
        theta=_known(adjusted.theta) if adjusted is not None else None,
        variance_cut=_known(adjusted.cut) if adjusted is not None else None,
        reached_share=one.reached_share,
        effect_on_reached=_known(one.reached.value) if known and one.reached is not None else None,
        value=value[0], value_low=value[1], value_high=value[2],
        smallest_seen=one.smallest,
        known_by=to_datetime(row.known_by).date() if row.known_by is not None else None,
    )  # fmt: skip


def _known(value: float | None) -> float | None:
    """None in the place of what is no number."""
    return value if value is not None and math.isfinite(value) else None
