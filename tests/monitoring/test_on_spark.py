"""The monitor and the KPIs read a log on Spark as they read one on this machine."""

import json
from pathlib import Path

from features.open_log import open_log
from features.settings import Settings
from features.system.progress import unseen
from features.time import to_instant
from monitoring.kpis.audiences import Audiences
from monitoring.kpis.kpis import kpis
from monitoring.monitor import content, monitor
from propensity.commands.monitoring.monitor import running_of
from serving.model.registry.loader import Loader
from tests.conftest import World
from tests.features.spark.conftest import spark_settings
from tests.monitoring.alike import alike
from tests.monitoring.scored import WEEKS, memberships, scored_weekly

__all__ = ["spark_settings"]
from tests.features.spark.needed import ON_SPARK, need_spark

need_spark()

pytestmark = ON_SPARK


def test_what_the_monitor_finds_is_the_same(world: World, spark_settings: Settings, tmp_path: Path) -> None:
    local = World.copied(world.folder, tmp_path / "local")
    scored_weekly(local)
    found = []
    for mine, engine in ((World.copied(local.folder, tmp_path / "spark"), "spark"), (local, "local")):
        rules, settings = mine.definition, mine.settings.model_copy(update={"engine": engine, "spark": "local[2]"})
        log, known = open_log(rules, settings, ends=None, steps=unseen), memberships(mine)
        fitted = {name: to_instant(WEEKS[0]) for name in rules.outcomes}
        models, running = Loader(rules, settings).champions(), running_of(rules, settings, known)
        seen = monitor(log, rules, settings, known, fitted, running, models=models)
        counted = kpis(log, rules, Audiences(rules, known), settings.monitoring(rules.name) / "kpis")
        found.append((json.loads(json.dumps(content(seen, rules))), json.loads(counted.model_dump_json())))
    assert found[1][0]["outcomes"]["churn"]["matured"] > 1_000
    for on_spark, expected in zip(*found, strict=True):
        assert alike(on_spark, expected)
