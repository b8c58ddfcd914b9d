"""Measures of class manifolds beside capacity: dimensions, distances, and what hyperplanes tell apart."""

import numpy as np
import torch
from scipy.spatial.distance import pdist

from latentgen.geometry.simulated import separable, stacked

#: Part of the variance that the axes counted by ``axes_90`` hold.
VARIANCE = 0.9
#: Part of the points, those with the largest ratios of distances, that the intrinsic dimension leaves out.
DISCARDED = 0.1
#: Candidates for the two nearest neighbours, whose distances are computed from their differences.
CANDIDATES = 8


def measures(manifolds, device="cpu"):
    """Return measures of class manifolds, by name.

    With C the covariance of all points, the mean of all of them removed, and l its eigenvalues:

    - ``participation_ratio``: (sum l)^2 / sum l^2, between 1 and the rank of C;
    - ``axes_90``: the smallest number of leading eigenvalues that make up 90 % of sum l;
    - ``class_participation_ratio``: the participation ratio of each class's own covariance, mean over classes;
    - ``within_distance``: mean distance of a class's points to their mean, mean over classes;
    - ``center_distance``: mean distance between the means of two classes;
    - ``separability``: fraction of the P dichotomies of one class against all others that a hyperplane with a bias
      separates strictly. Affinely independent points (at least as many features as points less one, in general
      position) make it 1 whatever their classes;
    - ``intrinsic_dimension``: the dimension of all points as their nearest neighbours at distances r1 <= r2 give it
      (TwoNN; Facco, d'Errico, Rodriguez, Laio, Sci. Rep. 7, 12140, 2017). Where the density hardly varies up to the
      second neighbour, m = r2 / r1 of a point in d dimensions has the distribution F(m) = 1 - m^-d. With the n ratios
      ascending and F(m_i) = i / n, d is the slope of the line through the origin that fits -log(1 - F(m_i)) on
      log(m_i) by least squares, the tenth with the largest ratios left out. Of equal points one is kept.

    Distances are in the units of the activations. Rotations and translations change no measure, and a common scale
    changes the distances only.

    Parameters
    ----------
    manifolds : sequence of numpy.ndarray, (points_mu, features) float64
        Left unchanged. Numbers of points may differ.
    device : torch.device or str
        Where products and eigenvalues are computed, which with thousands of points is most of the work.

    Returns
    -------
    dict of str to float
        NaN where a measure is undefined: ``participation_ratio`` and ``axes_90`` of points that all coincide,
        ``class_participation_ratio`` if the points of any class do, ``center_distance`` and ``separability`` of a
        single class, ``intrinsic_dimension`` of fewer than three distinct points or where all ratios are 1.

    Raises
    ------
    ValueError
        If there is no manifold, or a value that is not finite.

    Notes
    -----
    Works on the Gram matrix of n points, n^2 float64, and decomposes it or the covariance, whichever is smaller.
    """
    points = _centered(stacked(manifolds))
    ends = np.cumsum([len(points_mu) for points_mu in manifolds])
    classes = [slice(end - len(points_mu), end) for points_mu, end in zip(manifolds, ends, strict=True)]
    centers = np.stack([points[rows].mean(axis=0) for rows in classes])
    gram, variances = _spectrum(torch.from_numpy(points).to(device))
    within_ratios, within_distances = [], []
    for rows in classes:
        offsets = _centered(points[rows].copy())
        within_ratios.append(_participation_ratio(offsets @ offsets.T))
        within_distances.append(np.linalg.norm(offsets, axis=1).mean())
    return {
        "participation_ratio": _participation_ratio(gram),
        "axes_90": _axes(variances),
        "class_participation_ratio": float(np.mean(within_ratios)),
        "within_distance": float(np.mean(within_distances)),
        "center_distance": float(pdist(centers).mean()) if len(classes) > 1 else np.nan,
        "separability": _separability(points, classes, variances),
        "intrinsic_dimension": _intrinsic_dimension(points, gram),
    }


def _centered(points):
    """Take their mean from ``points``, which leaves exact zeros where they coincide."""
    points -= points[0].copy()
    points -= points.mean(axis=0)
    return points


def _spectrum(points):
    """Return the Gram matrix of points (n, d), and its eigenvalues, or those of the (d, d) one, in descending order."""
    gram = points @ points.T
    # PyTorch's LAPACK takes half the time of SciPy's, and there is one on a GPU.
    variances = torch.linalg.eigvalsh(points.T @ points if points.shape[1] < len(points) else gram)
    return gram.cpu().numpy(), variances.flip(0).cpu().numpy()


def _participation_ratio(gram):
    """Return (sum l)^2 / sum l^2 for the eigenvalues l of a Gram matrix, from its trace and that of its square."""
    total = np.trace(gram)
    return float(total**2 / np.vdot(gram, gram)) if total > 0 else np.nan


def _axes(variances):
    """Return how many of descending ``variances`` make up 90 % of their sum; equality up to rounding counts."""
    held = np.cumsum(variances)
    if not held[-1] > 0:
        return np.nan
    return float(1 + np.searchsorted(held / held[-1], VARIANCE - 1e-12))


def _separability(points, classes, variances):
    """Return the fraction of classes that a hyperplane separates from all other points."""
    n, n_features = points.shape
    if len(classes) == 1:
        return np.nan
    if n_features >= n - 1 and variances[n - 2] > 10 * n * np.finfo(float).eps * variances[0]:
        return 1.0  # affinely independent
    if n_features > n:
        points = np.linalg.qr(points.T, mode="r").T
    bias = np.linalg.norm(points, axis=1).mean() or 1.0
    points = np.column_stack([points, np.full(n, bias)])
    separated = 0
    for rows in classes:
        labels = np.full(n, -1)
        labels[rows] = 1
        separated += separable(points, labels)
    return separated / len(classes)


def _intrinsic_dimension(points, gram):
    """Return the dimension that two neighbours of each point give; ``gram`` holds products of ``points``."""
    distinct = {}
    for position, row in enumerate(points):
        distinct.setdefault((row + 0.0).tobytes(), position)  # -0.0 + 0.0 is 0.0
    distinct = np.array(list(distinct.values()))
    if len(distinct) < 3:
        return np.nan
    logs = np.sort(np.log([_distance_ratio(points, gram, position, distinct) for position in distinct]))
    n_kept = int((1 - DISCARDED) * len(logs))
    heights = -np.log1p(-np.arange(1, n_kept + 1) / len(logs))
    squares = logs[:n_kept] @ logs[:n_kept]
    return float(logs[:n_kept] @ heights / squares) if squares > 0 else np.nan


def _distance_ratio(points, gram, position, distinct):
    """Return second-nearest over nearest distance of one of the ``distinct`` points among them."""
    others = distinct[distinct != position]
    # Squared distances, less the point's own square. Near points are told apart by the differences below.
    squares = np.diagonal(gram)[others] - 2 * gram[position, others]
    n_candidates = min(CANDIDATES, len(others))
    candidates = others[np.argpartition(squares, n_candidates - 1)[:n_candidates]]
    distances = np.sort(np.linalg.norm(points[candidates] - points[position], axis=1))
    return distances[1] / distances[0]
