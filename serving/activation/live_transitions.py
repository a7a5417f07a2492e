"""Live transitions: of who acts, right after that, and of whose time has come although they do nothing."""

from collections.abc import Iterable

from features.time import Clock, to_datetime
from serving.activation.memberships import Memberships
from serving.activation.transitions import TransitionRecorder
from serving.scoring.online import Answers

#: users looked at together: answers to others wait meanwhile
RUN = 100


class LiveTransitions:
    """Looks at users and records their transitions.

    Args:
        answers: scores.
        memberships: where transitions are recorded.
        recorder: records transitions.
        clock: the service's clock.
    """

    def __init__(self, answers: Answers, memberships: Memberships, recorder: TransitionRecorder, clock: Clock) -> None:
        self._answers, self._memberships, self._recorder, self._clock = answers, memberships, recorder, clock
        self._waiting: dict[str, None] = {}

    def touched(self, users: Iterable[str]) -> None:
        """Say who has acted."""
        self._waiting |= dict.fromkeys(users)

    def look(self) -> int:
        """Look at who has acted, and at whose time has come; nobody, before the first batch.

        Asked now and then, a user who acts ten times in between is looked at once. So many as make one run are looked
        at; the others, and those who cannot be looked at now, are the first ones next time.

        Returns:
            How many still wait to be looked at.

        Raises:
            UnavailableError: a store does not answer.
        """
        if self._memberships.last() is None:
            self._waiting.clear()
            return 0
        self.touched(self._memberships.take_due(RUN))
        some = list(self._waiting)[:RUN]
        if some:
            self._look(some)
            for user in some:
                del self._waiting[user]
        return len(self._waiting)

    def _look(self, users: list[str]) -> None:
        now = self._clock.now()
        scorer, scored, others = self._answers.scored(users, to_datetime(now))
        if others:
            self._recorder.merged(others, scored.rows.drawn_as if scored is not None else {}, now)
        if scored is not None:
            self._recorder.live(scored, scorer)
        seen = set(scored.rows.users.to_list()) if scored is not None else set()
        self._memberships.not_due([user for user in users if user not in seen])
