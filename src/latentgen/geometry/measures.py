"""Measures of class manifolds beside capacity: dimensions, distances, and what hyperplanes tell apart."""

import numpy as np
import torch
from scipy.spatial.distance import pdist

from latentgen.geometry.simulated import MARGIN, separable, stacked

#: Part of the variance that the axes counted by ``axes_90`` hold.
VARIANCE = 0.9
#: Part of the points, those with the largest ratios of distances, that the intrinsic dimension leaves out.
DISCARDED = 0.1
#: Candidates for the two nearest neighbours, whose distances are computed from their differences.
CANDIDATES = 8
#: Features of candidates, or distances, that the search for neighbours takes at a time; they stay in the cache.
CHUNK = 2**17
#: Projections after which a class is left to the exact solver. Of a hundred arbitrary classes of 50 images, these many
#: decide 98 in the 512 features of an untrained VGG-16 and all in 2,048; where centers differ clearly, one does.
ROUNDS = 50
#: Step towards a half-space, in units of the way to its border; below 2 the search converges.
RELAXATION = 1.8
#: Multiplications of one Newton step, points x features^2, for all classes left to the exact solver, above which it is
#: not asked: 20 to 50 s on one core. A class of 5,000 points in 512 features is 0.013 of it, in 3,072 features 0.47.
LARGEST = 1e11


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
      position) make it 1 whatever their classes. Most dichotomies are decided together, by hyperplanes or balances of
      points that prove either answer; the others one by one, exactly, unless that takes minutes (see Returns);
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
        single class, ``intrinsic_dimension`` of fewer than three distinct points or where all ratios are 1. Also
        ``separability`` where k dichotomies of n points in d features are left to the exact solver and k n min(n, d)^2
        is above 10^11: with 5,000 points more than 76 in 512 features, 4 in 2,048, 2 in 3,072, and any in 4,500.

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
    labels = np.repeat(np.arange(len(classes)), [len(points_mu) for points_mu in manifolds])
    firsts = _firsts(points)
    sample = torch.from_numpy(points).to(device)
    gram = sample @ sample.T
    smaller = sample.T @ sample if points.shape[1] < len(points) else gram
    # PyTorch's LAPACK takes half the time of SciPy's, and there is one on a GPU.
    variances = torch.linalg.eigvalsh(smaller).flip(0).cpu().numpy()
    gram = gram.cpu().numpy()
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
        "separability": _separability(sample, smaller, variances, labels, firsts),
        "intrinsic_dimension": _intrinsic_dimension(points, gram, np.unique(firsts)),
    }


def _centered(points):
    """Take their mean from ``points``, which leaves exact zeros where they coincide."""
    points -= points[0].copy()
    points -= points.mean(axis=0)
    return points


def _firsts(points):
    """Return for each of ``points`` the position of the first that equals it."""
    positions = {}
    # -0.0 + 0.0 is 0.0
    return np.array([positions.setdefault((row + 0.0).tobytes(), position) for position, row in enumerate(points)])


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


def _separability(sample, smaller, variances, labels, firsts):
    """Return the fraction of classes that a hyperplane separates from all other points, NaN where it is left open.

    ``smaller`` is the smaller of the Gram and the covariance matrix of the centred ``sample``, not normalised.
    """
    n, n_features = sample.shape
    n_classes = labels[-1] + 1
    if n_classes == 1:
        return np.nan
    rounding = 10 * n * np.finfo(float).eps * variances[0]
    if n_features >= n - 1 and variances[n - 2] > rounding:
        return 1.0  # affinely independent
    answers = np.full(n_classes, np.nan)
    shared = labels != labels[firsts]
    answers[labels[shared]] = answers[labels[firsts[shared]]] = 0  # two classes have a point in common
    undecided = np.flatnonzero(np.isnan(answers))
    if len(undecided):
        answers[undecided] = _certified(sample, smaller, rounding, labels, undecided)
        undecided = np.flatnonzero(np.isnan(answers))
    if 0 < len(undecided) * n * min(n, n_features) ** 2 <= LARGEST:
        answers[undecided] = _decided(sample.cpu().numpy(), labels, undecided)
    return float(answers.mean())


def _certified(sample, smaller, ridge, labels, classes):
    """Return for each of ``classes`` 1 or 0 if it is proven to be separable from all other points or not, else NaN.

    With the side y_i = +-1 of each point x_i, which has a constant feature, y_i (w . x_i) > 0 for all i and some w
    proves the one, sum_i a_i y_i x_i = 0 for some a_i > 0 the other (Gordan's theorem). The margins y_i (w . x_i) of
    all w are a subspace, and the weights a_i that balance the points its orthogonal complement. In each of the two a
    vector with entries of at least 1 is sought by turns of a projection on the subspace and a step towards the
    half-spaces (relaxed projections onto convex sets; Bauschke & Borwein, SIAM Rev. 38, 1996). Both projections are
    least-squares fits, whose matrix is the same for all classes and factorised once. The ``ridge``, in the units of
    ``smaller``, makes them approximate; the tests of what is found do not depend on it.
    """
    n, n_features = sample.shape
    lengths = torch.linalg.vector_norm(sample, dim=1)
    constant = lengths.mean()
    lengths = torch.hypot(lengths, constant)[:, None]
    factor = smaller.clone()
    factor.diagonal().add_(ridge)
    factor = torch.linalg.cholesky(factor)

    def fit(values):
        """Return slopes and intercepts of linear functions by least squares, and what they are at the points."""
        intercepts = values.mean(0)
        if n_features < n:
            slopes = torch.cholesky_solve(sample.T @ values, factor)
        else:
            slopes = sample.T @ torch.cholesky_solve(values - intercepts, factor)
        return slopes, sample @ slopes + intercepts

    def separated(slopes, values, sides):
        least = values.where(sides > 0, torch.inf).amin(0)
        most = values.where(sides < 0, -torch.inf).amax(0)
        # The hyperplane halfway between, as a normal to the points with their constant feature.
        normals = torch.hypot(torch.linalg.vector_norm(slopes, dim=0), (least + most) / 2 / constant)
        return (least - most) / 2 > MARGIN * lengths.max() * normals

    def balanced(weights, sides):
        for _ in range(3):  # what the ridge has left of the imbalance
            weights = weights - sides * fit(sides * weights)[1]
        signed = sides * weights
        rests = torch.hypot(torch.linalg.vector_norm(sample.T @ signed, dim=0), constant * signed.sum(0))
        # No unit normal has margins above the ratio of the two with all points at unit length.
        return (weights.amin(0) > 0) & (rests <= MARGIN * (lengths * weights).sum(0))

    sides = torch.from_numpy(np.where(labels[:, None] == classes, 1.0, -1.0)).to(sample.device)
    sizes = (sides > 0).sum(0)
    margins = weights = torch.where(sides > 0, (n - sizes) / sizes, 1.0)
    answers = torch.full((len(classes),), torch.nan, dtype=torch.float64, device=sample.device)
    for _ in range(ROUNDS):
        undecided = answers.isnan().nonzero()[:, 0]
        if not len(undecided):
            break
        slopes, values = fit(torch.cat([sides * margins, sides * weights], dim=1))
        slopes, (values, imbalances) = slopes[:, : len(undecided)], values.split(len(undecided), dim=1)
        margins, weights = sides * values, weights - sides * imbalances
        answers[undecided[separated(slopes, values, sides)]] = 1
        positive = ((weights.amin(0) > 0) & answers[undecided].isnan()).nonzero()[:, 0]
        if len(positive):
            answers[undecided[positive[balanced(weights[:, positive], sides[:, positive])]]] = 0
        left = answers[undecided].isnan()
        sides, margins, weights = sides[:, left], margins[:, left], weights[:, left]
        margins = margins + RELAXATION * (1 - margins).clamp(min=0)
        weights = weights + RELAXATION * (1 - weights).clamp(min=0)
    return answers.cpu().numpy()


def _decided(points, labels, classes):
    """Return for each of ``classes`` whether a hyperplane separates it from all other ``points``, exactly."""
    if points.shape[1] > len(points):
        points = np.linalg.qr(points.T, mode="r").T
    points = np.column_stack([points, np.full(len(points), np.linalg.norm(points, axis=1).mean())])
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    # The basis that `separable` would find for each class by itself.
    basis, sizes, _ = np.linalg.svd(points, full_matrices=False)
    basis = basis[:, sizes > max(points.shape) * np.finfo(float).eps * sizes[0]]
    return [separable(basis, np.where(labels == label, 1, -1)) for label in classes]


def _intrinsic_dimension(points, gram, distinct):
    """Return the dimension that two neighbours of each point give.

    ``gram`` holds products of ``points``, ``distinct`` the positions of points that all differ.
    """
    if len(distinct) < 3:
        return np.nan
    logs = np.sort(np.log(_distance_ratios(points, gram, distinct)))
    n_kept = int((1 - DISCARDED) * len(logs))
    heights = -np.log1p(-np.arange(1, n_kept + 1) / len(logs))
    squares = logs[:n_kept] @ logs[:n_kept]
    return float(logs[:n_kept] @ heights / squares) if squares > 0 else np.nan


def _distance_ratios(points, gram, distinct):
    """Return second-nearest over nearest distance of each of the ``distinct`` points among them."""
    n_candidates = min(CANDIDATES, len(distinct) - 1)
    squares_of_lengths = np.diagonal(gram)[distinct]
    n_rows = max(1, CHUNK // max(len(distinct), n_candidates * points.shape[1]))
    ratios = []
    for start in range(0, len(distinct), n_rows):
        rows = distinct[start : start + n_rows]
        # Squared distances, less the point's own square. Near points are told apart by the differences below.
        squares = squares_of_lengths - 2 * gram[np.ix_(rows, distinct)]
        squares[np.arange(len(rows)), start + np.arange(len(rows))] = np.inf
        candidates = distinct[np.argpartition(squares, n_candidates - 1, axis=1)[:, :n_candidates]]
        offsets = points[candidates]
        offsets -= points[rows][:, None]
        distances = np.sqrt(np.square(offsets, out=offsets).sum(axis=2))
        distances.partition(1, axis=1)
        ratios.append(distances[:, 1] / distances[:, 0])
    return np.concatenate(ratios)
