"""All figures, and which of them a grid can draw. Imports nothing that draws."""

from collections.abc import Mapping, Sequence
from typing import Any

from latentgen import analyses
from latentgen.figure import Figure
from latentgen.figures import embeddings, geometry, gradients, interventions, networks, probes

#: Packages of figures by their subject.
SUBJECTS = (networks, probes, interventions, geometry, gradients, embeddings)

#: All figures by name, in the order of their numbers.
FIGURES: dict[str, Figure] = {
    figure.name: figure
    for figure in sorted(
        (figure for subject in SUBJECTS for figure in subject.FIGURES), key=lambda figure: figure.number
    )
}

#: Figures that have become a part of another.
MOVED = {"fig7": "fig6", "fig8": "fig6"}


def named(name: str) -> Figure:
    """The figure ``name``; raises ``ValueError`` where there is none, or where it is a part of another now."""
    if name in MOVED:
        raise ValueError(f"{name} is a row of panels of {MOVED[name]} now; ask for {MOVED[name]}")
    if name not in FIGURES:
        raise ValueError(f"figure {name!r} is unknown; there are {', '.join(FIGURES)}")
    return FIGURES[name]


def available(cells: Sequence[Any]) -> list[str]:
    """Names of the figures that some of ``cells`` (`latentgen.grid.Cell`) have everything for."""
    return [name for name, figure in FIGURES.items() if _drawable(figure, cells)]


def _drawable(figure: Figure, cells: Sequence[Any]) -> bool:
    return figure.of_grid(cells) and any(_has_all(figure, cell.settings) for cell in cells)


def _has_all(figure: Figure, settings: Mapping[str, Any]) -> bool:
    has = {analysis.name for analysis, _ in analyses.of_entry(settings)}
    return has.issuperset(figure.analyses) and figure.probes <= set(settings["probes"]) and figure.of_entry(settings)


def tables(name: str, cells: Sequence[Any]) -> list[str]:
    """Tables that the figure is drawn from: those that it needs, and those that it can use and the grid has.

    Raises ``ValueError`` as `named` does.
    """
    there = {analysis.name for cell in cells for analysis, _ in analyses.of_entry(cell.settings)}
    return [*named(name).tables, *(table for table in named(name).also if table in there)]


def interventions(cells: Sequence[Any]) -> list[str]:
    """Interventions that some cell has."""
    return [name for name in analyses.INTERVENING if any(name in cell.settings["interventions"] for cell in cells)]
