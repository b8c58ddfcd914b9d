"""Edits of networks and of labels, and what they bring back. Importing this package does not import torch.

``transfer``
    the linear readout replaced by axes or means of the classes, evaluated at every saved epoch;
``edit``
    the same edit at chosen epochs, training continued with fresh optimiser state;
``relabel``
    the training set relabelled by a probe, and a network trained on that from scratch;
``rewind``
    the weights of some layers put back to every saved epoch, or re-randomised, evaluated.
"""

#: Raised by hand when a change alters the rows that every intervention gives.
VERSION = 1

#: Version of each intervention: raised by hand when a change alters its rows.
VERSIONS = {"transfer": 1, "edit": 2, "relabel": 1, "rewind": 1}
