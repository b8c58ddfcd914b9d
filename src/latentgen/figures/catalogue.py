"""All figures, and which of them a grid can draw. Imports nothing that draws."""

from collections.abc import Mapping, Sequence
from typing import Any

from latentgen import analyses
from latentgen.figure import Figure
from latentgen.papers import STEPHENSON

#: Analyses that change networks or labels, in the order of the headline.
INTERVENTIONS = tuple(analysis.name for analysis in analyses.ALL if analysis.intervention)

#: Options of a model that say how wide it is.
WIDTHS = ("width", "widths")
#: Fewest models that make a sweep of widths: a dip takes three.
_FEWEST = 3


def dropout_pairs(models: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Pairs (without, with) of models that differ in the option ``dropout`` alone.

    ``models`` : name → ``factory`` and ``options``
    """

    def plain(declared: Mapping[str, Any]) -> tuple:
        options = {key: value for key, value in declared["options"].items() if key != "dropout"}
        return declared["factory"], options

    rates = {name: declared["options"].get("dropout", 0.0) for name, declared in models.items()}
    return [
        (without, dropped)
        for without in models
        for dropped in models
        if rates[without] == 0.0 < rates[dropped] and plain(models[without]) == plain(models[dropped])
    ]


def sweeps(models: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Groups of at least three models that differ in their width alone, in the order of ``models``.

    Lists of widths are as long as one another, since their length is a depth. A model that leaves its width to the
    default belongs to no group. Whether models were trained alike is not known here.

    ``models`` : name → ``factory`` and ``options``
    """
    groups: list[tuple[Any, list[str]]] = []
    for name, declared in models.items():
        width = [declared["options"][key] for key in WIDTHS if key in declared["options"]]
        if not width:
            continue
        rest = {key: value for key, value in declared["options"].items() if key not in WIDTHS}
        kind = (declared["factory"], rest, [len(value) for value in width if isinstance(value, list)])
        for known, names in groups:
            if known == kind:
                names.append(name)
                break
        else:
            groups.append((kind, [name]))
    return [names for _, names in groups if len(names) >= _FEWEST]


def _models(cells: Sequence[Any]) -> dict[str, Mapping[str, Any]]:
    return {cell.model: cell.declared_model for cell in cells}


#: Figures of networks, which need no analysis of their checkpoints, or compare models.
_OF_NETWORKS = (
    Figure(
        12,
        "Training curves",
        "**Training curves** of the networks: given and true labels of the training examples, and the test examples.",
        "latentgen.figures.training",
        tables=("history",),
    ),
    Figure(
        13,
        "Dropout",
        "**Dropout**: networks trained with and without, and a probe on their last layer.",
        "latentgen.figures.comparisons",
        of_grid=lambda cells: bool(dropout_pairs(_models(cells))),
        compares_models=True,
    ),
    Figure(
        25,
        "Double descent",
        "**Double descent**: accuracy at the best and at the last epoch against the number of parameters, and the "
        "geometry of the last hidden layer.",
        "latentgen.figures.descent",
        tables=("history", "layers"),
        also=("geometry",),
        of_grid=lambda cells: bool(sweeps(_models(cells))),
        rows={"geometry": [[("view", "==", "test")]]},
        counterpart=("Figure 4C-E", STEPHENSON),
        compares_models=True,
    ),
)

#: All figures by name, in the order of their numbers.
FIGURES: dict[str, Figure] = {
    figure.name: figure
    for figure in sorted(
        (*_OF_NETWORKS, *(figure for analysis in analyses.ALL for figure in analysis.figures)),
        key=lambda figure: figure.number,
    )
}


def available(cells: Sequence[Any]) -> list[str]:
    """Names of the figures that some of ``cells`` (`latentgen.grid.Cell`) have everything for."""
    return [name for name, figure in FIGURES.items() if _drawable(figure, cells)]


def _drawable(figure: Figure, cells: Sequence[Any]) -> bool:
    return figure.of_grid(cells) and any(_has_all(figure, cell.settings) for cell in cells)


def _has_all(figure: Figure, settings: Mapping[str, Any]) -> bool:
    has = {analysis.name for analysis, _ in analyses.of_entry(settings)}
    return has.issuperset(figure.analyses) and figure.probes <= set(settings["probes"]) and figure.of_entry(settings)


def tables(name: str, cells: Sequence[Any]) -> list[str]:
    """Tables that the figure is drawn from: those that it needs, and those that it can use and the grid has."""
    there = {analysis.name for cell in cells for analysis, _ in analyses.of_entry(cell.settings)}
    return [*FIGURES[name].tables, *(table for table in FIGURES[name].also if table in there)]


def interventions(cells: Sequence[Any]) -> list[str]:
    """Interventions that some cell has."""
    return [name for name in INTERVENTIONS if any(name in cell.settings["interventions"] for cell in cells)]
