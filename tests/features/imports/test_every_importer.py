"""Each importer that comes with the product is held to the contract."""

from features.imports.importer import names
from tests.features.imports import test_event_tools, test_order_tools
from tests.features.imports.contract import ImporterContract


def test_every_importer_has_its_contract() -> None:
    modules = {module.__name__ for module in (test_event_tools, test_order_tools)}
    cases = [case.like for case in ImporterContract.__subclasses__() if case.__module__ in modules]
    assert sorted(cases) == names()
