"""Words of error messages."""

import difflib
from collections.abc import Iterable
from typing import Any


def allowed(value: Any, names: Iterable[str]) -> str:
    """``"did you mean 'mlp'? allowed: mlp, cnn"``: the nearest of ``names``, if any is near, and all of them."""
    names = list(names)
    close = difflib.get_close_matches(str(value), names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}allowed: {', '.join(names)}"
