"""A probe that classifies by the most similar training examples: the baseline that memorises by construction."""

import numbers

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from latentgen.probes.arrays import chunks
from latentgen.probes.base import Probe
from latentgen.probes.inputs import check_rows, check_rows_and_labels, probe_dtype
from latentgen.probes.products import full_precision

#: Training rows that 1,024 examples are compared with at once.
BLOCK = 8192


class KNN(Probe):
    """Cosine nearest neighbours.

    An example belongs to the class that most of its ``n_neighbors`` most similar training examples have, by the cosine
    between activations; the score is the fraction of their votes. Classes with equally many votes: the first one wins.

    Similarities are computed in float32 for floats of up to 32 bits, else in float64, at most 1,024 x 8,192 at a time,
    on the device of what is predicted. Of training examples that are equally similar in that precision, the earlier
    ones count. A zero vector has cosine 0 with everything. With fewer training examples than ``n_neighbors``, all of
    them vote.

    Parameters
    ----------
    n_neighbors : int, default 5
        At least 1.

    Attributes
    ----------
    classes_ : numpy.ndarray, (C,)
    n_features_in_ : int
    """

    def __init__(self, n_neighbors=5):
        self.n_neighbors = n_neighbors

    def fit(self, X, y):
        """Keep the directions and labels of the training examples: a copy of ``X``.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n, d)
            Activations, on any device.
        y : array-like or torch.Tensor of shape (n,)
            Class labels.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For a parameter out of range, arrays of wrong shape, NaN or infinity, or continuous labels.
        """
        if not isinstance(self.n_neighbors, numbers.Integral) or self.n_neighbors < 1:
            raise ValueError(f"n_neighbors must be an integer of at least 1, got {self.n_neighbors!r}")
        rows, labels = check_rows_and_labels(self, X, y, reset=True)
        self.classes_, targets = np.unique(labels, return_inverse=True)
        self._targets = torch.from_numpy(targets).to(rows.device)
        self._directions = _directions(rows, probe_dtype(rows))
        return self

    def _scores(self, X):
        check_is_fitted(self)
        rows = check_rows(self, X, reset=False)
        known, targets = self._directions.to(rows.device), self._targets.to(rows.device)
        scores = rows.new_empty((len(rows), len(self.classes_)), dtype=torch.float64)
        for chunk in chunks(len(rows)):
            votes = targets[self._neighbours(_directions(rows[chunk], known.dtype), known)]
            scores[chunk] = torch.nn.functional.one_hot(votes, len(self.classes_)).double().mean(dim=1)
        return scores

    def _neighbours(self, queries, known):
        """Return the positions (n, k) of the most similar known rows, ascending."""
        similar = queries.new_empty((len(queries), 0))
        found = torch.empty((len(queries), 0), dtype=torch.int64, device=queries.device)
        for block in chunks(len(known), BLOCK):
            with full_precision():
                products = queries @ known[block].T
            here = _largest(products, self.n_neighbors)
            similar = torch.cat([similar, products.gather(1, here)], dim=1)
            found = torch.cat([found, here + block.start], dim=1)
            best = _largest(similar, self.n_neighbors)
            similar, found = similar.gather(1, best), found.gather(1, best)
        return found


def _directions(rows, dtype):
    """Return rows (n, d) divided by their lengths, in ``dtype``; zero rows stay zero."""
    found = rows.new_empty(rows.shape, dtype=dtype)
    for chunk in chunks(len(rows)):
        part = rows[chunk].double()
        lengths = part.norm(dim=1, keepdim=True)
        found[chunk] = torch.where(lengths > 0, part / lengths, 0.0)
    return found


def _largest(values, k):
    """Return ascending positions of each row's ``k`` largest values, the first of equals; all, if there are fewer."""
    n_columns = values.shape[1]
    if n_columns <= k:
        return torch.arange(n_columns, device=values.device).expand(values.shape)
    top, positions = values.topk(k + 1, dim=1)
    positions = positions[:, :k].sort(dim=1).values
    unsettled = top[:, k - 1] == top[:, k]
    if unsettled.any():
        # topk leaves open which of equals it takes: those above the k-th value are in, and the first that equal it.
        rows, least = values[unsettled], top[unsettled, k - 1 : k]
        above, equal = rows > least, rows == least
        missing = k - above.sum(dim=1, keepdim=True)
        chosen = above | (equal & (equal.cumsum(dim=1) <= missing))
        positions[unsettled] = chosen.nonzero()[:, 1].view(-1, k)
    return positions
