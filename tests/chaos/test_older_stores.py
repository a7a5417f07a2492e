"""A store comes back from a backup, older, while two clients buy: what another store holds is kept, the rest named."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.ledger import Buyers, Ledger
from tests.chaos.parts import Site
from tests.conftest import World
from tests.serving.conftest import copy_of

pytestmark = [pytest.mark.chaos, pytest.mark.nightly, pytest.mark.xdist_group("older stores")]

#: `compact` at this time removes what the live log took today
LATER = "2026-03-05T09:00:00Z"


@pytest.fixture(scope="module", params=["sqlite", "postgresql and redis"])
def site(request: pytest.FixtureRequest, world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all tests, each of which leaves it whole."""
    folder = tmp_path_factory.mktemp("site")
    with Site(copy_of(world, folder / "world"), folder, stores=request.param != "sqlite") as running:
        yield running


#: stores that are files whatever the databases are
files_only = pytest.mark.parametrize("site", ["sqlite"], indirect=True)


def compacted(site: Site, buyers: Buyers) -> set[str]:
    """Move what is in the live log into files, and remove it there; returns the ids of what was acknowledged before."""
    before = set(buyers.ledger.bought)
    site.run("compact", "--keep", "1d", PROPENSITY_CLOCK=LATER)
    buyers.go_on()
    return before


def restarted(site: Site, buyers: Buyers, restore: Callable[[], None]) -> None:
    """The machine fails, a store is restored, the service starts again, and clients go on."""
    site.server.kill()
    restore()
    site.start()
    buyers.move_to(site.url)


def adopt(site: Site) -> str:
    """Adopt a log that is refused, as the error says; returns what `adopt` reports."""
    reported = site.run("adopt")
    site.run("compact")
    site.run_until_done("reconcile", "--repair")  # what the worker changes meanwhile is left to the next one
    site.wait_until_ready()
    return reported


def sent_again(site: Site, ledger: Ledger) -> set[str]:
    """Clients send all that they have a record of; returns the ids of what was lost until then."""
    lost = ledger.lost(site.world, site.settings)
    taken = ledger.send_again(site.url)
    assert taken >= len(lost)
    if taken:  # ids that files hold and the restored log does not: the next batch finds them twice
        site.run("compact")
    return lost


def test_an_older_live_log(site: Site, tmp_path: Path) -> None:
    """What files hold is kept; what only the lost log held is named, and taken when clients send it again."""
    ledger = Ledger.opened(site.url)
    with Buyers(ledger, site.url) as buyers:
        buyers.go_on()
        site.stores.keep(tmp_path, "log")
        buyers.go_on()
        in_files = compacted(site, buyers)
        restarted(site, buyers, lambda: site.stores.bring_back(tmp_path, "log"))
        reported = site.missing()
        assert "is older than the online store" in reported
        assert "propensity adopt" in reported
        assert "is older than the online store" in site.refused("compact")
        buyers.go_on()
        adopt(site)
    lost = sent_again(site, ledger)
    assert lost
    assert not lost & in_files
    assert buyers.wrong == []
    ledger.agrees_with(site.url, site.world, site.settings)


def test_an_older_online_store(site: Site, tmp_path: Path) -> None:
    """The worker cannot fold what was removed from the live log; a batch can."""
    ledger = Ledger.opened(site.url)
    with Buyers(ledger, site.url) as buyers:
        buyers.go_on()
        site.stores.keep(tmp_path, "online")
        buyers.go_on()
        compacted(site, buyers)
        restarted(site, buyers, lambda: site.stores.bring_back(tmp_path, "online"))
        assert "run propensity materialize" in site.missing()
        site.run("materialize")
        site.wait_until_ready()
        buyers.go_on()
    assert buyers.wrong == []
    ledger.agrees_with(site.url, site.world, site.settings)


@files_only
def test_older_event_store_and_profiles(site: Site, tmp_path: Path) -> None:
    """The next batch makes both again, without a command."""
    ledger = Ledger.opened(site.url)
    with Buyers(ledger, site.url) as buyers:
        buyers.go_on()
        site.stores.keep(tmp_path, "events", "profiles")
        buyers.go_on()
        compacted(site, buyers)
        restarted(site, buyers, lambda: site.stores.bring_back(tmp_path, "events"))
        site.wait_until_ready()
        site.run("compact")
        site.stores.bring_back(tmp_path, "profiles")
        site.run("compact")
        buyers.go_on()
    assert buyers.wrong == []
    ledger.agrees_with(site.url, site.world, site.settings)


@files_only
def test_older_compacted_files(site: Site, tmp_path: Path) -> None:
    """Nothing is made of them while they lack what was removed from the live log; a newer backup has it, or clients."""
    site.run("compact")  # clients send again what this test bought, and the files must have what was bought before
    ledger = Ledger.opened(site.url)
    with Buyers(ledger, site.url) as buyers:
        buyers.go_on()
        site.stores.keep(tmp_path / "older", "files")
        compacted(site, buyers)
        site.stores.keep(tmp_path / "newer", "files")
        restarted(site, buyers, lambda: site.stores.bring_back(tmp_path / "older", "files"))
        site.wait_until_ready()
        assert "restore a newer backup" in site.refused("compact")
        site.stores.bring_back(tmp_path / "newer", "files")
        site.run("compact")
        buyers.go_on()
        assert ledger.lost(site.world, site.settings) == set()
        site.stores.bring_back(tmp_path / "older", "files")
        assert "restore a newer backup" in site.refused("compact")
        assert "files here do not hold them all" in adopt(site)
    assert sent_again(site, ledger)
    assert buyers.wrong == []
    ledger.agrees_with(site.url, site.world, site.settings)


def test_an_older_home(site: Site, tmp_path: Path) -> None:
    """PostgreSQL still has what came since, and it is folded again; SQLite came back with the rest, older as it is."""
    ledger, home = Ledger.opened(site.url), site.world.settings.home
    with Buyers(ledger, site.url) as buyers:
        buyers.go_on()
        before = set(ledger.bought)
        site.run("backup", str(tmp_path / "backup"))
        buyers.go_on()
        site.run("compact")
        buyers.go_on()

        def restore() -> None:
            shutil.move(home, tmp_path / "broken")
            assert "propensity materialize" in site.run("restore", str(tmp_path / "backup"))
            site.run("materialize")

        restarted(site, buyers, restore)
        site.wait_until_ready()
        buyers.go_on()
    lost = sent_again(site, ledger)
    assert bool(lost) == (site.postgres is None)
    assert not lost & before
    assert buyers.wrong == []
    ledger.agrees_with(site.url, site.world, site.settings)
