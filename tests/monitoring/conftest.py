"""Memberships and receivers of the hand-off, and the command line in this process."""

from tests.propensity.conftest import program
from tests.serving.activation.conftest import receiver, set_scene

__all__ = ["program", "receiver", "set_scene"]
