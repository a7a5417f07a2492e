"""The screens of the console."""

from serving.console.screen import Screen
from serving.console.screens import (
    builder,
    cut_off,
    experiments,
    hand_off,
    log,
    models,
    overlap,
    segments,
    today,
    users,
)

SCREENS: tuple[Screen, ...] = (
    *today.SCREENS, *segments.SCREENS, *builder.SCREENS, *overlap.SCREENS, *users.SCREENS, *cut_off.SCREENS,
    *models.SCREENS,
    *experiments.SCREENS, *hand_off.SCREENS, *log.SCREENS,
)  # fmt: skip
