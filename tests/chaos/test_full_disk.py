"""The disk under the home runs full while two clients buy, and has room again."""

from pathlib import Path

import pytest

from tests.chaos.ledger import Buyers, Ledger
from tests.chaos.parts import Site
from tests.conftest import World
from tests.serving.conftest import copy_of
from tests.serving.disks import small_disk

# beside no other test that starts servers
pytestmark = [pytest.mark.chaos, pytest.mark.xdist_group("failures")]


def test_a_disk_that_runs_full_while_clients_buy(world: World, tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", 128) as disk,
        Site(copy_of(world, disk.folder / "world"), tmp_path) as site,
    ):
        ledger = Ledger.opened(site.url)
        with Buyers(ledger, site.url) as buyers:
            for _ in range(2):
                buyers.go_on()
                buyers.statuses["events"].clear()
                disk.fill()
                buyers.meet("events", 503)
                disk.fill()
                buyers.go_on_asking()
                assert "disk" in site.refused("compact")
                disk.fill()
                buyers.go_on_asking()
                disk.free()
                buyers.go_on()
            site.wait_until_ready()
            site.run("compact")
        assert buyers.wrong == []
        assert buyers.statuses == {"events": {200, 503}, "scores": {200}}
        ledger.agrees_with(site.url, site.world, site.settings)
