"""What each figure shows, and which of them a grid can draw. Imports nothing that draws."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

#: Tables of interventions, named like the interventions themselves.
INTERVENTIONS = ("transfer", "edit", "relabel", "rewind")


class Entry(NamedTuple):
    """``probes``, ``intervention`` and ``analysis`` are what a cell needs; ``tables`` what the figure is drawn from."""

    title: str
    tables: tuple[str, ...] = ("probes", "history")
    probes: frozenset[str] = frozenset()
    intervention: str | None = None
    analysis: str | None = None


FIGURES = {
    "fig1": Entry("MASC over training", probes=frozenset({"masc"})),
    "fig2": Entry("VeLPIC over training", probes=frozenset({"velpic"})),
    "fig3": Entry("VeLPIC minus MASC", probes=frozenset({"masc", "velpic"})),
    "fig4": Entry("Logistic regression over training", probes=frozenset({"logistic"})),
    "fig5": Entry("MASC minus logistic regression", probes=frozenset({"masc", "logistic"})),
    "fig6": Entry("Weight transfer, test examples", ("transfer", "history"), intervention="transfer"),
    "fig7": Entry("Weight transfer, given training labels", ("transfer", "history"), intervention="transfer"),
    "fig8": Entry("Weight transfer, true training labels", ("transfer", "history"), intervention="transfer"),
    "fig9": Entry("Training on after an edit", ("edit", "history"), intervention="edit"),
    "fig10": Entry("All probes at the end of training"),
    "fig11": Entry("MASC by the variance kept"),
    "fig12": Entry("Training curves", ("history",)),
    "fig13": Entry("Dropout"),
    "fig14": Entry("Batch normalisation while features are read"),
    "fig15": Entry("Early stopping beside probes and interventions"),
    "fig16": Entry("Geometry by layer", ("geometry", "history"), analysis="geometry"),
    "fig17": Entry("Geometry over training", ("geometry", "history"), analysis="geometry"),
    "fig18": Entry("Capacity, theory against measurement", ("geometry",), analysis="geometry"),
    "fig19": Entry(
        "Latent generalization against geometry",
        ("geometry", "probes", "history"),
        probes=frozenset({"masc"}),
        analysis="geometry",
    ),
    "fig20": Entry("Rewinding, layer by epoch", ("rewind", "history"), intervention="rewind"),
    "fig21": Entry("Rewinding in the four views", ("rewind", "history"), intervention="rewind"),
    "fig22": Entry("Rewinding against early stopping", ("rewind", "history"), intervention="rewind"),
    "fig23": Entry("Gradients over training", ("gradients", "history"), analysis="gradients"),
    "fig24": Entry("Directions of gradients", ("gradients", "history"), analysis="gradients"),
    "fig25": Entry("Double descent", ("history", "layers")),
    "fig26": Entry("Maps", ("maps", "history"), analysis="maps"),
}

#: Options of a model that say how wide it is.
WIDTHS = ("width", "widths")
#: Fewest models that make a sweep of widths: a dip takes three.
_FEWEST = 3


def available(cells: Sequence[Any]) -> list[str]:
    """Names of the figures that some of ``cells`` (`latentgen.grid.Cell`) have everything for."""
    return [name for name in FIGURES if _drawable(name, cells)]


def tables(name: str, cells: Sequence[Any]) -> list[str]:
    """Tables that the figure is drawn from: those that it needs, and those that it can use and the grid has."""
    found = list(FIGURES[name].tables)
    if name == "fig15":
        found += interventions(cells)
    elif name == "fig22":
        found += [table for table in interventions(cells) if table == "transfer"]
    elif name == "fig25" and any(cell.settings["geometry"] is not None for cell in cells):
        found.append("geometry")
    return found


def interventions(cells: Sequence[Any]) -> list[str]:
    """Interventions that some cell has."""
    return [name for name in INTERVENTIONS if any(name in cell.settings["interventions"] for cell in cells)]


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


def _drawable(name: str, cells: Sequence[Any]) -> bool:
    entry = FIGURES[name]
    if name == "fig13":
        return bool(dropout_pairs({cell.model: cell.declared_model for cell in cells}))
    if name == "fig25":
        return bool(sweeps({cell.model: cell.declared_model for cell in cells}))
    return any(
        entry.probes <= set(cell.settings["probes"])
        and (entry.intervention is None or entry.intervention in cell.settings["interventions"])
        and (entry.analysis is None or cell.settings.get(entry.analysis))
        and (name != "fig18" or cell.settings["geometry"]["simulated"] is not None)
        and (name not in ("fig16", "fig17") or _layers(cell.settings["geometry"]) > 1)
        and (name != "fig11" or len(thresholds(cell.settings["probes"])) > 1)
        and (name != "fig14" or bool(mode_pairs(cell.settings["probes"])))
        for cell in cells
    )


def _layers(geometry: Mapping[str, Any]) -> float:
    """Layers whose geometry is analysed, as far as is known without the model."""
    layers = geometry["layers"]
    return len(layers) if isinstance(layers, list) else {"all": float("inf"), "last": 1}[layers]


def thresholds(probes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Probes of kind MASC that differ only in how many axes they keep, most variance last; settings by name."""
    plain = {"fit_labels": "given", "batch_norm": "running"}
    found = [
        name
        for name, probe in probes.items()
        if probe["kind"] == "masc" and all(probe[key] == value for key, value in plain.items())
    ]
    return sorted(
        found, key=lambda name: (probes[name]["n_axes"] is None, probes[name]["n_axes"] or 0, probes[name]["variance"])
    )


def mode_pairs(probes: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Pairs (running, example) of probes that differ only in the batch-norm mode of their features."""

    of_use = ("batch_norm", "family", "score", "max_features")

    def plain(probe: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in probe.items() if key not in of_use}

    return [
        (running, example)
        for running in probes
        for example in probes
        if (probes[running]["batch_norm"], probes[example]["batch_norm"]) == ("running", "example")
        and plain(probes[running]) == plain(probes[example])
    ]
