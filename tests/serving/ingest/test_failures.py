"""What fails in real life, done to real processes under load: nothing acknowledged is lost, and no score is wrong."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.chaos.ledger import Buyers, Ledger
from tests.chaos.parts import Site
from tests.conftest import World
from tests.databases import Postgres, Redis
from tests.serving.conftest import copy_of
from tests.serving.disks import small_disk
from tests.serving.ingest.asking import CLOCK
from tests.serving.servers import Server

pytestmark = [pytest.mark.xdist_group("failures"), pytest.mark.long]


@pytest.fixture(scope="module")
def site(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One box with Redis and PostgreSQL; its server folds."""
    folder = tmp_path_factory.mktemp("site")
    with Site(copy_of(world, folder / "world"), folder, stores=True) as running:
        yield running


def ready(site: Site) -> httpx.Response:
    return httpx.get(f"{site.url}/readyz", timeout=10)


def stores(site: Site) -> tuple[Redis, Postgres]:
    if site.redis is None or site.postgres is None:
        raise ValueError("the site has no stores of its own")
    return site.redis, site.postgres


def nothing_is_lost(site: Site, ledger: Ledger, buyers: Buyers) -> None:
    assert buyers.wrong == []
    ledger.agrees_with(site.url, site.world, site.settings)


def test_redis_stopped_and_started_under_load(site: Site) -> None:
    redis, _ = stores(site)
    ledger = Ledger.opened(site.url)
    with Buyers(ledger, site.url) as buyers:
        buyers.go_on()
        redis.stop()
        buyers.meet("scores", 503)
        reported = ready(site)
        assert reported.status_code == 503
        assert "online_store" in reported.text
        redis.start()
        site.wait_until_ready()
        buyers.go_on()
    assert buyers.statuses["scores"] == {200, 503}, "never a wrong score, and never another error"
    assert buyers.statuses["events"] == {200}, "events are taken while nobody can be scored"
    nothing_is_lost(site, ledger, buyers)


def test_a_store_that_lost_everything_says_so_until_it_is_filled(site: Site) -> None:
    import redis

    ledger = Ledger.opened(site.url)
    host, port = stores(site)[0].address.split(":")
    with redis.Redis(host, int(port)) as client:
        client.flushall()
    answer = httpx.post(f"{site.url}/score", json={"user_ids": ["u0000001"]})
    assert answer.status_code == 503
    assert "run propensity materialize" in answer.text
    assert "retry-after" in answer.headers
    assert "it holds no profiles" in ready(site).text
    site.run("materialize")
    site.wait_until_ready()
    with Buyers(ledger, site.url) as buyers:
        buyers.go_on()
    assert buyers.statuses["scores"] == {200}
    nothing_is_lost(site, ledger, buyers)


def test_postgresql_restarted_under_load(site: Site) -> None:
    _, postgres = stores(site)
    ledger = Ledger.opened(site.url)
    with Buyers(ledger, site.url) as buyers:
        buyers.go_on()
        postgres.stop()
        buyers.meet("events", 503)
        assert "live_log" in ready(site).text
        postgres.start()
        site.wait_until_ready()
        buyers.go_on()
    assert buyers.statuses == {"scores": {200}, "events": {200, 503}}
    nothing_is_lost(site, ledger, buyers)


def test_a_server_killed_between_write_and_answer(site: Site) -> None:
    ledger, port = Ledger.opened(site.url), site.server.port
    with Buyers(ledger, site.url) as buyers:
        buyers.go_on()
        site.server.kill()
        buyers.meet("events", 0)
        site.serve()
        buyers.move_to(site.url)  # the same clients, which do not know what arrived
        buyers.go_on()
    assert site.server.port != port
    nothing_is_lost(site, ledger, buyers)


def test_workers_of_their_own_one_of_them_killed(site: Site) -> None:
    site.server.stop()
    for _ in range(2):
        site.work()
    site.serve()  # it is ready once a worker lives
    ledger = Ledger.opened(site.url)
    with Buyers(ledger, site.url) as buyers:
        buyers.go_on(100)
        site.workers[0].kill()
        site.workers[0].wait(10)
        buyers.go_on(100)
    nothing_is_lost(site, ledger, buyers)
    site.workers[1].terminate()
    assert site.workers[1].wait(20) == 0, "asked to stop, it finishes what it has begun"


def test_a_full_disk_under_the_live_log(world: World, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        mine = copy_of(world, tmp_path / "world")
        address = f"sqlite:///{disk.folder / 'live.db'}"
        server = Server(
            mine, tmp_path / "log", PROPENSITY_LIVE_LOG=address, PROPENSITY_AUTH="off", PROPENSITY_CLOCK=CLOCK
        )
        try:
            server.ready()

            def send(number: int) -> httpx.Response:
                event = {
                    "userId": "u0000001",
                    "event": "app_open",
                    "messageId": f"full-{number}",
                    "properties": {"x": "y" * 20_000},
                }
                return server.client.post("/v1/track", json=event)

            answers = [send(i) for i in range(60)]
            statuses = [answer.status_code for answer in answers]
            assert set(statuses) == {200, 503}
            assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 503)
            assert "full" in next(answer.text for answer in answers if answer.status_code == 503)
            assert server.client.post("/score", json={"user_ids": ["u0000001"]}).status_code == 200
            disk.enlarge(8)
            again = [send(i) for i in range(60)]
            assert {answer.status_code for answer in again} == {200}
            counted = [a.json()["accepted"] for a in again]
            assert [bool(n) for n in counted] == [status == 503 for status in statuses], "each counts once"
        finally:
            server.stop()
