"""Whether a live log is the one that other stores speak of: a position means nothing without the log that gave it.

Each store can be restored from a backup alone. The log has a random id, and who keeps a position keeps the id with
it, so that an older log, or another one, is noticed instead of being read from a place that is not its own.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from features.definition.schema import Definition
from features.errors import LiveLogError, StoreError, UnavailableError
from features.events.compacted import Compacted
from features.feature_store import OnlineProfiles
from features.feature_store.objects import profiles_path
from features.profile.manifest import ProfileManifest
from features.profile.stored import Profiles
from features.settings import Settings
from features.system.files.durable import new_folder
from serving.database.log.live_log import LiveLog
from serving.database.log.log_state import LogState
from serving.database.tables import SHARDS

_FIX = (
    "restore the live log as it was, or its newest backup; where there is none, propensity adopt goes on with this "
    "one, without losing any event it holds"
)


def mark_of(shard: int) -> str:
    """Under this name a shard's position is kept beside the profiles: what the store loses, the mark loses too."""
    return f"shard-{shard}"


@dataclass(frozen=True, slots=True)
class Mark:
    """A position that a store keeps.

    Attributes:
        where: which store, in words.
        log: the id of the log that gave it; empty where nobody kept it.
        position: the position; 0 says nothing.
    """

    where: str
    log: str
    position: int

    def fits(self, state: LogState) -> bool:
        """Whether it was given by this log, or by one that this log goes on from."""
        return not self.position or (self.position <= state.position if not self.log else self.log in state.ids)


@dataclass(frozen=True, slots=True)
class Marks:
    """All that is kept of positions.

    Attributes:
        shards: the worker's, by shard, from the online store.
        online: the highest of them.
        files: of the compacted files.
        kept: of the kept profiles.
    """

    shards: list[int]
    online: Mark
    files: Mark
    kept: Mark

    @classmethod
    def of(cls, online: OnlineProfiles, files: Compacted, kept: ProfileManifest | None) -> "Marks":
        """Read the marks of some stores."""
        log, shards = online.marked_of_log([mark_of(shard) for shard in range(SHARDS)])
        return cls(
            shards,
            Mark("the online store", log, max(shards)),
            Mark("the compacted files (live/manifest.json)", files.log, files.position),
            Mark("the kept profiles", kept.live_log if kept else "", kept.live if kept else 0),
        )

    @classmethod
    def load(cls, definition: Definition, settings: Settings, online: OnlineProfiles) -> "Marks":
        """Read the marks of a definition's stores."""
        folder = settings.folder(definition.name)
        kept = Profiles(definition, profiles_path(definition, folder)).manifest
        return cls.of(online, Compacted.load(settings.live(definition.name)), kept)

    @property
    def all(self) -> list[Mark]:
        """The marks, but for single shards."""
        return [self.online, self.files, self.kept]


def check(live: LiveLog, marks: Iterable[Mark]) -> LogState:
    """Look whether a log is the one, and as far, as what was made of it.

    An older one is refused until it is adopted, however many new messages it takes meanwhile.

    Returns:
        The state of the log.

    Raises:
        LiveLogError: it is another one, or an older one.
    """
    state = live.state()
    if state.refused:
        raise LiveLogError(state.refused, fix=_FIX)
    for mark in marks:
        if not mark.fits(state) and mark.log:
            raise LiveLogError(
                f"the live log {state.id} is another one than {mark.where} was made from ({mark.log}).", fix=_FIX
            )
        if mark.position > state.position:
            why = (
                f"the live log is older than {mark.where}: it ends at position {state.position}, and "
                f"position {mark.position} was read before."
            )
            live.refuse(why)
            raise LiveLogError(why, fix=_FIX)
    return state


def check_files(state: LogState, files: Compacted, where: str) -> None:
    """Look whether files hold all that was removed from a log because files held it.

    Raises:
        LiveLogError: they do not.
    """
    if files.position < state.pruned:
        raise LiveLogError(
            f"{where} is older than the live log: it holds events through position {files.position}, and those through "
            f"{state.pruned} were removed from the live log because files held them.",
            fix=f"restore a newer backup of {where}; if there is none, propensity adopt continues without them",
        )


def check_online(state: LogState, shards: Sequence[int]) -> None:
    """Look whether an online store has all that the log cannot give it any more.

    Raises:
        UnavailableError: it has not, as when it came from an old backup.
    """
    if min(shards, default=state.pruned) < state.pruned:
        raise UnavailableError(
            f"the online store is folded through position {min(shards)} of the live log, and the events through "
            f"{state.pruned} are in files only.",
            fix="run propensity materialize (propensity compact does, too)",
        )


@dataclass(frozen=True, slots=True)
class Adopted:
    """What adopting a log has done.

    Attributes:
        log: its id from now on.
        unread: how many of its messages wait to be compacted.
        rebuilt: how many users' profiles are made again by the worker.
        missing: events through this position were removed from the log, and no file here holds them; 0 when all are.
    """

    log: str
    unread: int
    rebuilt: int
    missing: int


def adopt(definition: Definition, settings: Settings, live: LiveLog) -> Adopted:
    """Go on with a log that was refused: all it holds that is in no file yet counts, and each message once.

    A log that the stores know keeps its positions. Of another one, messages that no file holds get new positions,
    above all that were ever read, so that each reader finds them. Killed half-way, the same again does the rest.

    Args:
        definition: the definition.
        settings: where things are kept.
        live: the log.
    """
    online, folder = OnlineProfiles(definition, settings), settings.live(definition.name)
    files, marks, state = Compacted.load(folder), Marks.load(definition, settings, online), live.state()
    known = all(mark.fits(state) for mark in marks.all)
    read = files.position if marks.files.fits(state) else max(files.earlier.get(name, 0) for name in state.ids)
    rebuilt = 0
    if not known and (marks.online.fits(state) or any(name in files.earlier for name in state.ids)):
        rebuilt = _remove_profiles(definition, settings, online, live.users_after(read))
    floor = max(mark.position for mark in marks.all)
    missing = state.pruned if files.position < state.pruned and marks.files.fits(state) else 0
    # in this order: until the log has its new id it is refused, and a killed process begins again
    whole = known and files.position <= state.position
    now = live.adopt(
        [mark.log for mark in marks.all],
        floor,
        None if known else read,
        pruned=min(state.pruned, files.position) if whole else files.position,
    )
    new_folder(folder)
    files.of_log(now.id).save(folder)
    online.name_log(now.id)
    return Adopted(now.id, live.waiting(files.position), rebuilt, missing)


def _remove_profiles(definition: Definition, settings: Settings, online: OnlineProfiles, users: list[str]) -> int:
    """Remove profiles that may hold messages which get new positions: the worker makes them again from all there is."""
    folder = profiles_path(definition, settings.folder(definition.name))
    if users and Profiles(definition, folder).manifest is None:
        raise StoreError(
            "profiles must be rebuilt, and this machine has no kept profiles to rebuild them from.",
            fix="run propensity adopt on the machine where propensity materialize runs",
        )
    return online.remove(users)
