"""How long a training will take: shown at its start, and beside the time of each step."""

import time
from pathlib import Path

import pytest
from rich.progress import Progress

from propensity.console import ShownSteps
from propensity.durations import expected, remember


def test_a_training_takes_as_long_as_the_last_of_as_many_outcomes(tmp_path: Path) -> None:
    first, sentence = expected(tmp_path, 3)
    assert first > expected(tmp_path, 1)[0]
    assert "up to about" in sentence
    remember(tmp_path, 3, 151.2)
    remember(tmp_path, 1, 62.0)
    assert expected(tmp_path, 3) == (151.2, "This takes about 02:31 minutes, as the last training did.")
    assert expected(tmp_path, 1)[0] == 62.0
    assert "up to about" in expected(tmp_path, 2)[1]


def test_a_damaged_file_of_durations_stops_nobody(tmp_path: Path) -> None:
    remember(tmp_path, 3, 151.2)
    [file] = tmp_path.iterdir()
    file.write_text("[1,")
    assert "up to about" in expected(tmp_path, 3)[1]
    remember(tmp_path, 3, 100.0)
    assert expected(tmp_path, 3)[0] == 100.0


@pytest.mark.parametrize(("seconds", "begins"), [(151.2, "00:00 of about 02:31 fit ("), (None, "00:00 fit (")])
def test_lines_show_how_long_it_will_take(
    seconds: float | None, begins: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 10.0)
    with ShownSteps(Progress(disable=True), seconds)("fit"):
        pass
    assert capsys.readouterr().err.startswith(begins)
