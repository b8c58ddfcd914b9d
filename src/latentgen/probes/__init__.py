"""Probes: classifiers fitted on one layer's activations.

Every probe is a scikit-learn estimator that takes NumPy arrays or torch tensors. The names below are
loaded on first use, because the modules behind them import torch and scikit-learn.
"""

from latentgen import lazy

#: Raised by hand when a change alters the rows that every kind of probe gives.
VERSION = 2

#: Version of each kind of probe: raised by hand when a change alters its rows.
VERSIONS = {"masc": 2, "velpic": 2, "logistic": 1, "nearest_mean": 1, "lda": 1, "qda": 1, "knn": 2}

_HOMES = {
    "ClassMoments": "moments",
    "MASC": "subspace",
    "VeLPIC": "subspace",
    "LogisticProbe": "logistic",
    "NearestMean": "means",
    "LDA": "discriminant",
    "QDA": "discriminant",
    "KNN": "neighbours",
}

__all__ = ["KNN", "LDA", "MASC", "QDA", "ClassMoments", "LogisticProbe", "NearestMean", "VeLPIC"]

__getattr__, __dir__ = lazy.names(__name__, _HOMES)
