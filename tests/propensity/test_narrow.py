"""Tables are readable in a terminal of eighty columns: nothing of a name is cut."""

import json
from pathlib import Path

import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from propensity.app import app
from propensity.console import out, table
from serving.activation.delivery import Sender
from tests.serving.activation.receivers import Answer, Receiver
from tests.serving.activation.scenes import SECRET, Scene, going_to

WIDE = pl.DataFrame(
    {
        "at": ["2026-03-01 09:00"],
        "dimension": ["segments.cart_abandoned_24h"],
        "before": [None],
        "after": ["not_enough_to_say"],
        "cause": ["new_definition"],
        **{key: ["0.410 → 0.380"] for key in ("churn", "purchase", "uninstall", "spend")},
    },
    schema_overrides={"before": pl.String},
)


def drawn(width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(out, "_width", width)
    with out.capture() as captured:
        out.print(table("Moves of u1", WIDE), highlight=False)
    return captured.get()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_no_name_is_cut_at_any_width(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    result = drawn(width, monkeypatch)
    assert "…" not in result
    for name in ("segments.cart_abandoned_24h", "not_enough_to_say", "new_definition", "uninstall"):
        assert name in result
    assert all(len(line) <= width for line in result.splitlines())
    assert ("┃" in result) == (width == 200), "a table where there is room for one"


def test_the_commands_cut_nothing_and_status_is_reported_to_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    receiver.answer = lambda n, _: Answer(503)
    database = f"sqlite:///{tmp_path / 'live.db'}"
    names = {"customer_relations_of_the_west": going_to(receiver.url), "another_destination": going_to(receiver.url)}
    scene = Scene.set(database, names)
    scene.enter("u1", "u2")
    sender = Sender(scene.definition, scene.memberships.outbox, scene.clock)
    sender.drain("customer_relations_of_the_west")
    sender.close()
    scene.close()
    file = tmp_path / "propensity.yaml"
    file.write_text(yaml.safe_dump(scene.definition.model_dump(mode="json", exclude_defaults=True), sort_keys=False))
    monkeypatch.setenv("PROPENSITY_LIVE_LOG", database)
    monkeypatch.setenv("PROPENSITY_HOME", str(tmp_path))
    monkeypatch.setattr(out, "_width", 80)

    def result(*words: str) -> str:
        done = CliRunner().invoke(app, [*words, "-d", str(file)])
        assert done.exit_code == 0, done.output
        return done.output

    for words in (("transitions",), ("transitions", "--user", "u1"), ("handoff", "status"), ("handoff", "dead")):
        shown = result(*words)
        assert "…" not in shown
        assert "segments.cart" in shown or words[0] == "handoff"
    assert "customer_relations_of_the_west" in result("handoff", "status")
    status = json.loads(result("handoff", "status", "--json"))
    first = status["destinations"][0]
    assert (first["destination"], first["waiting"], first["failures"], first["error"]) == (
        "customer_relations_of_the_west", 2, 1, "HTTP 503")  # fmt: skip


@pytest.fixture
def receiver():  # type: ignore[no-untyped-def]
    opened = Receiver()
    yield opened
    opened.close()
