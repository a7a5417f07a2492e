"""Dead letters read again."""

import json
from collections.abc import Set
from dataclasses import dataclass

from features.reading.live_messages import Message
from serving.database.log.dead_letters import ID_TAKEN
from serving.database.log.live_log import LiveLog
from serving.ingest.request import NOT_TAKEN
from serving.ingest.tracking import Tracking


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of dead letters.

    Attributes:
        taken: how many are in the live log now; those whose message was there already count too.
        refused: the others' numbers, with the reason.
    """

    taken: int
    refused: list[tuple[int, str]]


def replay(live: LiveLog, tracking: Tracking, chosen: Set[int] | None) -> Replayed:
    """Read dead letters again; what can be taken now is appended as it came then.

    A message is appended before its letter is marked: who is killed in between appends it again, which its id undoes.

    Args:
        live: the live log.
        tracking: reads messages.
        chosen: numbers of letters; all that were not replayed when left out.
    """
    taken, refused, since = 0, [], 0
    while some := live.dead_letters(since=since):
        since = some[-1].id
        good: dict[int, Message] = {}
        for letter in some:
            if chosen is not None and letter.id not in chosen:
                continue
            try:
                content = json.loads(letter.body)
            except (ValueError, RecursionError):
                refused.append((letter.id, "the message was too large or too deep to be kept whole"))
                continue
            if isinstance(content, dict):
                content = {"messageId": f"dead-letter-{letter.id}"} | content
            read = tracking.read([content], kind=None, sent=None, received=letter.received)
            if read.refused:
                refused.append((letter.id, read.refused[0][1].reason))
            else:
                good[letter.id] = read.messages[0][1]
                live.append(read.merges, replayed=True)
        outcomes = dict(zip(good, live.append(list(good.values()), replayed=True), strict=True))
        left = [(number, NOT_TAKEN[what]) for number, what in outcomes.items() if what in NOT_TAKEN]
        refused += left
        live.mark_replayed([number for number, what in outcomes.items() if what != ID_TAKEN])
        taken += len(good) - len(left)
    return Replayed(taken, refused)
