"""What is done to the files of models."""

from pathlib import Path

from tests.conftest import World
from tests.serving.registries import files_of


def model_files(world: World) -> list[Path]:
    return [path for outcome in world.definition.outcomes for path in files_of(world, outcome).iterdir()]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def change_a_digit(path: Path) -> None:
    """The first digit after the middle, to another one: the file stays as long and as well formed as it was."""
    content = bytearray(path.read_bytes())
    place = next(i for i in range(len(content) // 2, len(content)) if chr(content[i]) in "12345678")
    content[place] += 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def remove(path: Path) -> None:
    path.unlink()
