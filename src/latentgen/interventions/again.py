"""Trainings that follow on the first one of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from latentgen.datasets import Dataset
from latentgen.labels import RunLabels
from latentgen.training.loop import Training
from latentgen.training.recipe import Recipe


def history_of(
    run: Mapping[str, Any],
    data: Dataset,
    labels: RunLabels,
    network: torch.nn.Module,
    recipe: Recipe,
    work: Path,
    place: torch.device,
    first_epoch: int = 0,
) -> pa.Table:
    """History of a training of ``network``, which goes on from the state in ``work`` where there is one.

    Parameters
    ----------
    run : its columns; labels : that training sees
    work : see `latentgen.training.cell.state_folder`
    first_epoch : that the network has behind it
    """
    seen = (labels.given, labels.train, labels.validation)
    training = Training(dict(run), data, network, *seen, recipe, [], work, place, first_epoch=first_epoch)
    training.fit()
    history = training.history_table()
    training.release()
    return history
