"""Tables of packs: what they bring to a definition, what cannot apply, and the playbooks."""

from collections.abc import Mapping

import polars as pl
from rich.console import RenderableType
from rich.table import Table

from features.definition.packs.include import PACKS, pack_of, sql_of
from features.definition.schema import Definition
from features.definition.sections.rule import Rule
from propensity.console import table


def playbooks(definition: Definition) -> list[RenderableType]:
    """Show the states and segments of a definition with their playbooks, and what of its packs cannot apply."""
    shown: list[RenderableType] = [
        _rules("States", definition.states),
        _rules("Segments", definition.segments),
        *left_out(definition),
    ]
    more = [name for name in PACKS if name not in definition.packs]
    return [*shown, f"Packs not included: {', '.join(more)} (propensity packs NAME)"] if more else shown


def pack(name: str) -> list[RenderableType]:
    """Show a pack: its roles, settings and entries, as a definition would fill them."""
    found = pack_of(name)
    roles = {"role": list(found.roles), "kind": [r.kind for r in found.roles.values()],
             "what it is": [r.about for r in found.roles.values()]}  # fmt: skip
    settings = {"setting": list(found.settings), "by default": [sql_of(v) for v in found.settings.values()]}
    entries = {**found.states, **found.segments}
    of = {
        key: Rule(
            when=e.when if isinstance(e.when, str) else e.when[0], about=e.about, metrics=e.metrics, playbook=e.playbook
        )
        for key, e in entries.items()
    }
    return [
        f"[bold]{found.title}[/]: {' '.join(found.about.split())}",
        table("Roles", pl.DataFrame(roles)),
        table("Settings", pl.DataFrame(settings)),
        _rules("Entries", of),
    ]


def left_out(definition: Definition) -> list[RenderableType]:
    """Say which entries of a definition's packs cannot apply, and why."""
    return [f"[yellow]![/] packs.{item.pack}: {item.entry} is left out: {item.why}" for item in definition.left_out]


def _rules(title: str, rules: Mapping[str, Rule]) -> Table:
    shown = Table(title=title, title_justify="left", title_style="bold", show_lines=True)
    for column, ratio in (("name", 3), ("who", 5), ("do", 5), ("not", 5)):
        shown.add_column(column, ratio=ratio, overflow="fold")
    for name, rule in rules.items():
        who = f"{rule.about}\n[dim]{rule.when}[/]" if rule.about else f"[dim]{rule.when}[/]"
        playbook = rule.playbook
        shown.add_row(name, who, playbook.do if playbook else "–", (playbook.avoid or "–") if playbook else "–")
    return shown
