"""Feast is imported fast, and nothing else of the process changes with it."""

import subprocess
import sys

from tests.conftest import ROOT


def test_feast_is_imported_without_its_checks_of_types_and_leaves_warnings_as_they_were() -> None:
    code = (
        "import warnings, typeguard; kept, filters = typeguard.typechecked, list(warnings.filters)\n"
        "import features.feature_store.unchecked\n"
        "from feast import FeatureView\n"
        "assert typeguard.typechecked is kept\n"
        "assert not [f for f in warnings.filters if f[0] == 'once'], warnings.filters\n"
        "assert 'check_argument_types' not in FeatureView.__init__.__code__.co_names\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
