"""Gradients of the loss on groups of training examples, layer by layer, split at the labels.

The loss of an example with logits z and label y is -z_y, which depends on the label, plus logsumexp(z), which does not.
The names below are loaded on first use, because the modules behind them import torch.
"""

from latentgen import lazy

#: Raised by hand when a change alters the rows of some checkpoint.
VERSION = 1

_HOMES = {"LayerGradients": "measures", "layer_gradients": "measures"}

__all__ = ["LayerGradients", "layer_gradients"]

__getattr__, __dir__ = lazy.names(__name__, _HOMES)
