"""Capacity measured directly: how few random features separate half of the dichotomies of class manifolds."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import binom

from latentgen import seeds
from latentgen.geometry import nnls

#: Newton steps after which a dichotomy is left to the exact solver; on either side of the threshold a dozen decide.
STEPS = 40
#: Length, in Newton steps, beyond which a line is not searched: far out all weights but a few vanish, and with them
#: what the next step would be computed from.
LONGEST_STEP = 16.0
#: Sine of the angle between a point and a hyperplane up to which it may owe its side to rounding.
MARGIN = 1e-12
#: Coverage of the interval around a simulated capacity.
CONFIDENCE = 0.95


@dataclass(frozen=True)
class SimulatedCapacity:
    """What ``simulated_capacity`` found.

    Attributes
    ----------
    capacity : float
        Manifolds for each feature, P / ``n_features``; NaN where fewer than half of the dichotomies can be separated
        even in all features, and for fewer than three manifolds: no hyperplane through the mean of two has both on one
        side, which half of their dichotomies ask for.
    n_features : float
        Where the measured fraction crosses one half, interpolated between neighbouring integers; NaN with ``capacity``.
    interval : tuple of float
        95 % interval of ``capacity``, (low, high); (NaN, NaN) with ``capacity``. ``low`` is 0 where the dichotomies
        drawn leave it open whether half can be separated at all.
    tried : tuple of int
        Numbers of features tried, ascending.
    fractions : tuple of float
        Fraction of the dichotomies that are separable in each of ``tried``; never falls.
    """

    capacity: float
    n_features: float
    interval: tuple[float, float]
    tried: tuple[int, ...]
    fractions: tuple[float, ...]


def simulated_capacity(manifolds, n_dichotomies=100, seed=0):
    """Return the capacity of class manifolds as random dichotomies of them measure it.

    The mean over all points is subtracted once. Each of ``n_dichotomies`` trials draws labels +-1 of the manifolds,
    which all points of a manifold share, and a Gaussian projection; in n features it sees the projection's first n
    rows, and is separable if a hyperplane through the origin separates the labels strictly. The capacity is P / n for
    the smallest n at which half of the trials are separable (Stephenson et al. 2021), found by bisection from a guess
    that the first trial alone gives.

    At every n the trials are independent and their projections Gaussian. Because the features of one n are among those
    of the next, a trial that is separable stays so: the fraction never falls with n, the crossing is unique, and a
    trial is decided only where its answers at other n leave it open. ``n_features`` is then the median of the trials'
    own thresholds, and the interval is Woodruff's (J. Am. Stat. Assoc. 47, 1952): n between the crossings of the
    fractions that a fair coin keeps within in 95 % of as many tosses. It assumes no shape of the curve. Crossings are
    interpolated linearly between n - 1 and n.

    Parameters
    ----------
    manifolds : sequence of numpy.ndarray, (points_mu, features) float64
        Left unchanged. Numbers of points may differ. For a capacity without correlations between centres, project the
        centre axes out first.
    n_dichotomies : int
        Trials at each number of features.
    seed : int
        Seed of the labels and projections.

    Returns
    -------
    SimulatedCapacity

    Raises
    ------
    ValueError
        If there is no manifold, or a value that is not finite.

    Notes
    -----
    Of 100 dichotomies some 350 decisions are made, each for one projection and 2 to 12 products of points x n^2.
    """
    points = stacked(manifolds)
    points = points - points.mean(axis=0)
    if points.shape[1] > len(points):
        # A rotation into the span of the points; a rotated Gaussian projection is one.
        points = np.linalg.qr(points.T, mode="r").T
    trials = _Trials(points, np.array([len(points_mu) for points_mu in manifolds]), n_dichotomies, seed)

    guess = _smallest(lambda n: trials.decide(n, [0])[0], len(manifolds), trials.most)
    half = trials.crossing(0.5, guess)
    if half is None or len(manifolds) < 3:
        n_features, interval = np.nan, (np.nan, np.nan)
    else:
        n_features = half
        kept = binom.ppf((1 - CONFIDENCE) / 2, n_dichotomies, 0.5)
        fewest = trials.crossing(kept / n_dichotomies, round(half))
        most = trials.crossing((n_dichotomies + 1 - kept) / n_dichotomies, round(half))
        interval = (0.0 if most is None else len(manifolds) / most, len(manifolds) / fewest)
    return SimulatedCapacity(
        capacity=len(manifolds) / n_features,
        n_features=n_features,
        interval=interval,
        tried=tuple(sorted(trials.fractions)),
        fractions=tuple(trials.fractions[n] for n in sorted(trials.fractions)),
    )


def stacked(manifolds):
    """Return the points of all manifolds, (points, features) float64, one manifold below the other.

    Raises
    ------
    ValueError
        If there is no manifold, or a value that is not finite.
    """
    if not len(manifolds):
        raise ValueError("manifolds is empty; give an array (points, features) for each class")
    points = np.vstack(manifolds).astype(np.float64, copy=False)
    if not np.isfinite(points).all():
        raise ValueError("manifolds holds NaN or infinity; leave out such examples, or check that training converged")
    return points


class _Trials:
    """Dichotomies of one set of manifolds, and between which numbers of features each becomes separable."""

    def __init__(self, points, sizes, n_trials, seed):
        self.most = max(1, min(points.shape[1], len(points) - 1))
        self.fractions = {}
        self._points, self._sizes, self._seed = points, sizes, seed
        self._failed = np.zeros(n_trials, dtype=int)
        self._separated = np.full(n_trials, self.most + 1)

    def decide(self, n, trials):
        """Return for each of ``trials`` whether it is separable in ``n`` features."""
        for trial in trials:
            if self._failed[trial] < n < self._separated[trial]:
                record = self._separated if self._separable(n, trial) else self._failed
                record[trial] = n
        return self._separated[trials] <= n

    def crossing(self, level, guess):
        """Return where the fraction of separable trials reaches ``level``, at least 1.0; None if it never does."""
        n = _smallest(lambda n: self._fraction(n) >= level, guess, self.most)
        if n > self.most:
            return None
        if n == 1:
            return 1.0
        below, above = self._fraction(n - 1), self._fraction(n)
        return float(n - 1 + (level - below) / (above - below))

    def _fraction(self, n):
        if n not in self.fractions:
            self.fractions[n] = float(self.decide(n, np.arange(len(self._failed))).mean())
        return self.fractions[n]

    def _separable(self, n, trial):
        random = np.random.default_rng(seeds.derive("simulated capacity", self._seed, int(trial)))
        labels = random.choice([-1.0, 1.0], size=len(self._sizes))
        # Drawn row by row, so that more features begin with the same ones.
        projection = random.standard_normal((n, self._points.shape[1]))
        rows = self._points @ projection.T
        rows *= np.repeat(labels, self._sizes)[:, None]
        return _in_open_half_space(rows)


def _smallest(holds, guess, most):
    """Return the smallest n in 1 ... ``most`` at which the monotone ``holds`` is true, ``most`` + 1 if it never is."""
    low, high = 0, most + 1
    n = min(max(guess, 1), most)
    step = max(1, n // 16)
    while high - low > 1:
        if holds(n):
            high = n
        else:
            low = n
        if low == 0:
            n = max(high - step, 1)
        elif high == most + 1:
            n = min(low + step, most)
        else:
            n = (low + high) // 2
        step *= 2
    return high


def separable(points, labels):
    """Return whether a hyperplane through the origin has all points strictly on the sides that their labels name.

    That is, whether some w has labels_i (w . points_i) > 0 for all i. For a hyperplane with a bias, append a constant
    feature.

    Newton's method on the logistic loss decides it, because each of its steps can prove either answer. The line along
    the step holds a w that separates the points; or the weights a_i > 0 of the loss, changed by the step to first
    order, are still positive and balance the points, sum_i a_i labels_i points_i = 0, so that no w exists (Gordan's
    theorem). What that leaves open (balances in which some weights must vanish, as between equal points of opposite
    labels beside others) goes to an active-set solver, as the point nearest to the origin in the convex hull of
    labels_i points_i. A margin within the rounding of float64 counts as none.

    Parameters
    ----------
    points : numpy.ndarray, (n, d)
    labels : numpy.ndarray, (n,)
        Positive and negative numbers.

    Returns
    -------
    bool
    """
    return _in_open_half_space(np.asarray(points, dtype=np.float64) * np.sign(labels)[:, None])


def _in_open_half_space(rows):
    """Return whether some w has a positive product with every one of ``rows``, which it may overwrite."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not lengths.all():
        return False
    rows /= lengths
    answer = _newton(rows) if rows.shape[1] <= len(rows) else None
    if answer is None:
        # The answer depends on the span of the columns only, and an orthonormal basis of it is conditioned best.
        basis, sizes, _ = np.linalg.svd(rows, full_matrices=False)
        rows = basis[:, sizes > max(rows.shape) * np.finfo(float).eps * sizes[0]]
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        answer = _newton(rows)
    return _nearest_separates(rows) if answer is None else answer


def _newton(rows):
    """Return whether unit ``rows`` lie in an open half-space, None where no step proves it."""
    w, margins = np.zeros(rows.shape[1]), np.zeros(len(rows))
    for _ in range(STEPS):
        weights = expit(-margins)
        scaled = rows * np.sqrt(weights * (1 - weights))[:, None]
        factor, failed = lapack.dpotrf(scaled.T @ scaled, lower=1)
        if failed:
            return None
        direction = lapack.dpotrs(factor, weights @ rows, lower=1)[0]
        gains = rows @ direction

        # A first-order step takes the share (1 - weight) * gain from each weight.
        shares = (1 - weights) * gains
        if shares.max() < 1 - 1e-5:
            balanced = weights * (1 - shares)
            rest = lapack.dpotrs(factor, balanced @ rows, lower=1)[0]
            if np.abs((1 - weights) * (rows @ rest)).max() < 1e-6:
                return False

        step = _positive_step(margins, gains) or _line_search(margins, gains)
        w += step * direction
        margins = rows @ w
        if _strict(margins, w):
            return True
    return None


def _positive_step(margins, gains):
    """Return a step that makes all ``margins`` + step * ``gains`` positive, None if there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        zeros = -margins / gains
    least = max(zeros[gains > 0].max(initial=0.0), 0.0)
    most = zeros[gains < 0].min(initial=np.inf)
    if least >= most or (margins[gains == 0] <= 0).any():
        return None
    return 2 * least + 1 if most == np.inf else (least + most) / 2


def _line_search(margins, gains):
    """Return about the step that minimises the logistic loss of ``margins`` + step * ``gains``, which is convex."""

    def fall(step):
        return expit(-(margins + step * gains)) @ gains

    longest = 1.0
    while fall(longest) > 0 and longest < LONGEST_STEP:
        longest *= 2
    return brentq(fall, 0, longest, rtol=0.05) if fall(longest) < 0 < fall(0) else longest


def _nearest_separates(rows):
    """Return whether unit ``rows`` lie in an open half-space, from the point of their convex hull next to the origin.

    With weights a >= 0 that minimise |rows^T a|^2 + (1 - sum a)^2, w = rows^T a has products of at least 1 - sum a with
    all rows, and that is positive unless the hull holds the origin.
    """
    target = np.eye(rows.shape[1] + 1)[:, -1:]
    w = nnls.solve(np.vstack([rows.T, np.ones(len(rows))]), target)[0] @ rows
    return _strict(rows @ w, w)


def _strict(margins, w):
    """Return whether products of ``w`` with unit rows are positive beyond rounding."""
    return bool(margins.min() > MARGIN * np.linalg.norm(w))
