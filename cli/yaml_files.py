"""Read YAML files strictly, and know where each of their values stands."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml

from courier.errors import SettingsError

_TYPES = {"bool": "boolean", "int": "number", "float": "number", "timestamp": "date"}
# Ten thousand sources; a few lines of aliases can stand for billions.
_MOST_VALUES = 200_000
Steps = tuple[str | int, ...]
"""The way to a value: keys of mappings and indices of lists."""


@dataclass(frozen=True)
class YamlDocument:
    """A document, and the nodes that it was read from."""

    path: Path
    value: object
    root: yaml.Node

    def find(self, steps: Sequence[str | int]) -> Found:
        """Return the deepest node on a way, and the part of the way that leads to it.

        A step that the document does not have is skipped: pydantic puts the names of the branches of a union between
        the keys, and a missing field at the end.
        """
        found = Found((), self.root, self.root)
        for step in steps:
            found = next(
                (
                    Found((*found.steps, name), key, value)
                    for name, key, value in _children(found.node)
                    if name == step or _constructed(key, found.node) == step
                ),
                found,
            )
        return found


@dataclass(frozen=True)
class Found:
    """A value of a document: the way to it, its node, and that of its key; an entry of a list is its own key."""

    steps: Steps
    key: yaml.Node
    node: yaml.Node

    def position(self, *, of_key: bool = False) -> tuple[int, int]:
        """Return line and column, counted from one: of the key for a mapping or a list, or on request."""
        mark = (self.node if isinstance(self.node, yaml.ScalarNode) and not of_key else self.key).start_mark
        return mark.line + 1, mark.column + 1


def type_of(node: yaml.Node) -> str | None:
    """Return what YAML makes of a text without quotes that looks like one, such as a boolean; None for texts."""
    return _TYPES.get(node.tag.rpartition(":")[2]) if isinstance(node, yaml.ScalarNode) else None


def scalars(
    node: yaml.Node, way: Steps = (), above: tuple[yaml.Node, ...] = ()
) -> Iterator[tuple[Steps, yaml.ScalarNode]]:
    """Yield each text, number and the like below a node, with the way to it."""
    if isinstance(node, yaml.ScalarNode):
        yield way, node
    for step, _, inner in _children(node):
        # A list can be an entry of itself, by an alias.
        if inner not in above:
            yield from scalars(inner, (*way, step), (*above, node))


def show_steps(steps: Sequence[str | int]) -> str:
    """Return a way as people write it, such as ``sources[0].api.words``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")


def _children(node: yaml.Node) -> Iterator[tuple[str | int, yaml.Node, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield str(key.value), key, value
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield index, value, value


def _constructed(key: yaml.Node, holder: yaml.Node) -> object:
    """Return a key of a mapping as YAML reads it, such as True for ``on``; pydantic names it so."""
    if isinstance(holder, yaml.SequenceNode) or type_of(key) is None:
        return None
    return construct(key)


def construct(node: yaml.Node) -> object:
    """Return the value of a node."""
    return _StrictLoader("").construct_object(node, deep=True)


class YamlError(SettingsError):
    """A file is not YAML; ``line`` and ``column`` are None where the parser does not know them."""

    def __init__(self, path: Path, problem: str, line: int | None, column: int | None) -> None:
        super().__init__(f"{path}{f':{line}:{column}' if line is not None else ''}: {problem}")
        self.problem, self.line, self.column = problem, line, column


class _StrictLoader(yaml.SafeLoader):
    """YAML loader that refuses duplicate keys, of which PyYAML drops the first silently."""

    # Its own copy: the SAM translator registers a constructor for any tag on the shared one.
    yaml_multi_constructors: ClassVar[dict[str | None, Any]] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return a mapping as a dict."""
        seen: set[object] = set()
        for key, _ in node.value:
            if key.value in seen and isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key.value}", key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)


def read_yaml_document(path: Path, *, is_secret: bool = False) -> YamlDocument:
    """Read a YAML file; for a secret one, report the line only, because the parser's message quotes the text.

    Raises
    ------
    YamlError
        The file is not YAML.
    SettingsError
        It cannot be read.
    """
    text = read_text(path)
    try:
        loader = _StrictLoader(text)
        root = loader.get_single_node()
        if root is None:
            return YamlDocument(
                path, None, yaml.ScalarNode("tag:yaml.org,2002:null", "", yaml.Mark(str(path), 0, 0, 0, None, 0))
            )
        if _size(root, {}) > _MOST_VALUES:
            raise YamlError(path, f"has more than {_MOST_VALUES:,} values, with those that aliases repeat", 1, 1)
        return YamlDocument(path, loader.construct_document(root), root)
    except (yaml.YAMLError, RecursionError, ValueError) as exc:
        mark = getattr(exc, "problem_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (None, None)
        problem = getattr(exc, "problem", None) or "it cannot be parsed"
        raise YamlError(path, "invalid YAML" + ("" if is_secret else f": {problem}"), line, column) from None


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Return the number of values below a node, where an alias counts as what it repeats."""
    if id(node) not in known:
        # A list that is an entry of itself does not count twice.
        known[id(node)] = 0
        known[id(node)] = 1 + sum(_size(inner, known) for _, _, inner in _children(node))
    return known[id(node)]


def read_yaml(path: Path, *, is_secret: bool = False) -> object:
    """Return the value of a YAML file, as `read_yaml_document` does."""
    return read_yaml_document(path, is_secret=is_secret).value


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises
    ------
    SettingsError
        It cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise SettingsError(f"{path}: cannot be read: {exc.strerror or type(exc).__name__}") from exc
    except UnicodeDecodeError as exc:
        raise SettingsError(f"{path}: is not UTF-8 text") from exc
