"""Activations of checkpoints: where they come from, and dumps of them. Importing this package does not import torch."""

from latentgen.models import INPUT, OUTPUT

__all__ = ["BATCH_NORM", "INPUT", "OUTPUT", "VERSION"]

#: Raised by hand when a change alters the activations of some checkpoint.
VERSION = 1

#: How batch-norm layers normalise while activations are computed: by their running statistics, as in eval mode, or each
#: example by its own statistics, as in training mode at batch size 1.
BATCH_NORM = ("running", "example")
