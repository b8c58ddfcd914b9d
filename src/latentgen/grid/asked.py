"""What a grid asks of its networks, for the trial that comes before any training (`latentgen.models.verdicts`)."""

from collections.abc import Iterable
from typing import Any

from latentgen.grid.cells import Cell


def asked(cells: Iterable[Cell], dataset: str) -> dict[str, dict[str, Any]]:
    """For each model that is trained on ``dataset``, in the order of the grid:

    ``model``, as it is declared; ``layers``, by key of the configuration, names that must be layers; ``readout``, keys
    that need one; ``batches``, pairs of batch size and fraction that is held out.
    """
    found: dict[str, dict[str, Any]] = {}
    for cell in cells:
        if cell.dataset != dataset:
            continue
        empty = {"model": cell.declared_model, "layers": {}, "readout": [], "batches": []}
        of_model = found.setdefault(cell.model, empty)
        for key, names in _layers(cell):
            known = of_model["layers"].setdefault(key, [])
            known += [name for name in names if name not in known]
        changing = [f"interventions.{key}" for key in ("transfer", "edit") if key in cell.settings["interventions"]]
        of_model["readout"] += [key for key in changing if key not in of_model["readout"]]
        batch = [cell.settings["training"]["batch_size"], cell.settings["validation"]]
        if batch not in of_model["batches"]:
            of_model["batches"].append(batch)
    return found


def _layers(cell: Cell) -> Iterable[tuple[str, list[str]]]:
    """Keys under which a cell names layers, and the names."""
    settings, interventions = cell.settings, cell.settings["interventions"]
    if "edit" in interventions:
        yield "interventions.edit.layers", interventions["edit"]["layers"]
    if "relabel" in interventions:
        yield "interventions.relabel.layer", [interventions["relabel"]["layer"]]
    if settings["maps"]:
        yield "maps.layers", settings["maps"]["layers"]
    if settings["geometry"]:
        simulated = settings["geometry"]["simulated"]
        named = {"geometry.layers": settings["geometry"], "geometry.simulated.layers": simulated or {}}
        yield from ((key, part["layers"]) for key, part in named.items() if isinstance(part.get("layers"), list))
