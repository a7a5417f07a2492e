"""The rules of learning: which snapshots, how many rows, when a score is reported, what audit and gate ask for."""

from typing import Annotated, Literal

from pydantic import Field

from features.definition.sections.base import Span, Strict
from features.time import DAY

#: the usual limit of `Gate.treated`
TREATED = 0.2


class Snapshots(Strict):
    """Which moments of the past the models learn from, and how much of each.

    Attributes:
        stride: the distance between two snapshots.
        count: the largest number of snapshots; there are as many as the log allows.
        spread: whether snapshots fall on different times of the day, so that a model does not learn one time only.
        warm_up: how long the log must have run before the first snapshot.
        keep: the share of each snapshot's rows that is kept, drawn for each user and cutoff on its own. A kept row
            counts for all the rows it stands for.
        min_rows: how many rows of a snapshot are kept at least, if it has as many.
    """

    stride: Span = 7 * DAY
    count: Annotated[int, Field(ge=4, le=520)] = 104
    spread: bool = True
    warm_up: Span = 28 * DAY
    keep: Annotated[float, Field(gt=0, le=1)] = 1.0
    min_rows: Annotated[int, Field(ge=0)] = 20_000


class Training(Strict):
    """Limits of the training job.

    Attributes:
        max_rows: the largest number of rows per outcome to learn from and to judge on; it bounds the memory.
        max_rows_per_user: the largest number of a user's rows outside the test, drawn evenly. A kept row counts for
            all the rows it stands for, so base rates stay what they are. Without it, all rows.
        min_positives: the fewest rows with a yes, and with a no, to learn from.
        unseen_share: the share of users who are in the test only.
        seed: the seed of everything that is drawn at random.
    """

    max_rows: Annotated[int, Field(ge=1_000)] = 150_000
    max_rows_per_user: Annotated[int, Field(ge=1)] | None = None
    min_positives: Annotated[int, Field(ge=10)] = 100
    unseen_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    seed: int = 1


class Scoring(Strict):
    """When there is not enough to say, so that no score is reported.

    Attributes:
        max_age: the largest age of a profile; an older profile is not scored.
        min_history: how long a user must be known at least.
        max_beyond: how far a feature may lie outside the range the model was fitted on, in widths of that range. A
            score with a feature further outside is marked ``extrapolated``. The feature counts as the end of the range
            in any case, except for BG/NBD, which reads it as it is.
        max_extrapolation: no score is reported if the regression or BG/NBD, continued beyond the range, would move the
            log-odds (or the logarithm of an amount) by more than this.
    """

    max_age: Span = 3 * DAY
    min_history: Span = 0
    max_beyond: Annotated[float, Field(ge=0)] = 1.0
    max_extrapolation: Annotated[float, Field(gt=0)] = 2.0


class Audit(Strict):
    """When the audit of a training run raises an alarm.

    Attributes:
        too_good: the AUC, of the model or of one feature alone, from which on a leak is more likely than a good model.
        drift: the population stability index between training and test rows from which on drift is reported.
        accept: checks that may raise an alarm without failing the run.
    """

    too_good: Annotated[float, Field(gt=0.5, le=1)] = 0.97
    drift: Annotated[float, Field(gt=0)] = 0.25
    accept: list[Literal["label_shuffle", "single_feature", "too_good", "label_days", "future"]] = Field(
        default_factory=list
    )


class Gate(Strict):
    """What a challenger must show to become champion; shares are relative to the champion's value.

    Source: the numbers follow the promotion gates collected in docs/adr/0011-gate.md.

    Attributes:
        average_precision: how far the lower 95 % bound of the paired difference may lie below 0.
        recall: the same for the recall in the top tenth.
        calibration_error: the largest calibration error on the test slice. This bound and the next one are widened to
            what a perfect forecast of as many users would show by chance.
        observed_over_expected: the bounds of observed over expected on the test slice.
        slice_drop: how far a state or tenure slice may fall with an interval that excludes 0.
        baseline: how far a simple model may be ahead. With an interval that excludes 0 it may not be ahead at all.
        simple: a simpler kind of model is served instead if its loss is at most this share larger, with 97.5 %
            confidence.
        stale: after how many horizons a champion is stale; a challenger of a stale champion must be no worse, not
            better.
        gini: for value outcomes, instead of ``average_precision``: the normalised Gini coefficient.
        value: for value outcomes, instead of ``recall``: the share of all value that the top tenth brings.
        value_calibration_error: for value outcomes, the largest calibration error; wider, since a few large orders
            move a total.
        value_over_expected: for value outcomes, the bounds of observed over expected.
        treated: the largest share of the test's labels that may be of users who were acted on within the label's
            window, where too few held-out users stand for them.
        draws: the number of bootstrap resamples.
    """

    average_precision: Annotated[float, Field(ge=0)] = 0.0025
    recall: Annotated[float, Field(ge=0)] = 0.01
    calibration_error: Annotated[float, Field(gt=0)] = 0.03
    observed_over_expected: tuple[float, float] = (0.85, 1.15)
    slice_drop: Annotated[float, Field(ge=0)] = 0.02
    baseline: Annotated[float, Field(ge=0)] = 0.02
    simple: Annotated[float, Field(ge=0)] = 0.01
    stale: Annotated[float, Field(gt=0)] = 2.0
    gini: Annotated[float, Field(ge=0)] = 0.005
    value: Annotated[float, Field(ge=0)] = 0.02
    value_calibration_error: Annotated[float, Field(gt=0)] = 0.15
    value_over_expected: tuple[float, float] = (0.8, 1.25)
    treated: Annotated[float, Field(ge=0, le=1)] = TREATED
    draws: Annotated[int, Field(ge=100)] = 1_000
