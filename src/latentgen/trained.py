"""A cell of the grid whose runs are trained: what every analysis of its checkpoints starts from."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentgen import datasets
from latentgen.checkpoints import Checkpoint, block_epochs, in_epochs
from latentgen.labels import RunLabels

if TYPE_CHECKING:
    from latentgen.activations.sources import Stream


@dataclass(frozen=True)
class TrainedCell:
    """Trained runs of one grid point, the data and labels that they saw, and what to compute on.

    Parameters
    ----------
    folder : of the cell, with its checkpoints and their index (see `latentgen.checkpoints`)
    runs : columns of each run
    data_folder : of the prepared data set; labels_file : labels.parquet of the cell
    model : as declared: ``factory``, ``options``, perhaps ``probed`` and ``readout``
    device, threads : see `latentgen.compute`
    """

    folder: Path
    runs: Sequence[Mapping[str, Any]]
    data_folder: Path
    labels_file: Path
    model: Mapping[str, Any]
    device: str
    threads: int

    @classmethod
    def of_job(cls, files: Any, params: Any) -> "TrainedCell":
        """The cell of a job.

        Parameters
        ----------
        files : with the attributes ``index`` (of the cell's checkpoints), ``data`` (any file of the prepared data set)
            and ``labels``
        params : with the attributes ``runs``, ``model``, ``device`` and ``threads``
        """
        folders = {"folder": Path(files.index).parent, "data_folder": Path(files.data).parent}
        computing = {"model": params.model, "device": params.device, "threads": params.threads}
        return cls(**folders, labels_file=Path(files.labels), runs=params.runs, **computing)

    @cached_property
    def data(self) -> datasets.Dataset:
        return datasets.load(self.data_folder)

    @cached_property
    def labels(self) -> dict[int, RunLabels]:
        """Labels by data seed."""
        return {run["data_seed"]: RunLabels.read(self.labels_file, run["data_seed"]) for run in self.runs}

    def checkpoints(self, block: str | None = None) -> list[Checkpoint]:
        """Those of all runs, or those in a block of epochs, of which there are none when training stopped before it."""
        return in_epochs(self.folder, self.runs, None if block is None else block_epochs(block))

    def inputs(self, checkpoint: Checkpoint, versions: Sequence[int], *rest: Any) -> str:
        """Hash of all that rows of a checkpoint are computed from: 16 hexadecimal digits.

        Not of the recipe's text: rows stay good where the weights are the same, say with more epochs.

        Parameters
        ----------
        versions : of the methods
        rest : what sets an analysis and its methods apart, as JSON can write it
        """
        run = {column: value for column, value in checkpoint.run.items() if column != "entry"}
        seen = [self.model, self.data.digest, self.labels[run["data_seed"]].digest]
        parts = [run, checkpoint.epoch, checkpoint.sha256, *seen, *rest, self.device, self.threads, versions]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def stream(self) -> "Stream":
        """Activations of the model on the data, before any weights are loaded."""
        from latentgen.activations.dumps import stream  # imports torch, which waits until something is computed

        return stream(self.data, self.model, self.device, self.threads)
