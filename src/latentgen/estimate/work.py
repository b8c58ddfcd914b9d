"""What each job of a cell does and writes, as multiples of units that a pilot measures.

A unit is a name such as ``epoch`` (one epoch trained) or ``fit_probes:1f2e3d4c:each`` (this family of probes on one
checkpoint). A job's seconds are the sum over units of how many times how long, its bytes likewise, so that both add up
over jobs. Where a training may stop before its last epoch, everything here is for one that does not.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from latentgen import analyses
from latentgen.analysis import Again, Analysis, per_checkpoint
from latentgen.checkpoints import block_epochs
from latentgen.grid import Cell

#: How often a table is on disk: in its cell, in the table of the whole grid, and for rows that are kept the copy that a
#: job goes on from.
_WITH_COPY, _WITHOUT_COPY = 3, 2

#: The rule that dumps activations, which is no analysis.
DUMP = "dump_block"


class Job(NamedTuple):
    """``seconds`` : unit → how many; ``bytes`` : kind of file → unit → how many."""

    rule: str
    seconds: dict[str, int]
    bytes: dict[str, dict[str, int]]


def kept_epochs(cell: Cell) -> list[int]:
    """Epochs whose weights are kept of a training that goes on to its last epoch."""
    return sorted({*cell.saved_epochs, cell.settings["training"]["epochs"]})


def tasks(cell: Cell, dump: bool) -> dict[str, tuple[str, Any]]:
    """What a pilot measures for the cell besides training: task → name of the analysis, or `DUMP`, and settings."""
    found: dict[str, tuple[str, Any]] = {}
    for analysis, settings in analyses.of_entry(cell.settings):
        if analysis.cost.again is None:
            for mine in cell.families.values() if "family" in analysis.wildcards else [settings]:
                found[task(analysis, mine)] = (analysis.name, mine)
    return found | ({_DUMP_TASK: (DUMP, True)} if dump else {})


def task(analysis: Analysis, settings: Any) -> str:
    """Name of a task, equal for equal settings."""
    return _task(analysis.rule or analysis.name, settings)


def _task(rule: str, settings: Any) -> str:
    return f"{rule}:{hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]}"


_DUMP_TASK = _task(DUMP, True)


def jobs(cell: Cell, dump: bool) -> list[Job]:
    """All jobs of one cell."""
    draws = len({run.data_seed for run in cell.runs})
    done = [Job("draw_labels", {"start:light": 1, "labels": draws}, {"labels": {"labels": draws}}), _train(cell)]
    for analysis, _ in analyses.of_entry(cell.settings):
        done += [_of_analysis(cell, analysis, job) for job in cell.jobs(analysis)]
    return done + ([_dump(cell, block) for block in cell.blocks] if dump else [])


def _of_analysis(cell: Cell, analysis: Analysis, job: Mapping[str, str]) -> Job:
    rule, runs, kept = analysis.rule or analysis.name, len(cell.runs), kept_epochs(cell)
    if analysis.cost.again is not None:
        return _again(cell, rule, analysis.cost.again(cell.settings, runs, job))
    mine = cell.settings_of(analysis, job)
    name, epochs = task(analysis, mine), _epochs(kept, job.get("block"))
    units = {"cold": 1, **analysis.cost.units(mine, runs, epochs, kept[-1])}
    copies = _WITH_COPY if analysis.kept else _WITHOUT_COPY
    sizes = {"file": copies, "each": copies * units["each"]}
    seconds = {"start:analysis": 1, **_of_task(name, units)}
    return Job(rule, seconds, {"tables": _of_task(name, sizes)})


def _dump(cell: Cell, block: str) -> Job:
    runs, epochs = len(cell.runs), _epochs(kept_epochs(cell), block)
    units = {"cold": 1, **per_checkpoint(None, runs, epochs, 0)}
    sizes = {"file": 1, "each": units["each"]}
    return Job(DUMP, {"start:analysis": 1, **_of_task(_DUMP_TASK, units)}, {"dumps": _of_task(_DUMP_TASK, sizes)})


def _epochs(kept: list[int], block: str | None) -> list[int]:
    return kept if block is None else [epoch for epoch in kept if epoch in block_epochs(block)]


def _of_task(name: str, units: Mapping[str, int]) -> dict[str, int]:
    return {f"{name}:{unit}": count for unit, count in units.items()}


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


def _again(cell: Cell, rule: str, again: Again) -> Job:
    """Trainings that follow on the first, with the costs of the first; only their ends are kept."""
    trainings, epochs = again.trainings, again.trainings * again.epochs
    seconds = {"start:analysis": 1, "training": trainings, "epoch": epochs, "saved": 2 * trainings}
    if again.family is None:
        seconds["saved"] += again.passes  # each a pass over the training set
    else:
        family = cell.families[again.family]
        seconds[f"{task(analyses.PROBES, family)}:each"] = again.passes
    sizes = {
        "resume states": {"state": trainings, "state:epoch": epochs, "checkpoint": 2 * trainings},
        "records": {"records": trainings, "records:first": trainings},
        "tables": {"history": _WITHOUT_COPY, "history:epoch": _WITHOUT_COPY * epochs},
    }
    return Job(rule, seconds, sizes)
