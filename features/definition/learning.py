"""The rules of learning: which snapshots, how many rows, when a score is said, what audit and gate ask for."""

from typing import Annotated, Literal

from pydantic import Field

from features.definition.base import Span, Strict
from features.time import DAY


class Snapshots(Strict):
    """Which moments of the past the models learn from, and how much of each.

    Of each cutoff's population a share ``keep`` is kept, drawn anew for each user and cutoff, but ``min_rows`` rows
    where there are as many; each row counts as one over its cutoff's share.
    """

    stride: Span = 7 * DAY
    count: Annotated[int, Field(ge=4, le=520)] = 104
    spread: bool = True
    warm_up: Span = 28 * DAY
    keep: Annotated[float, Field(gt=0, le=1)] = 1.0
    min_rows: Annotated[int, Field(ge=0)] = 20_000


class Training(Strict):
    """Limits of the training job: at most ``max_rows`` rows an outcome, at least ``min_positives`` to learn from.

    ``max_rows`` bounds the memory. Of a user's rows
    ``max_rows_per_user`` are kept outside the test, drawn evenly. Each row that is kept counts for as many as it stands
    for: base rates stay what they are.
    """

    max_rows: Annotated[int, Field(ge=1_000)] = 150_000
    max_rows_per_user: Annotated[int, Field(ge=1)] | None = None
    min_positives: Annotated[int, Field(ge=10)] = 100
    unseen_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    seed: int = 1


class Scoring(Strict):
    """When a score is not worth saying.

    ``max_beyond``: how far a feature may lie beyond the range the model was fitted on, in widths of that range, before
    the score carries the mark ``extrapolated``; it counts as the end of the range in any case. ``max_extrapolation``:
    nothing is said where the regression, going on beyond the range, would move the log-odds (or the logarithm of an
    amount) by more.
    """

    max_age: Span = 3 * DAY
    min_history: Span = 0
    max_beyond: Annotated[float, Field(ge=0)] = 1.0
    max_extrapolation: Annotated[float, Field(gt=0)] = 2.0


class Audit(Strict):
    """When the audit of a training run raises an alarm; a check named in ``accept`` is told, and fails nothing.

    ``too_good``: AUC of the model, or of one feature alone, from which a leak is more likely than a good model.
    ``drift``: population stability index between the fitting and the test slice.
    """

    too_good: Annotated[float, Field(gt=0.5, le=1)] = 0.97
    drift: Annotated[float, Field(gt=0)] = 0.25
    accept: list[Literal["label_shuffle", "single_feature", "too_good", "label_days", "future"]] = Field(
        default_factory=list
    )


class Gate(Strict):
    """What a challenger must show to become champion; shares are relative to the champion's value.

    ``average_precision`` and ``recall``: the lower 95 % bounds of the paired differences may not fall by more.
    ``calibration_error`` and ``observed_over_expected``: bounds on the test slice, widened to what a perfect forecast
    of as many users would show by chance. ``baseline``: no simple model may be ahead by more, nor by anything with an
    interval that excludes 0. ``simple``: a simpler model is served whose loss is at most so
    much larger with 97.5 % confidence. ``stale``: horizons after which a champion counts as stale, so that a
    challenger need not be better, only no worse. ``slice_drop``: no state or tenure
    slice may fall by more with an interval that excludes 0. ``draws``: of the bootstrap. For value outcomes ``gini``
    and ``value`` (the share the top tenth brings) stand in the place of the first two, and the bounds are wider, since
    a few large orders move a total. Source: the numbers follow the promotion gates collected in docs/adr/0011-gate.md.
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
    draws: Annotated[int, Field(ge=100)] = 1_000
