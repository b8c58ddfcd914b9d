"""Runs, the cells that share a job, and where their files lie."""

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from latentgen import models
from latentgen.analysis import Analysis
from latentgen.grid import spans
from latentgen.probes.declaration import families

#: Instead of model seeds: each run's model seed is its data seed, so that intervals over data seeds also hold what
#: initialisation and order contribute (at level 0 nothing else differs between runs).
PAIRED = "paired"


@dataclass(frozen=True)
class Run:
    """One training. ``entry`` is the hash of everything in the configuration that the run's weights depend on."""

    dataset: str
    model: str
    noise: str
    level: float
    data_seed: int
    model_seed: int
    entry: str

    @property
    def name(self) -> str:
        """Name within its cell, for example ``data0-model0``."""
        return f"data{self.data_seed}-model{self.model_seed}"

    def columns(self) -> dict[str, Any]:
        """Columns that name the run in every table (`latentgen.tables.RUN`)."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class Cell:
    """What one job handles: a grid point and the seeds that share its jobs.

    ``settings`` is the grid entry with defaults filled in, less what is multiplied out; ``declared_model`` the
    factory and options behind the model's name, for a user's own the code that makes it (`latentgen.grid.code`), and
    the layers and the readout where the configuration names them.
    """

    dataset: str
    model: str
    noise: str
    level: float
    data_seeds: str
    model_seeds: str
    settings: Mapping[str, Any] = field(repr=False, hash=False)
    declared_model: Mapping[str, Any] = field(repr=False, hash=False)
    declared_dataset: Mapping[str, Any] | None = field(repr=False, hash=False)

    @property
    def seeds(self) -> str:
        """Folder name of the cell, for example ``data0-4-model0``, or ``data0-4-paired``."""
        if self.model_seeds != PAIRED:
            return f"data{self.data_seeds}-model{self.model_seeds}"
        single = "-" not in self.data_seeds
        return f"data{self.data_seeds}-model{self.data_seeds}" if single else f"data{self.data_seeds}-{PAIRED}"

    @property
    def path(self) -> str:
        """Folder of the cell."""
        return f"results/runs/{self.dataset}/{self.model}/{self.noise}-{self.level!r}/{self.seeds}"

    @cached_property
    def entry(self) -> str:
        """Hash that the runs of this cell carry."""
        parts = {
            "dataset": [self.dataset, self.declared_dataset],
            "model": models.unnamed(self.declared_model),
            "noise": [self.noise, self.level],
            "training": self.settings["training"],
            "validation": self.settings["validation"],
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]

    @cached_property
    def runs(self) -> list[Run]:
        """Runs of this cell, in order of data seed, then model seed."""
        point = (self.dataset, self.model, self.noise, self.level)
        data = spans.seeds(self.data_seeds)
        if self.model_seeds == PAIRED:
            pairs = zip(data, data, strict=True)
        else:
            pairs = itertools.product(data, spans.seeds(self.model_seeds))
        return [Run(*point, *pair, self.entry) for pair in pairs]

    @cached_property
    def saved_epochs(self) -> list[int]:
        """Epochs whose weights are kept, besides the first and the last."""
        return sorted({0, *spans.epochs(self.settings["saved_epochs"])})

    @cached_property
    def blocks(self) -> list[str]:
        """Fixed ranges of epochs up to the most that are trained, for example ``0000-0099``.

        A range is declared when a saved epoch, or the epoch at which training stops, may fall into it.
        """
        size, last = self.settings["epochs_per_job"], self.settings["training"]["epochs"]
        may_stop_early = self.settings["training"]["stop_accuracy"] is not None
        saved = {epoch // size for epoch in [*self.saved_epochs, last]}
        starts = range(last // size + 1) if may_stop_early else sorted(saved)
        return [f"{start * size:04d}-{(start + 1) * size - 1:04d}" for start in starts]

    @cached_property
    def families(self) -> dict[str, dict[str, dict]]:
        """Probes by family, the group that shares a job: family → name → settings of the probe."""
        return families(self.settings["probes"])

    def settings_of(self, analysis: Analysis, job: Mapping[str, str]) -> Any:
        """Settings of an analysis that the cell has, as one of its `jobs` needs them: of probes those of its family."""
        return self.families[job["family"]] if "family" in analysis.wildcards else analysis.given(self.settings)

    def jobs(self, analysis: Analysis) -> list[dict[str, str]]:
        """Jobs of an analysis that the cell has, each by what its file's name has in braces."""
        places = {"block": self.blocks, "family": self.families}
        if "epoch" in analysis.wildcards:
            places["epoch"] = [f"{epoch:04d}" for epoch in analysis.given(self.settings)["epochs"]]
        names = analysis.wildcards
        return [dict(zip(names, job, strict=True)) for job in itertools.product(*(places[name] for name in names))]


class Grid:
    """All cells of a configuration that `latentgen.grid.load` has accepted."""

    def __init__(self, config: Mapping[str, Any], cells: list[Cell]):
        self.config = config
        self.cells = cells
        self._by_path = {cell.path: cell for cell in cells}

    def cell(self, dataset: str, model: str, noise: str, level: str, seeds: str) -> Cell:
        """Cell of these path components; raises ``KeyError`` when the configuration has none."""
        path = f"results/runs/{dataset}/{model}/{noise}-{level}/{seeds}"
        try:
            return self._by_path[path]
        except KeyError:
            raise KeyError(f"the configuration has no runs for {path}") from None

    def cell_of_run(self, dataset: str, model: str, noise: str, level: str, run: str) -> tuple[Cell, Run]:
        """The cell that trains one run, and the run; raises ``KeyError`` when there is none."""
        try:
            return self._by_run[dataset, model, noise, level, run]
        except KeyError:
            raise KeyError(f"the configuration has no run {run} for {dataset}/{model}/{noise}-{level}") from None

    @cached_property
    def _by_run(self) -> dict[tuple[str, str, str, str, str], tuple[Cell, Run]]:
        return {
            (run.dataset, run.model, run.noise, repr(run.level), run.name): (cell, run)
            for cell in self.cells
            for run in cell.runs
        }

    @cached_property
    def probes(self) -> dict[str, dict[str, Any]]:
        """Settings of every probe by its name, which means one thing in all entries."""
        return {name: probe for cell in self.cells for name, probe in cell.settings["probes"].items()}

    @cached_property
    def models(self) -> dict[str, Mapping[str, Any]]:
        """Factory and options behind each model's name."""
        return {cell.model: cell.declared_model for cell in self.cells}

    @property
    def datasets(self) -> list[str]:
        """Names of the data sets in use."""
        return sorted({cell.dataset for cell in self.cells})
