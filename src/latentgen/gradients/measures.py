"""Norms, projections and cosines of the gradients of groups of examples, for each layer of one network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from latentgen.gradients.passes import PARTS, summed
from latentgen.models.layers import weights_by_layer

#: The layer of all weights together, and the group of all examples.
NETWORK, ALL = "network", "all"


@dataclass(frozen=True)
class LayerGradients:
    """Gradients of one layer's weights for several groups of examples, known by their inner products.

    A group's gradient is that of its mean loss. ``part`` is one of `latentgen.gradients.passes.PARTS`: total, the
    gradient of cross-entropy; label, of -z_y; independent, of logsumexp(z); label_centered and independent_centered,
    the same two after the mean logit is added to the first and taken from the second, so that derivatives by the logits
    are -(e_y - 1/C) and softmax(z) - 1/C. Either pair adds to the total.

    Attributes
    ----------
    layer, depth : its name and place; ``network`` and None for all weights together
    parameters : number of weights
    sizes : number of examples of each group, the last of which is ``all``
    products : (groups, parts, groups, parts) float64, inner products, with NaN for a group without examples
    """

    layer: str
    depth: int | None
    parameters: int
    sizes: Mapping[str, int]
    products: np.ndarray

    def norm(self, group: str, part: str) -> float:
        """Euclidean norm, NaN for an empty group."""
        square = self._product((group, part), (group, part))
        return float(np.sqrt(np.maximum(square, 0)))  # rounding leaves less where terms cancel

    def projection(self, group: str, part: str) -> float:
        """Signed length along the total gradient of all examples, NaN where that vanishes or the group is empty."""
        total = (ALL, "total")
        return _ratio(self._product((group, part), total), self.norm(*total))

    def cosine(self, one: tuple[str, str], other: tuple[str, str]) -> float:
        """Cosine between the gradients of two (group, part); NaN where one vanishes or has no examples."""
        return _ratio(self._product(one, other), self.norm(*one) * self.norm(*other))

    def _product(self, one: tuple[str, str], other: tuple[str, str]) -> float:
        groups, parts = list(self.sizes), list(PARTS)
        (group, part), (group2, part2) = one, other
        return self.products[groups.index(group), parts.index(part), groups.index(group2), parts.index(part2)]


def layer_gradients(
    model: nn.Module,
    batch: Callable[[torch.Tensor], torch.Tensor],
    examples: np.ndarray,
    labels: np.ndarray,
    groups: Mapping[str, np.ndarray],
) -> list[LayerGradients]:
    """Gradients of every layer that has trained weights, in order of depth, and of all of them together.

    They are exact: sums over all examples, not estimates from minibatches. The network is in eval mode, with running
    batch-norm statistics and without dropout: with those of a batch, an example's gradient would depend on the others
    of its batch, and a set's on how it was divided. So at the end of training they are not quite what the optimiser
    saw.

    Groups may overlap. Gradients are summed over the disjoint sets that the groups divide the examples into, of which
    every group is a union.

    Parameters
    ----------
    model : with the attribute ``probed`` (`latentgen.models`), in eval mode
    batch : gives the images (b, channels, height, width) float32 of a (b,) tensor of indices, both on the model's
        device, such as `latentgen.pixels.Pixels.batch`
    examples : (n,) int64 indices, all that count
    labels : (n,) int64 labels of ``examples``
    groups : (n,) bool each, which examples belong to it; ``all`` is added

    Raises
    ------
    ValueError
        The model is in training mode, there are no examples, or a probed layer is not reached.

    Source: Stephenson et al. (ICLR 2021), who split the loss in this way.
    """
    if model.training:
        raise ValueError("the model is in training mode, where gradients of a set depend on its batches; call eval()")
    if not len(examples):
        raise ValueError("examples is empty; give the indices of at least one example")
    examples = np.asarray(examples, np.int64)
    members = np.stack([*(np.asarray(group, bool) for group in groups.values()), np.ones(len(examples), bool)])
    unions, of = np.unique(members, axis=1, return_inverse=True)
    sets = [examples[of == number] for number in range(unions.shape[1])]
    device = next(model.parameters()).device
    by_index = torch.zeros(int(examples.max()) + 1, dtype=torch.int64, device=device)
    by_index[torch.from_numpy(examples).to(device)] = torch.from_numpy(np.array(labels)).to(device)

    layers = weights_by_layer(model, batch(torch.from_numpy(examples[:1]).to(device)))
    named = dict(model.named_parameters())
    weights = [[named[name] for name in layer.parameters] for layer in layers]
    sums = summed(model, batch, by_index, sets, [parameter for part in weights for parameter in part]).flatten(0, 1)
    counts = [sum(parameter.numel() for parameter in part) for part in weights]

    sizes = members.sum(1)
    means = unions / np.where(sizes, sizes, np.nan)[:, None]
    # From the sums to the gradients of all groups and parts, and so from inner products to inner products.
    combine = np.einsum("gs,pc->gpsc", means, np.array(list(PARTS.values()))).reshape(len(sizes) * len(PARTS), -1)
    grams = [(part @ part.T).cpu().numpy() for part in sums.split(counts, dim=1)]
    places = [(layer.layer, layer.depth) for layer in layers]
    names = [*groups, ALL]
    found = []
    for (layer, depth), count, gram in zip(
        [*places, (NETWORK, None)], [*counts, sum(counts)], [*grams, sum(grams)], strict=True
    ):
        products = (combine @ gram @ combine.T).reshape(len(sizes), len(PARTS), len(sizes), len(PARTS))
        found.append(LayerGradients(layer, depth, count, dict(zip(names, sizes.tolist(), strict=True)), products))
    return found


def _ratio(over: float, under: float) -> float:
    return float(over / under) if under > 0 else np.nan
