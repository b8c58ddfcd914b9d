"""Geometry of class manifolds: mean-field capacity, radius and dimension, and cheaper measures beside them.

The names below are loaded on first use, because the modules behind them import what computes.
"""

from latentgen import lazy

#: Raised by hand when a change alters the rows of every method.
VERSION = 1

#: Version of each method: raised by hand when a change alters its rows.
VERSIONS = {"mean field": 1, "simulated": 1}

_HOMES = {
    "ManifoldGeometry": "manifolds",
    "manifold_geometry": "manifolds",
    "SimulatedCapacity": "simulated",
    "simulated_capacity": "simulated",
}

__all__ = ["ManifoldGeometry", "SimulatedCapacity", "manifold_geometry", "simulated_capacity"]

__getattr__, __dir__ = lazy.names(__name__, _HOMES)
