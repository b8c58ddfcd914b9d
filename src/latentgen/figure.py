"""What a figure says of itself, once: title, caption, tables that it is drawn from, what a grid must have for it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


def _always(_: Any) -> bool:
    return True


@dataclass(frozen=True, eq=False)
class Figure:
    """One figure.

    Parameters
    ----------
    number : it is named ``fig`` and this
    title : a few words
    caption : reStructuredText for the report: what is shown
    module : that draws it, by a function ``draw(name, results)``
    tables : that it is drawn from
    also : tables that it shows something of where the grid has them
    analyses : that an entry must have, by name
    probes : names of probes that an entry must have
    of_entry : of the settings of an entry: whether it has all else that is needed
    of_grid : of all cells: the same
    rows : conditions on the rows that it looks at (`latentgen.tables.Filters`), by table, where those are not all
    counterpart : figure or experiment of a paper, and the paper
    compares_models : whether it looks at what models are made of
    """

    number: int
    title: str
    caption: str
    module: str
    tables: tuple[str, ...] = ("probes", "history")
    also: tuple[str, ...] = ()
    analyses: tuple[str, ...] = ()
    probes: frozenset[str] = frozenset()
    of_entry: Callable[[Mapping[str, Any]], bool] = _always
    of_grid: Callable[[Sequence[Any]], bool] = _always
    rows: Mapping[str, Any] = field(default_factory=dict)
    counterpart: tuple[str, str] | None = None
    compares_models: bool = False

    @property
    def name(self) -> str:
        return f"fig{self.number}"
