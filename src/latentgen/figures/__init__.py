"""Figures drawn from the tidy tables; the numbers behind each are returned with it and saved beside it.

The functions are loaded on first use, because the modules behind them import Matplotlib and seaborn.
"""

import importlib

#: Raised by hand when a change alters a figure, or a statistic of `latentgen.summary`.
VERSION = 1

_HOMES = {"FIGURES": "curves", "draw": "curves", "save": "style"}

__all__ = ["FIGURES", "draw", "save"]


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
