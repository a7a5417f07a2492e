"""Commands that read the log for experiments and recalibration say on Spark what they say on this machine."""

import json
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import World
from tests.features.spark.needed import ON_SPARK, need_spark
from tests.monitoring.alike import alike
from tests.monitoring.scored import looked, relabel, scored_weekly
from tests.propensity.programs import Program
from tests.serving.activation.scenes import going_to

need_spark()

pytestmark = ON_SPARK

ENGINES = {"local": {}, "spark": {"PROPENSITY_ENGINE": "spark", "PROPENSITY_SPARK": "local[2]"}}
WINBACK = {
    "of": "states.at_risk", "destination": "crm", "variants": {"nothing": 0.4, "mail": 0.6}, "primary": "churn",
    "better": "less", "secondary": ["purchase"], "starts": "2026-01-15",
}  # fmt: skip


def answer_of(program: Program, world: World, engine: str, *command: str) -> tuple[int, Any]:
    """How a command ends on an engine, and what it writes as JSON, or its error."""
    done = program(world, *command, "--json", **ENGINES[engine])
    errors = [line for line in done.err.splitlines() if line.startswith(("error", "fix"))]
    return done.code, json.loads(done.out) if done.out else errors


def test_experiments_and_the_holdout_are_read_out_alike(
    untrained_world: World, tmp_path: Path, program: Program
) -> None:
    mine = World.copied(untrained_world.folder, tmp_path / "world")
    content = yaml.safe_load((mine.folder / "propensity.yaml").read_text())
    content["destinations"] = {"crm": going_to("http://localhost/", of=["states", "segments"])}
    content["experiments"] = {"winback": WINBACK}
    (mine.folder / "propensity.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    for ends in ("2026-01-10", "2026-01-20"):
        scored = program(mine, "score", "--ends", ends)
        assert scored.code == 0, scored.err
    worlds = {engine: World.copied(mine.folder, tmp_path / engine) for engine in ENGINES}
    for command in (["effect"], ["experiment", "--any-time"], ["uplift", "winback"]):
        local, spark = (answer_of(program, worlds[engine], engine, *command) for engine in ("local", "spark"))
        assert spark[0] == local[0]
        assert alike(spark[1], local[1]), command
        assert len(json.dumps(local[1])) > 100, "it says something"


def test_a_champion_is_recalibrated_alike(world: World, tmp_path: Path, program: Program) -> None:
    mine = World.copied(world.folder, tmp_path / "world")
    scored_weekly(mine)
    looked(mine)
    relabel(mine, "churn", offset=0.8)
    found = []
    for engine in ENGINES:
        copy = World.copied(mine.folder, tmp_path / engine)
        code, result = answer_of(program, copy, engine, "recalibrate", "churn")
        assert code == 0, result
        found.append(result)
    local, spark = found
    differing = {key: (spark[key], local[key]) for key in local if not alike(spark[key], local[key])}
    # the last criterion names the largest difference of a few users' answers, which is of the last bit
    assert differing.keys() <= {"run", "report", "criteria"}, differing
    judged = ([(one["criterion"], one["passed"]) for one in result["criteria"]] for result in found)
    assert next(judged) == next(judged)
