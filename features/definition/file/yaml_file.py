"""Reading a YAML file of keys: what cannot be read is an error in words."""

from pathlib import Path

import yaml

from features.errors import DefinitionError, bounded
from features.wrong_values import kind_of


class _UniqueKeys(yaml.SafeLoader):
    """YAML that refuses the same key twice; plain YAML keeps the last one silently."""


def _mapping(loader: _UniqueKeys, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    repeated = {str(key) for key in keys if keys.count(key) > 1}
    if repeated:
        line = node.start_mark.line + 1
        raise DefinitionError(
            f"{', '.join(sorted(repeated))} appears twice (mapping at line {line}).", fix="remove one"
        )
    return loader.construct_mapping(node, deep=deep)


_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(path: Path) -> dict[object, object]:
    """Read a file of keys.

    Raises:
        DefinitionError: it cannot be read, or holds something else.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise DefinitionError(f"cannot read {path}: {error.strerror}.", fix="give --definition PATH") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        reason = bounded(" ".join(str(error).split()), 500)
        raise DefinitionError(f"{path} is not YAML: {reason}.", fix="correct the line") from error
    except RecursionError as error:
        raise DefinitionError(f"{path} is nested too deeply.", fix="write keys: name, events, signals, …") from error
    if not isinstance(content, dict):
        raise DefinitionError(f"{path} holds {kind_of(content)}.", fix="write keys: name, events, signals, …")
    return content
