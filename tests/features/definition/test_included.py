"""The file that a definition includes: segments that are published in the console."""

from pathlib import Path

import pytest
import yaml

from features.definition import load_definition
from features.definition.schema import Definition
from features.errors import DefinitionError
from tests.worlds import definition_of


def written(folder: Path, included: str | None, **changes: object) -> Path:
    content = definition_of(**{"segments": {"mine": "tenure_days > 3"}, "include": "more.yaml"} | changes).as_file()
    path = folder / "propensity.yaml"
    path.write_text(yaml.safe_dump(content | {"include": "more.yaml"}))
    if included is not None:
        (folder / "more.yaml").write_text(included)
    return path


def test_its_segments_are_beside_those_of_the_definition(tmp_path: Path) -> None:
    path = written(tmp_path, "segments:\n  theirs: {when: tenure_days > 7, about: a week}\n")
    found = load_definition(path)
    assert list(found.segments) == ["mine", "theirs"]
    assert found.segments["theirs"].about == "a week"
    assert found.by_hand == {"mine"}
    assert (found.file, found.include_file) == (path.resolve(), tmp_path.resolve() / "more.yaml")


@pytest.mark.parametrize("content", [None, "segments: {}\n", "segments:\n", "{}\n"])
def test_a_file_that_is_not_there_or_holds_none_changes_nothing(tmp_path: Path, content: str | None) -> None:
    assert list(load_definition(written(tmp_path, content)).segments) == ["mine"]


def test_what_is_served_is_read_again_without_the_file(tmp_path: Path) -> None:
    found = load_definition(written(tmp_path, "segments:\n  theirs: tenure_days > 7\n"))
    again = Definition.model_validate(found.as_file())
    assert again.include is None
    assert list(again.segments) == ["mine", "theirs"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("segments:\n  mine: tenure_days > 7\n", "segments.mine is in"),
        ("signals: {}\n", "holds 'signals'"),
        ("segments: [a]\n", "holds no segments"),
        ("- a\n", "holds a list"),
        ("segments: {a: 1\n", "is not YAML"),
        ("segments:\n  theirs: nothing > 7\n", "segments.theirs"),
        ("segments:\n  theirs: {when: tenure_days > 7, playbok: x}\n", "playbok"),
        ("segments:\n  a: tenure_days > 7\n  a: tenure_days > 8\n", "appears twice"),
    ],
)
def test_what_cannot_be_included_is_an_error_in_words(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        load_definition(written(tmp_path, content))


@pytest.mark.parametrize("name", ["../more.yaml", "/etc/passwd", "more.txt", "", "a/b.yaml", 3])
def test_only_a_yaml_file_beside_the_definition_is_included(tmp_path: Path, name: object) -> None:
    path = written(tmp_path, None)
    content = yaml.safe_load(path.read_text()) | {"include": name}
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(DefinitionError, match="include"):
        load_definition(path)
