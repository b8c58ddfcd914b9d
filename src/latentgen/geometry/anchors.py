"""Anchor points of one manifold and what follows from them: capacity, radius, dimension."""

from dataclasses import dataclass

import numpy as np

from latentgen.geometry import nnls

#: Anchors nearer to the manifold's center than this, in units of the center's norm, have no direction.
NO_DIRECTION = 1e-12


@dataclass(frozen=True)
class AnchorGeometry:
    """Mean-field geometry of one manifold.

    Attributes
    ----------
    capacity : float
        Manifolds for each feature, 1 / mean of ``terms``; infinity where all terms are zero.
    radius : float
        Root mean square distance of the anchors from their mean, in units of the center's norm.
    dimension : float
        From 0 to d: d times the squared mean cosine between directions and anchors, the appended coordinate left out.
    terms : numpy.ndarray, (n_t,) float64
        Of each direction, max(t . s + kappa, 0)^2 / |s|^2 with s its anchor.
    anchors : numpy.ndarray, (n_t, d + 1) float64
        In the convex hull of the points; the last coordinate is 1.
    """

    capacity: float
    radius: float
    dimension: float
    terms: np.ndarray
    anchors: np.ndarray


def anchor_geometry(points, directions, kappa=0.0):
    """Find the anchor point of each direction and average (Chung, Lee, Sompolinsky 2018, Phys. Rev. X 8, 031003).

    To the points s, with a coordinate 1 appended, and a direction t belongs the nearest v to t that has
    s . v <= -kappa for all of them (eq. 16). The anchor, (t - v) divided by the sum of the multipliers, is the
    non-negative combination of points that comes nearest to t with kappa added to its last coordinate, divided by its
    last coordinate: unique, even where the combination is not. Where t meets all conditions itself, the anchor is the
    point with the largest t . s, the first of equals. Capacity, radius and dimension are those of eqs. 17, 28 and 29.

    A manifold of one point, or of equal ones, has its anchors in the center, where there is no direction: radius and
    dimension are 0, and every cosine with such an anchor counts as 0.

    Parameters
    ----------
    points : array-like of shape (m, d)
        Points of the manifold less their mean, divided by the norm of that mean.
    directions : array-like of shape (d + 1, n_t)
        Columns drawn from a standard normal distribution; the last row belongs to the appended coordinate.
    kappa : float, default 0
        Margin, in the same units.

    Returns
    -------
    AnchorGeometry

    Raises
    ------
    ValueError
        For arrays of wrong shape, without a point or a direction, or with NaN or infinity.
    numpy.linalg.LinAlgError
        When a direction's problem cannot be solved to rounding.
    """
    points, directions = np.asarray(points, dtype=np.float64), np.asarray(directions, dtype=np.float64)
    if points.ndim != 2 or directions.ndim != 2 or points.shape[1] + 1 != len(directions):
        raise ValueError(
            f"points (m, d) and directions (d + 1, n_t) do not fit: got shapes {points.shape}, {directions.shape}"
        )
    if not len(points) or not directions.shape[1]:
        raise ValueError("points and directions must be at least one each")
    extended = np.column_stack([points, np.ones(len(points))])
    targets = directions.copy()
    targets[-1] += kappa
    multipliers = nnls.solve(extended.T, targets)
    feasible = ~multipliers.any(axis=1)
    multipliers[feasible, (extended @ directions[:, feasible]).argmax(axis=0)] = 1
    anchors = (multipliers / multipliers.sum(axis=1, keepdims=True)) @ extended
    anchors[:, -1] = 1  # a mean of ones, without rounding

    reached = np.einsum("tk,kt->t", anchors, targets)
    terms = np.maximum(reached, 0) ** 2 / np.einsum("tk,tk->t", anchors, anchors)
    inside = anchors[:, :-1]
    average = terms.mean()
    return AnchorGeometry(
        capacity=float(1 / average) if average > 0 else float("inf"),
        radius=float(np.sqrt(((inside - inside.mean(axis=0)) ** 2).sum(axis=1).mean())),
        dimension=float(inside.shape[1] * _cosines(inside, directions[:-1].T).mean() ** 2),
        terms=terms,
        anchors=anchors,
    )


def _cosines(inside, directions):
    lengths = np.linalg.norm(inside, axis=1)
    scale = np.where(lengths > NO_DIRECTION, lengths, np.inf) * np.linalg.norm(directions, axis=1)
    return np.einsum("tk,tk->t", inside, directions) / scale
