"""The short forms of a configuration: ``0-4`` for seeds, ``4-20:2`` for epochs."""

from collections.abc import Callable, Iterable


def seeds(item: int | str) -> range:
    """Seeds of one item of ``data_seeds``: 3 is itself, "0-4" is 0 … 4. Raises ``ValueError`` on an empty range."""
    first, _, last = str(item).partition("-")
    return _range(int(first), int(last or first), 1, item)


def span(item: int | str) -> range:
    """Epochs of one item of ``saved_epochs``: "4-20:2" is 4, 6 … 20. Raises ``ValueError`` on an empty range."""
    ends, _, step = str(item).partition(":")
    first, _, last = ends.partition("-")
    return _range(int(first), int(last or first), int(step or 1), item)


def epochs(items: Iterable[int | str]) -> list[int]:
    """Sorted epochs of all items of ``saved_epochs``. Raises ``ValueError`` on an empty range."""
    found: set[int] = set()
    for item in items:
        found.update(span(item))
    return sorted(found)


def count(items: Iterable[int | str], read: Callable[[int | str], range]) -> int:
    """How many numbers the items name, each item by itself; a range that runs backwards names none."""
    total = 0
    for item in items:
        try:
            total += len(read(item))
        except ValueError:
            continue
    return total


def _range(first: int, last: int, step: int, item: int | str) -> range:
    if last < first:
        raise ValueError(f"{item!r} runs backwards; write the smaller number first")
    return range(first, last + 1, step)
