"""Activations of checkpoints: where they come from, and dumps of them. Importing this package does not import torch."""

from collections.abc import Sequence

from latentgen.models import INPUT, OUTPUT
from latentgen.spelling import allowed

__all__ = ["BATCH_NORM", "INPUT", "LAST", "OUTPUT", "VERSION", "named_layers"]

#: Raised by hand when a change alters the activations of some checkpoint.
VERSION = 1

#: How batch-norm layers normalise while activations are computed: by their running statistics, as in eval mode, or each
#: example by its own statistics, as in training mode at batch size 1.
BATCH_NORM = ("running", "example")

#: What stands for the last probed layer, the one that feeds the readout.
LAST = "last"


def named_layers(layers: str | Sequence[str], probed: Sequence[str], key: str) -> list[str]:
    """Layers that a setting means: ``all`` that can be read, ``last``, or those of a list, each once.

    Parameters
    ----------
    layers : the setting; a list may name ``last``, ``input`` and ``output`` too
    probed : layers of the model, the input first and the output left out, as `activations.sources.Stream` has them
    key : of the configuration, for the message

    Raises ``ValueError`` on a layer that the model does not have.
    """
    known = [*probed, OUTPUT]
    if layers == "all":
        return known
    named = [LAST] if layers == LAST else list(layers)
    for name in named:
        if name not in (*known, LAST):
            raise ValueError(f"{key}: {name!r} is no layer of the model; {allowed(name, [*known, LAST])}")
    return list(dict.fromkeys(probed[-1] if name == LAST else name for name in named))
