"""Reconciliation while the worker folds what comes in."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from features.feature_store import OnlineProfiles
from features.time import HOUR
from serving.ingest.reconcile import reconcile
from tests.serving.ingest.scenes import BEGIN, Scene, message


@pytest.mark.parametrize("repair", [False, True])
def test_what_is_folded_meanwhile_is_no_difference_and_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repair: bool
) -> None:
    """A profile may hold messages that came after the log was read: to repair it without them would lose them."""
    scene = Scene.set(tmp_path)
    sent = [message(i, f"u{i:03d}", "visit", BEGIN + HOUR + i) for i in range(5)]
    scene.live.append(sent)
    scene.fold()
    late = [message(10 + i, f"u{i:03d}", "visit", BEGIN + 2 * HOUR + i) for i in range(5)]
    real = OnlineProfiles.read_values

    def read(online: OnlineProfiles, users: Sequence[str]) -> list[bytes | None]:
        if late:
            sent.extend(late)
            scene.live.append(late)
            late.clear()
            scene.fold()
        return real(online, users)

    monkeypatch.setattr(OnlineProfiles, "read_values", read)
    done = reconcile(scene.definition, scene.settings, scene.live, repair=repair)
    assert len(sent) == 10, "they came while profiles were compared"
    assert done.differences == []
    assert scene.stored() == scene.batch(sent)
    scene.live.close()
