"""Removal of the axes that class centers share, before the geometry of the manifolds around them is measured."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy import linalg
from threadpoolctl import threadpool_limits

#: Axes are tried up to the number that holds this fraction of the centers' variance, and so many more.
VARIANCE, MORE_AXES = 0.95, 10
#: Successive increases of the mean |cos| after which no more axes are tried.
PATIENCE = 3
#: A search ends where the scaled gradient falls below this part of sqrt(objective): first all, then those that count.
COARSE, FINE = 1e-4, 1e-9
#: Steps that a search remembers, steps before its chart is centered anew (doubled each time), and steps at most.
MEMORY, CHART_STEPS, MAX_STEPS = 10, 30, 4000
#: A center is lost where it keeps less than this part of its squared length, or of what centers keep on average.
LOST, LOST_ALONE = 1e-10, 1e-6
#: Sums may be reordered for speed; NaN and infinity keep their meaning.
FASTMATH = {"reassoc", "contract"}


@dataclass(frozen=True, eq=False)
class CenterAxes:
    """Axes that class centers share, and what their removal does to the cosines between the centers.

    What concerns all restarts is said of the chosen K. Restarts that end in other local minima show how far the answer
    depends on where a search starts.

    Attributes
    ----------
    axes : numpy.ndarray, (N, K) float64
        Orthonormal columns. K is 0 where there is nothing to choose.
    objective : float
        Half the sum of squared cosines over all ordered pairs of residual centers, the diagonal included.
    correlation : float
        Mean |cos| over pairs of different centers before the removal (rho).
    mean_cosine : float
        The same after it.
    objectives, mean_cosines : numpy.ndarray, (n_restarts,) float64
        Of each restart.
    stabilities : numpy.ndarray, (n_restarts,) float64
        The smallest part of its length that a center keeps. The restart with the largest is the one kept.
    converged : numpy.ndarray, (n_restarts,) bool
        False where a search ended early, mostly because it was about to remove a center altogether.
    restart_axes : numpy.ndarray, (n_restarts, N, K) float64
    path : numpy.ndarray, (number of K tried,) float64
        Mean |cos| of the kept restart for K = 1, 2, ...
    """

    axes: np.ndarray
    objective: float
    correlation: float
    mean_cosine: float
    objectives: np.ndarray
    mean_cosines: np.ndarray
    stabilities: np.ndarray
    converged: np.ndarray
    restart_axes: np.ndarray
    path: np.ndarray


def center_axes(centers, n_restarts=10, seed=0):
    """Find the axes whose removal leaves class centers least correlated.

    For K = 1, 2, ... orthonormal V (N, K) minimise half the sum, over all ordered pairs of classes, of the squared
    cosines between the residual centers x - V V^T x. Each restart begins with the axes kept for K - 1 and a random
    combination of the centers; kept is the local minimum whose removal leaves every center the largest part of its
    length. The K with the lowest mean |cos| between different centers is chosen. K ends with three successive
    increases of it, with the number of axes that hold 95 % of the centers' variance plus 10, with P - 2, one below the
    centers' rank, or where every restart loses a center, whichever comes first.

    K = 0 does not compete, as in the published method: centers without common structure may be more correlated after
    the removal. It is the answer where no K can be tried: of two classes, or of centers on a line. Three centers, or
    more in a plane, are on a line once an axis is removed, whichever it is: the one that is kept is arbitrary.

    Variance and cosines are taken about the origin. A search minimises by L-BFGS in charts of the Grassmann manifold,
    scaled by the diagonal of the Gauss-Newton curvature, with the closed-form gradient.

    Parameters
    ----------
    centers : numpy.ndarray, (P, N) float64
        Class means, from which the mean over all samples is subtracted. P at least 2.
    n_restarts : int, default 10
        At least 1.
    seed : int, default 0
        Of the random combinations.

    Returns
    -------
    CenterAxes

    Raises
    ------
    ValueError
        For a parameter out of range, NaN or infinity, a center at the origin, or centers that are all the same.

    References
    ----------
    Cohen, Chung, Lee and Sompolinsky (2020), Nature Communications 11, 746. Stephenson et al. (2021), ICLR.
    """
    if n_restarts < 1:
        raise ValueError(f"n_restarts must be at least 1, got {n_restarts}")
    # One thread: products of this size gain nothing from more, and sums would depend on how many there are.
    with threadpool_limits(limits=1, user_api="blas"):
        return _center_axes(_checked(centers), n_restarts, seed)


def _center_axes(centers, n_restarts, seed):
    points, basis, most_axes = _coordinates(centers)
    gram = points @ points.T
    random = np.random.default_rng(seed)
    before = _Minimum(points, np.empty((points.shape[1], 0)), True)
    axes, chosen, path = before.axes, [before] * n_restarts, []
    for _ in range(most_axes):
        directions = random.standard_normal((n_restarts, len(points))) @ points
        starts = [np.column_stack([axes, direction]) for direction in directions]
        found = [_search(points, gram, start, COARSE) for start in starts]
        kept = _kept(found)
        polished = set()
        while kept not in polished:
            found[kept] = _search(points, gram, found[kept].axes, FINE)
            polished.add(kept)
            kept = _kept(found)
        if found[kept].stability ** 2 < LOST:
            break
        axes = found[kept].axes
        path.append(found[kept].mean_cosine)
        if path[-1] == min(path):
            chosen = found
        if len(path) > PATIENCE and np.all(np.diff(path[-PATIENCE - 1 :]) > 0):
            break
    if path:
        chosen = [_search(points, gram, minimum.axes, FINE) for minimum in chosen]
    kept = chosen[_kept(chosen)]
    return CenterAxes(
        axes=basis @ kept.axes,
        objective=kept.objective,
        correlation=before.mean_cosine,
        mean_cosine=kept.mean_cosine,
        objectives=np.array([minimum.objective for minimum in chosen]),
        mean_cosines=np.array([minimum.mean_cosine for minimum in chosen]),
        stabilities=np.array([minimum.stability for minimum in chosen]),
        converged=np.array([minimum.converged for minimum in chosen]),
        restart_axes=np.stack([basis @ minimum.axes for minimum in chosen]),
        path=np.array(path),
    )


def _checked(centers):
    centers = np.asarray(centers, dtype=np.float64)
    if centers.ndim != 2 or len(centers) < 2:
        raise ValueError(f"centers must be an array (P, N) of at least two classes, got shape {centers.shape}")
    if not np.isfinite(centers).all():
        raise ValueError("centers hold NaN or infinity; leave out the layers or classes whose activations do")
    lengths = np.linalg.norm(centers, axis=1)
    absent = np.flatnonzero(lengths <= len(centers) * np.finfo(float).eps * lengths.max())
    if len(absent):
        raise ValueError(
            f"centers {absent.tolist()} lie at the origin, the mean over all samples, where cosines are undefined; "
            "leave these classes out, or the layer if its activations do not differ"
        )
    if np.all(np.abs(centers - centers[0]).max() <= 1e-12 * lengths.max()):
        raise ValueError("centers are all the same; subtract the mean over all samples, or leave the layer out")
    return centers


def _coordinates(centers):
    """Return centers (P, r), scaled, in their principal axes, these axes (N, r), and how many shared axes to try."""
    q, triangle = linalg.qr(centers.T, mode="economic")
    left, singular, right = linalg.svd(triangle, full_matrices=False)
    rank = np.count_nonzero(singular > max(centers.shape) * np.finfo(float).eps * singular[0])
    variance = np.cumsum(singular**2) / np.sum(singular**2)
    most_axes = min(np.count_nonzero(variance < VARIANCE) + 1 + MORE_AXES, len(centers) - 2, rank - 1)
    scaled = singular[:rank] * np.sqrt(len(centers) / np.sum(singular**2))
    return np.ascontiguousarray(right[:rank].T * scaled), q @ left[:, :rank], most_axes


class _Minimum:
    """Where a search ended: axes (r, K), and what their removal leaves of the points, from the residuals themselves."""

    def __init__(self, points, axes, converged):
        self.axes, self.converged = axes, converged
        residuals = points - (points @ axes) @ axes.T
        lengths = np.linalg.norm(residuals, axis=1)
        self.stability = float((lengths / np.linalg.norm(points, axis=1)).min())
        residuals /= np.maximum(lengths, np.finfo(float).tiny)[:, None]
        cosines = residuals @ residuals.T
        self.objective = float(0.5 * np.sum(cosines**2))
        np.fill_diagonal(cosines, 0.0)
        self.mean_cosine = float(np.abs(cosines).sum() / (len(points) * (len(points) - 1)))


def _kept(minima):
    return int(np.argmax([minimum.stability for minimum in minima]))


def _search(points, gram, start, tolerance):
    """Minimise from the span of ``start`` (r, K) until the scaled gradient is below ``tolerance`` sqrt(objective).

    A chart around V maps Z (r, K), V^T Z = 0, to the span of V + Z diag(scale). With V rotated to the eigenvectors
    of the sum of a a^T over centers, a the removed coordinates of a center by its residual length, the curvature
    along a column is about twice the eigenvalue, and the scale makes it of order one. Strong common axes, whose
    curvature is greater by orders of magnitude, would stall the search otherwise. Eigenvalues change on the way:
    hence several charts.
    """
    axes, steps, chart_steps = np.linalg.qr(start)[0], 0, CHART_STEPS
    while True:
        value, _, removed, _ = _evaluate(points, gram, axes)
        if not np.isfinite(value):
            return _Minimum(points, axes, False)
        curvatures, rotation = linalg.eigh(removed.T @ removed)
        scale = 1 / np.sqrt(2 * np.maximum(curvatures, 1e-3 * curvatures[-1]))
        allowed = min(chart_steps, MAX_STEPS - steps)
        axes, relative, taken, lost = _descend(
            points, gram, np.ascontiguousarray(axes @ rotation), scale, tolerance, allowed
        )
        axes = np.ascontiguousarray(np.linalg.qr(axes)[0])
        steps += taken
        chart_steps *= 2
        if relative <= tolerance or lost or taken == 0 or steps >= MAX_STEPS:
            return _Minimum(points, axes, relative <= tolerance)


@njit(cache=True, fastmath=FASTMATH)
def _to_cosines(products, gram, inverse_lengths):
    """Turn the removed products into r - diag(sum of r^2 over a row), r the cosines of what remains of ``gram``.

    Returns the objective, infinite where a center is lost, and the largest part of a squared length that is removed,
    by what remains.
    """
    n_points = len(gram)
    total = loss = 0.0
    for i in range(n_points):
        remains = gram[i, i] - products[i, i]
        if not remains > LOST * gram[i, i]:
            return np.inf, np.inf
        inverse_lengths[i] = 1 / np.sqrt(remains)
        loss = max(loss, gram[i, i] / remains)
    for i in range(n_points):
        squares = 0.0
        for j in range(n_points):
            cosine = (gram[i, j] - products[i, j]) * (inverse_lengths[i] * inverse_lengths[j])
            products[i, j] = cosine
            squares += cosine * cosine
        products[i, i] -= squares
        total += squares
    return 0.5 * total, loss


@njit(cache=True)
def _evaluate(points, gram, axes):
    """Objective at orthonormal ``axes`` (r, K), its gradient (r, K) on the Grassmann manifold, removed coordinates by
    residual lengths (P, K), and the largest ratio of a squared length before and after the removal.

    With residual Gram matrix H = G - A A^T, A = X V, lengths d and cosines r = H / (d d^T), the objective is
    |r|^2 / 2 and its differential <W, dH>, W = (r - diag(sum of r^2 over a row)) / (d d^T); dH = -(dA A^T + A dA^T).
    """
    removed = points @ axes
    weights = removed @ removed.T
    inverse_lengths = np.empty((len(points), 1))
    value, loss = _to_cosines(weights, gram, inverse_lengths[:, 0])
    if not np.isfinite(value):
        return value, axes, removed, loss
    removed *= inverse_lengths
    gradient = points.T @ ((weights @ removed) * (-2 * inverse_lengths))
    gradient -= axes @ (axes.T @ gradient)
    return value, gradient, removed, loss


@njit(cache=True)
def _evaluate_in_chart(points, gram, origin, scale, position):
    """Objective and gradient by ``position`` (r, K) in the chart around ``origin``, and the largest loss."""
    shift = position * scale
    factor = np.linalg.cholesky(np.eye(len(scale)) + shift.T @ shift)
    unit = np.ascontiguousarray(np.linalg.inv(factor))
    value, gradient, _, loss = _evaluate(points, gram, (origin + shift) @ unit.T)
    if np.isfinite(value):
        gradient = gradient @ unit
        gradient -= origin @ (origin.T @ gradient)
        gradient *= scale
    return value, gradient, loss


@njit(cache=True, fastmath=FASTMATH)
def _apply_memory(flat, moves, changes, products, remembered):
    """Turn the negative gradient into the L-BFGS direction, in place (the two-loop recursion)."""
    known = min(remembered, MEMORY)
    if known == 0:
        return
    weights = np.empty(MEMORY)
    for age in range(known):
        k = (remembered - 1 - age) % MEMORY
        weights[k] = np.dot(moves[k], flat) / products[k]
        for i in range(len(flat)):
            flat[i] -= weights[k] * changes[k, i]
    k = (remembered - 1) % MEMORY
    flat *= products[k] / np.dot(changes[k], changes[k])
    for age in range(known - 1, -1, -1):
        k = (remembered - 1 - age) % MEMORY
        factor = weights[k] - np.dot(changes[k], flat) / products[k]
        for i in range(len(flat)):
            flat[i] += factor * moves[k, i]


@njit(cache=True)
def _descend(points, gram, origin, scale, tolerance, most_steps):
    """Take L-BFGS steps in one chart.

    Returns spanning axes (r, K), the scaled gradient's part of sqrt(objective), the number of steps, and whether a
    center was lost.
    """
    position = np.zeros_like(origin)
    value, gradient, loss = _evaluate_in_chart(points, gram, origin, scale, position)
    moves = np.empty((MEMORY, origin.size))
    changes = np.empty((MEMORY, origin.size))
    products = np.empty(MEMORY)
    remembered = 0
    relative = np.sqrt(np.sum(gradient * gradient) / value)
    for step in range(most_steps):
        if relative <= tolerance:
            return origin + position * scale, relative, step, False
        flat = -gradient.ravel()
        _apply_memory(flat, moves, changes, products, remembered)
        direction = flat.reshape(origin.shape)
        slope = np.sum(gradient * direction)
        # Rounding hides decreases below this, then the slope alone says whether a step was good.
        noise = 1e-15 * (10 + loss) * value
        low, high, length = 0.0, np.inf, 1.0
        found = False
        for _ in range(30):
            new_position = position + length * direction
            new_value, new_gradient, new_loss = _evaluate_in_chart(points, gram, origin, scale, new_position)
            if not np.isfinite(new_value):
                high = length
                length = 0.5 * (low + high)
                continue
            new_slope = np.sum(new_gradient * direction)
            decreased = new_value <= value + 1e-4 * length * slope
            if not decreased and not (new_value <= value + noise and new_slope <= -0.9 * slope):
                high = length
                parabola = -0.5 * slope * length**2 / (new_value - value - slope * length)
                length = min(max(parabola, 0.1 * length), 0.5 * length) if low == 0 else 0.5 * (low + high)
            elif new_slope < 0.9 * slope:
                low = length
                length = 2 * length if high == np.inf else 0.5 * (low + high)
            else:
                found = True
                break
        if not found:
            return origin + position * scale, relative, step, False
        k = remembered % MEMORY
        moves[k] = (new_position - position).ravel()
        changes[k] = (new_gradient - gradient).ravel()
        products[k] = np.dot(moves[k], changes[k])
        if products[k] > 0:
            remembered += 1
        position, value, gradient, loss = new_position, new_value, new_gradient, new_loss
        relative = np.sqrt(np.sum(gradient * gradient) / value)
        if loss * LOST_ALONE > 1:
            return origin + position * scale, relative, step + 1, True
    return origin + position * scale, relative, most_steps, False
