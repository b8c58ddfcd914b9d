"""Dumps of whole layers: single ones as asked for, and all of a block for probes that read dumps."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latentgen import datasets, models
from latentgen.activations.sources import Stream, dump, dump_layers
from latentgen.checkpoints import at_epoch, block_epochs, in_epochs
from latentgen.compute import choose_device, use_threads
from latentgen.datasets import Dataset
from latentgen.progress import log


def stream(data: Dataset | str | os.PathLike, model: Mapping[str, Any], device: str, threads: int) -> Stream:
    """Stream of a declared model (``factory``, ``options``) before any weights are loaded.

    ``data`` : a data set, or the folder of a prepared one
    """
    use_threads(threads)
    data = data if isinstance(data, Dataset) else datasets.load(data)
    network = models.declared(model, data.in_shape, data.n_classes, 0)
    return Stream(network, data, choose_device(device))


def dump_layer(
    folder: str | os.PathLike,
    run: Mapping[str, Any],
    epoch: int,
    layer: str,
    source: Stream,
    path: str | os.PathLike,
) -> None:
    """Write one layer of one checkpoint to ``path``.

    Raises ``LookupError`` when the run stopped before ``epoch`` or did not keep it, ``ValueError`` on an unknown layer.
    """
    source.load(at_epoch(folder, run, epoch))
    dump(source, layer, path)


def dump_block(
    folder: str | os.PathLike,
    runs: Sequence[Mapping[str, Any]],
    block: str,
    source: Stream,
    target: str | os.PathLike,
) -> None:
    """Write every layer of every checkpoint of a block as ``{target}/{run}/epoch-NNNN/{layer}.npy``."""
    Path(target).mkdir(parents=True, exist_ok=True)
    for checkpoint in in_epochs(folder, runs, block_epochs(block)):
        source.load(checkpoint)
        dump_layers(source, checkpoint.dump_folder(target), checkpoint.sha256)
        log.info("dumped %s", checkpoint.dump_folder(target))
