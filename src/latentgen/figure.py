"""What a figure says of itself, once: title, caption, tables that it is drawn from, what a grid must have for it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from latentgen.caption import Caption


def _always(_: Any) -> bool:
    return True


@dataclass(frozen=True, eq=False)
class Figure:
    """One figure.

    Parameters
    ----------
    number : it is named ``fig`` and this
    title : a few words
    caption : what always holds of it; drawing adds what holds of the numbers at hand
    draw : "module:function" that draws it, called with `latentgen.figures.Results` and
        `latentgen.figures.page.drawing.Reader`; returns `latentgen.figures.page.drawing.Drawing`
    tables : that it is drawn from
    also : tables that it shows something of where the grid has them
    analyses : that an entry must have, by name
    probes : names of probes that an entry must have
    of_entry : of the settings of an entry: whether it has all else that is needed
    of_grid : of all cells: the same
    rows : conditions on the rows that it looks at (`latentgen.tables.Filters`), by table, where those are not all
    needs : what a grid must have, in words, for documents
    counterpart : figure or experiment of a paper, and the paper
    marks : how intervals over data seeds are drawn, and the runs where those are few; None: it says so itself
    paired : whether values are differences within runs
    compares_models : whether it looks at what models are made of
    """

    number: int
    title: str
    caption: Caption
    draw: str
    tables: tuple[str, ...] = ("probes", "history")
    also: tuple[str, ...] = ()
    analyses: tuple[str, ...] = ()
    probes: frozenset[str] = frozenset()
    of_entry: Callable[[Mapping[str, Any]], bool] = _always
    of_grid: Callable[[Sequence[Any]], bool] = _always
    rows: Mapping[str, Any] = field(default_factory=dict)
    needs: str = ""
    counterpart: tuple[str, str] | None = None
    marks: tuple[str, str] | None = ("bands", "thin lines")
    paired: bool = False
    compares_models: bool = False

    @property
    def name(self) -> str:
        return f"fig{self.number}"

    @property
    def heading(self) -> str:
        return f"Figure {self.number}. {self.title}"

    @property
    def whole_caption(self) -> Caption:
        """The caption with the counterpart."""
        what = " of ".join(self.counterpart or ())
        return self.caption + Caption(counterpart=(f"{what[:1].upper()}{what[1:]}",) if what else ())
