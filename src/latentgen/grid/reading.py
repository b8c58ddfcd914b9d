"""Configuration files as they are written: keys that stand twice, numbers that YAML reads as others, files too large.

Snakemake parses the files of ``--configfile`` itself, and what it hands over no longer shows any of this.
"""

import json
import os
import re
import stat
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

import yaml

#: Bytes of a configuration file: ten thousand entries. Each job of a grid reads all files again.
MOST_BYTES = 1_000_000
#: Values of a configuration with its aliases written out, and how deep they may be nested.
MOST_VALUES, DEEPEST = 100_000, 50
TOO_MANY = (
    f"top level: more than {MOST_VALUES:,} values, all aliases written out; write ranges such as 0-4 for long lists, "
    "or divide it into several files under 'grids'"
)

#: libyaml where PyYAML has it.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"


class KeysError(ValueError):
    """A file that can be read and not be taken; ``errors`` are texts that start at the key."""

    def __init__(self, errors: list[str]):
        super().__init__("; ".join(errors))
        self.errors = errors


def read(path: str | os.PathLike) -> Any:
    """Contents of a JSON or YAML file.

    Raises `KeysError`, and ``OSError`` or ``ValueError`` for a file that cannot be read at all.
    """
    text = _text(path)
    is_json, value = _json(text)
    loader, node = _composed(text, is_json)
    if found := list(_node_errors(loader, node)):
        raise KeysError(found)
    try:
        return value if is_json or node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def errors(path: str | os.PathLike) -> list[str]:
    """What is wrong with a file that Snakemake has parsed: texts that start at the key."""
    try:
        text = _text(path)
        return list(_node_errors(*_composed(text, _json(text)[0])))
    except (OSError, ValueError) as error:
        return [f"cannot be read: {error}"]


def _text(path: str | os.PathLike) -> str:
    about = os.stat(path)
    if not stat.S_ISREG(about.st_mode):
        raise ValueError("it is no file")
    if about.st_size > MOST_BYTES:
        raise ValueError(
            f"it has {about.st_size:,} bytes; allowed: {MOST_BYTES:,}; divide it into several files under 'grids'"
        )
    return Path(path).read_bytes().decode("utf-8-sig")


def _json(text: str) -> tuple[bool, Any]:
    """Whether ``text`` is JSON, as which Snakemake takes what it can, and its value."""
    try:
        return True, json.loads(text)
    except (ValueError, RecursionError):
        return False, None


def _composed(text: str, is_json: bool) -> tuple[Any, yaml.Node | None]:
    """A loader and the tree of nodes of ``text``; JSON is YAML but for tabs, which in JSON can only be white space."""
    text = text.replace("\t", " ") if is_json else text
    depth = 0
    try:
        # Composing recurses as deep as the text is nested, in C, where that is no exception but the end of Python.
        for event in yaml.parse(text, LOADER):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise ValueError(f"line {event.start_mark.line + 1} is nested deeper than {DEEPEST} levels")
        loader = LOADER(text)
        return loader, loader.get_single_node()
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def _node_errors(loader: Any, root: yaml.Node | None) -> Iterable[str]:
    """Keys that stand twice and numbers that mean two things, each node once however many aliases name it."""
    if root is None:
        return
    if _size(root, {}) > MOST_VALUES:
        yield TOO_MANY
        return
    waiting, seen = [("", root)], set()
    while waiting:
        where, node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        below: list[tuple[str, yaml.Node]] = []
        if isinstance(node, yaml.ScalarNode):
            yield from _ambiguous(loader, where, node)
        elif isinstance(node, yaml.SequenceNode):
            below = [(f"{where}[{index}]", part) for index, part in enumerate(node.value)]
        else:
            yield from _twice(loader, where, node)
            for key, part in node.value:
                name = f"{where}.{key.value if isinstance(key, yaml.ScalarNode) else '?'}".lstrip(".")
                below += [(name, key), (name, part)]
        waiting += reversed(below)


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Nodes below ``node``, aliases written out; infinite for one that contains itself."""
    if id(node) not in known:
        known[id(node)] = MOST_VALUES + 1
        parts = () if isinstance(node, yaml.ScalarNode) else node.value
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in parts for part in pair]
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]


def _twice(loader: Any, where: str, mapping: yaml.MappingNode) -> Iterable[str]:
    """A key that a merge (``<<``) brings too is no second one: it overrides."""
    lines: dict[Hashable, list[int]] = {}
    for key, _ in mapping.value:
        if isinstance(key, yaml.ScalarNode):
            lines.setdefault((key.tag, _value(loader, key)), []).append(key.start_mark.line + 1)
    for (tag, key), found in lines.items():
        if len(found) > 1:
            *first, last = map(str, found)
            remedy = "write one, <<: [*a, *b]" if tag == f"{_TAG}merge" else "keep one of them"
            name = f"{where}.{key}".lstrip(".")
            at = f"in line {last}" if len(set(found)) == 1 else f"in lines {', '.join(first)} and {last}"
            yield f"{name}: written {len(found)} times, {at}; {remedy}"


def _ambiguous(loader: Any, where: str, node: yaml.ScalarNode) -> Iterable[str]:
    """YAML 1.1, which Snakemake reads, takes 010 as 8 and 1:30 as 90; YAML 1.2 and most readers do not."""
    if node.tag not in (f"{_TAG}int", f"{_TAG}float"):
        return
    line = f"{where}: {node.value} in line {node.start_mark.line + 1}"
    if ":" in node.value:
        yield f"{line} is read as a number of base 60, {_value(loader, node)}; write that, or quote it if it is text"
    elif re.match(r"[-+]?0_*[0-9]", node.value) and node.tag == f"{_TAG}int":
        yield f"{line} is read as an octal number, {_value(loader, node)}; write a decimal one, without leading zeros"


def _value(loader: Any, node: yaml.ScalarNode) -> Any:
    try:
        return node.value if node.tag == f"{_TAG}str" else loader.construct_object(node)
    except (yaml.YAMLError, ValueError):
        return node.value
