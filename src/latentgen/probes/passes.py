"""Passes over the training examples of one checkpoint that probes and interventions share."""

from collections.abc import Callable, Collection, Mapping, Sequence

import torch

from latentgen.labels import RunLabels
from latentgen.probes.moments import ClassMoments


def training_mask(labels: RunLabels, device: torch.device) -> torch.Tensor:
    """(n,) bool on ``device``: examples that were trained on, not held out."""
    mask = torch.zeros(len(labels.given), dtype=torch.bool, device=device)
    mask[torch.from_numpy(labels.train).to(device)] = True
    return mask


def class_moments(
    source,
    layers: Sequence[str],
    labels: RunLabels,
    targets: Mapping[str, torch.Tensor],
    n_classes: int,
    needs: Callable[[str, int], Collection[str] | None] = lambda _kind, _width: ("gram",),
    batch_norm: str = "running",
) -> dict[tuple[str, str], ClassMoments]:
    """Moments of the activations that were trained on, one for each layer and kind of label.

    Parameters
    ----------
    source : `latentgen.activations.Stream` or `latentgen.activations.Dump` of one checkpoint
    targets : (n,) labels of all training examples on the source's device, by kind
    needs : which second moments (`ClassMoments`) are wanted of a kind of label and a layer of some width; None where
        not even sums are
    """
    training = training_mask(labels, source.device)
    moments: dict[tuple[str, str], ClassMoments] = {}
    for rows, parts in source.chunks("train", layers, batch_norm):
        chosen = training[rows]
        for layer, part in parts.items():
            for kind, target in targets.items():
                second = needs(kind, part.shape[1])
                if second is None:
                    continue
                if (layer, kind) not in moments:
                    new = ClassMoments(part.shape[1], range(n_classes), device=source.device, second=second)
                    moments[layer, kind] = new
                moments[layer, kind].update(part[chosen], target[rows][chosen])
    return moments


def training_features(source, layer: str, labels: RunLabels, batch_norm: str = "running") -> torch.Tensor:
    """(n, d) float32 activations of the examples that were trained on, all of one layer in memory."""
    training = training_mask(labels, source.device)
    return torch.cat([part[layer][training[rows]] for rows, part in source.chunks("train", [layer], batch_norm)])
