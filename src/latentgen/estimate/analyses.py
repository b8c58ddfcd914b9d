"""What the analyses of a grid take, each measured on one or a few checkpoints of a pilot's cell.

Imports wait for the first call, as they do in a job, because that call is clocked.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from latentgen import analyses, tables
from latentgen.analysis import Analysis, loaded
from latentgen.checkpoints import run_name
from latentgen.estimate.work import DUMP
from latentgen.trained import TrainedCell

#: Seconds after which an analysis of one checkpoint is not repeated; after which, repeated, it is not measured on
#: several; and that several may take.
LONGEST, LONG, SPAN = 60.0, 15.0, 3.0


class Analyses:
    """What analyses of the last few checkpoints of a pilot's cell take.

    Parameters
    ----------
    folder : of the cell, with labels.parquet; run : its columns; kept : epochs that it kept, ascending
    plan : see `latentgen.estimate.counts.pilots`
    """

    def __init__(
        self,
        folder: Path,
        run: Mapping[str, Any],
        plan: Mapping[str, Any],
        data_folder: str | os.PathLike,
        device: str,
        threads: int,
        kept: list[int],
    ):
        self.kept = kept
        labels = folder / "labels.parquet"
        self.cell = TrainedCell(folder, [run], Path(data_folder), labels, plan["model"], device, threads)
        self.block = f"0-{kept[-1]}"
        self.dumps = None
        if any(name == DUMP for name, _ in plan["tasks"].values()):
            # Each takes much room: no more than are needed to tell one from two.
            self.kept = kept[-3:]
            self._dump(2)
            self.dumps = folder / "dumps"

    def measure(self, task: str, name: str, settings) -> tuple[dict[str, float], dict[str, float]]:
        """Seconds and bytes of a task's units."""
        if name == DUMP:
            found = self.per_checkpoint(self._dump)
        else:
            analysis = analyses.NAMED[name]
            if analysis.cost.measure:
                found = loaded(analysis.cost.measure)(self, settings)
            else:
                found = self.per_checkpoint(lambda n: self.rows(analysis, settings, n))
        return tuple({f"{task}:{unit}": value for unit, value in part.items()} for part in found)

    def rows(self, analysis: Analysis, settings, n: int) -> pa.Table:
        """Rows of an analysis for the last ``n`` checkpoints."""
        named = {"block": self.block} if "block" in analysis.wildcards else {}
        named |= {"dumps": self.dumps} if "dumps" in analysis.inputs else {}
        return analysis.run(self.last(n), settings, **named)

    def per_checkpoint(self, call: Callable[[int], pa.Table | int]) -> tuple[dict[str, float], dict[str, float]]:
        """What ``call`` of one checkpoint and of several take, split into what is fixed and what each adds.

        The first call pays for what a process does once, such as imports. Where one checkpoint takes long, less is
        repeated, and what is not told apart counts as that checkpoint's.
        """
        cold, size = self._timed(call, 1)
        once = cold if cold > LONGEST else self._timed(call, 1)[0]
        if once > LONG:
            return {"cold": max(cold - once, 0.0), "fixed": 0.0, "each": once}, {"file": 0.0, "each": size}
        n = min(max(2, 1 + int(SPAN / max(once, 1e-3))), len(self.kept) - 1)
        several, sizes = self._timed(call, n)
        each = (several - once) / (n - 1)
        if not 0 < each < several / n:  # a disturbed clock
            each = several / n
        growth = max((sizes - size) / (n - 1), 0.0)
        seconds = {"cold": max(cold - once, 0.0), "fixed": max(once - each, 0.0), "each": each}
        return seconds, {"file": max(size - growth, 0.0), "each": growth}

    def _timed(self, call: Callable[[int], pa.Table | int], n: int) -> tuple[float, float]:
        """Seconds of a call, its writing included, and the bytes that it gave."""
        began, path = time.perf_counter(), self.cell.folder / "rows.parquet"
        found = call(n)
        if isinstance(found, pa.Table):
            tables.write(found, path)
            found = path.stat().st_size
        return time.perf_counter() - began, found

    def last(self, n: int) -> TrainedCell:
        """The cell with but the last ``n`` checkpoints."""
        folder = self.cell.folder / f"last-{n}"
        if not folder.exists():
            folder.mkdir()
            index = json.loads((self.cell.folder / "checkpoints.json").read_text())
            for run in index.values():
                run["sha256"] = {str(epoch): run["sha256"][str(epoch)] for epoch in self.kept[-n:]}
            (folder / "checkpoints.json").write_text(json.dumps(index))
            (folder / "checkpoints").symlink_to((self.cell.folder / "checkpoints").resolve())
        return replace(self.cell, folder=folder)

    def _dump(self, n: int) -> int:
        """Bytes of the dumps of ``n`` checkpoints, which stay for the probes."""
        from latentgen.activations.dumps import dump_block

        target = self.cell.folder / "dumps"
        cell = self.last(n)
        dump_block(cell.folder, cell.runs, self.block, cell.stream(), target)
        written = [target / run_name(cell.runs[0]) / f"epoch-{epoch:04d}" for epoch in self.kept[-n:]]
        return sum(path.stat().st_size for folder in written for path in folder.iterdir())
