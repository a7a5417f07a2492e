"""Whatever a file holds, it is a definition or a reported mistake; nothing else ever comes out."""

import copy
import random
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.definition import load_definition
from features.errors import PropensityError
from features.reading.source import EventLog
from segments.evaluator import Evaluator
from tests.conftest import ROOT
from tests.expressions import Maker

CASE = ROOT / "tests" / "cases" / "13-second-trial"
WHOLE = yaml.safe_load((ROOT / "propensity.yaml").read_text())
ODD = [
    None, True, False, 0, -1, 1.5, 10**30, float("inf"), float("nan"), "", " ", "x", "otherwise", "state", "1 = 1",
    "14d", "99999999999d", "visit", [], [1], ["visit"], {}, {"when": "x"}, {"x": {}}, [[[[]]]], "\0", "ß" * 300, "${X}",
    "2026-01-01", "user", "tenure_days > 3 -- x", "(" * 99, "NOT " * 99 + "1 = 1", "CAST(plan AS INTEGER) > 1",
    "days_since_visit > 'x'", "plan LIKE '(%'", "*", ";", "SELECT 1", "x'41'", "churn_tier = 'most'", "DATE 'x'",
    "1e999 > 1",
]  # fmt: skip


def changed(seed: int) -> object:
    """The demo's definition with a few parts replaced, removed, renamed or added."""
    draw, content = random.Random(seed), copy.deepcopy(WHOLE)  # noqa: S311 - no secret
    for _ in range(draw.randint(1, 4)):
        part: object = content
        for _ in range(draw.randint(0, 4)):
            keys = list(part) if isinstance(part, dict) else list(range(len(part))) if isinstance(part, list) else []
            inner = part[draw.choice(keys)] if keys else None  # type: ignore[index]
            if not isinstance(inner, dict | list) or not inner:
                break
            part = inner
        value = draw.choice([*ODD, Maker(seed).any(), Maker(seed).truth().replace("a", "tenure_days")])
        if isinstance(part, dict) and part:
            key = draw.choice(list(part))
            how = draw.random()
            if how < 0.6:
                part[key] = value
            elif how < 0.75:
                del part[key]
            else:
                part[draw.choice(["x", "user", "state", "exit_when", "when", "holdout", key])] = part.pop(key)
        elif isinstance(part, list) and part:
            part[draw.randrange(len(part))] = value
    return content


def loads_or_is_reported(folder: Path, seed: int) -> None:
    path = folder / "propensity.yaml"
    # libyaml writes the same, ten times as fast
    path.write_text(yaml.dump(changed(seed), Dumper=yaml.CSafeDumper, sort_keys=False), encoding="utf-8")
    reported = ""
    try:
        definition = load_definition(path)
        Evaluator({name: rule.when for name, rule in definition.segments.items()})
    except PropensityError as error:
        reported = str(error)
    assert len(reported) < 4_500
    assert "errors.pydantic.dev" not in reported


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@settings(max_examples=100)
@given(st.integers(0, 2**40))
def test_a_changed_definition_loads_or_is_reported(folder: Path, seed: int) -> None:
    loads_or_is_reported(folder, seed)


@settings(max_examples=100)
@given(st.text(max_size=60) | st.text("(){}[]&*:,-#'\"|>!%@`\n x1", max_size=60) | st.binary(max_size=60))
def test_any_text_is_reported(folder: Path, content: str | bytes) -> None:
    path = folder / "any.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    with pytest.raises(PropensityError):
        load_definition(path)


def signals_are_read_or_told(folder: Path, seed: int) -> None:
    """Any expression as a signal's predicate: the log is read, or the definition is reported as wrong."""
    content = yaml.safe_load((CASE / "propensity.yaml").read_text())
    sql = Maker(seed).truth()
    for name, column in (("a", "amount"), ("b", "amount"), ("c", "amount"), ("s", "event"), ("t", "user_id")):
        sql = _named(sql, name, column)
    content["signals"]["trial"]["where"] = sql
    content["events"]["path"] = str(CASE / "events.csv")
    path = folder / "signals.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    reported = ""
    try:
        EventLog(load_definition(path)).read()
    except PropensityError as error:
        reported = error.message
    assert "cannot read" not in reported, sql


def _named(sql: str, name: str, column: str) -> str:
    parts = sql.split("'")
    parts[::2] = [" ".join(column if word == name else word for word in _words(part)) for part in parts[::2]]
    return "'".join(parts)


def _words(text: str) -> list[str]:
    return text.replace("(", " ( ").replace(")", " ) ").replace(",", " , ").split(" ")


@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**40))
def test_any_signal_is_read_or_told(folder: Path, seed: int) -> None:
    signals_are_read_or_told(folder, seed)


def test_a_cast_within_a_cast_fails_on_no_row(folder: Path) -> None:
    content = yaml.safe_load((CASE / "propensity.yaml").read_text())
    content["signals"]["trial"]["where"] = "CAST(amount * CAST(user_id AS DOUBLE) AS INTEGER) > 1 OR event = 'trial'"
    content["events"]["path"] = str(CASE / "events.csv")
    path = folder / "casts.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    found: list[str] = []
    try:
        EventLog(load_definition(path)).read()
    except PropensityError as error:
        found.append(error.message)
    assert not any("cannot read" in message for message in found)


@pytest.mark.nightly
@pytest.mark.long
@settings(max_examples=10_000, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**40))
def test_ten_thousand_changed_definitions(folder: Path, seed: int) -> None:
    loads_or_is_reported(folder, seed)
    if seed % 40 == 0:
        signals_are_read_or_told(folder, seed)
