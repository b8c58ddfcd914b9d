"""Latent generalization of deep networks trained on wrong labels.

The package imports nothing heavy by itself: import the module that you need, for example
``from latentgen.probes import MASC`` or ``from latentgen.noise import corrupt``.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("latentgen")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
