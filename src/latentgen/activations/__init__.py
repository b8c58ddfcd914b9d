"""Activations of checkpoints: where they come from, and dumps of them. Importing this package does not import torch."""

#: Raised by hand when a change alters the activations of some checkpoint.
VERSION = 1

#: The layer that every model has: its flattened, normalised image, equal at all checkpoints.
INPUT = "input"

#: What every model gives at its end, the logits. It can be read like a layer, but is none that probes are fitted on.
OUTPUT = "output"

#: How batch-norm layers normalise while activations are computed: by their running statistics, as in eval mode, or each
#: example by its own statistics, as in training mode at batch size 1.
BATCH_NORM = ("running", "example")
