"""Which files others may read."""

import stat
from pathlib import Path


def open_to_others(folder: Path) -> list[str]:
    return [
        f"{stat.filemode(p.lstat().st_mode)} {p}" for p in (folder, *folder.rglob("*")) if p.lstat().st_mode & 0o077
    ]
