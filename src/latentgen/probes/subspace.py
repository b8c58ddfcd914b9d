"""Probes that classify by the principal axes of each class's activations: MASC and VeLPIC.

Both are from Ketha and Ramaswamy, «On the Dynamics & Transferability of Latent Generalization during
Memorization», TMLR 2026, arXiv 2603.19865; MASC first in «Decoding Generalization from Memorization in Deep
Neural Networks», arXiv 2501.14687.
"""

import numbers

import numpy as np
import torch

from latentgen.probes.from_moments import TIE, MomentsProbe
from latentgen.probes.inputs import probe_dtype
from latentgen.probes.moments import SAFE
from latentgen.probes.products import product

#: Slack of cumulative variance ratios, above the rounding of a float64 sum: a ratio that equals the wanted
#: fraction in exact arithmetic must count as reaching it.
RATIO_ROUNDING = 1e-10

#: Roundings of float32, for each root of d r, that the difference of two scores of d features and r axes may be off by:
#: four times the most that was measured, 1.8 (on features with a large mean, whose classes keep one axis).
ROUNDINGS = 8


class _SubspaceProbe(MomentsProbe):
    """What MASC and VeLPIC share: one part for each class, the (d, r_k) float64 axes of its subspace."""

    second = ("gram",)

    @property
    def axes_(self):
        return self._learned

    @property
    def ranks_(self):
        return np.array([axes.shape[1] for axes in self.axes_])


class MASC(_SubspaceProbe):
    """Minimum angle subspace classifier.

    Each class is the subspace spanned by the leading principal axes P_k (d, r_k) of the uncentred second
    moment of its training activations; an example belongs to the class whose subspace makes the smallest
    angle with it. The score is the squared cosine of that angle, |P_k^T x|^2 / |x|^2 (arXiv 2603.19865,
    Proposition 1: the angle rule is the quadratic rule argmax x^T P_k P_k^T x). Scores within 1e-9 of the
    best tie, and the first class wins. Products of float32 rows are float32; an example whose two best scores then
    differ by no more than rounding is scored again in float64, so that predictions are those of float64.

    Edge cases: a zero vector scores 0 for every class. A class that only has zero vectors has rank 0 and
    scores 0. A class with one example is that example's line. A class whose axes span the whole space has
    angle zero to everything. A class named in ``classes`` without a training example scores -inf and never
    wins.

    Parameters
    ----------
    variance : float, default 0.99
        Fraction of each class's variance (sum of squares) to keep, in (0, 1]: r_k = 1 + #{cumulative ratios
        <= variance}, at most the numerical rank (see ``ClassMoments.rank``); 1.0 keeps the numerical rank.
    n_axes : int, default None
        Number of axes for every class, at least 1; at most the numerical rank is kept. If given, ``variance``
        is not used.

    Attributes
    ----------
    classes_ : numpy.ndarray, (C,)
    n_features_in_ : int
    axes_ : list of C arrays or tensors, (d, r_k) float64
        Orthonormal axes; of the kind that was fitted (tensors for moments).
    ranks_ : numpy.ndarray, (C,)
    """

    def __init__(self, variance=0.99, n_axes=None):
        self.variance = variance
        self.n_axes = n_axes

    def _check_parameters(self):
        if self.n_axes is not None and (not isinstance(self.n_axes, numbers.Integral) or self.n_axes < 1):
            raise ValueError(f"n_axes must be None or an integer of at least 1, got {self.n_axes!r}")
        if not isinstance(self.variance, numbers.Real) or not 0 < self.variance <= 1:
            raise ValueError(f"variance must lie in (0, 1], got {self.variance!r}")

    def _learn(self, moments):
        if self.n_axes == 1:
            return [moments.leading_axis(k) for k in range(len(moments.classes))]
        return [moments.eigen(k, self._n_kept(moments, k))[1] for k in range(len(moments.classes))]

    def _n_kept(self, moments, k):
        rank = moments.rank(k)
        if rank == 0 or self.n_axes is not None:
            return min(rank, self.n_axes or 0)
        values = moments.eigen(k)[0]
        ratios = values.cumsum(0) / values.sum()
        return min(rank, 1 + int((ratios <= self.variance + RATIO_ROUNDING).sum()))

    def _scores_of(self, rows, axes):
        if probe_dtype(rows) != torch.float32 or len(axes) < 2:
            return super()._scores_of(rows, axes)
        rows = rows.float()
        scores = self._silence(self._cosines(rows, axes))
        best, size = scores.topk(2, dim=1).values, torch.linalg.vector_norm(rows, torch.inf, dim=1)
        rounding = ROUNDINGS * torch.finfo(torch.float32).eps * (rows.shape[1] * max(self.ranks_)) ** 0.5
        # Squares of what is very small or large leave float32.
        close = ~((best[:, 0] - best[:, 1] > rounding) & (size > SAFE[0]) & (size < SAFE[1]))
        scores[close] = super()._scores_of(rows[close], axes)
        return scores

    def _chunk_scores(self, rows, axes):
        return self._snap(self._cosines(rows, axes), TIE)

    def _cosines(self, rows, axes):
        """Squared cosines (n, C), float64, of products in the dtype of ``rows``."""
        projected = product(rows, torch.cat([axis.to(rows.dtype) for axis in axes], dim=1)).square_()
        parts = projected.split([axis.shape[1] for axis in axes], dim=1)
        scores = torch.stack([part.sum(1) for part in parts], dim=1).double()
        norms = rows.square().sum(1, keepdim=True)
        return torch.where(norms > 0, scores / norms, 0.0)


class VeLPIC(_SubspaceProbe):
    """Vector linear probe: the leading principal axis of each class as a linear readout.

    Each class is the leading unit axis v_k of the uncentred second moment of its training activations; an
    example belongs to the class with the largest v_k . x (arXiv 2603.19865). There is no hyper-parameter. On
    non-negative activations it agrees with MASC with one axis.

    Sign: v_k is flipped if the mean of v_k . x over all training examples is negative. If that mean is
    rounding noise, |v_k . mean| <= 1e-12 rms|x|, the largest-magnitude coordinate of v_k is made positive.
    Scores within 1e-9 |x| of the best tie, and the first class wins.

    Edge cases: a class that only has zero vectors has no axis (rank 0) and scores 0. A class named in
    ``classes`` without a training example scores -inf and never wins. If the largest eigenvalue is
    degenerate, the axis is some unit vector of its eigenspace.

    Attributes
    ----------
    classes_ : numpy.ndarray, (C,)
    n_features_in_ : int
    axes_ : list of C arrays or tensors, (d, 1) float64, or (d, 0) for a class without axis
        Signed unit axes; of the kind that was fitted (tensors for moments).
    ranks_ : numpy.ndarray, (C,)
        1, or 0 for a class without axis.
    """

    def _learn(self, moments):
        n_rows = moments.counts.sum()
        mean = moments.sum() / n_rows
        noise = 1e-12 * (moments.square_sum() / n_rows) ** 0.5
        axes = [moments.leading_axis(k) for k in range(len(moments.classes))]
        return [axis * _sign(axis[:, 0], mean, noise) if axis.shape[1] else axis for axis in axes]

    def _chunk_scores(self, rows, axes):
        columns = [axis if axis.shape[1] else axis.new_zeros((len(axis), 1)) for axis in axes]
        return self._snap(rows @ torch.cat(columns, dim=1), TIE * rows.norm(dim=1, keepdim=True))


def _sign(axis, mean, noise):
    projection = float(axis @ mean)
    if abs(projection) > noise:
        return 1.0 if projection > 0 else -1.0
    # The first of coordinates that are equally large up to rounding, so that rounding does not pick the sign.
    size = axis.abs()
    first = int((size >= size.max() * (1 - 1e-9)).int().argmax())
    return 1.0 if float(axis[first]) > 0 else -1.0
