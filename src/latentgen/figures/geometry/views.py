"""What figures of geometry share: looks of the views, and sentences of their captions."""

from collections.abc import Iterable, Mapping

import pandas as pd
from matplotlib.lines import Line2D

from latentgen.figures.page import facets, style
from latentgen.summary import GRID_POINT

#: Colour, marker and line style of each view, in the order of legends.
LOOKS = {
    "unpermuted": {"color": style.series_style(0)["color"], "marker": "o", "linestyle": "-"},
    "permuted": {"color": style.series_style(3)["color"], "marker": "s", "linestyle": style.DASHED},
    "restored": {"color": style.series_style(2)["color"], "marker": "D", "linestyle": style.DASH_DOT},
    "test": {"color": "black", "marker": "^", "linestyle": "-"},
}

#: The capacity of points without structure.
UNSTRUCTURED = {"color": "0.5", "linestyle": (0, (5, 2)), "linewidth": 0.7, "zorder": 1}
UNSTRUCTURED_LABEL = "2/M, points without structure"
UNSTRUCTURED_MEANT = "Dashed grey line: 2/M, the capacity of M points a class without structure."

# Fewer classes than this are few for a theory of many.
_FEW = 20


def handles(views: Iterable[str], looks: Mapping[str, dict], *, joined: bool = True) -> list[Line2D]:
    """Legend of the views, in their order; ``joined`` : whether marks are joined by lines."""
    there = set(views)
    found = {view: look if joined else {**look, "linestyle": ""} for view, look in looks.items() if view in there}
    return [
        Line2D([], [], label=view, **{"linewidth": 0.9, "markersize": 3.2, "markeredgewidth": 0, **look})
        for view, look in found.items()
    ]


def data_seeds(table: pd.DataFrame) -> str:
    """Number of data seeds of a grid point, ``n = 3 data seeds``, of a table with a row for each mark."""
    n = table.groupby(GRID_POINT)["data_seed"].nunique()
    return f"n\xa0=\xa0{facets.spanned(n)} data seed{'s' if n.max() > 1 else ''}"


def sizes(geometry: pd.DataFrame) -> list[str]:
    """Sentence on classes, examples and margin."""
    there = geometry[geometry["n"] > 0]
    kappas = " or ".join(f"{kappa:g}" for kappa in sorted(there["kappa"].dropna().unique()))
    classes, examples = facets.spanned(there["classes"]), facets.spanned(there["points"])
    return [
        f"P\xa0=\xa0{classes} classes, M\xa0=\xa0{examples} examples of each (one M for all views of a run), margin "
        f"κ\xa0=\xa0{kappas}."
    ]


def few_classes(geometry: pd.DataFrame) -> list[str]:
    """Sentences on how far classes and examples bear the theory."""
    there, text = geometry[geometry["n"] > 0], []
    if there["classes"].min() < _FEW:
        few = there["classes"][there["classes"] < _FEW]
        text.append(
            f"The theory is one of many classes: with P\xa0=\xa0{facets.spanned(few)} its values are indicative only."
        )
    if there.groupby(GRID_POINT)["points"].nunique().max() > 1:
        text.append("Capacity depends on M, and runs that are averaged differ in it.")
    if (there["classes"] < there["points"]).any():
        text.append("2/M is for layers of M features or more; the output, which has P, holds points at more than that.")
    return text


def missing(geometry: pd.DataFrame) -> list[str]:
    """Sentences on views whose classes lack examples, and on undefined values."""
    text = []
    empty = geometry[geometry["n"] == 0]
    if not empty.empty:
        partly = set(geometry.loc[geometry["n"] > 0, ["view", "level"]].itertuples(index=False, name=None))
        at: dict[str, list[str]] = {}
        for view, level in sorted(set(empty[["view", "level"]].itertuples(index=False, name=None))):
            at.setdefault(view, []).append(f"{level:g}" + " (some runs)" * ((view, level) in partly))
        # Views that are empty at the same levels share a phrase.
        phrases = []
        for levels in dict.fromkeys(", ".join(at[view]) for view in LOOKS if view in at):
            names = " and ".join(view for view in LOOKS if view in at and ", ".join(at[view]) == levels)
            phrases.append(f"{names} at level {levels}")
        text.append(f"Not drawn, some class having fewer than two examples: {'; '.join(phrases)}.")
    undefined = geometry[(geometry["n"] > 0) & geometry["value"].isna()]
    if not undefined.empty:
        share = f"{len(undefined)} of {(geometry['n'] > 0).sum()}"
        text.append(f"Undefined, so left out: {share} values of single runs.")
    return text


def stability(geometry: pd.DataFrame) -> list[str]:
    """Sentence on how much capacities depend on restarts and on random directions."""
    capacity = geometry[(geometry["metric"] == "capacity") & (geometry["value"] > 0)]
    text = []
    for column, what in (
        ("spread", "restarts of the search for centre axes differ by up to {:.2g}\xa0% of it"),
        ("error", "the standard error over random directions is up to {:.2g}\xa0%"),
    ):
        relative = (capacity[column] / capacity["value"]).max()
        if pd.notna(relative):
            text.append(what.format(100 * relative))
    return [f"Of the capacity of a single run, {', and '.join(text)}."] if text else []
