"""Trainings that go on from a checkpoint whose readout was edited.

Ketha & Ramaswamy (TMLR 2026, arXiv 2603.19865) edit at epoch 40 and train on to epoch 100.
"""

import copy
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa
import torch

from latentgen import models, tables
from latentgen.activations import LAST
from latentgen.activations.sources import Stream
from latentgen.checkpoints import at_epoch, last_epoch, run_name
from latentgen.interventions.again import history_of
from latentgen.interventions.declaration import EDIT
from latentgen.interventions.heads import (
    PUBLISHED,
    UNEDITED,
    Variant,
    class_rows,
    edited,
    expect_to_feed,
    named_layer,
)
from latentgen.labels import RunLabels
from latentgen.locks import locked
from latentgen.probes.passes import class_moments
from latentgen.progress import log
from latentgen.trained import TrainedCell
from latentgen.training.cell import state_folder
from latentgen.training.recipe import Recipe


def edit_cell(
    cell: TrainedCell,
    settings: Mapping[str, Any],
    *,
    epoch: int | str,
    training: Mapping[str, Any],
) -> pa.Table:
    """Rows of the table of edits for all runs of a cell, edited after ``epoch``; none for a run that had stopped.

    Training goes on to the epoch ``settings["until"]`` whatever the recipe's stop rule says, in the order that the run
    itself had in those epochs, with fresh optimiser state. Beside the edits stands their control: nothing edited, the
    optimiser started afresh all the same. An interrupted job goes on from the last state of each training.

    Parameters
    ----------
    settings : ``until``; ``layers``, "last" or names; ``bias``, "kept" or "zero" (that of a new readout is zero)
    training : recipe of the first training, as a configuration has it
    """
    source, data, epoch = cell.stream(), cell.data, int(epoch)
    recipe = replace(Recipe.from_config(training), epochs=settings["until"], stop_accuracy=None)
    partial = cell.folder / "partial" / "edit" / f"epoch-{epoch:04d}"
    parts = [EDIT.table.schema.empty_table()]
    with locked(partial / "lock"):
        for run in cell.runs:
            if last_epoch(cell.folder, run) < epoch:
                log.info("%s stopped before epoch %d: nothing to edit", run_name(run), epoch)
                continue
            source.load(at_epoch(cell.folder, run, epoch))
            labels = cell.labels[run["data_seed"]]
            for name, variant, network in _edits(settings, source, labels, data.n_classes):
                where = partial / f"{run_name(run)}-{name}-{variant.rows}-{variant.bias}"
                # Named by the edited weights: whatever they were made from, equal ones train on equally.
                made_from = (data, labels, cell.model, recipe, source.device, cell.threads, epoch, _digest(network))
                work = state_folder(where, run, *made_from)
                history = history_of(run, data, labels, network, recipe, work, source.device, first_epoch=epoch)
                named = {"edit_epoch": epoch, "layer": name, "rows": variant.rows, "bias": variant.bias}
                parts.append(tables.with_columns(history, named, EDIT.table.schema))
    return pa.concat_tables(parts)


def _edits(
    settings: Mapping[str, Any], source: Stream, labels: RunLabels, n_classes: int
) -> Iterable[tuple[str, Variant, torch.nn.Module]]:
    """The control, then the published edits of each layer: the layer's name, the variant, and a network of its own."""
    own = source.layers[-1]
    if own in settings["layers"] or LAST in settings["layers"]:
        _expect_to_take_rows(source, own)  # before the control, which is a whole training
    yield own, UNEDITED, _copied(source)
    given = torch.from_numpy(labels.given).to(source.device)
    has_bias = models.readout(source.model).bias is not None
    for layer in dict.fromkeys(LAST if layer == own else layer for layer in settings["layers"]):
        name = named_layer(layer, source.layers)
        moments = class_moments(source, [name], labels, {"given": given}, n_classes)
        rows = class_rows(moments[name, "given"], "axis")
        del moments  # as large as the activations, and the trainings come next
        # There is nothing to keep where a readout has no bias, or is new.
        biases = settings["bias"] if layer == LAST and has_bias else ["zero"]
        for variant in PUBLISHED:
            if variant.bias in biases:
                yield name, variant, edited(_copied(source), layer, variant, rows)


def _expect_to_take_rows(source: Stream, layer: str) -> None:
    """Raise ``ValueError`` when the readout is not fed by the last probed ``layer``, or cannot be given other rows."""
    expect_to_feed(source, layer)
    weight = models.readout(source.model).weight
    rows = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(weight.device)
    edited(_copied(source), LAST, PUBLISHED[0], rows)


@torch.no_grad()
def _copied(source: Stream) -> torch.nn.Module:
    """The network, to be changed. A pass first: what its submodules compute before a call has no graph then."""
    source.model(source.pixels["test"].batch(slice(0, 1)))
    return copy.deepcopy(source.model)


def _digest(network: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy())
    return digest.hexdigest()
