"""Training from scratch on the labels that a probe of a trained network gives its training set."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from latentgen import models, tables
from latentgen.activations.sources import Stream
from latentgen.checkpoints import at_epoch, last_epoch, run_name
from latentgen.interventions.again import history_of
from latentgen.interventions.declaration import RELABEL
from latentgen.interventions.heads import named_layer
from latentgen.labels import RunLabels
from latentgen.locks import locked
from latentgen.probes.evaluate import Task, fit
from latentgen.progress import log
from latentgen.trained import TrainedCell
from latentgen.training.cell import state_folder
from latentgen.training.recipe import Recipe


def relabel_cell(
    cell: TrainedCell,
    settings: Mapping[str, Any],
    *,
    probe: Mapping[str, Any],
    training: Mapping[str, Any],
) -> pa.Table:
    """Rows of the table of relabelled trainings for all runs of a cell.

    The probe is fitted on the training split under its given labels, on the run's last checkpoint, and predicts the
    same examples. The second training has the run's own initialisation, order and recipe. What is held out keeps its
    given labels.

    Parameters
    ----------
    settings : ``probe`` (name) and ``layer`` ("last" or a layer's name); probe : that probe's settings
    training : recipe of both trainings, as a configuration has it
    """
    source, data, model, recipe = cell.stream(), cell.data, cell.model, Recipe.from_config(training)
    partial = cell.folder / "partial" / "relabel"
    parts = [RELABEL.table.schema.empty_table()]
    with locked(partial / "lock"):
        for run in cell.runs:
            checkpoint = at_epoch(cell.folder, run, last_epoch(cell.folder, run))
            labels = cell.labels[run["data_seed"]]
            source.load(checkpoint)
            layer = named_layer(settings["layer"], source.layers)
            given = _predicted(source, layer, probe, labels, data, run["data_seed"])
            quality = tables.from_rows(_quality(run, given, labels), tables.HISTORY)
            # Named by the new labels: whatever they were made from, equal ones train equally.
            new = replace(labels, given=given)
            common = (models.unnamed(model), recipe, source.device, cell.threads)
            work = state_folder(partial / run_name(run), run, data, new, *common)
            network = models.initialised(model, data.in_shape, data.n_classes, run["model_seed"])
            history = _renamed(history_of(run, data, new, network, recipe, work, source.device))
            named = {"from_epoch": checkpoint.epoch, "probe": settings["probe"], "layer": layer}
            parts.append(tables.with_columns(pa.concat_tables([quality, history]), named, RELABEL.table.schema))
    return pa.concat_tables(parts)


def _predicted(source: Stream, layer: str, probe, labels: RunLabels, data, data_seed: int) -> np.ndarray:
    """(n,) labels: the probe's for the training split, the given ones for what is held out."""
    task = Task(labels, data.y_test, data.n_classes, data_seed)
    fitted = fit(source, [layer], {"probe": probe}, task, probe["batch_norm"], source.device)[layer]
    if not fitted:
        raise ValueError(f"the relabelling probe is not meant for layers as wide as {layer!r}; choose another")
    predicted = labels.given.copy()
    for rows, parts in source.chunks("train", [layer], probe["batch_norm"]):
        predicted[rows] = fitted["probe"].predict(parts[layer]).cpu().numpy()
    predicted[labels.validation] = labels.given[labels.validation]
    return predicted


def _quality(run: Mapping[str, Any], given: np.ndarray, labels: RunLabels) -> list[dict[str, Any]]:
    rows = []
    for kind in ("true", "given"):
        equal = (given == getattr(labels, kind))[labels.train]
        log.info("%s: %.4f of the new labels are the %s ones", run_name(run), equal.mean(), kind)
        named = {"epoch": 0, "split": "train", "labels": kind, "mode": "relabelling", "metric": "label_accuracy"}
        rows.append({**run, **named, "value": float(equal.mean()), "n": len(equal)})
    return rows


def _renamed(history: pa.Table) -> pa.Table:
    """The history of the second training, whose given labels are the new ones."""
    pairs = zip(history["split"].to_pylist(), history["labels"].to_pylist(), strict=True)
    renamed = ["relabelled" if pair == ("train", "given") else pair[1] for pair in pairs]
    return history.set_column(history.schema.get_field_index("labels"), "labels", pa.array(renamed, pa.string()))
