"""What the analyses of a grid take, each measured on one or a few checkpoints of a pilot's cell.

Imports wait for the first call, as they do in a job, because that call is clocked.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from latentgen import tables
from latentgen.checkpoints import at_epoch, run_name
from latentgen.trained import TrainedCell

#: Seconds after which an analysis of one checkpoint is not repeated; after which, repeated, it is not measured on
#: several; and that several may take.
LONGEST, LONG, SPAN = 60.0, 15.0, 3.0
#: Numba compiles the solver once for a machine; no job should be charged with that.
_COMPILE = (
    "import numpy as np; from latentgen.geometry import manifold_geometry; r = np.random.default_rng(0); "
    "manifold_geometry([r.normal(size=(4, 20)) for _ in range(3)], n_t=2, n_restarts=1)"
)


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
        if any(rule == "dump_block" for rule, _ in plan["tasks"].values()):
            # Each takes much room: no more than are needed to tell one from two.
            self.kept = kept[-3:]
            self._dump(2, None)
            self.dumps = folder / "dumps"

    def measure(self, task: str, rule: str, settings) -> tuple[dict[str, float], dict[str, float]]:
        """Seconds and bytes of a task's units."""
        if rule == "rewind":
            seconds, sizes = self._rewind(settings)
        elif rule == "geometry":
            subprocess.run([sys.executable, "-c", _COMPILE], check=True)
            seconds, sizes = self._sizes(lambda n: self._geometry(n, settings | {"simulated": None}))
            if settings["simulated"]:
                began = time.perf_counter()
                self._geometry(1, settings | {"simulated": settings["simulated"] | {"epochs": ["last"]}})
                without = seconds["fixed"] + seconds["each"]
                seconds["simulated"] = max(time.perf_counter() - began - without, 0.0)
        else:
            calls = {
                "fit_probes": self._probes,
                "gradients": self._gradients,
                "transfer": self._transfer,
                "maps": self._maps,
                "dump_block": self._dump,
            }
            seconds, sizes = self._sizes(lambda n: calls[rule](n, settings))
        return tuple({f"{task}:{unit}": value for unit, value in found.items()} for found in (seconds, sizes))

    def _sizes(self, call: Callable[[int], pa.Table | int]) -> tuple[dict[str, float], dict[str, float]]:
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

    def _last(self, n: int) -> TrainedCell:
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

    def _probes(self, n: int, family) -> pa.Table:
        from latentgen.probes.blocks import probe_block

        return probe_block(self._last(n), self.block, family, None, self.dumps)

    def _geometry(self, n: int, settings) -> pa.Table:
        from latentgen.geometry.blocks import geometry_block

        return geometry_block(self._last(n), self.block, settings, None)

    def _gradients(self, n: int, _settings) -> pa.Table:
        from latentgen.gradients.blocks import gradients_block

        return gradients_block(self._last(n), self.block, None)

    def _transfer(self, n: int, settings) -> pa.Table:
        from latentgen.interventions.transfer import transfer_block

        return transfer_block(self._last(n), self.block, settings, None)

    def _maps(self, n: int, settings) -> pa.Table:
        from latentgen.maps.cell import maps_cell

        return maps_cell(self._last(n), settings)

    def _dump(self, n: int, _settings) -> int:
        """Bytes of the dumps of ``n`` checkpoints, which stay for the probes."""
        from latentgen.activations.dumps import dump_block

        target = self.cell.folder / "dumps"
        cell = self._last(n)
        dump_block(cell.folder, cell.runs, self.block, cell.stream(), target)
        written = [target / run_name(cell.runs[0]) / f"epoch-{epoch:04d}" for epoch in self.kept[-n:]]
        return sum(path.stat().st_size for folder in written for path in folder.iterdir())

    def _rewind(self, settings) -> tuple[dict[str, float], dict[str, float]]:
        """From one network scored once in each mode: a map scores so many, as many as there are sets of layers."""
        from latentgen.interventions.swaps import Swaps, layer_sets, scored

        began = time.perf_counter()
        cell = self._last(1)
        source = cell.stream()
        (run,) = cell.runs
        source.load(at_epoch(cell.folder, run, self.kept[-1]))
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
