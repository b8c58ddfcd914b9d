"""A probe that classifies by the most similar training examples: the baseline that memorises by construction."""

import hashlib
import math
import numbers

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from latentgen.probes.arrays import chunks
from latentgen.probes.base import Probe
from latentgen.probes.inputs import check_rows, check_rows_and_labels
from latentgen.probes.products import full_precision

#: Training rows that 1,024 examples are compared with at once.
BLOCK = 8192
#: Ways to choose candidates, each for the examples that the one before leaves open: products in float32 and float64,
#: and differences. Each leaves to exact distances so many candidates for each neighbour, and so many besides.
CANDIDATES = {"single": (1, 8), "double": (4, 32), "differences": (4, 32)}
#: Multiplied by it, a distance gives its upper bits.
SETTLED = 2.0**12 + 1
#: Features of candidates whose differences are held at once.
DIFFERENCES = 2**22


class KNN(Probe):
    """Cosine nearest neighbours.

    An example belongs to the class that most of its ``n_neighbors`` most similar training examples have, by the cosine
    between activations; the score is the fraction of their votes. Classes with equally many votes: the first one wins.
    Of training examples that are equally similar (to twelve digits of 1 - cosine), the earlier ones count. A zero
    vector has cosine 0 with everything. With fewer training examples than ``n_neighbors``, all of them vote.

    1 - cosine is half the squared distance between directions, and is computed so, in float64 from differences of
    directions: the cosines of examples that nearly point the same way, as those of deep untrained layers do, are equal
    in float32. Candidates come from float32 products, at most 1,024 x 8,192 at a time on the device of what is
    predicted, of directions less their mean. Examples for which rounding leaves open whether all of the nearest are
    among the candidates take float64 products, and those for which that leaves it open too, differences from all.

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
        """Keep a copy of the training examples, one of each direction, and the labels of all.

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
        self._known, self._members, self._centre = _distinct(rows, self.n_neighbors)
        return self

    def _scores(self, X):
        check_is_fitted(self)
        rows = check_rows(self, X, reset=False)
        kept = (self._known, self._members, self._centre, self._targets)
        known, members, centre, targets = (part.to(rows.device) for part in kept)
        scores = rows.new_empty((len(rows), len(self.classes_)), dtype=torch.float64)
        for chunk in chunks(len(rows)):
            votes = targets[self._neighbours(_directions(rows[chunk]), known, members, centre)]
            scores[chunk] = torch.nn.functional.one_hot(votes, len(self.classes_)).double().mean(dim=1)
        return scores

    def _neighbours(self, queries, known, members, centre):
        """Return the positions (n, k) of the training examples most similar to the directions ``queries``."""
        found = queries.new_empty((len(queries), min(self.n_neighbors, len(self._targets))), dtype=torch.int64)
        left = torch.arange(len(queries), device=queries.device)
        for way in CANDIDATES:
            nearest, sure = self._nearest(queries[left], known, members, centre, way)
            found[left] = nearest
            left = left[~sure]
            if not len(left):
                break
        return found

    def _nearest(self, queries, known, members, centre, way):
        """Return positions as `_neighbours`, and (n,) bool: for which of ``queries`` they are proved to be the nearest.

        With directions u less their mean, w = u - m, half the squared distance is |w|^2 / 2 + |w'|^2 / 2 - w.w'. The
        first term is left out while candidates are chosen: the larger w.w' - |w'|^2 / 2, the nearer.
        """
        times, more = CANDIDATES[way]
        dtype = torch.float32 if way == "single" else torch.float64
        offsets = queries - centre
        halves = offsets.square().sum(1) / 2
        nearness = queries.new_empty((len(queries), 0), dtype=dtype)
        found = torch.empty((len(queries), 0), dtype=torch.int64, device=queries.device)
        farthest = 0.0
        for block in chunks(len(known), BLOCK):
            others = _directions(known[block])
            are_zero = ~others.any(dim=1)
            if way == "differences":
                near = _minus_differences(queries, others)
                near[~queries.any(dim=1)] = -1.0
                unrelated = torch.full_like(halves, -1.0)
            else:
                squares = torch.linalg.vector_norm(others.sub_(centre), dim=1).square_()
                farthest = max(farthest, float(squares.max()))
                with full_precision():
                    near = offsets.to(dtype) @ others.to(dtype).T
                near -= (squares / 2).to(dtype)
                unrelated = halves - 1
            near[:, are_zero] = unrelated.to(dtype)[:, None]
            here = _largest(near, times * self.n_neighbors + more)
            nearness = torch.cat([nearness, near.gather(1, here)], dim=1)
            found = torch.cat([found, here + block.start], dim=1)
            best = _largest(nearness, times * self.n_neighbors + more)
            nearness, found = nearness.gather(1, best), found.gather(1, best)
        distances = _distances(queries, known, found)
        # All examples of these directions, the earlier first where distances are equal.
        examples, order = members[found].flatten(1).sort(dim=1)
        distances = distances.repeat_interleave(members.shape[1], dim=1).gather(1, order)
        distances.masked_fill_(examples == len(self._targets), torch.inf)
        nearest = _largest(-distances, min(self.n_neighbors, len(self._targets)))
        # Rounding of a product of d terms grows as the root of d; others than candidates are no nearer than ``least``.
        rounding = (2 * math.sqrt(known.shape[1]) + 8) * torch.finfo(dtype).eps
        error = rounding * ((2 * halves * farthest).sqrt() + halves + farthest)
        least = halves - nearness.min(dim=1).values.double() - error
        sure = distances.gather(1, nearest).max(dim=1).values < least
        return examples.gather(1, nearest), sure | (found.shape[1] == len(known) or way == "differences")


def _distinct(rows, most):
    """Return what is kept of training rows (n, d): one of each direction, who has it, and the mean direction.

    Layers whose units are dead, or all but one, have few directions. The first is (m, d), rows as they are, in order of
    their first example; the second (m, up to ``most``) the positions of the first examples, filled up with n.
    """
    examples, total = {}, 0.0
    for chunk in chunks(len(rows)):
        directions = _directions(rows[chunk])
        total = total + directions.sum(0)
        directions = np.ascontiguousarray(directions.cpu().numpy()) + 0.0  # without -0.0
        for position, direction in enumerate(directions, start=chunk.start):
            examples.setdefault(hashlib.blake2b(direction, digest_size=16).digest(), []).append(position)
    members = np.full((len(examples), min(most, max(map(len, examples.values())))), len(rows))
    for mine, of_direction in zip(members, examples.values(), strict=True):
        mine[: len(of_direction)] = of_direction[:most]
    members = torch.from_numpy(members).to(rows.device)
    return rows[members[:, 0]], members, total / len(rows)


def _directions(rows):
    """Return rows (n, d) divided by their lengths, float64; zero rows stay zero, multiples of a row become equal."""
    rows = rows.double()
    # By the largest entry first: a length may leave the range of float64, or lose the digits of tiny entries.
    largest = torch.linalg.vector_norm(rows, torch.inf, dim=1, keepdim=True)
    rows = rows / largest.masked_fill_(largest == 0, 1.0)
    return rows.div_(torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_(min=1.0))


def _distances(queries, known, candidates):
    """Return 1 - cosine (n, m) float64 of directions (n, d) with the known rows at positions ``candidates`` (n, m)."""
    found = queries.new_empty(candidates.shape)
    for some in chunks(len(queries), max(1, DIFFERENCES // (candidates.shape[1] * queries.shape[1]))):
        others = _directions(known[candidates[some].flatten()]).unflatten(0, candidates[some].shape)
        are_zero = ~others.any(dim=2)
        found[some] = _settled(others.sub_(queries[some][:, None]).square_().sum(2) / 2)
        found[some][are_zero] = 1.0
    found[~queries.any(dim=1)] = 1.0
    return found


def _minus_differences(queries, others):
    """Return cosine - 1 (n, m) float64 of directions (n, d) and (m, d)."""
    return -_settled(torch.cdist(queries, others, compute_mode="donot_use_mm_for_euclid_dist").square_() / 2)


def _settled(distances):
    """Return ``distances`` without their last digits, which rounding leaves: equal ones are equal then."""
    upper = distances * SETTLED
    return upper - (upper - distances)  # Veltkamp's splitting: the upper 41 of 53 bits


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
