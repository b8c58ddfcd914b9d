"""What a grid asks of its networks, for the trial that comes before any training (`latentgen.models.verdicts`)."""

from collections.abc import Iterable
from typing import Any

from latentgen import analyses
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
        for analysis, settings in analyses.of_entry(cell.settings):
            for key, names in analysis.layers(settings).items():
                known = of_model["layers"].setdefault(f"{analysis.key}.{key}", [])
                known += [name for name in names if name not in known]
            if analysis.readout and analysis.key not in of_model["readout"]:
                of_model["readout"].append(analysis.key)
        batch = [cell.settings["training"]["batch_size"], cell.settings["validation"]]
        if batch not in of_model["batches"]:
            of_model["batches"].append(batch)
    return found
