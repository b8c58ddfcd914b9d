"""How much a grid is made of: its pilots, its cells by their work, its jobs. Imports nothing that computes."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from latentgen.estimate import work
from latentgen.figures import catalogue
from latentgen.grid import Cell

#: What of a recipe an epoch's time and a state's bytes depend on.
_PACE = ("optimizer", "momentum", "batch_size")


def pilot(cell: Cell) -> str:
    """Pilot that measures for the cell, ``dataset/model/hash``: equal for cells of other levels, seeds and epochs."""
    pace = {key: cell.settings["training"][key] for key in _PACE}
    parts = [cell.declared_dataset, cell.declared_model, pace, cell.settings["validation"]]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
    return f"{cell.dataset}/{cell.model}/{digest}"


def pilots(cells: Iterable[Cell], dump: bool) -> dict[str, dict[str, Any]]:
    """What each pilot trains and measures, by name: ``model``, ``training``, ``validation``, ``tasks``, as JSON has it.

    Cells that share a pilot share a task where they have equal settings of it.
    """
    found: dict[str, dict[str, Any]] = {}
    for cell in cells:
        named = {"model": cell.declared_model, "training": cell.settings["training"]}
        mine = found.setdefault(pilot(cell), {**named, "validation": cell.settings["validation"], "tasks": {}})
        mine["tasks"] |= work.tasks(cell, dump)
    return found


def workloads(cells: Iterable[Cell], dump: bool) -> list[dict[str, Any]]:
    """Cells that have the same work, together: how many, of how much, and the jobs of one of them. As JSON has it.

    ``jobs`` are told apart by their work: how many, and the fields of `latentgen.estimate.work.Job`. ``most`` says that
    the training may stop before, so that all of it is an upper bound.
    """
    alike: dict[str, dict[str, Any]] = {}
    for cell in cells:
        counts = {"runs": len(cell.runs), "checkpoints": len(cell.runs) * len(work.kept_epochs(cell))}
        mine = {
            **{"dataset": cell.dataset, "model": cell.model, "pilot": pilot(cell), **counts},
            "most": cell.settings["training"]["stop_accuracy"] is not None,
            "jobs": _together(work.jobs(cell, dump)),
        }
        alike.setdefault(json.dumps(mine, sort_keys=True), {"cells": 0, **mine})["cells"] += 1
    return list(alike.values())


def _together(jobs: Iterable[work.Job]) -> list[dict[str, Any]]:
    alike: dict[str, dict[str, Any]] = {}
    for job in jobs:
        alike.setdefault(json.dumps(job), {"jobs": 0, **job._asdict()})["jobs"] += 1
    return list(alike.values())


def gathering(cells: list[Cell]) -> dict[str, int]:
    """Jobs of the whole grid that are no cell's, by rule."""
    figures = catalogue.available(cells)
    tables = {"probes", "history", *catalogue.interventions(cells)}
    tables |= {table for name in figures for table in catalogue.tables(name, cells)}
    counts = {
        **dict.fromkeys(["prepare_data", "try_models", "accept_models"], len({cell.dataset for cell in cells})),
        "gather": len(tables - {"layers"}),
        "count_weights": len(tables & {"layers"}),
        "headline": 1,
        "draw_figure": len(figures),
    }
    return {rule: count for rule, count in counts.items() if count}


def jobs(loads: Iterable[Mapping[str, Any]], gathering: Mapping[str, int]) -> dict[str, int]:
    """Jobs of the grid by rule, from `workloads` and `gathering`."""
    counts = Counter(gathering)
    for load in loads:
        for job in load["jobs"]:
            counts[job["rule"]] += load["cells"] * job["jobs"]
    return dict(counts)
