"""Parts are killed while two clients buy: nothing acknowledged is lost, nothing counts twice, no score is wrong."""

import pytest

from tests.chaos.ledger import Buyers, Ledger
from tests.chaos.parts import Site

# beside no other test that starts servers
pytestmark = [pytest.mark.chaos, pytest.mark.xdist_group("failures")]


def test_the_answering_process_is_killed_again_and_again(site: Site) -> None:
    ledger = Ledger.opened(site.url)
    with Buyers(ledger, site.url) as buyers:
        for _ in range(3):
            buyers.go_on()
            site.kill_server_process()
            site.wait_until_ready()
        buyers.go_on()
    assert buyers.wrong == []
    assert buyers.statuses["events"] | buyers.statuses["scores"] <= {0, 200, 503}
    ledger.agrees_with(site.url, site.world, site.settings)


@pytest.mark.nightly
def test_everything_is_killed_at_once_and_started_again(site: Site) -> None:
    ledger = Ledger.opened(site.url)
    with Buyers(ledger, site.url) as buyers:
        buyers.go_on()
        site.server.kill()
        site.serve()
        buyers.move_to(site.url)
        buyers.go_on()
    assert buyers.wrong == []
    ledger.agrees_with(site.url, site.world, site.settings)


@pytest.mark.nightly
def test_a_compaction_and_a_score_run_while_clients_buy_and_the_process_is_killed(site: Site) -> None:
    ledger = Ledger.opened(site.url)
    with Buyers(ledger, site.url) as buyers:
        buyers.go_on()
        site.run("compact")
        site.kill_server_process()
        site.run("materialize")
        site.wait_until_ready()
        site.run("score")
    assert buyers.wrong == []
    ledger.agrees_with(site.url, site.world, site.settings)


@pytest.mark.nightly
def test_each_part_of_a_large_site_is_killed_in_turn(large_site: Site) -> None:
    site = large_site
    if site.redis is None or site.postgres is None:
        raise ValueError("the site has no stores of its own")
    ledger = Ledger.opened(site.url)
    with Buyers(ledger, site.url) as buyers:
        buyers.go_on()
        site.workers[0].kill()
        site.workers[0].wait(20)
        site.work()
        buyers.go_on()
        site.kill_server_process()
        site.wait_until_ready()
        for store, what in ((site.redis, "scores"), (site.postgres, "events")):
            buyers.statuses[what].discard(503)
            store.stop()
            buyers.meet(what, 503)
            store.start()
            site.wait_until_ready()
        buyers.go_on()
    assert buyers.wrong == []
    assert buyers.statuses["events"] | buyers.statuses["scores"] <= {0, 200, 503}
    ledger.agrees_with(site.url, site.world, site.settings)
