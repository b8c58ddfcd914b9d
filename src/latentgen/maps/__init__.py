"""Two-dimensional maps of training examples as a layer has them, one for each saved epoch, aligned over epochs."""

#: Raised by hand when a change alters the rows of some checkpoint.
VERSION = 1
