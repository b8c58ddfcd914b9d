"""Embeddings of the run that stands for a cell."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from latentgen import seeds, tables
from latentgen.activations import INPUT, OUTPUT, named_layers
from latentgen.activations.sources import Stream
from latentgen.checkpoints import in_epochs, last_epoch
from latentgen.embeddings.declaration import EMBEDDINGS, FEWEST, NEIGHBORS
from latentgen.embeddings.embedding import Embedding, embed
from latentgen.labels import RunLabels
from latentgen.progress import Rate, log
from latentgen.trained import TrainedCell


def embeddings_cell(
    cell: TrainedCell,
    settings: Mapping[str, Any],
) -> pa.Table:
    """Rows of the table of embeddings for all saved epochs of a cell's first run.

    Embeddings illustrate, they are no statistic. All epochs, layers and methods have the same examples. Where all
    examples of a layer are equal, or some value is not finite, coordinates and trustworthiness are null, and the next
    embedding is laid onto the one before.

    Parameters
    ----------
    settings : complete, see `latentgen.embeddings.declaration`

    Raises
    ------
    ValueError
        The model has no such layer, or there are fewer than 31 training examples.
    """
    source, run = cell.stream(), cell.runs[0]
    layers = [*source.layers, OUTPUT]
    wanted = named_layers(settings["layers"], source.layers, "embeddings.layers")
    labels = cell.labels[run["data_seed"]]
    examples = sample(labels, settings["examples"], run["data_seed"])
    shown = {
        "index": examples,
        "true_label": labels.true[examples],
        "given_label": labels.given[examples],
    }
    seed = seeds.derive("maps", run["data_seed"]) % 2**32
    checkpoints = in_epochs(cell.folder, [run], range(last_epoch(cell.folder, run) + 1))
    latest: dict[tuple[str, str], Embedding] = {}
    parts = [EMBEDDINGS.table.schema.empty_table()]
    rate = Rate(len(checkpoints))
    for done, checkpoint in enumerate(sorted(checkpoints, key=lambda checkpoint: checkpoint.epoch), start=1):
        source.load(checkpoint)
        for layer, features in _features(source, wanted, examples):
            for method in settings["methods"]:
                before = latest.get((layer, method))
                if layer == INPUT and before is not None:  # equal at every epoch
                    found = before
                else:
                    found = embed(method, features, None if before is None else before.points, seed)
                if found is not None:
                    latest[layer, method] = found
                named = {"epoch": checkpoint.epoch, "layer": layer, "depth": layers.index(layer), "method": method}
                parts.append(_rows(found, shown, {**run, **named}))
        log.info("epoch %d: %d of %d; %s", checkpoint.epoch, done, len(checkpoints), rate.left(done))
    return pa.concat_tables(parts)


def sample(labels: RunLabels, most: int, data_seed: int) -> np.ndarray:
    """Sorted indices of at most ``most`` training examples, half of them mislabelled (given label is not the true one).

    Where one kind is too few for its half, the other fills up. A random sample would have as many mislabelled ones as
    the noise has made, at low levels too few to be seen. Drawn once for a data seed.

    Raises ``ValueError`` where fewer than 31 are left, of which 15 neighbours say little.
    """
    generator = np.random.default_rng(seeds.derive("map examples", data_seed))
    is_wrong = labels.given[labels.train] != labels.true[labels.train]
    wrong, right = (generator.permutation(labels.train[kind]) for kind in (is_wrong, ~is_wrong))
    total = min(most, len(labels.train))
    if total < FEWEST:
        raise ValueError(
            f"embeddings.examples: {total} training examples (of {len(labels.train)}) are too few for {NEIGHBORS} "
            f"neighbours; give at least {FEWEST}, or set embeddings to null"
        )
    n_wrong = min(len(wrong), max(total // 2, total - len(right)))
    return np.sort(np.concatenate([wrong[:n_wrong], right[: total - n_wrong]]))


def _features(source: Stream, layers: Sequence[str], examples: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Each layer with its (examples, features), float32, from one pass."""
    collected: dict[str, list[torch.Tensor]] = {layer: [] for layer in layers}
    for _, parts in source.chunks("train", layers, examples=examples):
        for layer, part in parts.items():
            collected[layer].append(part.cpu())
    for layer in layers:
        yield layer, torch.cat(collected.pop(layer)).numpy()


def _rows(found: Embedding | None, shown: Mapping[str, np.ndarray], named: Mapping[str, Any]) -> pa.Table:
    n = len(shown["index"])
    x, y = (pa.nulls(n, pa.float64()),) * 2 if found is None else found.points.T
    trusted = {"trustworthiness": None if found is None else found.trustworthiness}
    return tables.with_columns(pa.table({**shown, "x": x, "y": y}), {**named, **trusted}, EMBEDDINGS.table.schema)
