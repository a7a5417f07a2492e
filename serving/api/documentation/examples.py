"""An example of every call, and how it is written for curl and with `propensity.client`."""

import json
import shlex
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import yaml
from pydantic import BaseModel, ConfigDict, Field

#: where the service is, in the samples of a document that is not fetched from one
ADDRESS = "http://127.0.0.1:3000"

#: so many characters of JSON go on one line
WIDTH = 84


class Example(BaseModel):
    """An example of a call.

    Attributes:
        parameters: those of the path and of the query, by name.
        body: what is sent.
        client: the lines that make the call with ``service``, a `Client`; empty where it has no method for it.
        answer: what the service answers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    parameters: Mapping[str, str | int] = Field(default_factory=dict)
    body: Any = None
    client: str = ""
    answer: Any

    def curl(self, method: str, path: str) -> str:
        """The call as a line for a shell; the reader's key goes in place of ``KEY``."""
        filled, query = path, dict(self.parameters)
        for name in [name for name in query if f"{{{name}}}" in path]:
            filled = filled.replace(f"{{{name}}}", quote(str(query.pop(name)), safe=""))
        address = ADDRESS + filled + (f"?{urlencode(query, safe=':')}" if query else "")
        verb = "" if method == "get" else f"-X {method.upper()} "
        lines = [f"curl -s {verb}{shlex.quote(address)}", "-H 'Authorization: Bearer KEY'"]
        if self.body is not None:
            lines += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(json.dumps(self.body))}"]
        return " \\\n  ".join(lines)

    def python(self) -> str:
        """The call as a program; empty where the client has no method for it."""
        if not self.client:
            return ""
        lines = "".join(f"    {line}\n" for line in self.client.splitlines())
        head = "from propensity.client import Client\n\nwith Client("
        return f'{head}"{ADDRESS}", key="KEY") as service:\n{lines}'


@cache
def examples() -> Mapping[str, Example]:
    """The examples by method and path, as in ``GET /models``."""
    content = yaml.safe_load(Path(__file__).with_name("examples.yaml").read_text(encoding="utf-8"))
    return {call: Example.model_validate(one) for call, one in content.items()}


def pretty(value: object, indent: int = 0) -> str:
    """JSON with as many short values on a line as fit."""
    short = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value or len(short) + indent <= WIDTH:
        return short
    lines, filling = [""], False
    for name, one in value.items() if isinstance(value, dict) else enumerate(value):
        key = f"{json.dumps(name, ensure_ascii=False)}: " if isinstance(value, dict) else ""
        text, simple = key + pretty(one, indent + 2), not isinstance(one, dict | list) or not one
        if filling and simple and indent + len(lines[-1]) + len(text) < WIDTH:
            lines[-1] += f"{text}, "
        else:
            lines.append(f"{text}, ")
        filling = simple
    inner = "\n".join(f"{' ' * (indent + 2)}{line.rstrip()}" for line in lines[1:]).removesuffix(",")
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{inner}\n{' ' * indent}{closing}"
