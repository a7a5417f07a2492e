"""A complete state of the kept profiles, as a file."""

from pydantic import BaseModel, ConfigDict


class ProfileManifest(BaseModel):
    """A complete state of the kept profiles.

    Attributes:
        log: which event store, and how many times it had been rebuilt.
        live: the live log is folded in through this position.
        live_log: the id of that live log; empty where nothing of one is folded in, or an older version wrote this.
        position: the log is folded in through this position.
        state: the event store's token for that position.
        through: and through this instant.
        files: the file of each bucket.
        layers: files beside it of what changed since, oldest first (`features.profile.layers`).
        run: how many runs have come to a state; their files are called by it, so that none is written twice.
        people: the file of who was who of the ids that were merged; empty where none was.
        everyone: of an older version the folder of all values that other machines had put online; then there are no
            files.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    log: str
    position: int
    state: str = ""
    through: int
    live: int = 0
    live_log: str = ""
    files: dict[int, str]
    layers: dict[int, list[str]] = {}
    run: int = 0
    people: str = ""
    everyone: str = ""

    @property
    def token(self) -> str:
        """What tells this state from others."""
        return f"{self.log}/{self.position}/{self.through}"

    @property
    def names(self) -> set[str]:
        """All files, and the folder."""
        layers = (name for names in self.layers.values() for name in names)
        return {*self.files.values(), *layers, *(name for name in (self.people, self.everyone) if name)}
