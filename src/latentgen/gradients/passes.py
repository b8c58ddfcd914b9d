"""Sums of gradients over sets of examples, in one pass over the images."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from latentgen.models.layers import differentiable

#: Examples in a chunk. Fixed, because products differ in the last digit with the batch.
CHUNK = 500

#: Parts of the gradient as sums of the three that `summed` computes. Those three are such that no part is a small
#: difference of large ones: the total gradient vanishes where the data are memorised and the centred label-independent
#: part near initialisation, so both are computed as they are.
PARTS = {
    "total": (1, 0, 0),
    "label": (1, -1, -1),
    "independent": (0, 1, 1),
    "label_centered": (1, -1, 0),
    "independent_centered": (0, 1, 0),
}


def summed(
    model: nn.Module,
    batch: Callable[[torch.Tensor], torch.Tensor],
    labels: torch.Tensor,
    sets: Sequence[np.ndarray],
    parameters: Sequence[nn.Parameter],
) -> torch.Tensor:
    """Gradients with respect to ``parameters``, summed over each of ``sets``.

    They are those of cross-entropy, of logsumexp(z) minus the mean logit, and of the mean logit. Softmax is taken in
    float64, so that the residual of an example that is fitted closely keeps its digits; gradients of a chunk have the
    precision of the network and are added in float64.

    Parameters
    ----------
    model : in eval mode
    batch : gives the images (b, channels, height, width) of a tensor of indices, on the model's device
    labels : (n,) int64 on that device, of what the indices count
    sets : (k,) int64 indices each; a chunk never has examples of two

    Returns
    -------
    (sets, 3, total size of ``parameters``) float64 on the device
    """
    sizes = [parameter.numel() for parameter in parameters]
    sums = torch.zeros(len(sets), 3, sum(sizes), dtype=torch.float64, device=labels.device)
    for examples, into in zip(sets, sums, strict=True):
        for index in torch.from_numpy(examples).to(labels.device).split(CHUNK):
            with differentiable(model):
                logits = model(batch(index))
            of_logits = cotangents(logits.detach().double(), labels[index]).to(logits.dtype)
            for which, cotangent in enumerate(of_logits):
                gradients = torch.autograd.grad(logits, parameters, cotangent, retain_graph=which < 2)
                for part, gradient in zip(into[which].split(sizes), gradients, strict=True):
                    part += gradient.flatten()
    return sums


def cotangents(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(3, b, classes): derivatives by the logits of what `summed` differentiates."""
    n_classes = logits.shape[1]
    softmax = logits.softmax(1)
    mean = torch.full_like(logits, 1 / n_classes)
    return torch.stack([softmax - functional.one_hot(labels, n_classes), softmax - mean, mean])
