"""Training of one run: recipe, loop, state for resuming. Importing this package does not import torch."""

#: Raised by hand when a change alters the weights, history or records that some recipe and seeds give.
VERSION = 1
