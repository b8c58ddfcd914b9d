"""The short forms of a configuration: ``0-4`` for seeds, ``4-20:2`` for epochs."""

from collections.abc import Iterable


def seeds(item: int | str) -> range:
    """Seeds of one item of ``data_seeds``: 3 is itself, "0-4" is 0 … 4. Raises ``ValueError`` on an empty range."""
    first, _, last = str(item).partition("-")
    return _range(int(first), int(last or first), 1, item)


def epochs(items: Iterable[int | str]) -> list[int]:
    """Sorted epochs of ``saved_epochs``: "4-20:2" is 4, 6 … 20. Raises ``ValueError`` on an empty range."""
    found: set[int] = set()
    for item in items:
        span, _, step = str(item).partition(":")
        first, _, last = span.partition("-")
        found.update(_range(int(first), int(last or first), int(step or 1), item))
    return sorted(found)


def _range(first: int, last: int, step: int, item: int | str) -> range:
    if last < first:
        raise ValueError(f"{item!r} runs backwards; write the smaller number first")
    return range(first, last + 1, step)
