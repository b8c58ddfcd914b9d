"""A grid's jobs, checkpoints, seconds and bytes: what there is, times what a pilot found one of each to take."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

#: What an estimate says. ``rule`` is null where it is of no rule (runs, checkpoints, data), ``dataset`` and ``model``
#: where it is of all. ``quantity`` is jobs, runs, checkpoints, seconds (of all these jobs), longest_seconds (of one),
#: processor_seconds, gpu_seconds, chain_seconds (the longest sequence of jobs that wait for each other) or bytes, these
#: by ``kind`` of file. ``basis`` is exact, measured (on a pilot, times an exact number), upper bound (measured, times
#: the most that there can be) or assumed.
ESTIMATE = pa.schema(
    [
        ("dataset", pa.string()),
        ("model", pa.string()),
        ("rule", pa.string()),
        ("quantity", pa.string()),
        ("kind", pa.string()),
        ("value", pa.float64()),
        ("basis", pa.string()),
    ]
)

EXACT, MEASURED, MOST, ASSUMED = BASES = ("exact", "measured", "upper bound", "assumed")

#: Seconds of jobs over the whole grid beyond their start, as on small grids; data are prepared before the pilots.
GATHERING = {
    **{"prepare_data": 0.0, "try_models": 10.0, "accept_models": 0.1},
    **{"gather": 1.0, "count_weights": 10.0, "headline": 4.0, "draw_figure": 4.0},
}
#: Bytes of a figure in all its formats, with the table behind it.
FIGURE = 700_000
#: What is taken of a first training for another, or of a family of probes for one of them.
_BOUNDS = ("edit", "relabel")
#: Rules whose jobs follow on each other; all others wait for training alone.
_FIRST = ("draw_labels", "train", "dump_block")


def total(units: Mapping[str, float], each: Mapping[str, float]) -> float:
    """Sum over units of how many times how much; raises ``KeyError`` on a unit that was not measured."""
    return sum(count * each[unit] for unit, count in units.items())


def estimate(
    loads: Sequence[Mapping[str, Any]],
    gathering: Mapping[str, int],
    pilots: Mapping[str, Mapping[str, Any]],
    threads: int,
) -> pa.Table:
    """Rows of `ESTIMATE`.

    Parameters
    ----------
    loads, gathering : see `latentgen.estimate.counts`
    pilots : what `latentgen.estimate.pilot.measure` found, by name
    threads : of a job that computes
    """
    found = _Sums()
    for load in loads:
        pilot, cells, bound = pilots[load["pilot"]], load["cells"], MOST if load["most"] else MEASURED
        where = (load["dataset"], load["model"])
        found.add(*where, None, "runs", None, cells * load["runs"], EXACT)
        found.add(*where, None, "checkpoints", None, cells * load["checkpoints"], MOST if load["most"] else EXACT)
        for job in load["jobs"]:
            rule, count = job["rule"], cells * job["jobs"]
            basis = MEASURED if rule == "draw_labels" else MOST if rule in _BOUNDS else bound
            seconds = total(job["seconds"], pilot["seconds"])
            found.add(*where, rule, "jobs", None, count, EXACT)
            found.add(*where, rule, "seconds", None, count * seconds, basis)
            found.largest(*where, rule, "longest_seconds", None, seconds, basis)
            processors = 1 if rule == "draw_labels" else threads
            found.add(*where, rule, "processor_seconds", None, count * seconds * processors, basis)
            if pilot["device"] != "cpu" and rule != "draw_labels":
                found.add(*where, rule, "gpu_seconds", None, count * seconds, basis)
            for kind, units in job["bytes"].items():
                exact = kind == "checkpoints" and not load["most"]
                found.add(*where, rule, "bytes", kind, count * total(units, pilot["bytes"]), EXACT if exact else basis)
        found.largest(load["dataset"], None, None, "bytes", "data", pilot["bytes"]["data"], EXACT)
    start = max(pilot["seconds"]["start:light"] for pilot in pilots.values())
    seconds = {rule: start + GATHERING[rule] if GATHERING[rule] else 0.0 for rule in gathering}
    for rule, count in gathering.items():
        found.add(None, None, rule, "jobs", None, count, EXACT)
        for quantity in ("seconds", "processor_seconds"):
            found.add(None, None, rule, quantity, None, count * seconds[rule], ASSUMED)
        found.largest(None, None, rule, "longest_seconds", None, seconds[rule], ASSUMED)
    if "draw_figure" in gathering:
        found.add(None, None, "draw_figure", "bytes", "figures", gathering["draw_figure"] * FIGURE, ASSUMED)
    ends = seconds["gather"] + max(seconds.get("draw_figure", 0.0), seconds["headline"])
    chain = max(_chain(load["jobs"], pilots[load["pilot"]]["seconds"]) for load in loads) + ends
    found.add(None, None, None, "chain_seconds", None, chain, MOST if any(load["most"] for load in loads) else MEASURED)
    return found.table()


def _chain(jobs: Iterable[Mapping[str, Any]], each: Mapping[str, float]) -> float:
    """Seconds of the jobs of one cell that wait for each other: labels, training, perhaps a dump, one analysis."""
    longest: dict[str, float] = defaultdict(float)
    for job in jobs:
        longest[job["rule"]] = max(longest[job["rule"]], total(job["seconds"], each))
    return sum(longest.pop(rule, 0.0) for rule in _FIRST) + max(longest.values())


class _Sums:
    """Values by what they are of, with the weakest of the bases behind each."""

    def __init__(self):
        self.values: dict[tuple, float] = {}
        self.bases: dict[tuple, str] = {}

    def add(self, *row) -> None:
        *key, value, basis = row
        self._put(tuple(key), self.values.get(tuple(key), 0.0) + value, basis)

    def largest(self, *row) -> None:
        *key, value, basis = row
        self._put(tuple(key), max(self.values.get(tuple(key), 0.0), value), basis)

    def _put(self, key: tuple, value: float, basis: str) -> None:
        self.values[key] = value
        self.bases[key] = max(self.bases.get(key, EXACT), basis, key=BASES.index)

    def table(self) -> pa.Table:
        names = ESTIMATE.names[:-2]
        rows = [
            {**dict(zip(names, key, strict=True)), "value": float(value), "basis": self.bases[key]}
            for key, value in self.values.items()
        ]
        return pa.Table.from_pylist(rows, schema=ESTIMATE)
