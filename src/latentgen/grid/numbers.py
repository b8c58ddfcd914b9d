"""Numbers as they are meant: ``2.0`` epochs are 2, and the text ``1e-3`` is 0.001 where a number stands."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

#: Decimal numbers, those included that YAML 1.1 takes for text, as it wants a point and a sign: 1e-3, 1e3, 1.0e3.
_DECIMAL = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_EXPONENT = re.compile(r"[-+]?[0-9.]+[eE][-+]?[0-9]+")


def meant(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any] | None = None) -> Any:
    """A copy of ``value`` whose numbers are what the JSON ``schema`` expects in their places.

    Where an integer is expected, a whole float becomes one; where a number is, text that is a decimal number becomes
    that number. All else stays as it is, for the schema to judge.

    ``root`` : the schema that references are looked up in; ``schema`` itself when None
    """
    root = schema if root is None else root
    branches = list(_branches(schema, root))
    if isinstance(value, Mapping):
        return {key: meant(part, _of_key(key, branches), root) for key, part in value.items()}
    if isinstance(value, list):
        items = next((branch["items"] for branch in branches if "items" in branch), {})
        return [meant(part, items, root) for part in value]
    if isinstance(value, str) and any(_is_text(value, branch) for branch in branches):
        return value
    kinds = {kind for branch in branches for kind in _types(branch)}
    return number(value, whole="integer" in kinds) if kinds & {"integer", "number"} else value


def number(value: Any, whole: bool) -> Any:
    """``value`` as the number that it is; where only whole ones are meant and it is one, as an integer."""
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        value = int(value) if re.fullmatch(r"[-+]?[0-9]{1,18}", value) else float(value)
    return int(value) if whole and isinstance(value, float) and value.is_integer() else value


def doubtful(options: Any) -> Iterable[tuple[tuple[str | int, ...], str]]:
    """Place and value of texts such as ``1e-3`` below ``options``, where nothing tells whether a number is meant."""
    parts = options.items() if isinstance(options, Mapping) else enumerate(options)
    for key, value in parts:
        if isinstance(value, str):
            if _EXPONENT.fullmatch(value):
                yield (key,), value
        elif isinstance(value, Mapping | list | tuple):
            yield from (((key, *below), text) for below, text in doubtful(value))


def _branches(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """``schema`` with its references and alternatives followed."""
    if "$ref" in schema:
        place = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            place = place[part]
        yield from _branches(place, root)
    for branch in schema.get("anyOf", ()):
        yield from _branches(branch, root)
    yield schema


def _of_key(key: str, branches: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    for branch in branches:
        found = branch.get("properties", {}).get(key, branch.get("additionalProperties"))
        if isinstance(found, Mapping):
            return found
    return {}


def _types(branch: Mapping[str, Any]) -> list[str]:
    found = branch.get("type", [])
    return [found] if isinstance(found, str) else found


def _is_text(value: str, branch: Mapping[str, Any]) -> bool:
    if "string" in _types(branch):
        return re.search(branch.get("pattern", ""), value) is not None
    return value in branch.get("enum", ()) or value == branch.get("const")
