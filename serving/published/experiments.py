"""The published experiments, as ``experiments.json`` holds them and ``GET /experiments`` answers."""

from datetime import date, datetime
from pathlib import Path

from pydantic import TypeAdapter

from serving.published.shape import Shape, read

#: the file in the monitoring folder
NAME = "experiments.json"


class Variant(Shape):
    """An arm.

    Attributes:
        share: as planned.
        assigned: users who were assigned it, without those who were in several.
        exposures: how many of them were `handed off`, `delivered`, `failed`, or `withheld`.
    """

    share: float
    assigned: int
    exposures: dict[str, int]


class ArmCheck(Shape):
    """Whether the arms are as planned.

    Attributes:
        chi_square: of the counts against the plan; null where nobody was assigned.
        p_value: of counts at least as far from it, by chance alone.
        stop: whether they are not; no effect is shown then.
    """

    chi_square: float | None
    p_value: float | None
    stop: bool


class PlannedLook(Shape):
    """Where an experiment is; null is what only a plan has.

    Attributes:
        number: the last look that was reached; 0 before the first.
        of: how many are planned.
        planned: how many users are planned.
        users: how many users are counted.
        matured: how many have a known primary outcome.
        following: how many matured users the next look needs.
        final: whether it is the last look.
        boundary: how many standard errors an effect must lie from 0.
    """

    number: int | None
    of: int | None
    planned: int | None
    users: int
    matured: int
    following: int | None
    final: bool
    boundary: float | None


class Comparison(Shape):
    """A variant beside nothing, on one outcome; numbers are null until they may be read.

    Attributes:
        outcome: what is compared.
        variant: the arm.
        slice: `everybody`, or a third of the users by what was predicted (exploratory).
        users: of the variant, whose outcome is known.
        users_nothing: the same of those who were sent nothing.
        waiting: users of both arms who are not counted yet.
        mean: of the variant.
        mean_nothing: of those who were sent nothing.
        effect: the variant less nothing, adjusted by what was predicted at the assignment.
        low: lower end of its interval.
        high: upper end of it.
        p_value: corrected, of secondary outcomes and slices.
        shown: whether the interval leaves 0 out.
        plain_effect: not adjusted.
        lift: the effect over the mean of nothing.
        theta: the coefficient of what was predicted; 1 where that is calibrated.
        variance_cut: the share of the variance that adjusting removes.
        reached_share: of the variant's users, whom a message reached.
        effect_on_reached: on those; it assumes that an assignment does nothing to users who are not reached.
        value: what a contacted user has brought, less the outcome's costs.
        value_low: lower end of its interval.
        value_high: upper end of it.
        smallest_seen: the smallest change of the rate that so many users show in one look with 80 %: a rise of a
            primary outcome of which more is wanted, else a fall.
        known_by: when the outcomes of all who were assigned are known.
    """

    outcome: str
    variant: str
    slice: str
    users: int
    users_nothing: int
    waiting: int
    mean: float | None
    mean_nothing: float | None
    effect: float | None
    low: float | None
    high: float | None
    p_value: float | None
    shown: bool
    plain_effect: float | None
    lift: float | None
    theta: float | None
    variance_cut: float | None
    reached_share: float
    effect_on_reached: float | None
    value: float | None
    value_low: float | None
    value_high: float | None
    smallest_seen: float | None
    known_by: date | None


class PlannedPower(Shape):
    """What can be expected of an experiment before it has shown anything, by the audience of today.

    Attributes:
        inside: users who are in the audience.
        a_day: users who entered it a day, in the four weeks before.
        rate: the mean predicted probability of the primary outcome of those inside; null of amounts, and where nothing
            was predicted.
        arms: by variant how many users take part: those planned, or those inside and of four weeks' entries.
        smallest: by variant the smallest wanted change of the rate, a fall or a rise, that so many users show with 80 %
            at the planned looks, or without a plan at any time; null where not even a change to nobody, or everybody,
            would be seen, or the rate is not known.
        matures: when the outcomes of these users are known; null where nobody enters.
    """

    inside: int
    a_day: float
    rate: float | None
    arms: dict[str, int]
    smallest: dict[str, float | None]
    matures: date | None


class PublishedExperiment(Shape):
    """An experiment, read out.

    Attributes:
        experiment: its id; another one after an edit.
        of: the audience.
        destination: that sends the variants.
        starts: users who enter from then on take part.
        ends: users who enter from then on do not.
        through: the log was complete through this instant.
        better: what is wanted, as `less churn`.
        variants: the arms, by name.
        both_arms: users left out, because two of their ids were in different arms.
        balance: whether the arms are as planned.
        look: where it is.
        words: what is known, in sentences.
        rows: the comparisons, the primary outcome first.
        late: outcomes that would be different today, by outcome; they stay.
        power: what can be expected of it; null in files of before this was published.
    """

    experiment: str
    of: str
    destination: str
    starts: datetime
    ends: datetime | None
    through: datetime
    better: str
    variants: dict[str, Variant]
    both_arms: int
    balance: ArmCheck
    look: PlannedLook
    words: list[str]
    rows: list[Comparison]
    late: dict[str, int]
    power: PlannedPower | None = None


_FILE = TypeAdapter(dict[str, PublishedExperiment])


def written(found: dict[str, PublishedExperiment]) -> bytes:
    """What the file holds."""
    return _FILE.dump_json(found, indent=1)


def published(folder: Path) -> dict[str, PublishedExperiment] | None:
    """The experiments that were published last, by name; None before the first time.

    Args:
        folder: the monitoring folder.

    Raises:
        StoreError: the file is damaged.
    """
    return read(folder / NAME, _FILE, writer="propensity monitor")
