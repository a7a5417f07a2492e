"""Which versions are champions, and the last answers of MLflow's database, kept while it stays the same."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from features.definition.schema import Definition
from features.system.files.durable import replacing

CHAMPION = "champion"

#: tag of a registered model: the versions that were champion, oldest first
CHAMPIONS = "champions"

#: tag of a registered version: the SHA-256 of its card, which holds those of the other files
CARD_DIGEST = "card_sha256"

#: where answers are kept, beside the database
KEPT = "mlflow-champions.json"

#: SQLite's header: how it begins, and the two bytes that say how it writes; a log beside the file changes later
_MAGIC, _ROLLBACK = b"SQLite format 3\x00", b"\x01\x01"


def registered_name(definition: Definition, outcome: str) -> str:
    """The registered model of an outcome, or of an experiment by its `uplift_key`."""
    return f"{definition.name}-{outcome}"


@dataclass(frozen=True, slots=True)
class Promoted:
    """A version that is champion; a registry that was restored or made again may hold another model of that number.

    Attributes:
        number: of the version.
        card: SHA-256 of its card; None where it was registered before digests were kept.
        files: the folder of its files, below that of all files; None where they lie elsewhere.
    """

    number: str
    card: str | None
    files: str | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """The last answers of a database.

    Asking MLflow takes two seconds, nearly all of it for importing it, and the answer changes when a model is trained.

    Attributes:
        file: of the answers.
        state: of the database, when it was asked: another one makes the answers void.
        champions: by the name of the registered model; None of a model without champion.
    """

    file: Path
    state: tuple[int, ...]
    champions: Mapping[str, Promoted | None]

    @classmethod
    def of(cls, database: Path) -> Self | None:
        """What is kept of a database as it is now; nothing, where it has changed.

        Returns:
            None of a database whose file does not show its state.
        """
        state, file = _state(database), database.with_name(KEPT)
        if state is None:
            return None
        try:
            content = json.loads(file.read_bytes())
            if tuple(content["state"]) == state:
                found = {name: one and Promoted(**one) for name, one in content["champions"].items()}
                return cls(file, state, found)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            pass  # it is not there, or of another version of this program: MLflow is asked
        return cls(file, state, {})

    def keep(self, champions: Mapping[str, Promoted | None], database: Path) -> None:
        """Keep more answers, unless the database has changed meanwhile."""
        if _state(database) != self.state:
            return
        every = {name: one and asdict(one) for name, one in {**self.champions, **champions}.items()}
        try:
            with replacing(self.file, durable=False) as fresh:
                fresh.write_text(json.dumps({"state": self.state, "champions": every}, indent=1))
        except OSError:
            pass  # a folder that may only be read, or a full disk: MLflow is asked again


def _state(database: Path) -> tuple[int, ...] | None:
    """What changes whenever a database does: the count of its changes, size, instant of writing, and which file it is.

    Raises:
        OSError: it cannot be read.
    """
    with database.open("rb") as file:
        header, found = file.read(28), database.stat()
    logs = (database.with_name(f"{database.name}-{kind}") for kind in ("wal", "journal"))
    if header[:16] != _MAGIC or header[18:20] != _ROLLBACK or any(log.exists() for log in logs):
        return None
    return int.from_bytes(header[24:28]), found.st_size, found.st_mtime_ns, found.st_ino
