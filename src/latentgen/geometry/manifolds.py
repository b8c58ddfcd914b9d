"""Mean-field analysis of class manifolds: capacity, radius, dimension and centre correlation."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import pdist, squareform

from latentgen.geometry.anchors import AnchorGeometry, anchor_geometry
from latentgen.geometry.centers import center_axes

#: Two centre subspaces of K axes are one when tr(V V^T W W^T) / K is at least this near to 1.
_SAME = 1e-6
#: Directions that show how much results depend on the restarts: with the same ones for all, few tell.
_FEW = 30
#: A centre shorter than this is at the mean of all points, and two nearer than this coincide; in units of the points'
#: root mean square distance from the mean.
_COINCIDE = 1e-10


class DegenerateError(ValueError):
    """Points for which the theory defines nothing."""


@dataclass(frozen=True)
class ManifoldGeometry:
    """Result of `manifold_geometry` for P manifolds.

    Attributes
    ----------
    capacity : manifolds that a linear readout can tell apart for each feature, alpha_M; harmonic mean over manifolds
    radius, dimension : R_M, relative to the norm of what is left of a manifold's centre, and D_M; means over manifolds
    center_correlation : mean |cosine| between different centres, before any axis is removed
    n_center_axes : axes of low-rank centre structure that were removed, K
    capacities, radii, dimensions : (P,) of each manifold
    n_points : (P,) examples of each manifold
    capacity_error : standard error of ``capacity`` over the random directions
    capacity_spread, radius_spread, dimension_spread : how much the values depend on the restarts of the search for
        centre axes: largest minus smallest over the distinct subspaces that restarts ended in, all measured in the
        canonical basis with the first 30 or ``n_t // n_restarts`` directions, whichever is more; 0 where all ended in
        one, NaN where axes were given. A search that ended because it would have removed a centre does not count
    objectives : (n_restarts,) what the search minimises, where each restart ended; empty where there was none
    axes : (N, K) the axes removed, orthonormal
    """

    capacity: float
    radius: float
    dimension: float
    center_correlation: float
    n_center_axes: int
    capacities: np.ndarray
    radii: np.ndarray
    dimensions: np.ndarray
    n_points: np.ndarray
    capacity_error: float
    capacity_spread: float
    radius_spread: float
    dimension_spread: float
    objectives: np.ndarray
    axes: np.ndarray


def manifold_geometry(
    manifolds: Sequence[np.ndarray],
    kappa: float = 0.0,
    n_t: int = 300,
    t: Sequence[np.ndarray] | None = None,
    seed: int = 0,
    n_restarts: int = 10,
    axes: np.ndarray | None = None,
    n_jobs: int = 1,
) -> ManifoldGeometry:
    """Mean-field capacity of ``manifolds``, and the radius and dimension that it follows from.

    Parameters
    ----------
    manifolds : P arrays (M_p, N): points, features; they need not have equally many points
    kappa : margin, at least 0, in units of the norm of what is left of each centre
    n_t : Gaussian directions for each manifold, at least 2
    t : given directions instead of drawn ones: P arrays (min(N, M_p) + 1, n_t), the last row for the appended
        coordinate. With more features than points they are coordinates in the basis that ``numpy.linalg.qr`` finds for
        the points of a manifold (features, points) less their mean, without the centre axes, divided by the centre's
        norm; otherwise in that of the features
    seed : of drawn directions and of the initial axes of restarts
    n_restarts : of the search for centre axes
    axes : (N, K) orthonormal centre axes to remove instead of searched ones; K may be 0
    n_jobs : threads over manifolds; the result does not depend on it

    The result is invariant under translation and scale of all points together and, with drawn directions and points in
    general position, rotation.
    Sources: Chung, Lee & Sompolinsky (Phys. Rev. X 2018), equations 16, 17, 28, 29; Cohen, Chung, Lee & Sompolinsky
    (Nature Communications 2020) for the centre axes; Stephenson et al. (ICLR 2021) for their use on label noise.

    Raises
    ------
    ValueError
        With fewer than two manifolds, fewer than two points in one, points of different widths, directions or axes of
        another shape.
    DegenerateError
        A ``ValueError`` too: points that are not finite, centres that coincide with each other or with the mean of all.
    """
    if not (np.isfinite(kappa) and kappa >= 0):
        raise ValueError(f"kappa: a margin is a number from 0 on, got {kappa!r}")
    if n_t < 2 or n_restarts < 1:
        raise ValueError(f"n_t must be 2 or more and n_restarts 1 or more, got {n_t} and {n_restarts}")
    points, _, centers = checked(manifolds)
    if axes is None:
        found = center_axes(centers, n_restarts, seed)
        subspaces = _distinct([found.axes, *found.restart_axes[found.converged]])
        objectives = found.objectives
    else:
        subspaces, objectives = [_checked_axes(axes, centers.shape[1])], np.zeros(0)
    directions = _drawn(points, n_t, seed) if t is None else _given(t, points)
    few = max(_FEW, directions[0].shape[1] // n_restarts)

    def analyse(index: int) -> list[AnchorGeometry]:
        """One manifold with all directions, then with few of them for every subspace, if there are several."""
        manifold, of_all = (points[index], centers[index]), directions[index]
        (coordinates,) = _coordinates(*manifold, subspaces[:1], canonical=t is None)
        found = [anchor_geometry(coordinates, of_all, kappa)]
        if len(subspaces) > 1:
            for coordinates in _coordinates(*manifold, subspaces, canonical=True):
                found.append(anchor_geometry(coordinates, of_all[:, :few], kappa))
        return found

    with ThreadPoolExecutor(n_jobs) as pool:
        analysed = list(pool.map(analyse, range(len(points))))
    whole = [parts[0] for parts in analysed]
    values = _aggregate(whole)
    few_values = np.array([_aggregate(parts) for parts in zip(*(parts[1:] for parts in analysed), strict=True)])
    spread = np.ptp(few_values, axis=0) if len(few_values) else np.full(3, 0.0 if axes is None else np.nan)
    variance = np.mean([part.terms.var(ddof=1) / part.terms.size for part in whole]) / len(whole)
    return ManifoldGeometry(
        capacity=values[0],
        radius=values[1],
        dimension=values[2],
        center_correlation=float(np.abs(1 - pdist(centers, "cosine")).mean()),
        n_center_axes=subspaces[0].shape[1],
        capacities=np.array([part.capacity for part in whole]),
        radii=np.array([part.radius for part in whole]),
        dimensions=np.array([part.dimension for part in whole]),
        n_points=np.array([len(part) for part in points]),
        capacity_error=float(values[0] ** 2 * np.sqrt(variance)),
        capacity_spread=float(spread[0]),
        radius_spread=float(spread[1]),
        dimension_spread=float(spread[2]),
        objectives=objectives,
        axes=subspaces[0],
    )


def _aggregate(parts: Sequence[AnchorGeometry]) -> tuple[float, float, float]:
    """Capacity (harmonic mean), radius and dimension (means) over manifolds."""
    inverse = np.mean([part.terms.mean() for part in parts])
    capacity = float(1 / inverse) if inverse > 0 else float("inf")
    return capacity, float(np.mean([part.radius for part in parts])), float(np.mean([part.dimension for part in parts]))


def _coordinates(points, center, subspaces, canonical: bool):
    """Points (M, min(N, M)) less their mean and the axes of each subspace, in units of what is left of the centre.

    The canonical basis depends on the inner products of the points alone, so that no rotation of the space matters:
    with more features than points, that in which their matrix is the symmetric root of their Gram matrix.
    """
    residual = points - points.mean(0)
    wide = points.shape[1] > len(points)
    gram = residual @ residual.T if wide and canonical else None
    for axes in subspaces:
        along = residual @ axes
        norm = np.linalg.norm(center - axes @ (axes.T @ center))
        if gram is not None:
            values, vectors = np.linalg.eigh(gram - along @ along.T)
            # Rounding leaves what should be 0 at some 1e-16 of what was there, whose root would be 1e-8.
            values[values < np.trace(gram) * np.finfo(float).eps] = 0.0
            yield vectors * np.sqrt(values) @ vectors.T / norm
            continue
        left = (residual - along @ axes.T) / norm
        if wide or canonical:
            triangle = np.linalg.qr(left.T, mode="r")
            yield (triangle * (_signs(triangle) if canonical else 1)).T
        else:
            yield left


def _signs(triangle: np.ndarray) -> np.ndarray:
    """(rows, 1) factors that make the diagonal positive, which a rotation then leaves alone."""
    return np.where(np.diagonal(triangle) < 0, -1.0, 1.0)[:, None]


def _distinct(subspaces: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Subspaces (N, K) of one K, each once, the first first."""
    found: list[np.ndarray] = []
    for axes in subspaces:
        overlaps = (np.sum((other.T @ axes) ** 2) for other in found)
        if not any(overlap >= axes.shape[1] * (1 - _SAME) for overlap in overlaps):
            found.append(axes)
    return found


def _drawn(points: Sequence[np.ndarray], n_t: int, seed: int) -> list[np.ndarray]:
    random = np.random.default_rng((seed, 1))  # another stream than that of the restarts
    return [random.standard_normal((min(part.shape) + 1, n_t)) for part in points]


def _given(t: Sequence[np.ndarray], points: Sequence[np.ndarray]) -> list[np.ndarray]:
    directions = [np.asarray(part, dtype=np.float64) for part in t]
    wanted = [min(part.shape) + 1 for part in points]
    if [part.shape[:1] for part in directions] != [(rows,) for rows in wanted]:
        shapes = [part.shape for part in directions]
        raise ValueError(f"t: needs an array (min(features, points) + 1, n_t) for each manifold, got shapes {shapes}")
    if len({part.shape[1:] for part in directions}) != 1 or directions[0].ndim != 2 or directions[0].shape[1] < 2:
        raise ValueError("t: needs two directions or more, equally many for each manifold")
    return directions


def checked(manifolds: Sequence[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Manifolds as float64, the mean (N,) of all points, and centres (P, N) less that mean.

    Raises as `manifold_geometry` does.
    """
    points = [np.asarray(part, dtype=np.float64) for part in manifolds]
    if len(points) < 2:
        raise ValueError(f"manifolds: capacity is that of telling classes apart; give two or more, got {len(points)}")
    for index, part in enumerate(points):
        if part.ndim != 2 or part.shape[1:] != points[0].shape[1:]:
            raise ValueError(
                f"manifolds[{index}]: needs (points, features) with the features of all others, got shape {part.shape}"
            )
        if len(part) < 2:
            raise ValueError(f"manifolds[{index}]: has {len(part)} points; give two or more, or leave the class out")
    sums = np.stack([part.sum(0) for part in points])
    for index in np.flatnonzero(~np.isfinite(sums).all(1)):
        raise DegenerateError(f"manifolds[{index}]: holds NaN or infinity; look for a training that diverged")
    sizes = np.array([len(part) for part in points])
    mean = sums.sum(0) / sizes.sum()
    centers = sums / sizes[:, None] - mean
    _check_centers(points, mean, centers)
    return points, mean, centers


def _check_centers(points: Sequence[np.ndarray], mean: np.ndarray, centers: np.ndarray) -> None:
    scale = np.sqrt(np.mean([np.mean(np.sum((part - mean) ** 2, axis=1)) for part in points]))
    norms = np.linalg.norm(centers, axis=1)
    for index in np.flatnonzero(~(norms > _COINCIDE * scale)):
        raise DegenerateError(
            f"manifolds[{index}]: its centre is the mean of all points, so it has no direction; leave the class out, "
            "or look for a layer that is constant"
        )
    distances = squareform(pdist(centers))
    np.fill_diagonal(distances, np.inf)
    for first, second in np.argwhere(~(distances > _COINCIDE * scale)):
        raise DegenerateError(
            f"manifolds[{first}] and manifolds[{second}] have one centre, so none is theirs to be told apart by; merge "
            "them, or leave one out"
        )


def _checked_axes(axes: np.ndarray, n_features: int) -> np.ndarray:
    axes = np.asarray(axes, dtype=np.float64)
    if axes.ndim != 2 or len(axes) != n_features:
        raise ValueError(f"axes: needs ({n_features}, K), one column for each axis, got shape {axes.shape}")
    if not np.allclose(axes.T @ axes, np.eye(axes.shape[1]), atol=1e-8):
        raise ValueError("axes: columns must be orthonormal; take the Q of numpy.linalg.qr")
    return axes
