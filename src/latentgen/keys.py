"""Keys of a configuration, each declared once: default, meaning, and the JSON schema of its values."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: Parts of schemas that several keys have.
NAME = {"$ref": "#/$defs/name"}
LAYERS = {"$ref": "#/$defs/layers"}


@dataclass(frozen=True)
class Key:
    """One key.

    Parameters
    ----------
    schema : JSON schema of its values; of a key that has ``keys`` it is made of them
    keys : those of the mapping that is its value, or null
    required : whether a configuration must give it; the default is then none
    """

    name: str
    default: Any
    meaning: str
    schema: Mapping[str, Any] = field(default_factory=dict)
    keys: tuple["Key", ...] = ()
    required: bool = False


def schema(keys: Iterable[Key]) -> dict[str, Any]:
    """JSON schema of a mapping that has these keys and no other."""
    properties = {
        key.name: {**({"description": key.meaning} if key.meaning else {}), **(_nested(key.keys) or key.schema)}
        for key in keys
    }
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _nested(keys: Sequence[Key]) -> dict[str, Any]:
    return schema(keys) | {"type": ["object", "null"]} if keys else {}


def complete(keys: Iterable[Key], given: Mapping[str, Any]) -> dict[str, Any]:
    """``given`` with defaults filled in, in mappings too. Values stay as they are written: 1 is not 1.0."""
    keys = tuple(keys)
    found = {key.name: copy.deepcopy(given.get(key.name, key.default)) for key in keys}
    for key in keys:
        if key.keys and found[key.name] is not None:
            found[key.name] = complete(key.keys, found[key.name])
    return found


def lacking(keys: Iterable[Key], settings: Mapping[str, Any]) -> list[str]:
    """Names of keys that a configuration must give and does not."""
    return [key.name for key in keys if key.required and settings[key.name] is None]


# Schemas


def integer(least: int, most: int | None = None, *, null: bool = False) -> dict[str, Any]:
    """Whole numbers from ``least`` to ``most``, perhaps null."""
    limits = {"minimum": least} | ({} if most is None else {"maximum": most})
    return {"type": ["integer", "null"] if null else "integer", **limits}


def several(items: Mapping[str, Any]) -> dict[str, Any]:
    """A list without repetition that is not empty."""
    return {"type": "array", "minItems": 1, "uniqueItems": True, "items": dict(items)}
