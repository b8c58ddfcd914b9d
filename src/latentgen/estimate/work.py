"""What each job of a cell does and writes, as multiples of units that a pilot measures.

A unit is a name such as ``epoch`` (one epoch trained) or ``fit_probes:1f2e3d4c:each`` (this family of probes on one
checkpoint). A job's seconds are the sum over units of how many times how long, its bytes likewise, so that both add up
over jobs. Where a training may stop before its last epoch, everything here is for one that does not.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from latentgen.activations import LAST as LAST_LAYER
from latentgen.checkpoints import block_epochs
from latentgen.geometry.settings import LAST as LAST_EPOCH
from latentgen.grid import Cell

#: Analyses of blocks of checkpoints, besides probes, that are settings of an entry or interventions of it.
OF_BLOCKS = ("geometry", "gradients", "transfer")
#: How often a table is on disk: in its cell, in the table of the whole grid, and for these the copy that a job goes on
#: from.
_COPIES = dict.fromkeys(("fit_probes", "rewind", *OF_BLOCKS), 3)
_WITHOUT_COPY = 2


class Job(NamedTuple):
    """``seconds`` : unit → how many; ``bytes`` : kind of file → unit → how many."""

    rule: str
    seconds: dict[str, int]
    bytes: dict[str, dict[str, int]]


def kept_epochs(cell: Cell) -> list[int]:
    """Epochs whose weights are kept of a training that goes on to its last epoch."""
    return sorted({*cell.saved_epochs, cell.settings["training"]["epochs"]})


def tasks(cell: Cell, dump: bool) -> dict[str, tuple[str, Any]]:
    """What a pilot measures for the cell besides training: task → rule and settings."""
    settings = cell.settings
    found = [("fit_probes", family) for family in cell.families.values()]
    found += [(name, settings[name] or None) for name in ("geometry", "gradients", "maps")]
    found += [(name, settings["interventions"].get(name)) for name in ("transfer", "rewind")]
    found += [("dump_block", dump or None)]
    return {task(rule, wanted): (rule, wanted) for rule, wanted in found if wanted is not None}


def task(rule: str, settings: Any) -> str:
    """Name of a task, equal for equal settings."""
    return f"{rule}:{hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]}"


def jobs(cell: Cell, dump: bool) -> list[Job]:
    """All jobs of one cell."""
    known, runs, kept = tasks(cell, dump), len(cell.runs), kept_epochs(cell)
    draws = len({run.data_seed for run in cell.runs})
    done = [Job("draw_labels", {"start:light": 1, "labels": draws}, {"labels": {"labels": draws}}), _train(cell)]
    for block in cell.blocks:
        mine = [epoch for epoch in kept if epoch in block_epochs(block)]
        for name, (rule, settings) in known.items():
            if rule in ("fit_probes", "dump_block", *OF_BLOCKS):
                units = _units(name, runs, runs * len(mine))
                if rule == "geometry" and settings["simulated"]:
                    wanted = {kept[-1] if epoch == LAST_EPOCH else epoch for epoch in settings["simulated"]["epochs"]}
                    units[f"{name}:simulated"] = runs * len(wanted & set(mine))
                done.append(_analysis(rule, name, units))
    for name, (rule, settings) in known.items():
        if rule == "maps":
            done.append(_analysis(rule, name, _units(name, 1, len(kept))))
        elif rule == "rewind":
            pieces = runs * (len(kept) + settings["redraws"])
            done.append(_analysis(rule, name, _units(name, runs, pieces)))
    return [*done, *_trained_again(cell)]


def _units(name: str, runs: int, pieces: int) -> dict[str, int]:
    return {f"{name}:cold": 1, f"{name}:fixed": runs, f"{name}:each": pieces}


def _analysis(rule: str, name: str, units: dict[str, int]) -> Job:
    kind, copies = ("dumps", 1) if rule == "dump_block" else ("tables", _COPIES.get(rule, _WITHOUT_COPY))
    sizes = {f"{name}:file": copies, f"{name}:each": copies * units[f"{name}:each"]}
    return Job(rule, {"start:analysis": 1, **units}, {kind: sizes})


def _train(cell: Cell) -> Job:
    runs, kept, epochs = len(cell.runs), len(kept_epochs(cell)), cell.settings["training"]["epochs"]
    seconds = {"start:training": 1, "training": runs, "epoch": runs * epochs, "saved": runs * kept}
    sizes = {
        "checkpoints": {"checkpoint": runs * kept},
        "resume states": {"state": runs, "state:epoch": runs * epochs},
        # A file of each epoch, which an extended grid goes on from, and all of them in one; those of epoch 0 are empty.
        "records": {"records": 2 * runs * (kept - 1), "records:first": 2 * runs},
        "tables": {"history": _WITHOUT_COPY, "history:epoch": _WITHOUT_COPY * runs * epochs},
    }
    return Job("train", seconds, sizes)


def _trained_again(cell: Cell) -> Iterable[Job]:
    """Trainings that follow on the first, with the costs of the first; only their ends are kept."""
    interventions, runs = cell.settings["interventions"], len(cell.runs)
    if "edit" in interventions:
        edit = interventions["edit"]
        layers = edit["layers"]
        # The control, and the edits of each layer.
        trainings = runs * (1 + sum(len(edit["bias"]) if layer == LAST_LAYER else 1 for layer in layers))
        for epoch in edit["epochs"]:
            fits = {"saved": runs * len(layers)}  # each a pass over the training set
            yield _again("edit", trainings, edit["until"] - epoch, fits)
    if "relabel" in interventions:
        relabel = interventions["relabel"]
        family = cell.settings["probes"][relabel["probe"]]["family"]
        # A single probe on a single layer: at most what its family takes on all of them.
        fits = {f"{task('fit_probes', cell.families[family])}:each": runs}
        yield _again("relabel", runs, cell.settings["training"]["epochs"], fits)


def _again(rule: str, trainings: int, epochs: int, fits: Mapping[str, int]) -> Job:
    seconds = {"start:analysis": 1, "training": trainings, "epoch": trainings * epochs}
    seconds |= {**fits, "saved": fits.get("saved", 0) + 2 * trainings}
    sizes = {
        "resume states": {"state": trainings, "state:epoch": trainings * epochs, "checkpoint": 2 * trainings},
        "records": {"records": trainings, "records:first": trainings},
        "tables": {"history": _WITHOUT_COPY, "history:epoch": _WITHOUT_COPY * trainings * epochs},
    }
    return Job(rule, seconds, sizes)
