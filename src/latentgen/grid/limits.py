"""How large a grid may be: counted before anything of it is expanded."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from latentgen import analyses
from latentgen.grid import spans
from latentgen.grid.cells import PAIRED
from latentgen.probes import kinds

#: For each job that `max_jobs` allows. A job has a block of checkpoints.
CHECKPOINTS_OF_A_JOB = 10


class Size(NamedTuple):
    """Counts of an entry, or of a grid, at the most."""

    jobs: int = 0
    runs: int = 0
    checkpoints: int = 0

    def __add__(self, other: "Size") -> "Size":  # type: ignore[override]
        return Size(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


def errors(entries: Mapping[str, list[Mapping[str, Any]]], config: Mapping[str, Any]) -> Iterable[str]:
    """What is too large: a saved epoch past the last, an entry, or all together.

    ``entries`` : file → merged entries, whose types a schema has checked; keys that an entry lacks are no matter here
    """
    most, total, found = config["max_jobs"], Size(), False
    for where, mine in entries.items():
        for index, entry in enumerate(mine):
            size = _size(entry, dump=config["activations"] == "dump")
            for line in _too_large(size, most):
                found = True
                yield f"{where}grid[{index}]{_cause(entry)}: {line}"
            total += size
    if not found:
        yield from (f"grid: {line}" for line in _too_large(total, most))


def _too_large(size: Size, jobs: int) -> Iterable[str]:
    allowed = Size(jobs, jobs, CHECKPOINTS_OF_A_JOB * jobs)
    for what, count, most in zip(Size._fields, size, allowed, strict=True):
        if count > most:
            yield f"{count:,} {what}, before exclusions; max_jobs ({jobs:,}) allows {most:,}; ask for less, or raise it"
            return


def _size(entry: Mapping[str, Any], dump: bool) -> Size:
    points = math.prod(
        1 if isinstance(names, str) else len(names)
        for names in (entry.get(key, []) for key in ("dataset", "model", "noise", "levels"))
    )
    cells, runs = points, points
    for key in ("data_seeds", "model_seeds"):
        if entry[key] != PAIRED:
            cells *= len(entry[key])
            runs *= spans.count(entry[key], spans.seeds)
    epochs = entry.get("training", {}).get("epochs", 1)
    saved = spans.count(entry.get("saved_epochs", []), spans.span)
    blocks = epochs // entry["epochs_per_job"] + 1
    if entry.get("training", {}).get("stop_accuracy") is None:
        # Only blocks that have a saved epoch, the first and the last included.
        blocks = min(blocks, saved + 2)
    per_cell = 2 + (blocks if dump else 0)
    for analysis, settings in analyses.of_entry(entry):
        places = {"block": blocks, "family": 1, "epoch": 1}
        if "family" in analysis.wildcards:
            places["family"] = len({kinds.family(probe) for probe in settings.values()})
        if "epoch" in analysis.wildcards:
            places["epoch"] = len(settings.get("epochs") or ())
        per_cell += math.prod(places[name] for name in analysis.wildcards)
    return Size(cells * per_cell, runs, runs * (saved + 2))


def _cause(entry: Mapping[str, Any]) -> str:
    """The key that multiplies most."""
    counts = {
        key: spans.count(entry[key], spans.seeds) for key in ("data_seeds", "model_seeds") if entry[key] != PAIRED
    }
    counts["saved_epochs"] = spans.count(entry.get("saved_epochs", []), spans.span)
    counts["levels"] = len(entry.get("levels", []))
    if entry.get("training", {}).get("stop_accuracy") is not None:
        counts["epochs_per_job"] = entry["training"].get("epochs", 1) // entry["epochs_per_job"]
    key = max(counts, key=counts.__getitem__)
    value = repr(entry[key])
    return f".{key}: {value if len(value) < 60 else value[:50] + ' …'}"
