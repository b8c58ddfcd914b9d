"""Geometry of class manifolds: mean-field capacity, radius and dimension, and cheaper measures beside them.

The names below are loaded on first use, because the modules behind them import what computes.
"""

import importlib

#: Raised by hand when a change alters the rows of some checkpoint.
VERSION = 1

_HOMES = {
    "ManifoldGeometry": "manifolds",
    "manifold_geometry": "manifolds",
    "SimulatedCapacity": "simulated",
    "simulated_capacity": "simulated",
}

__all__ = ["ManifoldGeometry", "SimulatedCapacity", "manifold_geometry", "simulated_capacity"]


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__():
    return sorted([*globals(), *_HOMES])
