"""Words of messages."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any


def allowed(value: Any, names: Iterable[str]) -> str:
    """``"did you mean 'mlp'? allowed: mlp, cnn"``: the nearest of ``names``, if any is near, and all of them."""
    names = list(names)
    close = difflib.get_close_matches(str(value), names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}allowed: {', '.join(names)}"


def shortened(items: Sequence[str], most: int, between: str = ", ") -> str:
    """``"a, b and 7 more"``: the first ``most`` of ``items``, and how many more there are."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return between.join(items[:most]) + more
