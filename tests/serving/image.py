"""The image of a Bento without a container engine: its folders, its programs and its environment, in a plain folder."""

import os
import re
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from tests.conftest import ROOT

COMPOSE = ROOT / "docs" / "operate" / "compose.yaml"

#: where the image holds the Bento
BENTO = "/home/bentoml/bento"


class Health(BaseModel):
    model_config = ConfigDict(extra="forbid")

    test: list[str]
    interval: str
    timeout: str = "30s"
    retries: int = 3
    start_period: str = "0s"


class Service(BaseModel):
    """What Compose knows of a service, as far as we use it; anything else is a mistake."""

    model_config = ConfigDict(extra="forbid")

    image: str
    working_dir: str = ""
    user: str = ""
    environment: dict[str, str] = {}
    env_file: list[dict[str, str | bool]] = []
    volumes: list[str] = []
    depends_on: dict[str, dict[str, str]] = {}
    restart: str = "no"
    profiles: list[str] = []
    entrypoint: list[str] = []
    command: list[str] = []
    ports: list[str] = []
    healthcheck: Health | None = None


def services(variables: Mapping[str, str]) -> dict[str, Service]:
    """Read the Compose file, with its variables filled in as Compose does."""

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: filled(part) for key, part in value.items()}
        if isinstance(value, list):
            return [filled(part) for part in value]
        return re.sub(r"\$\{(\w+)(?::([-?])([^}]*))?\}", _fill, value) if isinstance(value, str) else value

    def _fill(match: "re.Match[str]") -> str:
        name, kind, text = match.groups()
        assert name in variables or kind == "-", f"{name} is needed: {text}"
        return variables.get(name) or text or ""

    content = filled(yaml.safe_load(COMPOSE.read_text()))
    known = {key for key in content if not key.startswith("x-")}
    assert known == {"name", "services", "volumes"}
    return {name: Service.model_validate(service) for name, service in content["services"].items()}


class Image:
    """A Bento laid out as in its image.

    Args:
        root: stands for the image's root folder; the Bento lies there already.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.bento = root / BENTO.lstrip("/")
        self._bin = self._programs(root / "app" / ".venv")
        self.baked = {e["name"]: e["value"] for e in yaml.safe_load((self.bento / "bento.yaml").read_text())["envs"]}

    @staticmethod
    def _programs(folder: Path) -> Path:
        """An environment with this one's packages, but without ours: the image does not install our code."""
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        [site] = folder.glob("lib/python*/site-packages")
        (site / "packages.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")  # .pth files in there are not read
        program = folder / "bin" / "bentoml"
        program.write_text(f"#!{folder}/bin/python\nimport sys\nfrom bentoml_cli.cli import cli\nsys.exit(cli())\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return folder / "bin"

    def start(
        self, service: Service, *command: str, replaced: Mapping[str, str], log: Path | None = None
    ) -> "subprocess.Popen[str]":
        """Start a service, or another command in it; ``replaced`` are addresses and folders outside."""

        inside = {BENTO: str(self.bento), **replaced}
        # in one pass: what has taken a part's place may hold another's name, as a port does that of a port
        parts = re.compile("|".join(re.escape(part) for part in sorted(inside, key=len, reverse=True)))

        def here(text: str) -> str:
            return parts.sub(lambda found: inside[found[0]], text)

        environment = {"PATH": f"{self._bin}{os.pathsep}/usr/bin{os.pathsep}/bin", "BENTO_PATH": str(self.bento)}
        environment |= self.baked | {name: here(value) for name, value in service.environment.items()}
        with log.open("w") if log is not None else nullcontext(subprocess.PIPE) as out:
            return subprocess.Popen(
                [here(part) for part in [*service.entrypoint, *(command or service.command)]],
                cwd=here(service.working_dir or BENTO), env=environment, stdout=out, stderr=subprocess.STDOUT,
                text=True, start_new_session=True,
            )  # fmt: skip
