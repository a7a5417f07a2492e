"""Feast, imported without the run-time type checks that it compiles into its classes.

Compiling them takes two and a half of the three and a half seconds of `import feast`, in each process; what we hand to
Feast is checked by mypy. To be imported before anything of Feast is; other users of typeguard keep their checks.
"""

import warnings
from typing import Any

import features.system.in_memory  # noqa: F401

import typeguard


def _as_it_is(target: Any = None, **_: object) -> Any:
    return (lambda given: given) if target is None else target


_checked = typeguard.typechecked
typeguard.typechecked = _as_it_is
try:
    # Feast also turns on each library's warnings of what it will drop, for the whole process
    with warnings.catch_warnings():
        import feast  # noqa: F401
finally:
    typeguard.typechecked = _checked
