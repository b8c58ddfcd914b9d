"""Gradients of the loss on groups of training examples, layer by layer, split at the labels.

The loss of an example with logits z and label y is -z_y, which depends on the label, plus logsumexp(z), which does not.
The names below are loaded on first use, because the modules behind them import torch.
"""

import importlib

#: Raised by hand when a change alters the rows of some checkpoint.
VERSION = 1

_HOMES = {"LayerGradients": "measures", "layer_gradients": "measures"}

__all__ = ["LayerGradients", "layer_gradients"]


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__():
    return sorted([*globals(), *_HOMES])
