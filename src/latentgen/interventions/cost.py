"""What rewinding takes, measured on a pilot's checkpoints."""

import time
from collections.abc import Mapping
from typing import Any

from latentgen.analysis import Pilot
from latentgen.checkpoints import at_epoch


def measure(pilot: Pilot, settings: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds and bytes of the units, from one network scored once in each mode.

    A checkpoint scores as many networks as there are sets of layers.
    """
    from latentgen.interventions.swaps import Swaps, layer_sets, scored

    began = time.perf_counter()
    cell = pilot.last(1)
    source = cell.stream()
    (run,) = cell.runs
    source.load(at_epoch(cell.folder, run, pilot.kept[-1]))
    swaps = Swaps(source, settings["batch_norm"])
    seed = run["data_seed"]
    on = scored(cell.labels[seed], cell.data.y_test, settings["examples"], seed, source.device)
    # No layer differs from itself, so that one network is scored in each mode, but there are the rows of all.
    rows = swaps.rows(source.model.state_dict(), on)
    fixed, began = time.perf_counter() - began, time.perf_counter()
    swaps.rows(source.model.state_dict(), on)
    one = time.perf_counter() - began
    networks = len(set(layer_sets(len(swaps.layers)).values()))
    # A value of its own in every row, and names that all share.
    seconds = {"cold": max(fixed - one, 0.0), "fixed": 0.0, "each": networks * one}
    return seconds, {"file": 0.0, "each": 8.0 * len(rows)}
