"""Enrolment: an experiment takes in users who are in its audience already."""

from collections.abc import Callable, Mapping, Sequence

from segments.transitions.transition import Scoring, Transition
from segments.variants import Trial
from serving.activation.memberships import Memberships
from serving.activation.recorded import CHUNK, held_value
from serving.database.tables import MOVING, one_at_a_time


def enrol(
    memberships: Memberships,
    trial: Trial,
    last: Scoring,
    scores: Callable[[Sequence[str]], Mapping[str, Mapping[str, float]]],
) -> int:
    """Assign everybody who is in an experiment's audience and was not assigned yet, and hand them off by it.

    Killed half-way, the same again does the rest. Users who are held out of the audience take no part. No transition
    is kept: nobody moves.

    Args:
        memberships: who is in the audience.
        trial: the experiment.
        last: the newest batch: the instant at which users are assigned, and what they are judged by.
        scores: the answers of that batch for users.

    Returns:
        How many were assigned.
    """
    rule, before = trial.rule, len(memberships.assigned(trial.id))
    members = memberships.inside(rule)
    for lo in range(0, len(members), CHUNK):
        some = members[lo : lo + CHUNK]
        answers = scores(some)
        with memberships.live.writing() as connection:
            one_at_a_time(connection, MOVING)
            known = memberships.assignments.of(connection, trial.id, some)
            taken = [
                Transition(user, last.at, rule.dimension, None, held_value(rule), "experiment", {},
                           answers.get(user, {}), last.models, last.definition)
                for user in some if user not in known
            ]  # fmt: skip
            memberships.outbox.add(connection, taken, only=rule.destination, enrol=True)
    return len(memberships.assigned(trial.id)) - before
