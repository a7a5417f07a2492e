"""What is known of an experiment, in words."""

from collections.abc import Iterator

from features.time import day_of
from monitoring.experiments.read_out import EVERYBODY, ReadOut, Row

#: what was predicted explains outcomes too well or too badly to be calibrated: so many errors from 1, and by so much
_ERRORS, _FAR = 3.0, 0.2


def words_of(found: ReadOut) -> Iterator[str]:
    """Say what is known of an experiment, in sentences."""
    rule, look = found.trial.rule, found.look
    if not sum(found.assigned.values()):
        yield f"nobody who entered {rule.of} has been assigned yet; it starts on {day_of(rule.starts)}"
        return
    if found.balance.stop:
        yield (
            f"the arms are not as planned (p = {found.balance.p_value:.2g}): find out why before reading anything into "
            "them"
        )
        return
    if look.number == 0:
        yield f"no look yet: the first needs {look.following:,} matured users of all variants; {look.matured:,} have"
    for row in found.rows:
        if row.outcome == rule.primary and row.slice == EVERYBODY and row.low is not None and row.high is not None:
            yield _verdict(row, found)
    yield from _alarms(found)
    for outcome, labels in found.late.items():
        if labels:
            yield f"{labels:,} outcomes of {outcome} would be different today, because events arrived late; they stay"


def _verdict(row: Row, found: ReadOut) -> str:
    look = found.look
    at = f"look {look.number} of {look.of}" if look.of is not None else "so far"
    reach = f"{row.effect:+.4f} ({row.low:+.4f} to {row.high:+.4f})"
    if not row.shown:
        rest = "no difference was shown" if look.final else "no difference yet"
        return f"{row.variant}, {at}: {rest}: {reach}"
    more = "more" if (row.effect or 0) > 0 else "less"
    worth = "better" if more == found.trial.rule.better else "worse"
    return f"{row.variant}, {at}: {worth} than nothing, {more} {row.outcome}: {reach}"


def _alarms(found: ReadOut) -> Iterator[str]:
    """Of probabilities that are not calibrated: theta is 1 where they are."""
    for row in found.rows:
        one = row.comparison.adjusted
        if row.slice != EVERYBODY or row.low is None or one is None or not 0 <= row.comparison.means[1] <= 1:
            continue
        if abs(one.theta - 1) > max(_ERRORS * one.error, _FAR):
            yield (
                f"{row.variant}: theta is {one.theta:.2f}, not 1: the probabilities of {row.outcome} that were "
                "predicted are not calibrated (see propensity monitor)"
            )
