"""Every command and option of the command line."""

from collections.abc import Iterator
from typing import Any, get_args, get_origin

import typer.main

from propensity.app import app
from propensity.reference.fields import UndescribedError, words
from propensity.reference.markdown import plain, sentence, table

HEAD = """# Commands

`propensity --help` and `propensity COMMAND --help` show the same. `make setup` installs the program as `.venv/bin/propensity`;
`python -m propensity` is the same program.

Exit codes: 0 success, 2 an error (its code, message and fix are on standard error; see [error codes](errors.md)). `train` and other commands that
end with 1 or 3 say so below. Every command that needs the definition reads `propensity.yaml` in the current folder, or what
`--definition` or `PROPENSITY_DEFINITION` names.

`propensity --install-completion` installs completion of commands and options for your shell (Bash, Zsh, Fish or PowerShell); open a new
shell afterwards. `propensity --show-completion` only shows the script.
"""


def page() -> str:
    """The page.

    Raises:
        UndescribedError: a command, an argument or an option has no description.
    """
    parts = [HEAD.strip("\n")]
    for name, command in commands():
        if not command.help:
            raise UndescribedError(f"the command {name} has no description")
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        usage = " ".join([name, *(_usage(p) for p in arguments)])
        parts += [f"## `{name}`", f"```text\n{usage} [OPTIONS]\n```", plain(command.help)]
        if rows := [_row(name, p) for p in command.params if not getattr(p, "hidden", False)]:
            parts.append(table(["argument or option", "type", "default", "meaning"], rows))
    return "\n\n".join(parts) + "\n"


def commands() -> Iterator[tuple[str, Any]]:
    """All commands that people run by their full name, the program itself first."""
    yield from _below("propensity", typer.main.get_command(app))


def _below(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        if not inner.hidden:
            yield from _below(f"{path} {name}", inner)


def _usage(param: Any) -> str:
    name = param.name.upper() + ("..." if param.nargs == -1 else "")
    return name if param.required else f"[{name}]"


def _row(command: str, param: Any) -> tuple[str, str, str, str]:
    if not param.help:
        raise UndescribedError(f"{command}: {param.name} has no help")
    names = [_usage(param)] if param.param_type_name == "argument" else [*param.opts, *param.secondary_opts]
    default = "required" if param.required else _default(param.default)
    return ", ".join(f"`{name}`" for name in names), _kind(param), default, sentence(param.help)


def _kind(param: Any) -> str:
    if getattr(param, "is_flag", False):
        return "flag"
    kind, many = param.type_descriptor.annotation, ""
    for part in get_args(kind):
        if part is not type(None):
            many = "repeated " if get_origin(kind) is list else many
            kind = part
            break
    bounds = [
        f"{sign} {bound:,}"
        for sign, key in (("≥", "min"), ("≤", "max"))
        if (bound := getattr(param, key, None)) is not None
    ]
    return ", ".join([many + words(kind), *bounds])


def _default(value: Any) -> str:
    return "–" if value is None or value is False or value in ("", ()) else f"`{value}`"
