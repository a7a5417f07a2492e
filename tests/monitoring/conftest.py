"""Memberships and receivers of the hand-off."""

from tests.serving.activation.conftest import receiver, set_scene

__all__ = ["receiver", "set_scene"]
