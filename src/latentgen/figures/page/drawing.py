"""A figure that was drawn, and what its reader chose of it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from latentgen.caption import Caption
from latentgen.figure import Figure as Declared
from latentgen.figures.page import sentences, style
from latentgen.numbers import averages
from latentgen.numbers.averages import PAIR


@dataclass(frozen=True)
class Drawing:
    """A figure.

    Parameters
    ----------
    pages : one Matplotlib figure for each page, at most 7 inches wide and 9 inches high
    table : the numbers that are drawn
    caption : what stands beside the figure
    title : such as 'Figure 1. MASC over training'
    """

    pages: list[Figure]
    table: pd.DataFrame
    caption: Caption = field(default_factory=Caption)
    title: str = ""

    def declared(self, figure: Declared) -> "Drawing":
        """The same with its title, and with what always holds of it before what holds of these numbers."""
        common = sentences.common(self.table, figure.marks, paired=figure.paired)
        return replace(self, title=figure.heading, caption=figure.whole_caption + common + self.caption)

    def markdown(self, note: str = "", shown: int | None = None) -> str:
        """The caption as a page of Markdown, a warning first; ``shown`` : pages that pictures without pages hold."""
        pages = len(self.pages)
        if shown is not None and pages > shown:
            note = f"{note} The picture shows pages 1 to {shown} of {pages}; the PDF has all.".strip()
        return self.caption.markdown(self.title, note)


@dataclass
class Reader:
    """What the reader of a figure wants of it: some layers or levels only, colours of their own."""

    layers: Collection[str] | None = None
    levels: Collection[float] | None = None
    colours: Mapping[str, str] = field(default_factory=dict)
    #: Names of what was drawn in a colour.
    named: set[str] = field(default_factory=set)

    def rows(self, table: pd.DataFrame, layer: str | None = None) -> pd.DataFrame:
        """Rows of ``table`` that are wanted; ``layer`` : its column of layers, where panels or lines are of layers.

        Rows that are of no layer stay. Raises ``ValueError`` for what is not there.
        """
        if self.levels is not None:
            chosen = table["level"].isin(_there("level", self.levels, set(table["level"])))
            table = table[chosen].reset_index(drop=True)
        if self.layers is None:
            return table
        if layer is None:
            raise ValueError("this figure has no lines or panels of single layers; leave 'layers' out")
        wanted = _there("layer", self.layers, set(table[layer].dropna()))
        table = table[table[layer].isin(wanted) | table[layer].isna()]
        # A model that has none of them has no panels.
        shown = table[layer].notna().groupby([table[name] for name in PAIR]).transform("any")
        return table[shown].reset_index(drop=True)

    def looks(self, looks: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """Looks of lines by name, in the reader's colours."""
        self.named |= set(looks)
        return {
            name: {**look, "color": self.colours[name]} if name in self.colours else dict(look)
            for name, look in looks.items()
        }

    def layers_of_models(self, table: pd.DataFrame) -> dict[str, dict[str, dict[str, Any]]]:
        """Looks of the layers of each model, by all that ``table`` has of them: they stay whatever rows are wanted."""
        models = table.groupby("model", sort=False)
        return {model: self.looks(style.layer_styles(averages.layers(rows))) for model, rows in models}

    def checked(self) -> None:
        """Raise ``ValueError`` for colours of what was not drawn."""
        if self.colours:
            _there("line", self.colours, self.named)


def _there(what: str, wanted: Collection, known: Collection) -> list:
    """``wanted``, in a list; raises ``ValueError`` where it is empty or has a name that is not ``known``."""
    if not wanted:
        raise ValueError(f"no {what} is left; name at least one, or leave '{what}s' out for all")
    missing = [name for name in wanted if name not in known]
    if missing:
        there = f"there are {', '.join(map(str, sorted(known, key=str)))}" if known else "it names none"
        raise ValueError(f"the figure has no {what} {missing[0]!r}; {there}")
    return list(wanted)
