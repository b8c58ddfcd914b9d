"""Values that no configuration may have anywhere, whatever their key: a schema lets them pass."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from latentgen.grid.reading import DEEPEST, MOST_VALUES, TOO_MANY

#: Integers have this many bits in tables and in what computes.
_BITS = 63


def errors(config: Any) -> Iterable[str]:
    """A line for each key that is no text, each number that is not finite or too large, and each value of another kind.

    A configuration that is nested too deep, or whose aliases multiply to too many values, gives one line.
    """
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), config)]
    count = 0
    while waiting:
        where, value = waiting.pop()
        count += 1
        if len(where) > DEEPEST:
            yield f"{path(where[:3])}…: nested deeper than {DEEPEST} levels"
            return
        if count + len(waiting) > MOST_VALUES:
            yield TOO_MANY
            return
        below: list = []
        if isinstance(value, Mapping):
            for key, part in value.items():
                if not isinstance(key, str):
                    yield f"{path((*where, str(key)))}: {_no_text(key)}"
                elif not key.isprintable():
                    yield f"{path((*where, ascii(key)))}: a key that has characters which cannot be printed"
                else:
                    below.append(((*where, key), part))
        elif isinstance(value, list | tuple):
            below = [((*where, index), part) for index, part in enumerate(value)]
        elif isinstance(value, float) and not math.isfinite(value):
            yield f"{path(where)}: {value!r} is not allowed; give a finite number"
        elif isinstance(value, int) and value.bit_length() > _BITS:
            yield f"{path(where)}: a number of {value.bit_length()} bits is too large; allowed: {_BITS} bits"
        elif not isinstance(value, str | int | float | None):
            yield f"{path(where)}: {value!r} is a {type(value).__name__}; put it in quotes if it is text"
        waiting += reversed(below)


def path(parts: Iterable[str | int]) -> str:
    """``grid[0].training.epochs``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return text.removeprefix(".")


def _no_text(key: Any) -> str:
    if isinstance(key, bool):
        return f"a key that YAML reads as {str(key).lower()} (on, off, yes, no, true, false); put it in quotes"
    if key is None:
        return "a key that YAML reads as no value (null, ~ or nothing); put it in quotes, or complete it"
    return f"the key {key!r} is a {type(key).__name__}, not text; put it in quotes"
