"""Networks some of whose layers have other weights: swapped in place, scored on every view, and put back."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from latentgen import seeds
from latentgen.activations import OUTPUT
from latentgen.activations.sources import CHUNK, Stream
from latentgen.labels import RunLabels
from latentgen.models.layers import weights_by_layer

#: In the column ``batch_norm``: running statistics estimated after the swap, and no such statistics in the network.
REESTIMATED, WITHOUT = "reestimated", "none"


class View(NamedTuple):
    """``n`` of a split's examples, those that ``members`` (all,) bool names, by ``labels`` (all,) int64; on the device.

    Views are those of the table of rewinding.
    """

    name: str
    split: str
    labels: torch.Tensor
    members: torch.Tensor
    n: int


class Scored(NamedTuple):
    """What networks of a run are scored on: indices of ``examples`` by split, and the ``views`` of these."""

    examples: Mapping[str, np.ndarray]
    views: Sequence[View]


def scored(
    labels: RunLabels, test_labels: np.ndarray, most: int | None, data_seed: int, device: torch.device
) -> Scored:
    """The test set, the training split, and what is held out, if anything.

    Of each split at most ``most`` examples (None: all), drawn for the data seed alone, so that they are the same for
    all networks. A view of the training split that has no examples is there all the same.
    """
    test_labels = np.asarray(test_labels)
    examples = {}
    for split, rows in (
        ("test", np.arange(len(test_labels))),
        ("train", labels.train),
        ("validation", labels.validation),
    ):
        if most is not None and len(rows) > most:
            random = np.random.default_rng(seeds.derive("rewind examples", data_seed, split))
            rows = np.sort(random.permutation(rows)[:most])
        if len(rows):
            examples[split] = rows
    given, true = labels.given[examples["train"]], labels.true[examples["train"]]
    found = [
        ("test", "test", test_labels[examples["test"]], True),
        ("unpermuted", "train", given, given == true),
        ("permuted", "train", given, given != true),
        ("restored", "train", true, given != true),
    ]
    if "validation" in examples:
        found.append(("validation", "validation", labels.given[examples["validation"]], True))
    views = []
    for name, split, wanted, members in found:
        members = np.broadcast_to(members, wanted.shape).copy()
        on_device = [torch.from_numpy(part).to(device) for part in (wanted, members)]
        views.append(View(name, split, *on_device, int(members.sum())))
    return Scored(examples, views)


def layer_sets(n: int) -> dict[tuple[str, int], frozenset[int]]:
    """Places of the layers that a row's kind and layer stand for, among ``n``: each alone, each prefix and suffix."""
    sets = {("alone", place): frozenset([place]) for place in range(n)}
    sets |= {("prefix", place): frozenset(range(place + 1)) for place in range(n)}
    return sets | {("suffix", place): frozenset(range(place, n)) for place in range(n)}


class Swaps:
    """The network of ``source`` with the weights of some layers replaced. Between calls it is as it was loaded.

    Parameters
    ----------
    batch_norm : ways to treat running statistics, "rewound" or "reestimated"; without effect where there are none
    """

    def __init__(self, source: Stream, batch_norm: Sequence[str]):
        self.source = source
        self.layers = weights_by_layer(source.model, source.pixels["test"].batch(slice(0, 1)))
        self.batch_norm = list(batch_norm) if _estimating(source.model) else [WITHOUT]

    def rows(self, weights: Mapping[str, torch.Tensor], on: Scored) -> list[dict[str, Any]]:
        """Rows of the table of rewinding but for the columns of run, epochs, weights, draw and inputs.

        Every set of layers is given ``weights``, a state dict on the source's device. Sets that give the same network
        (because they are equal, or layers in which they differ have equal weights) are evaluated once.
        """
        state = self.source.model.state_dict()
        differing = {
            place
            for place, layer in enumerate(self.layers)
            if not all(torch.equal(state[name], weights[name]) for name in layer.parameters + layer.buffers)
        }
        measured: dict[tuple[str, frozenset[int]], list[dict]] = {}
        rows = []
        for mode in self.batch_norm:
            for (kind, place), members in layer_sets(len(self.layers)).items():
                changed = members & differing
                if (mode, changed) not in measured:
                    names = [
                        name for other in changed for name in self.layers[other].parameters + self.layers[other].buffers
                    ]
                    with _swapped(state, names, weights):
                        measured[mode, changed] = self.evaluate(mode, on)
                named = {
                    "kind": kind,
                    "layer": self.layers[place].layer,
                    "depth": self.layers[place].depth,
                    "parameters": sum(state[name].numel() for one in members for name in self.layers[one].parameters),
                    "batch_norm": mode,
                }
                rows += [{**named, **values} for values in measured[mode, changed]]
        return rows

    def evaluate(self, mode: str, on: Scored) -> list[dict[str, Any]]:
        """Accuracy of the network as it now is, a row for each view, with ``batch_norm`` ``mode``."""
        with reestimated(self.source, on.examples["train"]) if mode == REESTIMATED else nullcontext():
            predicted = {split: self._predicted(split, rows) for split, rows in on.examples.items()}
        counts = [((predicted[view.split] == view.labels) & view.members).sum() for view in on.views]
        return [
            {"view": view.name, "metric": "accuracy", "value": count / view.n if view.n else None, "n": view.n}
            for view, count in zip(on.views, torch.stack(counts).tolist(), strict=True)
        ]

    def _predicted(self, split: str, rows: np.ndarray) -> torch.Tensor:
        chunks = self.source.chunks("test" if split == "test" else "train", [OUTPUT], examples=rows)
        return torch.cat([layers[OUTPUT].argmax(1) for _, layers in chunks])


@contextmanager
def _swapped(
    state: Mapping[str, torch.Tensor], names: Sequence[str], weights: Mapping[str, torch.Tensor]
) -> Iterator[None]:
    """Let the tensors ``names`` of ``state``, which a network uses, have the values of ``weights`` for a while."""
    kept = {name: state[name].clone() for name in names}
    try:
        for name in names:
            state[name].copy_(weights[name])
        yield
    finally:
        for name, tensor in kept.items():
            state[name].copy_(tensor)


@contextmanager
@torch.no_grad()
def reestimated(source: Stream, examples: np.ndarray) -> Iterator[None]:
    """Let all batch-norm modules have running statistics estimated anew on ``examples`` of the training set.

    The mean over chunks of the statistics of each, with every chunk normalised by its own as in training; everything
    else, dropout too, stays in eval mode. Chunks are of equal size to one example, since each counts as much, and in
    order, so that the same network always gets the same statistics. Afterwards the statistics are those from before.

    Source: Izmailov et al. (UAI 2018), section 3.2, who do so after averaging weights.
    """
    modules = _estimating(source.model)
    kept = [({name: buffer.clone() for name, buffer in module.named_buffers()}, module.momentum) for module in modules]
    try:
        for module in modules:
            module.reset_running_stats()
            module.momentum = None  # the mean over all chunks
            module.train()
        for chunk in torch.from_numpy(examples).tensor_split(-(-len(examples) // CHUNK)):
            source.model(source.pixels["train"].batch(chunk.to(source.device)))
        source.model.eval()
        yield
    finally:
        source.model.eval()
        for module, (buffers, momentum) in zip(modules, kept, strict=True):
            module.momentum = momentum
            for name, buffer in module.named_buffers():
                buffer.copy_(buffers[name])


def _estimating(model: torch.nn.Module) -> list[_BatchNorm]:
    """The batch-norm modules of ``model`` that have running statistics."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm) and module.running_mean is not None]
