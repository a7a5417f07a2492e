"""Reading `propensity.yaml`: every mistake is found here, and named by its key."""

import difflib
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from sqlglot import exp

from features.definition.audiences import check_experiment
from features.definition.columns import feature_set
from features.definition.dimension import RFM, STATES, Dimension
from features.definition.file.included import Content, with_included
from features.definition.file.mistakes import MOST, Mistakes
from features.definition.file.yaml_file import read_yaml
from features.definition.names import RFM_NAMES, VALUE_TO_DATE_COLUMNS, check_names, known_values
from features.definition.packs.include import include
from features.definition.schema import Definition
from features.definition.sections.rule import OTHERWISE, Segment
from features.definition.wording import problems
from features.errors import DefinitionError, bounded, shown
from features.expressions.expression import Expression
from features.expressions.kinds import Kind, Kinds, MeaningError
from features.expressions.parse import check_columns, check_predicate
from features.wrong_values import wrong

RFM_COLUMNS: dict[str, pl.DataType] = {name: pl.Int64() for name in RFM_NAMES} | {"rfm_group": pl.String()}

#: keys that had other names before
RENAMED = {"play": "playbook", "stay": "min_dwell", "until": "exit_when", "at_most": "max_points"}


def load_definition(path: Path | str, *, included: Content | None = None) -> Definition:
    """Read a definition file and check all that can be checked without the event log.

    Args:
        path: the file.
        included: what the file that it includes is to hold; without it, what it holds.

    Raises:
        DefinitionError: the file cannot be read, a key or value is wrong, or an expression cannot be meant.
    """
    path = Path(path)
    content, by_hand = with_included(read_yaml(path), path, _read_if_there if included is None else lambda _: included)
    try:
        definition = Definition.model_validate(content)
    except ValidationError as error:
        raise DefinitionError(f"{path}: {_explain(error)}", fix="see the README, 'Your own log'") from error
    definition._source, definition._by_hand = path.resolve(), by_hand
    mistakes = Mistakes()
    with mistakes.gathered():
        check_names(definition)
    _check_expressions(definition, mistakes)
    with mistakes.gathered():
        definition = _with_packs(definition)  # what follows may name what the packs bring
        _check_rules(definition, mistakes)
        _check_leads(definition, mistakes)
        _check_destinations(definition, mistakes)
        _check_experiments(definition, mistakes)
    mistakes.tell()
    return definition


def _read_if_there(file: Path) -> Content | None:
    return read_yaml(file) if file.exists() else None


def _with_packs(definition: Definition) -> Definition:
    """Include the packs that a definition names."""
    if not definition.packs:
        return definition
    included = include(definition, rule_columns)
    if included.states and list(included.states.values())[-1].when != OTHERWISE:
        raise DefinitionError(
            f"{definition._source}: no state is 'otherwise'.", fix="give every user a state: 'active: otherwise'"
        )
    return included


def _explain(error: ValidationError) -> str:
    """Say the first mistakes, each with its key and what was found."""
    found = error.errors(include_url=False)
    more = f"; and {len(found) - MOST} more" if len(found) > MOST else ""
    return "; ".join(_mistake(item) for item in found[:MOST]) + more + "."


def _mistake(item: ErrorDetails) -> str:
    written = [step for i, step in enumerate(item["loc"]) if (i, item["loc"][0]) != (2, "outcomes")]
    # the third step of an outcome's place is its class, which nobody wrote
    key = bounded(".".join(str(part) for part in written), 200) or "definition"
    if item["type"] == "extra_forbidden":
        if (now := RENAMED.get(str(item["loc"][-1]))) and now in _allowed(item["loc"]):
            return f"{key}: this key is called '{now}' now"
        allowed = ", ".join(_allowed(item["loc"]))
        return f"{key}: unknown key" + (f"; allowed: {allowed}" if allowed else "")
    if item["type"] == "missing":
        return f"{key}: required, but missing"
    found = f", found {shown(item['input'])}" if not isinstance(item["input"], dict) else ""
    return f"{key}: {bounded(wrong(item), 500)}{found}"


def _allowed(where: tuple[int | str, ...]) -> list[str]:
    """List the keys of the part of the schema in which an unknown key stands."""
    schema = _schema()
    part = schema
    for step in where[:-1]:
        named = part.get("patternProperties") or {"": part.get("additionalProperties")}
        if isinstance(value := next(iter(named.values())), dict):
            part = value
        elif step in part.get("properties", {}):
            part = part["properties"][step]
        for option in part.get("anyOf", []):
            part = option if "$ref" in option else part
        if "discriminator" in part:
            continue  # the next step names the kind of tier policy
        for option in part.get("oneOf", []):
            part = option if option["$ref"].endswith(f"/{step}") else part  # an outcome's class
        if "mapping" in part.get("discriminator", {}) and step in part["discriminator"]["mapping"]:
            part = {"$ref": part["discriminator"]["mapping"][step]}
        if "$ref" in part:
            part = schema["$defs"][part["$ref"].rsplit("/", 1)[1]]
    return list(part.get("properties", {}))


@cache
def _schema() -> dict[str, Any]:
    # it is made again at each call, which takes longer than all else in reading a definition
    return Definition.model_json_schema()


def row_schema(definition: Definition) -> dict[str, pl.DataType]:
    """Columns of a feature row with their types: numbers and traits."""
    features = feature_set(definition)
    return {**dict.fromkeys(features.numeric, pl.Float64()), **dict.fromkeys(features.traits, pl.String())}


def segment_schema(definition: Definition) -> dict[str, pl.DataType]:
    """Columns a segment may use: the feature row, state, RFM group, lead scores, and what models answer."""
    columns = row_schema(definition) | {"state": pl.String()} | RFM_COLUMNS
    for name, rule in definition.outcomes.items():
        columns |= {f"{name}_{rule.answer}": pl.Float64(), f"{name}_percentile": pl.Int64()}
        columns |= {f"{name}_tier": pl.String()}
    columns |= {f"{name}_points": pl.Float64() for name in definition.leads}
    for name in definition.uplifts:
        columns |= {f"{name}_uplift": pl.Float64(), f"{name}_uplift_tier": pl.String()}
    return columns | (dict.fromkeys(VALUE_TO_DATE_COLUMNS, pl.Float64()) if definition.money else {})


def _check_expressions(definition: Definition, mistakes: Mistakes) -> None:
    """Check derived columns, populations, monotone features and words."""
    features = feature_set(definition)
    numbers: dict[str, pl.DataType] = dict.fromkeys(features.read, pl.Float64())
    for name, sql in definition.derived.items():
        with mistakes.gathered():
            found = _kind_of(check_columns(sql, numbers, key=f"derived.{name}"), sql, numbers, key=f"derived.{name}")
            if found is not Kind.NUMBER:
                raise DefinitionError(
                    f"derived.{name}: {shown(sql)} yields {found}.", fix="write a number, as in 'a / b'"
                )
    row = row_schema(definition)
    _check_all([(f"outcomes.{k}.among", o.among) for k, o in definition.outcomes.items()], row, mistakes=mistakes)
    for key, outcome in definition.outcomes.items():
        for name in outcome.monotone:
            with mistakes.gathered():
                if name not in features.numeric:
                    raise DefinitionError(
                        f"outcomes.{key}.monotone: {shown(name)} is not a numeric feature.",
                        fix=f"name one such as {', '.join(features.numeric[:3])}",
                    )
    properties = {of for rule in definition.signals.values() for of in (*rule.more_values, *rule.distinct)}
    words = problems(definition.wording, {*definition.signals, *properties, *definition.derived, *features.traits})
    with mistakes.gathered():
        if words:
            raise DefinitionError(f"wording.{'; '.join(words)}.", fix="see features/definition/wording.py")


def rule_columns(definition: Definition, of_segment: bool) -> dict[str, pl.DataType]:
    """Columns that a state or a segment of a definition may name."""
    if of_segment:
        columns = segment_schema(definition)
        return columns if definition.rfm else {k: v for k, v in columns.items() if k not in RFM_COLUMNS}
    return row_schema(definition) | (RFM_COLUMNS if definition.rfm else {})


def _check_rules(definition: Definition, mistakes: Mistakes) -> None:
    """Check the predicates of states and segments, and the metrics they name."""
    for kind, rules in (("states", definition.states), ("segments", definition.segments)):
        columns = rule_columns(definition, kind == "segments")
        predicates = [(f"{kind}.{k}", rule.when) for k, rule in rules.items() if rule.when != OTHERWISE]
        predicates += [
            (f"{kind}.{k}.exit_when", r.exit_when) for k, r in rules.items() if isinstance(r, Segment) and r.exit_when
        ]
        _check_all(predicates, columns, known_values(definition), mistakes=mistakes)
        for key, rule in rules.items():
            for metric in rule.metrics:
                with mistakes.gathered():
                    check_columns(Expression(metric), columns, key=f"{kind}.{key}.metrics")


def check_segment(sql: Expression, definition: Definition, *, key: str) -> Expression:
    """Check a predicate as if it were that of a segment of a definition that was loaded.

    Args:
        sql: the predicate.
        definition: the definition.
        key: what to call it in the error.

    Raises:
        DefinitionError: it cannot be meant.
    """
    mistakes = Mistakes()
    _check_all([(key, sql)], rule_columns(definition, True), known_values(definition), mistakes=mistakes)
    mistakes.tell()
    return sql


def _check_leads(definition: Definition, mistakes: Mistakes) -> None:
    """Check what lead scores give points for."""
    columns = row_schema(definition) | {"state": pl.String()}
    for name, lead in definition.leads.items():
        for i, line in enumerate(lead.points):
            key = f"leads.{name}.points.{i}"
            if line.column is not None and line.column not in columns:
                there = [
                    c for c in columns if line.signal and c.startswith((f"{line.signal}_count", f"{line.signal}_dec"))
                ]
                with mistakes.gathered():
                    raise DefinitionError(
                        f"{key}: the definition yields no {line.column}.",
                        fix=f"it yields {', '.join(there)}"
                        if there
                        else f"signals are {', '.join(definition.signals)}",
                    )
            if line.when is not None:
                _check_all([(f"{key}.when", line.when)], columns, known_values(definition), mistakes=mistakes)


def _check_destinations(definition: Definition, mistakes: Mistakes) -> None:
    """Check that what destinations want is there."""
    drawn = {STATES, RFM, *(Dimension.tier(name) for name in definition.outcomes)}
    for name in definition.transitions.holdouts.keys() - drawn:
        with mistakes.gathered():
            own = f"write segments.{Dimension(name).of}.holdout" if Dimension(name).kind == "segments" else ""
            raise DefinitionError(
                f"transitions.holdouts: there is no {name!r}.", fix=own or f"choose from {', '.join(sorted(drawn))}"
            )
    there = {"states", "rfm", "tiers", "segments"}
    there |= {STATES.named(name) for name in definition.states}
    there |= {Dimension.segment(name) for name in definition.segments}
    there |= {Dimension.tier(name) for name in definition.outcomes}
    for name, destination in definition.destinations.items():
        for wanted in destination.of:
            if wanted not in there:
                near = difflib.get_close_matches(wanted, there, n=3, cutoff=0.4) or sorted(there)
                with mistakes.gathered():
                    raise DefinitionError(
                        f"destinations.{name}.of: there is no {wanted!r}.", fix=f"nearest: {', '.join(near)}"
                    )


def _check_experiments(definition: Definition, mistakes: Mistakes) -> None:
    """Check that what experiments name is there, and that no two decide about the same users."""
    for name, rule in definition.experiments.items():
        with mistakes.gathered():
            check_experiment(name, definition)
        for other, second in list(definition.experiments.items())[: list(definition.experiments).index(name)]:
            with mistakes.gathered():
                if rule.overlaps(second):
                    raise DefinitionError(
                        f"experiments.{name} and experiments.{other} both decide who of {rule.of} is sent to "
                        f"{rule.destination}.",
                        fix=f"let one end before the other starts, or remove experiments.{other}",
                    )


def _check_all(
    items: Iterable[tuple[str, Expression]],
    schema: Mapping[str, pl.DataType],
    values: Mapping[str, Collection[str]] = MappingProxyType({}),
    *,
    mistakes: Mistakes,
) -> None:
    """Check predicates over columns; ``values`` are those that a column of text can have, where they are known."""
    for key, sql in items:
        with mistakes.gathered():
            found = _kind_of(check_predicate(sql, schema, key=key), sql, schema, values, key=key)
            if found is not Kind.TRUTH:
                raise DefinitionError(
                    f"{key}: {shown(sql)} yields {found}.", fix="write a yes/no question, as in 'x > 0'"
                )


def _kind_of(
    tree: exp.Expression,
    sql: str,
    schema: Mapping[str, pl.DataType],
    values: Mapping[str, Collection[str]] = MappingProxyType({}),
    *,
    key: str,
) -> Kind:
    columns = {name: Kind.TEXT if dtype == pl.String() else Kind.NUMBER for name, dtype in schema.items()}
    try:
        return Kinds(columns, values).of(tree)
    except MeaningError as error:
        raise DefinitionError(f"{key}: {shown(sql)}: {error}.", fix=error.fix) from error
