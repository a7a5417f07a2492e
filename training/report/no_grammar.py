"""jsonschema, imported without a grammar of addresses (RFC 3987) that nothing here checks.

Altair checks charts by it. Building the grammar takes a fifth of the time of all that a training imports. To be
imported before Altair is.
"""

import importlib
import sys

_GRAMMAR = "rfc3987_syntax"

if _GRAMMAR not in sys.modules:
    sys.modules[_GRAMMAR] = None  # type: ignore[assignment]  # its import is refused, and jsonschema goes on without
    try:
        importlib.import_module("jsonschema")
    finally:
        del sys.modules[_GRAMMAR]
