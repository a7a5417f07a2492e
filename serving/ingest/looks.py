"""How far users who acted were looked at for transitions, kept beside the profiles so that a kill loses no look."""

import time
from collections.abc import Mapping

from features.feature_store import OnlineProfiles
from serving.database.log.live_log import LiveLog
from serving.database.log.message_rows import shards_of

#: seconds between two notes of how far it is: after a kill, who acted since the last one is looked at once more
NOTED = 2.0

#: messages read at once
READ = 10_000


class Looks:
    """Of each shard, the position through which everybody who acted has been looked at.

    Looking at a user twice changes nothing, so that what is kept may lag behind.

    Args:
        live: the live log.
    """

    def __init__(self, live: LiveLog) -> None:
        self._live = live
        self._mine: set[int] = set()
        self._through: dict[int, int] = {}
        self._noted = 0.0

    def missed(self, online: OnlineProfiles, folded: Mapping[int, int]) -> list[str]:
        """Users of shards that are new here who acted, were folded in, and were perhaps not looked at.

        Where nothing was noted of a shard yet, its users count as looked at.

        Args:
            online: where it is noted.
            folded: of each shard that is worked on, the position through which it is folded.
        """
        new = folded.keys() - self._mine
        if not new:
            self._mine = set(folded)
            return []
        noted = zip(sorted(new), online.marked([_mark_of(shard) for shard in sorted(new)]), strict=True)
        since = {shard: place - 1 for shard, place in noted if 0 < place <= folded[shard]}
        users: dict[str, None] = {}
        while since and (some := self._live.tail(since, READ)):
            shards, last = shards_of([message.user for message in some]), some[-1].position
            for message, shard in zip(some, shards, strict=True):
                if message.position <= folded[shard]:
                    users |= dict.fromkeys(message.users)
            since = {shard: max(position, last) for shard, position in since.items() if last < folded[shard]}
        self._mine = set(folded)  # last: where a store does not answer, they are read the next time
        return list(users)

    def done(self, online: OnlineProfiles, through: Mapping[int, int], at: int) -> None:
        """Note, now and then, that everybody was looked at through these positions.

        Args:
            online: where it is noted.
            through: of each shard, the position.
            at: the instant.
        """
        if self._through == through or time.monotonic() - self._noted < NOTED:
            return
        for position in sorted(set(through.values())):
            shards = [shard for shard, reached in through.items() if reached == position]
            # the first that was not looked at, since a mark of 0 is none
            online.mark([_mark_of(shard) for shard in shards], through=at, position=position + 1)
        self._through, self._noted = dict(through), time.monotonic()


def _mark_of(shard: int) -> str:
    """Under this name it is kept beside the profiles."""
    return f"looked-{shard}"
